"""The one error that a person's input can raise, and helpers for its text."""

import contextlib
import difflib
import sys
from collections.abc import Iterable, Iterator


class InputError(ValueError):
    """Bad input or usage.

    Its text is one or two lines for a person: what was expected, what was found (file, line, value) and what to do.
    The command line prints that text and exits with 2; library code lets it pass.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name most like `name`, or ``""`` where none is alike.

    The comparison ignores case; the name comes back as it is spelt in `known`. The text is meant to be appended to a
    message: ``f"unknown agent {name!r}{nearest(name, agents)}"``.
    """
    spelling = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), spelling, n=1)
    return f"; did you mean {spelling[matches[0]]!r}?" if matches else ""


@contextlib.contextmanager
def told_in_a_line() -> Iterator[None]:
    """For what is run by `python -m`: bad input ends it with exit code 2 and a line or two, as in the command line."""
    try:
        yield
    except InputError as error:
        print(f"zsr-sim: {error}", file=sys.stderr)
        raise SystemExit(2) from None
