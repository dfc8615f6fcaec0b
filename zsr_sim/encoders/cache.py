"""The vector cache: what an encoder wrote once is read from disk afterwards.

It stands between the texts and the LLM encoder, so that a second start encodes nothing. One folder per encoder
fingerprint holds *shards*: files that are written aside, moved into place whole and never changed. A shard is a header,
then

    digests  uint64 (count, 4)   SHA-256 of each text
    checks   uint64 (count,)     the digest's first word plus the vector's bits as uint32 words, summed modulo 2**64
    vectors  float32 (count, d)

A shard's name is the hash of its content, so two processes never collide; a killed one leaves at most a file that no
one reads; and an entry whose check fails is never handed out: its shard is removed and its texts are encoded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from zsr_sim.encoders.text import Encoder, Progress, Vectors

logger = logging.getLogger(__name__)

Digests = NDArray[np.uint64]  # (n, 4): a SHA-256 is four words
Words = NDArray[np.uint64]
Rows = NDArray[np.intp]

MAGIC = b"zsrvec1\n"
HEADER = struct.Struct("<8sQQ")  # magic, count, dimensions
SUFFIX = ".vectors"
SHARD_TEXTS = 2048  # texts per shard: what a kill can lose
_MOST_THREADS = 4  # memory is what limits, not cores
FOLDER_VARIABLE = "ZSR_SIM_CACHE"


class DamagedShardError(Exception):
    """A shard on disk is not what was written: cut short, or of another kind."""


@dataclass(frozen=True)
class Shard:
    """One immutable file of vectors, memory-mapped."""

    path: Path
    digests: Digests  # (count, 4)
    checks: Words  # (count,)
    vectors: Vectors  # (count, d)

    @classmethod
    def open(cls, path: Path, dimensions: int) -> Shard:
        """Map a shard; its size must be what its header says. Raises DamagedShardError, OSError."""
        with path.open("rb") as file:
            header = file.read(HEADER.size)
            size = os.fstat(file.fileno()).st_size
            if len(header) < HEADER.size:
                raise DamagedShardError(f"{size} bytes, a header has {HEADER.size}")
            magic, count, found_dimensions = HEADER.unpack(header)
            expected = HEADER.size + count * (5 * 8 + dimensions * 4)
            if magic != MAGIC or found_dimensions != dimensions or size != expected or count == 0:
                raise DamagedShardError(f"{size} bytes with header {header!r}, expected {expected} and d={dimensions}")
            content: NDArray[np.uint8] = np.memmap(file, dtype=np.uint8, mode="r", offset=HEADER.size)
        digests = content[: count * 32].view("<u8").reshape(count, 4)
        checks = content[count * 32 : count * 40].view("<u8")
        vectors = content[count * 40 :].view("<f4").reshape(count, dimensions)
        return cls(path, digests, checks, vectors)


class VectorCache:
    """Vectors on disk by encoder fingerprint and SHA-256 of the text; safe under several processes and kills.

    Args:
        folder: where to keep them; default is the environment variable ZSR_SIM_CACHE, else the user's cache folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(os.environ.get(FOLDER_VARIABLE) or platformdirs.user_cache_dir("zsr-sim"))

    def get(self, fingerprint: str, digests: Digests, dimensions: int) -> tuple[Vectors, NDArray[np.bool_]]:
        """Look texts up by digest.

        Args:
            fingerprint: of the encoder.
            digests: uint64 (n, 4), see `text_digests`.
            dimensions: d_text of the encoder.

        Returns:
            Vectors float32 (n, d_text), meaningless where not found; and found, bool (n,).
        """
        vectors = np.empty((len(digests), dimensions), dtype=np.float32)
        found = np.zeros(len(digests), dtype=np.bool_)
        shards = self._open_shards(fingerprint, dimensions)
        while shards:
            parts = list(_located(shards, digests))
            # Copying and checking is memory traffic, for which numpy lets other threads run.
            with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as threads:
                sound = list(threads.map(lambda part: _copy(part, digests, vectors), parts))
            for _, _, wanted in parts:
                found[wanted] = True
            damaged = [shard for (shard, _, _), whole in zip(parts, sound, strict=True) if not whole]
            for shard in damaged:
                _discard(shard.path, "an entry does not match its checksum")
            if not damaged:
                break
            # What the damaged ones gave is forgotten; a sound shard may hold the same text.
            found[:] = False
            shards = [shard for shard in shards if shard not in damaged]
        return vectors, found

    def put(self, fingerprint: str, digests: Digests, vectors: Vectors) -> None:
        """Keep vectors float32 (n, d_text) under their digests uint64 (n, 4), as one new shard. Raises OSError."""
        count, dimensions = vectors.shape
        if count == 0:
            return
        content = b"".join(
            (
                HEADER.pack(MAGIC, count, dimensions),
                digests.astype("<u8").tobytes(),
                _checks(digests, vectors).astype("<u8").tobytes(),
                vectors.astype("<f4").tobytes(),
            )
        )
        folder = self.folder / fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        # No fsync: after a power cut a shard may be damaged, which `get` detects; cheaper than syncing every one.
        with tempfile.NamedTemporaryFile(dir=folder, prefix="unfinished-", delete=False) as aside:
            try:
                aside.write(content)
                aside.close()
                os.replace(aside.name, folder / f"{hashlib.sha256(content).hexdigest()[:32]}{SUFFIX}")
            except BaseException:
                Path(aside.name).unlink(missing_ok=True)
                raise

    def _open_shards(self, fingerprint: str, dimensions: int) -> list[Shard]:
        shards = []
        for path in sorted((self.folder / fingerprint).glob(f"*{SUFFIX}")):
            try:
                shards.append(Shard.open(path, dimensions))
            except DamagedShardError as error:
                _discard(path, str(error))
            except FileNotFoundError:
                continue  # another process found it damaged and removed it meanwhile
            except OSError as error:
                logger.warning("vector cache: %s cannot be read (%s); its texts are encoded again", path, error)
        return shards


