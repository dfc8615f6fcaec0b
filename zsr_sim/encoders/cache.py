"""The vector cache: what an encoder wrote once is read from disk afterwards.

It stands between the texts and the LLM encoder, so that a second start encodes nothing. One folder per encoder
fingerprint holds *shards*: files that are written aside, moved into place whole and never changed. A shard is a header,
then

    digests  uint64 (count, 4)   SHA-256 of each text
    checks   uint64 (count,)     the digest's first word plus the vector's bits as uint32 words, summed modulo 2**64
    vectors  float32 (count, d)

A shard's name is the hash of its content, so two processes never collide; a killed one leaves at most a file that no
one reads; and an entry whose check fails is never handed out: its shard is removed and its texts are encoded again.
Long work is kept in small shards while it goes on, and in one when it is done, in the order it was asked in: so a
second run need not copy it, its vectors are the mapped file.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsr_sim.encoders.cards import FOLDER_VARIABLE, cache_folder
from zsr_sim.encoders.text import Encoder, Progress, Vectors

logger = logging.getLogger(__name__)

Digests = NDArray[np.uint64]  # (n, 4): a SHA-256 is four words
Words = NDArray[np.uint64]
Rows = NDArray[np.intp]

MAGIC = b"zsrvec1\n"
HEADER = struct.Struct("<8sQQ")  # magic, count, dimensions
SUFFIX = ".vectors"
SHARD_TEXTS = 2048  # texts per shard: what a kill can lose
MAPPED_BYTES = 64 << 20  # vectors of one shard that are handed out as they lie in the file; less is copied


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
            # "c": who writes to the vectors writes to memory of their own, never to the file.
            content = np.memmap(file, dtype=np.uint8, mode="c", offset=HEADER.size).view(np.ndarray)
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
        self.folder = folder or cache_folder()

    def get(self, fingerprint: str, digests: Digests, dimensions: int) -> tuple[Vectors, NDArray[np.bool_]]:
        """Look texts up by digest.

        Args:
            fingerprint: of the encoder.
            digests: uint64 (n, 4), see `text_digests`.
            dimensions: d_text of the encoder.

        Returns:
            Vectors float32 (n, d_text), meaningless where not found; and found, bool (n,).
        """
        shards = self._open_shards(fingerprint, dimensions)
        while True:
            vectors, found, damaged = _read(shards, digests, dimensions)
            if not damaged:
                return vectors, found
            for shard in damaged:
                _discard(shard.path, "an entry does not match its checksum")
            # What the damaged ones gave is forgotten; a sound shard may hold the same text.
            shards = [shard for shard in shards if shard not in damaged]

    def put(self, fingerprint: str, digests: Digests, vectors: Vectors, in_place_of: Sequence[Path] = ()) -> Path:
        """Keep vectors float32 (n, d_text), n > 0, under their digests uint64 (n, 4), as one new shard.

        in_place_of: shards that it holds all entries of, removed when it is on disk. Returns its path. Raises OSError.
        """
        count, dimensions = vectors.shape
        folder = self.folder / fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        parts: list[bytes | NDArray[Any]] = [HEADER.pack(MAGIC, count, dimensions), digests.astype("<u8", copy=False)]
        parts += [_checks(digests, vectors).astype("<u8", copy=False), vectors.astype("<f4", copy=False)]
        content = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=folder, prefix="unfinished-", delete=False) as aside:
            try:
                for part in parts:
                    data = part if isinstance(part, bytes) else np.ascontiguousarray(part).reshape(-1).data
                    content.update(data)
                    aside.write(data)
                if in_place_of:
                    # Without others to fall back on. Else: after a power cut a shard may be damaged, which `get`
                    # detects; cheaper than syncing every one.
                    aside.flush()
                    os.fsync(aside.fileno())
                aside.close()
                path = folder / f"{content.hexdigest()[:32]}{SUFFIX}"
                os.replace(aside.name, path)
            except BaseException:
                Path(aside.name).unlink(missing_ok=True)
                raise
        for old in in_place_of:
            if old != path:
                old.unlink(missing_ok=True)
        return path

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
    vectors, found, cached = _cached(texts, encoder, cache)
    missing = np.flatnonzero(~found).tolist()
    first: dict[str, int] = {}  # row of each distinct text that the cache lacks
    for row in missing:
        first.setdefault(texts[row], row)
    distinct = list(first.values())
    cut_before = encoder.truncated
    writer = _Writer(cache, encoder.fingerprint)
    for start in range(0, len(distinct), SHARD_TEXTS):
        rows = distinct[start : start + SHARD_TEXTS]
        batch = [texts[row] for row in rows]
        vectors[rows] = encoder.encode(batch, _shifted(progress, start, len(distinct)))
        writer.keep(batch, vectors[rows])
    writer.merge([texts[row] for row in distinct], vectors if len(distinct) == len(texts) else vectors[distinct])
    if len(distinct) < len(missing):
        vectors[missing] = vectors[[first[texts[row]] for row in missing]]  # (missing, d_text)
    report = EncodeReport(len(distinct), cached, encoder.truncated - cut_before)
    if report.truncated:
        logger.warning(
            "%d of %d texts are longer than %s reads and were cut", report.truncated, report.encoded, encoder.name
        )
    return vectors, report


def text_digests(texts: Sequence[str]) -> Digests:
    """SHA-256 of each text, as four little-endian words: uint64 (n, 4)."""
    # surrogatepass: text that is no Unicode has a digest too; the encoder is the one to refuse it.
    joined = b"".join([hashlib.sha256(text.encode(errors="surrogatepass")).digest() for text in texts])
    return np.frombuffer(joined, dtype="<u8").reshape(-1, 4)


def _cached(
    texts: Sequence[str], encoder: Encoder, cache: VectorCache | None
) -> tuple[Vectors, NDArray[np.bool_], int]:
    """What the cache holds of the texts, which these are, and how many distinct ones."""
    if cache is None:
        return np.empty((len(texts), encoder.dimensions), dtype=np.float32), np.zeros(len(texts), dtype=np.bool_), 0
    digests = text_digests(texts)
    vectors, found = cache.get(encoder.fingerprint, digests, encoder.dimensions)
    known = np.sort(digests[found, 0])  # five times as fast as np.unique
    return vectors, found, int((known[1:] != known[:-1]).sum()) + bool(len(known))


@dataclass
class _Writer:
    """Keeps fresh vectors; a cache that cannot be written is said once and left alone."""

    cache: VectorCache | None
    fingerprint: str
    written: list[Path] = field(default_factory=list)

    def keep(self, texts: Sequence[str], vectors: Vectors, in_place_of: Sequence[Path] = ()) -> None:
        """Write the vectors (n, d) of these texts as one shard."""
        if self.cache is None:
            return
        try:
            self.written.append(self.cache.put(self.fingerprint, text_digests(texts), vectors, in_place_of))
        except OSError as error:
            logger.warning(
                "vector cache: %s cannot be written: %s; set %s to another", self.cache.folder, error, FOLDER_VARIABLE
            )
            self.cache = None

    def merge(self, texts: Sequence[str], vectors: Vectors) -> None:
        """One shard for all that was written, where there are several."""
        if len(self.written) > 1:
            self.keep(texts, vectors, in_place_of=tuple(self.written))


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    if progress is None:
        return None
    report = progress
    return lambda part, _: report(done + part, total)


def _checks(digests: Digests, vectors: Vectors) -> Words:
    """The checksum of each entry, uint64 (n,): it ties a vector to its digest, and any changed byte changes it."""
    bits: Words = np.ascontiguousarray(vectors).view("<u4").sum(axis=1, dtype=np.uint64)
    return digests[:, 0] + bits


def _read(shards: list[Shard], digests: Digests, dimensions: int) -> tuple[Vectors, NDArray[np.bool_], list[Shard]]:
    """Vectors (n, d) and which were found (n,), and the shards of which an entry is not what was written."""
    found = np.zeros(len(digests), dtype=np.bool_)
    parts = list(_located(shards, digests)) if shards else []
    if len(parts) == 1:
        shard, rows, wanted = parts[0]
        whole = len(wanted) == len(digests) and _consecutive(rows) and _consecutive(wanted)
        if whole and shard.vectors.nbytes >= MAPPED_BYTES:
            some = slice(rows[0], rows[-1] + 1)
            sound = _sound(digests, shard.vectors[some], shard.digests[some], shard.checks[some])
            return shard.vectors[some], ~found, [] if sound else [shard]
    vectors = np.empty((len(digests), dimensions), dtype=np.float32)
    damaged = []
    # One thread: several that fill fresh memory wait for each other in the kernel.
    for shard, rows, wanted in parts:
        found[wanted] = True
        if not _copy(shard, rows, wanted, digests, vectors):
            damaged.append(shard)
    return vectors, found, damaged


def _copy(shard: Shard, rows: Rows, wanted: Rows, digests: Digests, vectors: Vectors) -> bool:
    """Copy entries of a shard to their places in `vectors` (n, d); returns whether they are what was written."""
    if _consecutive(wanted):  # as they were written: one copy
        entries = vectors[wanted[0] : wanted[-1] + 1]
        np.take(shard.vectors, rows, axis=0, out=entries, mode="clip")  # "raise" would copy twice
    else:
        entries = shard.vectors[rows]  # (wanted, d)
        vectors[wanted] = entries
    return _sound(digests[wanted], entries, shard.digests[rows], shard.checks[rows])


def _consecutive(rows: Rows) -> bool:
    return bool(rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all())


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
