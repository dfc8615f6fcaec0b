"""What a person sees while a command works: a line for each phase, live on a terminal, plain elsewhere; and tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from zsr_sim.reporting.numbers import against, with_interval

SECONDS_BETWEEN_LINES = 5.0  # where no terminal shows a live line
_BAR = 10


class Screen:
    """Where a command writes. Lines are plain text, never markup: names in them come from people."""

    def __init__(self, file: IO[str]) -> None:
        self.console = Console(file=file, highlight=False, markup=False, emoji=False)

    def line(self, text: str = "") -> None:
        """Write a line as it is, however wide the terminal."""
        self.console.print(text, soft_wrap=True)


class Phases:
    """A line for each phase of a command, one after the other; a context manager.

    total: how many phases there will be, to number them ("2/3 policy"); 0 neither numbers them nor keeps their lines.
    width: characters for a phase's number and name.
    """

    def __init__(self, screen: Screen, total: int = 0, width: int = 15) -> None:
        self._screen, self._total, self._width = screen, total, width
        self._begun = 0
        self._work: _Work | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._end(keep=error is None)

    def show(self, name: str, done: int, total: int, words: str) -> None:
        """Say how far a phase has come, and its figures in words; another name ends the phase before."""
        if self._work is None or self._work.name != name:
            self._end(keep=True)
            self._start(name)
        if self._work is not None:
            self._work.note(done, total, words)
            if self._live is None and done < total and self._work.silent_for(SECONDS_BETWEEN_LINES):
                self._screen.line(self._work.words())

    def encoding(self, done: int, total: int) -> None:
        """Say how many texts are encoded."""
        self.show("encoding", done, total, f"{done:,} of {total:,} texts")

    def asking(self, done: int, total: int) -> None:
        """Say how many answers of a language model there are."""
        self.show("asking", done, total, f"{done:,} of {total:,} answers")

    def _start(self, name: str) -> None:
        self._begun += 1
        title = f"{self._begun}/{self._total} {name}" if self._total else name
        self._work = _Work(name, title.ljust(self._width))
        if self._screen.console.is_terminal:
            self._live = Live(get_renderable=self._work.live, console=self._screen.console, transient=True)
            self._live.start()

    def _end(self, keep: bool) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._work is not None and keep and self._total:
            self._work.done = self._work.total  # a phase may end early
            self._screen.line(self._work.words())
        self._work = None


class _Work:
    """How far a phase has come."""

    def __init__(self, name: str, title: str) -> None:
        self.name, self.title = name, title
        self.done, self.total, self.figures = 0, 1, ""
        self.begin = self.last_line = time.monotonic()

    def note(self, done: int, total: int, words: str) -> None:
        self.done, self.total, self.figures = done, total, words

    def silent_for(self, seconds: float) -> bool:
        """Whether no line was due for so long; if so, one is due now."""
        now = time.monotonic()
        due = now - self.last_line >= seconds
        if due:
            self.last_line = now
        return due

    def words(self) -> str:
        seconds = int(time.monotonic() - self.begin)
        clock = f"{seconds // 60}:{seconds % 60:02d}"
        return f"{self.title} {bar(self.done, self.total)} {self.figures:<62} {clock:>6}"

    def live(self) -> Text:
        return Text(self.words(), no_wrap=True, overflow="ellipsis")


def bar(done: int, total: int) -> str:
    """A bar of ten characters.

    >>> bar(1, 2), bar(5, 5)
    ('[====>     ]', '[=========>]')
    """
    filled = round(_BAR * min(done / max(total, 1), 1.0))
    return "[" + ("=" * (filled - 1) + ">" if filled else "").ljust(_BAR) + "]"


def generator_words(first: dict[str, float], now: dict[str, float]) -> str:
    """How the generator gets on: "held-out -log likelihood 5.91 -> 4.80, accepted 38 % -> 61 %"."""
    start = now.get("held_out_nll_start")
    words = [] if start is None else [f"held-out -log likelihood {start:.2f} -> {now.get('held_out_nll', start):.2f}"]
    if "acceptance" in now:
        before = now.get("acceptance_before", first.get("acceptance", now["acceptance"]))
        words.append(f"accepted {100 * before:.0f} % -> {100 * now['acceptance']:.0f} %")
    return ", ".join(words)


def policy_words(first: dict[str, float], now: dict[str, float]) -> str:
    """How the policy gets on: "return 6.1 -> 9.4, generated candidates chosen 22 % -> 47 %"."""
    words = f"return {first['return']:.1f} -> {now['return']:.1f}"
    if "acceptance" in now:  # there is a generator
        before, after = 100 * first["generated_share"], 100 * now["generated_share"]
        words += f", generated candidates chosen {before:.0f} % -> {after:.0f} %"
    return words


def log_words(first: dict[str, float], now: dict[str, float]) -> str:
    """How learning from a log gets on: "loss 0.93 -> 0.41, NDCG at 10 of held-out users 0.113"."""
    words = f"loss {first['loss']:.2f} -> {now['loss']:.2f}" if "loss" in now else "learned"
    return words + (f", NDCG at 10 of held-out users {now['ndcg']:.3f}" if "ndcg" in now else "")


def comparison_table(results: dict[str, Any]) -> list[str]:
    """The lines of a table of strategies, each against the baseline."""
    compared = {c["candidate"]: against(c) for c in results["comparisons"]}
    baseline = next((c["baseline"] for c in results["comparisons"]), "")
    rows = [("strategy", "return", "click rate", "visit length", f"against {baseline}" if baseline else "")]
    rows += [
        (
            name,
            with_interval(entry["return"]),
            f"{entry['click_rate']['mean']:.3f}",
            f"{entry['visit_length']['mean']:.1f}",
            compared.get(name, "baseline" if name == baseline else ""),
        )
        for name, entry in results["strategies"].items()
    ]
    return aligned(rows, "<<>><")


def aligned(rows: Sequence[Sequence[str]], sides: str, gap: int = 3) -> list[str]:
    """Lines of a table with columns of equal width, `gap` blanks apart.

    sides: "<" for each column that is read from the left, ">" for each one from the right; the last stands for all
    that follow.

    >>> aligned([("agent", "return"), ("random", "2.1")], "<>")
    ['agent    return', 'random      2.1']
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    sides = sides.ljust(len(widths), sides[-1])
    lines = [
        (" " * gap).join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True))
        for row in rows
    ]
    return [line.rstrip() for line in lines]
