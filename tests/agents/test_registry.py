import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.small_data import small_settings, write_items
from zsr_sim.agents.registry import OTHER_WAYS, find_agent, known_agents
from zsr_sim.encoders.cards import FOLDER_VARIABLE
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.visits import observe, simulate
from zsr_sim.errors import InputError
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.learning import learners, train_strategy

MINE = """
import numpy as np
from zsr_sim.envs.observation import Decision

class Mine:
    def __init__(self, retrieval, slate_size):
        self.retrieval, self.slate_size = retrieval, slate_size

    def act(self, observation):
        return Decision(np.tile(np.arange(self.slate_size), (len(observation), 1)))

class Mute:
    def __init__(self, retrieval, slate_size): ...

class Other:
    def __init__(self, catalogue): ...
    def act(self, observation): ...

def function(): ...
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("items")
    write_items(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder / "cache"))
        return make_scene(folder, small_settings().world)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with a module of one's own."""
    (tmp_path / "my_agents.py").write_text(MINE, encoding="utf-8")
    (tmp_path / "unfinished.py").write_text("def act(:\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("raise OSError('no weights')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    sys.modules.pop("my_agents", None)


def waiting(scene: Scene, n: int = 6) -> Observation:
    return observe(scene.world.start(scene.test.visit(np.arange(n)), 0))


@pytest.mark.parametrize("name", ["random", "popularity", "similarity"])
def test_baselines_are_built_by_name(name: str, scene: Scene) -> None:
    agent = find_agent(name).build(scene)
    assert agent.name == name
    assert agent.act(waiting(scene)).slates.shape == (6, 4)


def test_a_name_wins_over_a_folder_of_that_name(here: Path, scene: Scene) -> None:
    (here / "random").mkdir()
    assert find_agent("random").build(scene).name == "random"


def test_every_known_name_is_found_and_described() -> None:
    known = known_agents()
    assert list(known)[:4] == ["random", "popularity", "recency", "similarity"]
    assert all(
        set(row) == {"does", "needs"} and all(row.values()) and "\n" not in row["does"] for row in known.values()
    )
    names = [name for name in known if name not in OTHER_WAYS]
    assert [name for name in names if find_agent(name).learns] == list(learners())
    assert {known[name]["needs"] for name in ("random", "similarity")} == {"nothing"}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            "similarty",
            r"unknown agent 'similarty'; did you mean 'similarity'\?\nknown: random, popularity, recency, similarity, ",
        ),
        ("sb3:DDPG", "unknown agent 'sb3:DDPG'; did you mean 'sb3:PPO'"),
        ("runs/nothing", "unknown agent 'runs/nothing'; no such folder"),
        ("", "unknown agent ''"),
        ("no_such_module:Agent", "agent no_such_module:Agent: No module named 'no_such_module'; looked in "),
        ("unfinished:Mine", r"^agent unfinished:Mine: unfinished cannot be imported: .* \(unfinished.py, line 1\)$"),
        (
            "broken:Mine",
            r"^agent broken:Mine: broken cannot be imported: no weights \(OSError in <module>, broken.py l",
        ),
        ("similarity?word=1", r"^agent similarity\?word=1: 'word' is no setting; did you mean 'words'\?"),
        ("similarity?words=2", r"^agent similarity\?words=2: setting words: input should be less than or equal to 1"),
        ("random?words=1", r"^agent random\?words=1: random has no settings of its own"),
        ("my_agents:Mein", "module my_agents has no class 'Mein'; did you mean 'Mine'"),
        ("my_agents:function", "module my_agents has no class 'function'; it has Decision, Mine, Mute, Other"),
        ("my_agents:Mute", r"agent my_agents:Mute: the class has no method act\(self, observation\)"),
        ("my_agents:Other", r"cannot be constructed as Other\(retrieval=..., slate_size=...\) \(missing a required"),
    ],
)
def test_what_is_no_agent_is_refused(spec: str, says: str, here: Path) -> None:
    with pytest.raises(InputError, match=says):
        find_agent(spec)


def test_a_name_may_have_settings_behind_it(scene: Scene) -> None:
    observation = waiting(scene)
    plain, mixed = find_agent("similarity").build(scene), find_agent("similarity?words=1").build(scene)
    by_settings = find_agent("similarity").build(scene, small_settings("similarity.words=1"))
    assert mixed.name == "similarity?words=1"
    assert (mixed.act(observation).slates == by_settings.act(observation).slates).all()
    assert (mixed.act(observation).slates != plain.act(observation).slates).any()


def test_what_learns_is_trained_when_it_is_built(scene: Scene) -> None:
    settings = small_settings("generator.candidates=0", "agent.updates=1")
    told: list[tuple[str, int, int]] = []
    agent = find_agent("policy-gradient").build(
        scene, settings, 3, lambda name, done, n, _: told.append((name, done, n))
    )
    assert told == [("policy", 1, 1)]
    alone = train_strategy("policy-gradient", scene, settings, 3).agent
    assert (agent.act(waiting(scene)).slates == alone.act(waiting(scene)).slates).all()


def test_a_class_of_ones_own_acts(here: Path, scene: Scene) -> None:
    agent = find_agent("my_agents:Mine").build(scene)
    assert agent.name == "my_agents:Mine"
    visits = simulate(scene.world, scene.test, np.arange(5), agent, seed=0, horizon=2)
    assert visits.pages.max() == 2


def test_folders_without_a_run_or_with_several_checkpoints_say_what_to_name(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(InputError, match=r"agent run: the folder holds no run \(manifest.json is missing\)"):
        find_agent(str(folder))
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="agent run: the run has no checkpoint; train an agent into it first"):
        find_agent(str(folder))
    for name in ("seed-0", "seed-1", ".seed-2.unfinished"):
        (folder / "checkpoints" / name).mkdir(parents=True)
    with pytest.raises(InputError, match=r"2 checkpoints \(seed-0, seed-1\); name one, such as run/checkpoints/seed-0"):
        find_agent(str(folder))
    assert find_agent(str(folder / "checkpoints" / "seed-1")).label == "run/seed-1"
