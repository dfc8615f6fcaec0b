"""A training that was stopped and goes on ends with the same numbers as one that was never stopped."""

from pathlib import Path
from typing import ClassVar

import pytest
import torch

from tests.command_line import at, zsr_sim
from tests.small_data import ASSIGNMENTS, small_settings, write_items, write_log
from zsr_sim.commands import experiments
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.learning import train_strategy
from zsr_sim.progress import Progress, capture, put_back
from zsr_sim.runs import METRICS, PROGRESS, RESULTS, Run, load_checkpoint, read_manifest, read_metrics
from zsr_sim.trained import Trained

SEED, UPDATES = 3, 4
SETTINGS = small_settings(f"agent.updates={UPDATES}")


class Stopped(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("progress")
    write_items(place / "data")
    write_log(place / "data")
    return place


@pytest.fixture(scope="module")
def scene(place: Path) -> Scene:
    with at(place):
        return make_scene("data", SETTINGS.world)


def same(a: Trained, b: Trained) -> bool:
    """Every weight, figure and fact."""
    return (
        a.figures == b.figures
        and a.facts == b.facts
        and all(torch.equal(tensor, b.tensors[name]) for name, tensor in a.tensors.items())
    )


@pytest.mark.parametrize(
    ("name", "changes", "stop"),
    [
        ("policy-gradient", [], 1),
        ("policy-gradient", [], 3),
        ("policy-gradient", ["agent.algorithm=top-k"], 2),
        ("linucb", [], 2),
    ],
)
def test_a_training_goes_on_where_it_was(
    scene: Scene, tmp_path: Path, name: str, changes: list[str], stop: int
) -> None:
    """It is stopped after an update was reported and before it was kept, so that update is made again."""
    settings = small_settings(f"agent.updates={UPDATES}", *changes)
    run = Run.create(tmp_path / "run", ["test"], settings, [SEED], {})

    def stopping(phase: str, done: int, total: int, figures: dict[str, float]) -> None:
        if phase == "policy" and done == stop + 1:
            raise Stopped

    undisturbed = train_strategy(name, scene, settings, SEED)
    with pytest.raises(Stopped):
        train_strategy(
            name,
            scene,
            settings,
            SEED,
            stopping,
            Progress(lambda tensors, facts: run.save_progress("p", tensors, facts)),
        )
    seen: list[int] = []
    found = Progress(lambda tensors, facts: None, *load_checkpoint(run.folder, "p", PROGRESS))
    resumed = train_strategy(
        name,
        scene,
        settings,
        SEED,
        lambda phase, done, total, now: seen.append(done if phase == "policy" else -1),
        found,
    )
    assert seen == list(range(stop + 1, UPDATES + 1))  # nothing is learned twice, the generator not at all
    assert same(undisturbed, resumed)


def test_what_is_captured_is_put_back_exactly() -> None:
    class Part:
        KEPT: ClassVar[tuple[str, ...]] = ("network", "steps", "rng", "tensor", "count", "scale")

        def __init__(self, seed: int) -> None:
            torch.manual_seed(seed)
            self.network = torch.nn.Linear(3, 2)
            self.steps = torch.optim.AdamW(self.network.parameters(), 0.1 * (seed + 1))
            self.rng = torch.Generator().manual_seed(seed)
            self.tensor, self.count, self.scale = torch.arange(seed + 2), seed, None if seed else 0.1

        def step(self) -> float:
            self.steps.zero_grad()
            loss = self.network(torch.randn(5, 3, generator=self.rng)).square().sum()
            loss.backward()
            self.steps.step()
            return float(loss.detach())

    with torch.random.fork_rng(devices=[]):
        first, second = Part(0), Part(1)
    first.step()
    put_back(second, *capture(first))
    assert [first.step() for _ in range(3)] == [second.step() for _ in range(3)]
    assert (second.tensor.tolist(), second.count, second.scale) == ([0, 1], 0, 0.1)


def train(out: str, *more: str, code: int = 0) -> str:
    given = ("--data", "data", "--agent", "policy-gradient", "--seeds", "0", "1", "--users", "40", "--out", out)
    return zsr_sim("train", *given, "--resume", "--set", *ASSIGNMENTS, *more, code=code).output


def test_a_run_that_was_killed_twice_ends_as_one_that_never_was(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with at(place):
        train("runs/whole")  # there is nothing yet: it begins
        log = Run.log
        for where in (("generator", 0), ("policy", 1)):

            def dying(
                run: Run, step: int, figures: dict[str, float], seed: int, phase: str, where: tuple[str, int] = where
            ) -> None:
                log(run, step, figures, seed, phase)
                if (phase, seed) == where and step >= 2:
                    raise KeyboardInterrupt

            monkeypatch.setattr(Run, "log", dying)
            train("runs/killed", code=130)
            assert read_manifest(Path("runs/killed"))["status"] == "interrupted"
        monkeypatch.undo()
    with at(place):
        kept = {path.name for path in Path("runs/killed", PROGRESS).iterdir()}
        assert kept == {"policy-gradient-seed-0", "policy-gradient-seed-1"}
        assert "agent.updates 2 there, 3 here" in train("runs/killed", "agent.updates=3", code=2)
        train("runs/killed")
        for name in (RESULTS, METRICS):
            assert Path("runs/killed", name).read_bytes() == Path("runs/whole", name).read_bytes(), name
        assert len(read_manifest(Path("runs/killed"))["resumed"]) == 2
        assert not Path("runs/killed", PROGRESS).exists()
        assert len(read_metrics(Path("runs/killed"))) == len(read_metrics(Path("runs/whole")))
        assert "is done; choose another --out" in train("runs/killed", code=2)


def test_another_agent_does_not_go_on_with_it(place: Path) -> None:
    with at(place):
        run = Run.create(Path("runs/other"), ["train"], SETTINGS, [0], {})
        run.save_progress("linucb-seed-0", {"a": torch.zeros(1)}, {})
        with pytest.raises(Exception, match=r"trains another agent \(linucb-seed-0\)"):
            experiments.progress_of(run, "policy-gradient", 0)
