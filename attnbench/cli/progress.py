"""What a command shows while it works: a live bar on a terminal, a line a step of a sweep elsewhere, or nothing."""

import itertools
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from attnbench.core.records import Case, Record
from attnbench.core.units import count, counted, fixed, seconds_text
from attnbench.measure.observer import Observer, Silent

INTERRUPTED = 130


@contextmanager
def interruptible() -> Iterator[None]:
    """Where this is interrupted or terminated, say how to go on; a second signal does not disturb what the first ends."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    taken = {number for number, handler in before.items() if handler is not signal.SIG_IGN}

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in taken:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in taken:
        signal.signal(number, end)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted: what was recorded is kept; the same command goes on from there", err=True)
        raise typer.Exit(INTERRUPTED) from None
    for number in taken:
        signal.signal(number, before[number])


class TimeLeft:
    """An honest guess of the time left: the work left at the pace of the work done; none before the first case."""

    def __init__(self, left: float) -> None:
        self.left = left
        self.done = 0.0
        self.began = time.monotonic()

    def update(self, left: float) -> None:
        """So much work is left; where that is more than before, some was added and none is done."""
        self.done += max(0.0, self.left - left)
        self.left = left

    def text(self) -> str:
        """``about 3 min 05 s left``; while there is work, never none."""
        if not self.done:
            return "time left unknown yet"
        seconds = self.left * (time.monotonic() - self.began) / self.done
        return f"about {seconds_text(seconds)} left" if seconds >= 1 else "nearly done"


class Lines(Observer):
    """A line on standard error for each step that is done."""

    def __init__(self) -> None:
        self.total = self.kept = self.failed = 0
        self.done: set[Case] = set()
        self.time_left = TimeLeft(0.0)

    @property
    def finished(self) -> int:
        """Cases that need no more."""
        return self.kept + len(self.done)

    def started(self, folder: Path, total: int, kept: int, work: float) -> None:
        """Say where the run is written and what it continues."""
        self.total, self.kept, self.time_left = total, kept, TimeLeft(work)
        self.say(f"run {folder}: {total} cases{f', {kept} of them finished before' if kept else ''}")

    def waiting(self, holder: str) -> None:
        """Say what this waits for."""
        self.say(f"waiting: this machine is being measured on by {holder}")

    def described(self, number: int, total: int) -> None:  # noqa: ARG002
        """Start anew: only now is known which cases share a graph, and what building takes says nothing of the pace."""
        self.time_left = TimeLeft(0.0)

    def recorded(self, record: Record, left: float) -> None:
        """Say what came of it and how far the sweep is."""
        self.add(record, left)
        case = f"{record.status} {record.case.label}{outcome(record)}"
        self.say(f"[{self.finished}/{self.total} done] {case}; {self.time_left.text()}")

    def note(self, text: str) -> None:
        """Say it."""
        self.say(text)

    def fleet(self, at: Mapping[str, str], had: int, wanted: int) -> None:
        """Say how far all machines are, a line a time that a replicate came."""
        if had != self.kept:
            self.kept = had
            self.say(f"[{count(had)} of {counted(wanted, 'replicate')}] {'; '.join(f'{k}: {v}' for k, v in at.items())}")

    def add(self, record: Record, left: float) -> None:
        """A record came, and so much work is left."""
        self.time_left.update(left)
        self.failed += record.status == "failed"
        (self.done.discard if record.pending else self.done.add)(record.case)

    def say(self, text: str) -> None:
        """Show a line."""
        print(text, file=sys.stderr, flush=True)


class NamedProgress(Progress):
    """A bar with counts and times in a line, and what is at hand in a line below, cut where it is too long."""

    def __init__(self, *, transient: bool = False) -> None:
        self.counted = self.name = ""
        super().__init__(
            TextColumn("{task.fields[counts]}", markup=False),
            BarColumn(bar_width=16),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=Console(stderr=True, markup=False, highlight=False),  # options of a module are no markup
            transient=transient,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and the line below it."""
        yield from super().get_renderables()
        below = ": ".join(filter(None, (self.counted, self.name)))
        yield Text(below, style="cyan", no_wrap=True, overflow="ellipsis")


