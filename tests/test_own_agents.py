"""Classes of a person's own that learn: from the log, from the loop, kept without pickle, and what they do wrong."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import at, zsr_sim
from tests.small_data import ASSIGNMENTS, small_settings, write_items, write_log
from zsr_sim.agents.protocol import AgentError
from zsr_sim.agents.registry import find_agent
from zsr_sim.envs.visits import observe
from zsr_sim.errors import InputError
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.learning import load_trained, train_strategy
from zsr_sim.runs import Run

OWN = """
import numpy as np
import torch
from zsr_sim.envs.observation import Decision


class Counts:
    '''Shows what was clicked most, of what is new: learned in the loop from pages near the history, after the log.'''

    needs = "the loop, a log"

    def __init__(self, retrieval, slate_size):
        self.retrieval, self.slate_size = retrieval, slate_size
        self.counts, self.met, self.lesson = np.zeros(len(retrieval.vectors)), [], None

    def act(self, observation):
        if self.lesson is not None:
            return Decision(self.retrieval.by_history(observation, self.slate_size))
        order = np.argsort(-self.counts, kind="stable")
        old = [set(row) for row in np.hstack([observation.histories, observation.shown])]
        return Decision(np.array([[i for i in order if i not in seen][: self.slate_size] for seen in old]))

    def learn(self, lesson):
        self.lesson = lesson
        self.counts += np.bincount(lesson.log.items, minlength=len(self.counts))
        for _ in range(lesson.updates):
            pages = lesson.play(self)
            for page in pages:
                np.add.at(self.counts, page.slates[page.clicks], 1)
                assert page.rewards.shape == page.users.shape == (len(page.observation),)
            self.met.append(pages[0].observation.users)
        self.lesson = None
        return {"counted": float(self.counts.sum())}

    def checkpoint(self):
        return {"counts": self.counts, "met": torch.tensor(np.concatenate(self.met))}, {"words": "counted"}

    def restore(self, tensors, facts):
        assert facts == {"words": "counted"}
        self.counts = tensors["counts"].numpy()


class FromTheLog(Counts):
    needs = "a log"

    def learn(self, lesson):
        self.counts += np.bincount(lesson.log.items, minlength=len(self.counts))
        self.met.append(np.zeros(1))
        return {"counted": float(self.counts.sum())}


class Fails(Counts):
    def learn(self, lesson):
        raise OSError("no weights")


class Idle(Counts):
    def learn(self, lesson):
        return {}


class Endless(Counts):
    def learn(self, lesson):
        lesson.play(self)
        return {"loss": float("nan")}


class Secretive(Counts):
    def checkpoint(self):
        return {"counts": self.counts}, {"retrieval": self.retrieval}


class Step(Counts):
    def learn(self, lesson):
        lesson.play(self)
        return {"step": 1.0}


class Complex(FromTheLog):
    def checkpoint(self):
        return {"counts": self.counts * 1j}, {}


class Silent(FromTheLog):
    def checkpoint(self):
        return None


class Unable(FromTheLog):
    def restore(self, tensors, facts):
        self.counts = tensors["weights"]


class Schön(Counts): ...


class SchönAndReady:
    def __init__(self, retrieval, slate_size): ...
    def act(self, observation): ...


class Forgetful:
    needs = "the loop"

    def __init__(self, retrieval, slate_size): ...
    def act(self, observation): ...
    def learn(self, lesson): ...


class Vague(Counts):
    needs = "a miracle"
