"""Files as bytes: finding them, unzipping them, and saying on which line one is broken."""

import gzip
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from zsr_sim.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LONGEST_SHOWN, MOST_SHOWN = 80, 12


def shown(value: str) -> str:
    """Return a value from a file in quotes for a message: control characters escaped, cut after 80 characters."""
    return repr(value) if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]!r}..."


def listed(values: Sequence[str]) -> str:
    """Return values from a file for a message, the first twelve of them."""
    return ", ".join(map(shown, values[:MOST_SHOWN])) + (", ..." if len(values) > MOST_SHOWN else "")


def find_one(folder: Path, names: Iterable[str]) -> Path | None:
    """Return the only file of the given names in `folder`, each also tried with ``.gz``; None if there is none.

    Raises:
        InputError: more than one exists, so it is not clear which one is meant.
    """
    found = [folder / spelt for name in names for spelt in (name, f"{name}.gz") if (folder / spelt).is_file()]
    if len(found) > 1:
        raise InputError(f"{folder} holds both {found[0].name} and {found[1].name}; keep one of them")
    return found[0] if found else None


def read_bytes(path: Path) -> bytes:
    """Return what is in the file, unzipped where its name ends in ``.gz``.

    Raises:
        InputError: the file is missing, unreadable, empty, or not a whole gzip file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if path.suffix == ".gz" and data:
        try:
            data = gzip.decompress(data)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path} is not a whole gzip file ({error}); fetch or compress it again") from error
    if not data or data.isspace():
        raise InputError(f"{path} is empty; expected at least one row")
    return data


def checked_utf8(data: bytes, path: Path) -> bytes:
    """Return the bytes without a byte-order mark, sure to be UTF-8 without null bytes.

    Raises:
        InputError: another encoding or a null byte, with the line.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is UTF-16, expected UTF-8; {_conversion(path, 'UTF-16')}")
    check_null_bytes(data, path)
    data = data.removeprefix(BYTE_ORDER_MARK)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}, line {line_of_byte(data, error.start)}: byte 0x{data[error.start]:02X} is not UTF-8; "
            f"if the file is Latin-1, {_conversion(path, 'ISO-8859-1')}"
        ) from error
    return data


def latin1_as_utf8(data: bytes, path: Path) -> tuple[bytes, str]:
    """Return UTF-8 bytes and a note, for the MovieLens files that are published in Latin-1 (ISO-8859-1).

    Bytes that are valid UTF-8 are taken as such (a converted file, or plain ASCII); the note is then empty.

    Raises:
        InputError: a null byte.
    """
    check_null_bytes(data, path)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = line_of_byte(data, error.start)
        note = f"{path.name}: read as ISO-8859-1, as MovieLens publishes it (line {line} is not UTF-8)"
        return data.decode("iso-8859-1").encode(), note
    return data.removeprefix(BYTE_ORDER_MARK), ""


def check_null_bytes(data: bytes, path: Path) -> None:
    """Raise an InputError that names the line of the first null byte, if there is one."""
    position = data.find(b"\0")
    if position >= 0:
        raise InputError(f"{path}, line {line_of_byte(data, position)}: a null byte; the file is damaged or not text")


def line_of_byte(data: bytes, position: int) -> int:
    """Return the line (from 1) in which the byte at `position` stands."""
    return data.count(b"\n", 0, position) + 1


def _conversion(path: Path, encoding: str) -> str:
    plain = path.name.removesuffix(".gz")
    if path.suffix == ".gz":
        return f"convert it: gzip -dc {path.name} | iconv -f {encoding} -t UTF-8 > utf8-{plain}"
    return f"convert it: iconv -f {encoding} -t UTF-8 {plain} > utf8-{plain}"