class Bar(Lines):
    """A live bar with the case at hand and the counts so far; failures are printed above it as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = NamedProgress()
        self.task = self.progress.add_task("", total=None, left="", counts="starting")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def started(self, folder: Path, total: int, kept: int, work: float) -> None:
        """Say where the run is written and what it continues."""
        super().started(folder, total, kept, work)
        self.progress.update(self.task, total=work, counts=self._counts())

    def at(self, cases: Sequence[Case], replicate: int, kind: str) -> None:
        """Show what is at hand."""
        what = cases[0].variant if len(cases) == 1 else f"{len(cases)} cases"
        number = f", {kind}" if kind == "build" else f", {kind} of replicate {replicate}"
        self.progress.name = f"{what} at {cases[0].size}{number}"

    def described(self, number: int, total: int) -> None:
        """Count what is known without a clock, which comes first."""
        super().described(number, total)
        self.progress.counted = f"{count(number)} of {count(total)} described" if number < total else ""

    def replicates(self, number: int, wanted: int) -> None:
        """Count what was measured; as many are wanted as is known so far."""
        self.progress.counted = f"{count(number)} of {counted(wanted, 'replicate')}"

    def recorded(self, record: Record, left: float) -> None:
        """Advance, and print what went wrong."""
        self.add(record, left)
        if record.failure:
            self.say(f"{record.status} {record.case.label}{outcome(record)}")
        done, text = self.time_left.done, self.time_left.text()
        self.progress.update(self.task, completed=done, total=done + left, left=text, counts=self._counts())

    def fleet(self, at: Mapping[str, str], had: int, wanted: int) -> None:
        """Advance, and show what each machine is at."""
        self.time_left.update(float(wanted - had))
        self.progress.name = "; ".join(f"{name}: {what}" for name, what in at.items())
        self.progress.update(
            self.task, completed=had, total=wanted, left=self.time_left.text(),
            counts=f"{count(had)} of {counted(wanted, 'replicate')} on {counted(len(at), 'machine')}",
        )  # fmt: skip

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(text)

    def _counts(self) -> str:
        return f"{self.finished} done, {self.failed} failed, {self.total - self.finished} left"


def observing(quiet: bool) -> AbstractContextManager[Observer]:
    """What shows how far a sweep is: a bar on a terminal, lines elsewhere, nothing where it is to be quiet."""
    if quiet:
        return nullcontext(Silent())
    return Bar() if sys.stderr.isatty() else nullcontext(Lines())


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Shows on a terminal how far a loop is: what this gives is called with each thing's name as its turn comes."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda name: None  # noqa: ARG005
        return
    left, turns = TimeLeft(float(total)), itertools.count()
    with NamedProgress(transient=True) as progress:
        task = progress.add_task("", total=total, left="", counts=f"{what} 0 of {total}")

        def turn(name: str) -> None:
            done = next(turns)
            left.update(float(total - done))
            progress.name = name
            counts = f"{what} {done + 1} of {total}"
            progress.update(task, completed=done, counts=counts, left=left.text(), refresh=True)

        yield turn


def outcome(record: Record) -> str:
    """What came of a case, to follow its name."""
    if record.failure:
        return f": {record.failure}"
    overhead, latency = record.get("overhead"), record.value("latency")
    if overhead is not None:
        if overhead.value is None or overhead.exact:
            return f": {overhead.note}"
        half = None if overhead.low is None or overhead.high is None else 50 * (overhead.high - overhead.low)
        spread = f" ± {fixed(half, 2)}" if half is not None else ""
        return f": overhead {fixed(100 * overhead.value, 2)}{spread} %, {counted(len(overhead.samples), 'replicate')}"
    return f": {fixed(1e3 * latency, 1)} ms" if latency is not None else ""