@dataclass(frozen=True)
class EncodeReport:
    """What `encode_texts` did, in distinct texts.

    `truncated` counts the texts that were longer than the encoder reads, among the freshly encoded ones.
    """

    encoded: int
    cached: int
    truncated: int


def encode_texts(
    texts: Sequence[str], encoder: Encoder, cache: VectorCache | None, progress: Progress | None = None
) -> tuple[Vectors, EncodeReport]:
    """Vectors of the texts, each distinct text encoded once and, with a cache, never again.

    Args:
        texts: any texts, duplicates allowed.
        encoder: what encodes those that the cache lacks.
        cache: None encodes without one. A cache that cannot be written costs a warning, not the run.
        progress: called with (texts encoded so far, texts to encode); never called where all are cached.

    Returns:
        Vectors float32 (n, d_text) in the order of `texts`, the same bits whether fresh or cached; and the report.

    Raises:
        InputError: a text that the encoder cannot read.
    """
    distinct = list(dict.fromkeys(texts))
    vectors, found = _cached(distinct, encoder, cache)
    missing = np.flatnonzero(~found)
    cut_before = encoder.truncated
    for start in range(0, len(missing), SHARD_TEXTS):
        rows = missing[start : start + SHARD_TEXTS]
        batch = [distinct[row] for row in rows]
        vectors[rows] = encoder.encode(batch, _shifted(progress, start, len(missing)))
        if cache is not None:
            cache = _kept(cache, encoder.fingerprint, text_digests(batch), vectors[rows])
    encoded = len(missing)
    report = EncodeReport(encoded, len(distinct) - encoded, encoder.truncated - cut_before)
    if report.truncated:
        logger.warning("%d of %d texts are longer than %s reads and were cut", report.truncated, encoded, encoder.name)
    if len(distinct) < len(texts):
        place = {text: row for row, text in enumerate(distinct)}
        vectors = vectors[[place[text] for text in texts]]  # (n, d_text)
    return vectors, report


