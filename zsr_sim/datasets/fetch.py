"""Public data sets over the network: downloaded, checked, unpacked beside the target, then renamed into place."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from zsr_sim.errors import InputError, nearest

_TIMEOUT = 30.0  # seconds without an answer
_BLOCK = 1 << 20  # bytes
_MOST_UNPACKED = 4 << 30  # bytes; the largest set below unpacks to less than a quarter of it

Progress = Callable[[int, int], None]
"""Called with (bytes read, bytes in all; 0 where the server does not say)."""


@dataclass(frozen=True)
class Source:
    """Where a data set is published: a zip file, and a file beside it that holds the zip's MD5; words: what it is."""

    url: str
    checksum_url: str
    words: str


def _grouplens(name: str, words: str) -> Source:
    url = f"https://files.grouplens.org/datasets/movielens/{name}.zip"
    return Source(url, f"{url}.md5", f"{words} (GroupLens; read its licence before you pass it on)")


SOURCES = {
    "ml-100k": _grouplens("ml-100k", "MovieLens: 100,000 ratings of 1,682 films by 943 people"),
    "ml-1m": _grouplens("ml-1m", "MovieLens: 1,000,209 ratings of 3,900 films by 6,040 people"),
    "ml-latest-small": _grouplens("ml-latest-small", "MovieLens: 100,836 ratings of 9,742 films by 610 people"),
}
"""Data sets that can be fetched, by name."""


def fetch(name: str, out: Path, progress: Progress | None = None) -> Path:
    """Download a data set into the folder `out`, which must not exist; returns it.

    Where something fails no part of it is left behind. Raises InputError for an unknown name, a folder that exists, a
    server that cannot be reached or answers with an error, or a file that is not what was published.
    """
    if name not in SOURCES:
        raise InputError(f"no data set {name!r} to fetch{nearest(name, SOURCES)}; known: {', '.join(SOURCES)}")
    if out.exists():
        raise InputError(f"{out} exists already; name a new folder with --out, or use it: --data {out}")
    source = SOURCES[name]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        archive = Path(scratch) / "archive.zip"
        _download(source.url, archive, progress)
        expected = _published_md5(source.checksum_url)
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != expected:
            raise InputError(f"{source.url}: MD5 {found} found, {expected} published; try again later")
        _unpack(archive, Path(scratch) / "data", source.url)
        (Path(scratch) / "data").rename(out)
    return out


def _download(url: str, path: Path, progress: Progress | None) -> None:
    with _open(url) as answer, path.open("wb") as file:
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while block := _read(answer, url):
            file.write(block)
            done += len(block)
            if progress:
                progress(done, total)
    if total and done != total:
        raise InputError(f"{url}: the connection broke after {done:,} of {total:,} bytes; try again")


def _read(answer: urllib.response.addinfourl, url: str) -> bytes:
    try:
        return answer.read(_BLOCK)
    except OSError as error:
        raise _unreachable(url, error) from error


def _open(url: str) -> urllib.response.addinfourl:
    try:
        answer: urllib.response.addinfourl = urllib.request.urlopen(url, timeout=_TIMEOUT)
    except OSError as error:  # URLError and timeouts, too
        raise _unreachable(url, error) from error
    return answer


def _unreachable(url: str, error: OSError) -> InputError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return InputError(
        f"cannot fetch {url} ({reason}); without a network, unpack a copy into a folder and give that: --data FOLDER"
    )


def _published_md5(url: str) -> str:
    """The checksum in a file such as `MD5 (ml-100k.zip) = 0e33...` or `0e33...  ml-100k.zip`."""
    with _open(url) as answer:
        words = answer.read(4096).decode("utf-8", "replace").replace("=", " ").split()
    for word in words:
        if len(word) == 32 and all(letter in "0123456789abcdef" for letter in word.lower()):
            return word.lower()
    raise InputError(f"{url} holds no MD5 checksum; the data set cannot be checked, fetch it by hand")


def _unpack(archive: Path, folder: Path, url: str) -> None:
    """Unpack without the archive's own top folder; refuses names that lead elsewhere."""
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as zipped:
            files = [entry for entry in zipped.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in files) > _MOST_UNPACKED:
                raise InputError(f"{url} unpacks to more than {_MOST_UNPACKED:,} bytes; this is not what was published")
            tops = {PurePosixPath(entry.filename).parts[0] for entry in files}
            for entry in files:
                parts = PurePosixPath(entry.filename).parts
                inner = parts[1:] if len(tops) == 1 and len(parts) > 1 else parts
                if ".." in parts or PurePosixPath(entry.filename).is_absolute():
                    raise InputError(f"{url} holds {entry.filename!r}, a name that leads out of its folder; left alone")
                target = folder.joinpath(*inner)
                target.parent.mkdir(parents=True, exist_ok=True)
                with zipped.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except zipfile.BadZipFile as error:
        raise InputError(f"{url} is not a whole zip file ({error}); try again later") from error
