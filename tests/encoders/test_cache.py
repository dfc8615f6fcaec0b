"""The vector cache: nothing is encoded twice, and nothing damaged is ever read as a vector."""

import hashlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zsr_sim
from zsr_sim.encoders import EncodeReport, VectorCache, encode_texts
from zsr_sim.encoders import cache as cache_module
from zsr_sim.encoders.text import Progress, Vectors

DIMENSIONS = 5


def vector_of(text: str) -> Vectors:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).standard_normal(DIMENSIONS, dtype=np.float32)


def vectors_of(texts: Sequence[str]) -> Vectors:
    return np.array([vector_of(text) for text in texts], dtype=np.float32).reshape(-1, DIMENSIONS)


class HashEncoder:
    """A stand-in for a language model: a text's vector is drawn from its hash. It remembers what it was asked."""

    name = "hash"
    dimensions = DIMENSIONS

    def __init__(self, fingerprint: str = "f0" * 32) -> None:
        self.fingerprint = fingerprint
        self.truncated = 0
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        self.asked.extend(texts)
        self.truncated += sum(len(text) > 100 for text in texts)
        if progress is not None:
            progress(len(texts), len(texts))
        return vectors_of(texts)


TEXTS = [f"film {number}" for number in range(40)]


@pytest.fixture
def cache(tmp_path: Path) -> VectorCache:
    return VectorCache(tmp_path / "cache")


def shards_of(cache: VectorCache) -> list[Path]:
    return sorted(cache.folder.rglob("*.vectors"))


def test_each_distinct_text_is_encoded_once_and_a_second_start_encodes_nothing(cache: VectorCache) -> None:
    texts = ["a", "b", "a", "c", "b"]
    first, second = HashEncoder(), HashEncoder()
    fresh, report = encode_texts(texts, first, cache)
    assert first.asked == ["a", "b", "c"]
    assert report == EncodeReport(encoded=3, cached=0, truncated=0)
    again, report = encode_texts(texts, second, VectorCache(cache.folder))
    assert second.asked == []
    assert report == EncodeReport(encoded=0, cached=3, truncated=0)
    assert fresh.tobytes() == again.tobytes() == vectors_of(texts).tobytes()


def test_only_new_texts_are_encoded(cache: VectorCache) -> None:
    encode_texts(["a", "b"], HashEncoder(), cache)
    encoder = HashEncoder()
    vectors, report = encode_texts(["c", "b", "d"], encoder, cache)
    assert encoder.asked == ["c", "d"]
    assert report == EncodeReport(encoded=2, cached=1, truncated=0)
    assert np.array_equal(vectors, vectors_of(["c", "b", "d"]))


def test_encoders_never_share_entries(cache: VectorCache) -> None:
    encode_texts(["a"], HashEncoder("aa" * 32), cache)
    assert encode_texts(["a"], HashEncoder("bb" * 32), cache)[1].encoded == 1


def test_without_a_cache_everything_is_encoded_each_time() -> None:
    for _ in range(2):
        vectors, report = encode_texts(["b", "a", "b"], HashEncoder(), None)
        assert report == EncodeReport(encoded=2, cached=0, truncated=0)
        assert np.array_equal(vectors, vectors_of(["b", "a", "b"]))


def test_no_texts(cache: VectorCache) -> None:
    vectors, report = encode_texts([], HashEncoder(), cache)
    assert vectors.shape == (0, DIMENSIONS)
    assert report == EncodeReport(0, 0, 0)
    assert shards_of(cache) == []


def test_cut_texts_are_reported_and_said_once(cache: VectorCache, caplog: pytest.LogCaptureFixture) -> None:
    report = encode_texts(["short", "long" * 100, "longer" * 100], HashEncoder(), cache)[1]
    assert report.truncated == 2
    assert caplog.messages == ["2 of 3 texts are longer than hash reads and were cut"]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "SHARD_TEXTS", 15)


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MAPPED_BYTES", 0)


@pytest.mark.usefixtures("small_shards")
def test_long_work_is_kept_in_small_shards_and_in_one_when_it_is_done(cache: VectorCache) -> None:
    calls: list[tuple[int, int, int]] = []
    encode_texts(TEXTS, HashEncoder(), cache, progress=lambda *call: calls.append((*call, len(shards_of(cache)))))
    assert calls == [(15, 40, 0), (30, 40, 1), (40, 40, 2)]
    assert len(shards_of(cache)) == 1
    shuffled = [TEXTS[row] for row in np.random.default_rng(0).permutation(40)]
    vectors, report = encode_texts(shuffled, HashEncoder(), cache)
    assert report.cached == 40
    assert np.array_equal(vectors, vectors_of(shuffled))


