"""What descriptions do to ranking: measured on the same hidden items, and right where the answer is known."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.small_data import KINDS, N_USERS, TOPICS, write_items
from zsr_sim.commands.enrich_effect import effect_on_ranking
from zsr_sim.console import Screen
from zsr_sim.datasets import Dataset, load
from zsr_sim.encoders.cache import text_digests
from zsr_sim.encoders.cards import FOLDER_VARIABLE
from zsr_sim.encoders.text import Progress, Vectors


class Topical:
    """A text that names a topic lies there; any other lies anywhere."""

    name, fingerprint, dimensions, truncated = "topical", "topical", 32, 0

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Vectors:
        noise = np.random.default_rng(int(text_digests([text])[0, 0])).standard_normal(self.dimensions)
        place = [100.0 * (topic in text) for topic in TOPICS] + [0.0] * (self.dimensions - len(TOPICS))
        return (noise + place).astype(np.float32)


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Sixty users, each with eight of the ten items of one topic."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    write_items(tmp_path)
    rng = np.random.default_rng(0)
    rows = ["user_id,item_id,timestamp"]
    for user in range(N_USERS):
        kinds = rng.permutation(len(KINDS))[:8]
        rows += [f"u{user},i{user % len(TOPICS)}{kind},{time}" for time, kind in enumerate(kinds)]
    (tmp_path / "interactions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return load(tmp_path)


def test_the_effect_is_known(described: Dataset, tmp_path: Path) -> None:
    catalogue = described.catalogue
    bare = replace(described, catalogue=replace(catalogue, texts=tuple(catalogue.item_ids)))
    log = described.interactions
    assert log is not None
    with (tmp_path / "screen").open("w+") as file:
        found = effect_on_ranking(log, bare, described, Topical(), 0, Screen(file))
        file.seek(0)
        lines = file.read().splitlines()
        same = effect_on_ranking(log, described, described, Topical(), 0, Screen(file))
    warm = found["warm"]
    assert warm["users"] == N_USERS
    assert warm["with"]["mean"] == 1  # only two others of the topic are new to the user
    assert warm["without"]["mean"] < 0.5  # ten of 53 by luck
    for told in found.values():
        assert told["difference"]["mean"] == pytest.approx(told["with"]["mean"] - told["without"]["mean"])
    assert warm["difference"]["ci95"][0] > 0.5
    assert [line.split()[0] for line in lines if "difference" in line] == ["warm:", "cold:"]
    assert same["cold"]["difference"] == {"mean": 0, "ci95": [0, 0]}


def test_a_log_of_nobody_is_told(described: Dataset, tmp_path: Path) -> None:
    log = described.interactions
    assert log is not None
    with (tmp_path / "screen").open("w+") as file:
        assert effect_on_ranking(log.before(4), described, described, Topical(), 0, Screen(file)) == {}
        file.seek(0)
        assert "cannot be measured: 0 users have interactions with 5" in file.read()
