import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.small_data import N_ITEMS, small_settings, write_items
from zsr_sim.agents.protocol import CheckedAgent
from zsr_sim.agents.registry import build_agent, find_agent, known_agents
from zsr_sim.encoders.cache import FOLDER_VARIABLE
from zsr_sim.envs.observation import Decision, Observation
from zsr_sim.envs.visits import observe, simulate
from zsr_sim.errors import InputError
from zsr_sim.experiment import Scene, make_scene

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
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    sys.modules.pop("my_agents", None)


def waiting(scene: Scene, n: int = 6) -> Observation:
    return observe(scene.world.start(scene.test.visit(np.arange(n)), 0))


@pytest.mark.parametrize("name", ["random", "popularity", "similarity"])
def test_baselines_are_built_by_name(name: str, scene: Scene) -> None:
    agent = build_agent(name, scene)
    assert agent.name == name
    assert agent.act(waiting(scene)).slates.shape == (6, 4)


def test_a_name_wins_over_a_folder_of_that_name(here: Path, scene: Scene) -> None:
    (here / "random").mkdir()
    assert build_agent("random", scene).name == "random"


def test_every_known_name_is_found_and_described() -> None:
    known = known_agents()
    assert list(known)[:4] == ["random", "popularity", "similarity", "policy-gradient"]
    assert all(words and "\n" not in words for words in known.values())
    names = [name for name in known if name not in ("module:Class", "runs/NAME")]
    assert [find_agent(name).learns for name in names] == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            "similarty",
            r"unknown agent 'similarty'; did you mean 'similarity'\?\nknown: random, popularity, similarity, ",
        ),
        ("sb3:DDPG", "unknown agent 'sb3:DDPG'; did you mean 'sb3:PPO'"),
        ("runs/nothing", "unknown agent 'runs/nothing'; no such folder"),
        ("", "unknown agent ''"),
        ("no_such_module:Agent", "agent no_such_module:Agent: No module named 'no_such_module'; looked in "),
        ("my_agents:Mein", "module my_agents has no class 'Mein'; did you mean 'Mine'"),
        ("my_agents:function", "module my_agents has no class 'function'; it has Decision, Mine, Mute, Other"),
        ("my_agents:Mute", r"agent my_agents:Mute: the class has no method act\(self, observation\)"),
        ("my_agents:Other", r"cannot be constructed as Other\(retrieval=..., slate_size=...\) \(missing a required"),
    ],
)
def test_what_is_no_agent_is_refused(spec: str, says: str, here: Path) -> None:
    with pytest.raises(InputError, match=says):
        find_agent(spec)


def test_what_has_to_be_trained_says_how(scene: Scene) -> None:
    with pytest.raises(
        InputError, match="policy-gradient has to be trained first: zsr-sim train --agent policy-gradient"
    ):
        build_agent("policy-gradient", scene)


def test_a_class_of_ones_own_acts(here: Path, scene: Scene) -> None:
    agent = build_agent("my_agents:Mine", scene)
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


class Answers:
    """Answers what it was made with."""

    def __init__(self, decision: object) -> None:
        self.decision = decision

    def act(self, observation: Observation) -> Decision:
        return self.decision  # type: ignore[return-value]


GOOD = np.arange(24, dtype=np.int32).reshape(6, 4)


def _with(row: int, *items: int) -> Decision:
    slates = GOOD.copy()
    slates[row] = items
    return Decision(slates)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (GOOD, r"act\(\) gave ndarray; a zsr_sim.envs.observation.Decision expected"),
        (Decision(GOOD.astype(np.float32)), "slates hold float32; an array of integers"),
        (Decision(GOOD.tolist()), "slates hold list; an array of integers"),  # type: ignore[arg-type]
        (Decision(GOOD[:5]), r"slates have shape \(5, 4\); \(6, 4\) expected"),
        (Decision(GOOD, sources=("similarity",) * 5), "5 sources for 6 users"),
        (_with(2, 1, 2, 3, 1), r"the slate of row 2 is \[1, 2, 3, 1\]; 4 different items, each 0 to 59, expected"),
        (_with(3, 1, 2, 3, N_ITEMS), r"the slate of row 3 is \[1, 2, 3, 60\]"),
        (_with(5, 1, 2, 3, -1), r"the slate of row 5 is \[1, 2, 3, -1\]"),
    ],
)
def test_a_page_that_cannot_be_shown_names_agent_and_page(answer: object, says: str, scene: Scene) -> None:
    agent = CheckedAgent("mine", Answers(answer), 4, N_ITEMS)
    with pytest.raises(InputError, match=f"^agent mine, page 1 of a visit: {says}"):
        agent.act(waiting(scene))


def test_a_good_page_passes_unchanged(scene: Scene) -> None:
    decision = Decision(GOOD)
    assert CheckedAgent("mine", Answers(decision), 4, N_ITEMS).act(waiting(scene)) is decision