def text_digests(texts: Sequence[str]) -> Digests:
    """SHA-256 of each text, as four little-endian words: uint64 (n, 4)."""
    # surrogatepass: text that is no Unicode has a digest too; the encoder is the one to refuse it.
    joined = b"".join([hashlib.sha256(text.encode(errors="surrogatepass")).digest() for text in texts])
    return np.frombuffer(joined, dtype="<u8").reshape(-1, 4)


def _cached(texts: list[str], encoder: Encoder, cache: VectorCache | None) -> tuple[Vectors, NDArray[np.bool_]]:
    if cache is None:
        return np.empty((len(texts), encoder.dimensions), dtype=np.float32), np.zeros(len(texts), dtype=np.bool_)
    return cache.get(encoder.fingerprint, text_digests(texts), encoder.dimensions)


def _kept(cache: VectorCache, fingerprint: str, digests: Digests, vectors: Vectors) -> VectorCache | None:
    """Put vectors into the cache; returns the cache, or None where it cannot be written, so that this is said once."""
    try:
        cache.put(fingerprint, digests, vectors)
    except OSError as error:
        logger.warning(
            "vector cache: %s cannot be written: %s; set %s to another", cache.folder, error, FOLDER_VARIABLE
        )
        return None
    return cache


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    if progress is None:
        return None
    report = progress
    return lambda part, _: report(done + part, total)


def _checks(digests: Digests, vectors: Vectors) -> Words:
    """The checksum of each entry, uint64 (n,): it ties a vector to its digest, and any changed byte changes it."""
    bits: Words = np.ascontiguousarray(vectors).view("<u4").sum(axis=1, dtype=np.uint64)
    return digests[:, 0] + bits


def _copy(part: tuple[Shard, Rows, Rows], digests: Digests, vectors: Vectors) -> bool:
    """Copy entries of a shard to their places in `vectors` (n, d); returns whether they are what was written."""
    shard, rows, wanted = part
    if wanted[-1] - wanted[0] == len(wanted) - 1 and (np.diff(wanted) == 1).all():  # as they were written: one copy
        entries = vectors[wanted[0] : wanted[-1] + 1]
        np.take(shard.vectors, rows, axis=0, out=entries, mode="clip")  # "raise" would copy twice
    else:
        entries = shard.vectors[rows]  # (wanted, d)
        vectors[wanted] = entries
    return _sound(digests[wanted], entries, shard.digests[rows], shard.checks[rows])


def _sound(digests: Digests, vectors: Vectors, stored_digests: Digests, stored_checks: Words) -> bool:
    return bool((stored_digests == digests).all() and (stored_checks == _checks(digests, vectors)).all())


def _located(shards: list[Shard], digests: Digests) -> Iterator[tuple[Shard, Rows, Rows]]:
    """Where digests stand: for each shard that holds some, its rows and the indices of `digests` they answer."""
    stored = np.concatenate([shard.digests for shard in shards])  # (total, 4)
    order = np.argsort(stored[:, 0])
    # The first word finds the place; the caller compares all four. Two texts that share a first word (odds 1e-8 among a
    # million) would have each other's shards encoded again, never a wrong vector.
    asked = np.argsort(digests[:, 0])  # looked up in order: each search begins near the one before, in memory, too
    at = np.empty(len(digests), dtype=np.intp)  # (n,) position in `stored`
    at[asked] = order[np.searchsorted(stored[order, 0], digests[asked, 0]).clip(max=len(order) - 1)]
    hits = np.flatnonzero(stored[at, 0] == digests[:, 0])
    hits = hits[np.argsort(at[hits], kind="stable")]  # of one shard side by side, each shard's in the order asked
    ends = np.cumsum([len(shard.digests) for shard in shards])
    bounds = np.searchsorted(at[hits], ends)
    for shard, end, start, stop in zip(shards, ends, [0, *bounds[:-1]], bounds, strict=True):
        if start < stop:
            wanted = hits[start:stop]
            yield shard, at[wanted] - (end - len(shard.digests)), wanted


def _discard(path: Path, reason: str) -> None:
    logger.warning("vector cache: %s is damaged (%s); it is removed and its texts are encoded again", path, reason)
    # Where it cannot be removed it is found damaged again next time, and never read.
    with contextlib.suppress(OSError):
        path.unlink()
