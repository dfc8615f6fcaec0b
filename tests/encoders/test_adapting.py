"""Adapters: a tiny encoder learns a planted log, from the loss to the folder that --encoder takes."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.command_line import at, zsr_sim
from tests.small_data import N_USERS, write_items, write_log
from zsr_sim.encoders.adapting import Lesson, Look, adapt
from zsr_sim.encoders.text import load_encoder
from zsr_sim.errors import InputError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("peft") is None,
    reason="peft is optional and not installed: pip install 'zsr-sim[finetune]'",
)

WORDS = ["red", "green", "river", "castle", "soup", "violin", "football", "letter", "dream", "map", "ship", "moon"]
TEXTS = [f"a {WORDS[row % 12]} of the {WORDS[(row * 5 + row // 12) % 12]}" for row in range(48)]
LESSON = Lesson(steps=40, windows=8, length=6, negatives=16, learning_rate=1e-2, check_every=10)


def planted(first: int, count: int) -> list[NDArray[np.int32]]:
    """Each user reads on with the texts whose row is the same modulo 12: nothing that random weights know."""
    rng = np.random.default_rng(first)
    return [rng.permutation(np.arange(user % 12, 48, 12)).astype(np.int32) for user in range(first, first + count)]


def learned(folder: Path, lesson: Lesson = LESSON, seed: int = 0) -> tuple[dict[str, torch.Tensor], list[Look]]:
    everything = np.arange(48, dtype=np.int32)
    encoder = load_encoder(str(folder))
    model, curve = adapt(encoder, TEXTS, planted(0, 24), planted(24, 12), everything, seed, lesson, lambda *_: None)
    return dict(model.state_dict()), curve


def test_the_held_out_loss_falls_and_the_best_weights_are_kept(tiny: Path) -> None:
    weights, curve = learned(tiny)
    assert min(look.loss for look in curve) < 0.9 * curve[0].loss
    assert [look.step for look in curve][:3] == [0, 10, 20]
    again, same = learned(tiny)
    assert same == curve
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert learned(tiny, seed=1)[1] != curve
    assert not any("lora" in name for name in weights)


def test_where_nothing_helps_the_encoder_stays_as_it_was(tiny: Path) -> None:
    before = load_encoder(str(tiny)).model.state_dict()
    blurred = Lesson(steps=60, windows=8, length=6, negatives=16, temperature=1e9, check_every=5, patience=2)
    after, curve = learned(tiny, blurred)  # at this temperature all items look alike
    assert [look.step for look in curve] == [0, 5, 10]  # it ended early
    assert np.ptp([look.loss for look in curve]) < 1e-4
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, msg=name)


def test_finetune_writes_a_folder_that_encoder_takes(tiny: Path, tmp_path: Path) -> None:
    write_items(tmp_path / "data")
    write_log(tmp_path / "data")
    words = ["finetune", "--data", "data", "--encoder", str(tiny), "--steps", "20", "--out", "adapted"]
    with at(tmp_path):
        told = json.loads(zsr_sim(*words, "--json").stdout)
        assert told["curve"][0]["step"] == 0
        assert told["users"] == N_USERS
        assert told["items_held_out"] == 12
        written = json.loads((tmp_path / "adapted" / "adaptation.json").read_text(encoding="utf-8"))
        assert told == written | {"out": "adapted"}
        adapted, plain = load_encoder("adapted"), load_encoder(str(tiny))
        assert (adapted.recipe, adapted.max_length) == (plain.recipe, plain.max_length)
        assert not np.allclose(adapted.encode(["old castles"]), plain.encode(["old castles"]), atol=1e-4)
        ranking = ["evaluate", "ranking", "--data", "data", "--agents", "similarity", "--draws", "1", "--json"]
        assert json.loads(zsr_sim(*ranking, "--encoder", "adapted").stdout)["encoder"] == "adapted"
        assert "is there already" in zsr_sim(*words, code=2).stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["adapted", "cache", "data", "tiny"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--users-share", "0.01"], "at least 10 are needed"),
        (["--data", "films"], "has no log to learn from"),
        (["--encoder", "built-in?precision=int8"], "pooling mean, cls or last, and no other option"),
    ],
)
def test_what_cannot_be_adapted_is_refused_and_nothing_written(more: list[str], said: str, tmp_path: Path) -> None:
    write_items(tmp_path / "data")
    write_log(tmp_path / "data")
    with at(tmp_path):
        assert said in zsr_sim("finetune", "--data", "data", "--out", "adapted", *more, code=2).stderr
    assert not (tmp_path / "adapted").exists()


def test_the_missing_package_is_named(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else found(name))
    with pytest.raises(InputError, match=r"pip install 'zsr-sim\[finetune\]'"):
        learned(tiny)