"""


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("own")
    for name in ("data", "no-log"):
        write_items(place / name)
    write_log(place / "data")
    (place / "learning_agents.py").write_text(OWN, encoding="utf-8")
    with at(place):
        yield place
    sys.modules.pop("learning_agents", None)


@pytest.fixture(scope="module")
def scene(place: Path) -> Scene:
    return make_scene(place / "data", small_settings().world)


def invoke(*words: str, code: int = 0) -> str:
    return zsr_sim(*words, "--set", *ASSIGNMENTS, code=code).output


def test_it_learns_from_the_log_and_among_users_whom_nobody_has_met(scene: Scene) -> None:
    told: list[tuple[str, int, int, dict[str, float]]] = []
    trained = train_strategy(
        "learning_agents:Counts", scene, small_settings(), 3, lambda *news: told.append((news[0], *news[1:]))
    )
    counts, met = trained.tensors["agent.counts"], trained.tensors["agent.met"]
    assert [news[:3] for news in told] == [("policy", 1, 2), ("policy", 2, 2)]
    clicks = sum(24 * news[3]["return"] for news in told)  # a click is worth 1
    assert clicks > 0
    assert float(counts.sum()) == pytest.approx(len(scene.log) + clicks)
    assert trained.figures == {"policy": {"counted": float(counts.sum())}}
    for *_, figures in told:
        assert figures["return"] == pytest.approx(figures["click_rate"] * figures["visit_length"] * 4)
    people = scene.train.visit(np.arange(48)).ids
    np.testing.assert_array_equal(met, people)
    again = train_strategy("learning_agents:Counts", scene, small_settings(), 3)
    np.testing.assert_array_equal(again.tensors["agent.counts"], counts)
    other = train_strategy("learning_agents:Counts", scene, small_settings(), 4)
    assert (other.tensors["agent.counts"] != counts).any()


def test_what_is_kept_acts_as_what_was_trained(scene: Scene, tmp_path: Path) -> None:
    trained = train_strategy("learning_agents:Counts", scene, small_settings(), 3)
    with Run.create(tmp_path / "run", ["zsr-sim"], small_settings(), [3], {}) as run:
        trained.save(run, "seed-3")
    waiting = observe(scene.world.start(scene.test.visit(np.arange(20)), 7))
    restored = load_trained(tmp_path / "run", "seed-3", scene)
    np.testing.assert_array_equal(restored.act(waiting).slates, trained.agent.act(waiting).slates)


def test_commands_train_compare_and_recommend_with_it(place: Path) -> None:
    said = invoke("train", "--data", "data", "--agent", "learning_agents:Counts", "--users", "24", "--out", "runs/own")
    assert "return" in said
    results = json.loads((place / "runs/own/results.json").read_text(encoding="utf-8"))
    assert results["training"]["learning_agents:Counts"]["0"]["policy"]["counted"] > 0
    assert (place / "runs/own/figures/reward_curve.png").is_file()
    invoke("train", "--data", "no-log", "--agent", "learning_agents:Counts", "--users", "24", "--out", "runs/without")
    invoke("compare", "--data", "no-log", "--agents", "random", "runs/own", "--users", "24", "--out", "runs/again")
    invoke("recommend", "--data", "data", "--agent", "learning_agents:FromTheLog", "--histories",
           "data/interactions.csv", "--k", "3", "--out", "recs.csv")  # fmt: skip
    assert len((place / "recs.csv").read_text(encoding="utf-8").splitlines()) == 1 + 3 * 60
    said = invoke("evaluate", "strategies", "--data", "data", "--agents", "learning_agents:Counts", "--worlds",
                  "boredom", "--users", "24", "--out", "runs/worlds")  # fmt: skip
    assert "learning_agents:Counts" in said


def test_letters_of_any_alphabet_name_a_class_that_is_kept_nowhere() -> None:
    assert not find_agent("learning_agents:SchönAndReady").learns


def test_a_comparison_goes_on_without_one_that_cannot_learn(place: Path) -> None:
    agents = ("random", "learning_agents:Fails", "learning_agents:Counts")
    invoke("compare", "--data", "data", "--agents", *agents, "--users", "24", "--out", "runs/failing")
    results = json.loads((place / "runs/failing/results.json").read_text(encoding="utf-8"))
    assert list(results["failed"]) == ["learning_agents:Fails"]
    assert "learn() failed: no weights (OSError in learn" in results["failed"]["learning_agents:Fails"]["error"]
    assert [c["candidate"] for c in results["comparisons"]] == ["learning_agents:Counts"]
    said = invoke("compare", "--data", "data", "--agents", *agents[:2], "--users", "24", "--out", "runs/no", code=2)
    assert "no weights" in said
    invoke("compare", "--data", "data", "--agents", *agents[1:], "--users", "24", "--out", "runs/base", code=2)
    assert not (place / "runs/base/checkpoints").exists()  # without the baseline nobody else is trained


def test_a_run_is_not_gone_on_with_by_another_agent(place: Path) -> None:
    start = ("train", "--data", "data", "--users", "24", "--out", "runs/begun")
    invoke(*start, "--agent", "learning_agents:Fails", code=2)
    said = invoke(*start, "--agent", "learning_agents:FromTheLog", "--resume", code=2)
    assert "trains another agent (learning_agents:Fails)" in " ".join(said.split())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Fails", r"learn\(\) failed: no weights \(OSError in learn, learning_agents.py line \d+\)"),
        ("Idle", r"says that it needs 'the loop, a log', and learn\(\) never called lesson.play"),
        ("Endless", r"learn\(\) gave {'loss': nan}; a dict of finite numbers by name expected"),
        (
            "Secretive",
            r"checkpoint\(\) gave what cannot be kept: Object of type Retrieval is not JSON serializable; tens",
        ),
        ("Step", r"learn\(\) calls figures step, as lines of metrics.jsonl do; other names expected"),
        ("Complex", r"checkpoint\(\) gave what cannot be kept: .*complex128; tensors or arrays of real numbers"),
        ("Silent", r"checkpoint\(\) gave NoneType; a tuple of two dicts, tensors and facts, expected"),
        ("Unable", r"restore\(\) failed: 'weights' \(KeyError in restore, learning_agents.py line \d+\)"),
    ],
)
def test_what_goes_wrong_in_learning_is_told(name: str, says: str, scene: Scene) -> None:
    with pytest.raises(AgentError, match=says):
        train_strategy(f"learning_agents:{name}", scene, small_settings(), 0)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Schön", r"^agent learning_agents:Schön: a folder is called like it; letters from a to z expected"),
        ("Forgetful", r"the class learns, and has no method checkpoint\(\); learn, checkpoint and restore, and needs"),
        ("Vague", r"the class learns, and has needs = 'a miracle'; .* 'a log', 'the loop', 'the loop, a log' expected"),
    ],
)
def test_a_class_that_offers_too_little_is_told_at_once(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        find_agent(f"learning_agents:{name}")