@pytest.mark.usefixtures("small_shards", "mapped")
def test_vectors_that_lie_as_asked_are_the_file_and_stay_what_they_are(cache: VectorCache) -> None:
    encode_texts(["other", *TEXTS], HashEncoder(), cache)
    (shard,) = shards_of(cache)
    before = shard.read_bytes()
    vectors, report = encode_texts(TEXTS, HashEncoder(), cache)
    assert report == EncodeReport(encoded=0, cached=40, truncated=0)
    assert not vectors.flags.owndata
    shard.unlink()
    assert np.array_equal(vectors, vectors_of(TEXTS))
    shard.write_bytes(before)
    vectors, _ = encode_texts(TEXTS, HashEncoder(), cache)
    vectors[:] = 0  # the caller's own
    assert shard.read_bytes() == before


@pytest.mark.usefixtures("small_shards")
def test_small_shards_stay_where_one_cannot_be_written(
    cache: VectorCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    vectors, _ = encode_texts(TEXTS, HashEncoder(), cache)
    assert np.array_equal(vectors, vectors_of(TEXTS))
    assert len(shards_of(cache)) == 3
    assert "No space left on device" in caplog.text
    assert encode_texts(TEXTS, HashEncoder(), cache)[1].cached == 40


@settings(deadline=None)  # files and threads, on a machine that others use
@given(runs=st.lists(st.lists(st.text(max_size=4), max_size=12), max_size=4))
def test_any_texts_come_back_in_their_order(runs: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        seen: set[str] = set()
        for texts in runs:
            vectors, report = encode_texts(texts, HashEncoder(), VectorCache(Path(folder)))
            assert vectors.tobytes() == vectors_of(texts).tobytes()
            assert report == EncodeReport(encoded=len(set(texts) - seen), cached=len(set(texts) & seen), truncated=0)
            seen |= set(texts)


def assert_heals(cache: VectorCache, caplog: pytest.LogCaptureFixture) -> None:
    """Right vectors from a damaged cache, and a clean one afterwards."""
    vectors, report = encode_texts(TEXTS, HashEncoder(), cache)
    assert np.array_equal(vectors, vectors_of(TEXTS))
    assert report.encoded > 0
    caplog.clear()
    vectors, report = encode_texts(TEXTS, HashEncoder(), cache)
    assert np.array_equal(vectors, vectors_of(TEXTS))
    assert report == EncodeReport(encoded=0, cached=40, truncated=0)
    assert caplog.messages == []


@pytest.mark.parametrize("size", [0, 10, 24, 500, -1, 3000])
def test_a_shard_of_the_wrong_size_is_detected_and_encoded_again(
    cache: VectorCache, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    encode_texts(TEXTS, HashEncoder(), cache)
    (shard,) = shards_of(cache)
    content = shard.read_bytes()
    shard.write_bytes(content.ljust(size, b"\0") if size > len(content) else content[:size])
    encode_texts(TEXTS[:1], HashEncoder(), cache)
    assert [message for message in caplog.messages if "is damaged" in message and str(shard) in message]
    assert_heals(cache, caplog)


HEADER, DIGESTS, CHECKS = 24, 40 * 32, 40 * 8


@pytest.mark.parametrize(
    "at",
    [0, 9, 17, HEADER + 3, HEADER + 30, HEADER + DIGESTS + 1, HEADER + DIGESTS + CHECKS, -1],
    ids=["magic", "count", "dimensions", "digest", "digest end", "check", "first vector", "last vector"],
)
@pytest.mark.parametrize("bit", [1, 128])
@pytest.mark.parametrize("mapped_bytes", [0, 1 << 20], ids=["mapped", "copied"])
def test_a_flipped_bit_is_never_read_as_a_vector(
    cache: VectorCache, at: int, bit: int, mapped_bytes: int, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(cache_module, "MAPPED_BYTES", mapped_bytes)
    encode_texts(TEXTS, HashEncoder(), cache)
    (shard,) = shards_of(cache)
    content = bytearray(shard.read_bytes())
    content[at] ^= bit
    shard.write_bytes(content)
    assert_heals(cache, caplog)


def test_every_flipped_byte_of_a_vector_is_detected(cache: VectorCache, caplog: pytest.LogCaptureFixture) -> None:
    encode_texts(["a", "b"], HashEncoder(), cache)
    (shard,) = shards_of(cache)
    content = shard.read_bytes()
    for at in range(len(content) - 2 * DIMENSIONS * 4, len(content)):
        shard.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
        vectors, report = encode_texts(["a", "b"], HashEncoder(), cache)
        assert report.encoded == 2
        assert np.array_equal(vectors, vectors_of(["a", "b"]))
        assert "an entry does not match its checksum" in caplog.messages[-1]


def test_a_zeroed_block_is_detected(cache: VectorCache, caplog: pytest.LogCaptureFixture) -> None:
    """What a file system may leave after a power cut: the length is right, the content is not."""
    encode_texts(TEXTS, HashEncoder(), cache)
    (shard,) = shards_of(cache)
    shard.write_bytes(shard.read_bytes()[: HEADER + DIGESTS].ljust(shard.stat().st_size, b"\0"))
    assert_heals(cache, caplog)


def test_a_damaged_shard_does_not_hide_a_sound_one(cache: VectorCache, tmp_path: Path) -> None:
    encode_texts(["a", "b"], HashEncoder(), cache)
    (damaged,) = shards_of(cache)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x99")
    other = VectorCache(tmp_path / "other")
    encode_texts(["a"], HashEncoder(), other)
    for name in ("0", "z"):  # before and after the damaged one in the order of names
        (damaged.parent / f"{name}.vectors").write_bytes(shards_of(other)[0].read_bytes())
    encoder = HashEncoder()
    vectors, _ = encode_texts(["b", "a"], encoder, cache)
    assert encoder.asked == ["b"]
    assert np.array_equal(vectors, vectors_of(["b", "a"]))
    assert not damaged.exists()


def test_a_shard_of_other_dimensions_is_not_read(cache: VectorCache, caplog: pytest.LogCaptureFixture) -> None:
    digests = cache_module.text_digests(["a"])
    cache.put("f0" * 32, digests, np.ones((1, DIMENSIONS + 1), dtype=np.float32))
    vectors, report = encode_texts(["a"], HashEncoder(), cache)
    assert report.encoded == 1
    assert np.array_equal(vectors, vectors_of(["a"]))
    assert "is damaged" in caplog.messages[0]


def test_a_cache_that_cannot_be_written_costs_a_warning_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "SHARD_TEXTS", 10)
    (tmp_path / "file").write_text("in the way")
    vectors, _ = encode_texts(TEXTS, HashEncoder(), VectorCache(tmp_path / "file"))
    assert np.array_equal(vectors, vectors_of(TEXTS))
    assert len(caplog.messages) == 1
    assert "cannot be written" in caplog.messages[0]
    assert "ZSR_SIM_CACHE" in caplog.messages[0]


def test_a_failed_write_leaves_nothing_behind(cache: VectorCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        cache.put("f0" * 32, cache_module.text_digests(["a"]), vectors_of(["a"]))
    assert list((cache.folder / ("f0" * 32)).iterdir()) == []


def test_the_folder_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZSR_SIM_CACHE", str(tmp_path / "elsewhere"))
    assert VectorCache().folder == tmp_path / "elsewhere"
    monkeypatch.delenv("ZSR_SIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert VectorCache().folder == tmp_path / "home" / "zsr-sim"


SLOW_WRITER = """
import sys, time
import numpy as np
from pathlib import Path
from zsr_sim.encoders import VectorCache, cache, encode_texts

class Slow:
    name, fingerprint, dimensions, truncated = "slow", "f0" * 32, 5, 0
    def encode(self, texts, progress=None):
        time.sleep(float(sys.argv[2]))
        return np.array([[int(text)] * 5 for text in texts], dtype=np.float32)

cache.SHARD_TEXTS = 20
start = int(sys.argv[3])
texts = [str(number) for number in range(start, start + 1000)]
vectors, report = encode_texts(texts, Slow(), VectorCache(Path(sys.argv[1])))
assert (vectors[:, 0] == np.arange(start, start + 1000)).all()
"""


class NumberEncoder(HashEncoder):
    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        self.asked.extend(texts)
        return np.array([[int(text)] * DIMENSIONS for text in texts], dtype=np.float32)


def start_writer(cache: VectorCache, pause: float, first: int) -> subprocess.Popen[bytes]:
    root = Path(zsr_sim.__file__).parents[1]
    return subprocess.Popen([sys.executable, "-c", SLOW_WRITER, str(cache.folder), str(pause), str(first)], cwd=root)


def test_two_processes_write_at_once(cache: VectorCache, caplog: pytest.LogCaptureFixture) -> None:
    writers = [start_writer(cache, 0.002, first) for first in (0, 500, 500)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    numbers = [str(number) for number in range(1500)]
    vectors, report = encode_texts(numbers, NumberEncoder(), cache)
    assert report == EncodeReport(encoded=0, cached=1500, truncated=0)
    assert np.array_equal(vectors[:, 0], np.arange(1500))
    assert caplog.messages == []


def test_a_killed_process_loses_only_what_it_had_not_kept(cache: VectorCache, caplog: pytest.LogCaptureFixture) -> None:
    writer = start_writer(cache, 0.05, 0)
    deadline = time.monotonic() + 120
    while len(shards_of(cache)) < 5:
        assert writer.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    with caplog.at_level(logging.WARNING):
        vectors, report = encode_texts([str(number) for number in range(1000)], NumberEncoder(), cache)
    assert np.array_equal(vectors[:, 0], np.arange(1000))
    assert 100 <= report.cached < 1000
    assert caplog.messages == []
