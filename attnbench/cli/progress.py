"""What a sweep shows while it runs: a live bar on a terminal, a line a case elsewhere, or nothing."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from attnbench.core.records import Case, Record
from attnbench.core.units import fixed, seconds_text


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
        """``about 3 min 05 s left``."""
        if not self.done:
            return "time left unknown yet"
        return f"about {seconds_text(self.left * (time.monotonic() - self.began) / self.done)} left"


class Tally:
    """How far a sweep is."""

    def __init__(self, total: int, kept: int, work: float) -> None:
        self.total = total
        self.kept = kept
        self.done: set[Case] = set()
        self.failed = 0
        self.time_left = TimeLeft(work)

    def add(self, record: Record, left: float) -> None:
        """A record came, and so much work is left."""
        self.time_left.update(left)
        self.failed += record.status == "failed"
        (self.done.discard if record.pending else self.done.add)(record.case)

    @property
    def finished(self) -> int:
        """Cases that need no more."""
        return self.kept + len(self.done)


def _start_text(folder: Path, tally: Tally) -> str:
    before = f", {tally.kept} of them finished before" if tally.kept else ""
    return f"run {folder}: {tally.total} cases{before}"


def _waiting_text(holder: str) -> str:
    return f"waiting: this machine is being measured on by {holder}"


class Lines:
    """A line a step on standard error."""

    def __init__(self) -> None:
        self.tally = Tally(0, 0, 0.0)

    def started(self, folder: Path, total: int, kept: int, work: float) -> None:
        """Say where the run is written and what it continues."""
        self.tally = Tally(total, kept, work)
        print(_start_text(folder, self.tally), file=sys.stderr, flush=True)

    def waiting(self, holder: str) -> None:
        """Say what this waits for."""
        print(_waiting_text(holder), file=sys.stderr, flush=True)

    def at(self, cases: Sequence[Case], replicate: int, kind: str) -> None:
        """Nothing: a line is for what is done."""

    def recorded(self, record: Record, left: float) -> None:
        """Say what came of it and how far the sweep is."""
        self.tally.add(record, left)
        print(
            f"[{self.tally.finished}/{self.tally.total} done] {record.status} {record.case.label}"
            f"{outcome(record)}; {self.tally.time_left.text()}",
            file=sys.stderr,
            flush=True,
        )


class Bar:
    """A live bar with the case at hand and the counts so far; failures are printed above it as they come."""

    def __init__(self) -> None:
        self.tally = Tally(0, 0, 0.0)
        self.progress = Progress(
            TextColumn("{task.fields[counts]}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.description}", style="cyan", markup=False),
            console=Console(stderr=True, markup=False, highlight=False),  # options of a module are no markup
        )
        self.task = self.progress.add_task("starting", total=None, left="", counts="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def started(self, folder: Path, total: int, kept: int, work: float) -> None:
        """Say where the run is written and what it continues."""
        self.tally = Tally(total, kept, work)
        self.progress.console.print(_start_text(folder, self.tally))
        self.progress.update(self.task, total=work, counts=self._counts())

    def waiting(self, holder: str) -> None:
        """Say what this waits for."""
        self.progress.console.print(_waiting_text(holder))

    def at(self, cases: Sequence[Case], replicate: int, kind: str) -> None:
        """Show what is at hand."""
        first = f"{cases[0].variant} {cases[0].size}"
        what = first if len(cases) == 1 else f"{len(cases)} cases, {cases[0].size}"
        self.progress.update(self.task, description=f"{kind} {what}" + f", replicate {replicate}" * (kind != "build"))

    def recorded(self, record: Record, left: float) -> None:
        """Advance, and print what went wrong."""
        self.tally.add(record, left)
        if record.failure:
            self.progress.console.print(f"{record.status} {record.case.label}{outcome(record)}")
        done, text = self.tally.time_left.done, self.tally.time_left.text()
        self.progress.update(self.task, completed=done, total=done + left, left=text, counts=self._counts())

    def _counts(self) -> str:
        return f"{self.tally.finished} done, {self.tally.failed} failed, {self.tally.total - self.tally.finished} left"


def outcome(record: Record) -> str:
    """What came of a case, to follow its name."""
    if record.failure:
        return f": {record.failure.stage}: {record.failure.message}"
    overhead, latency = record.get("overhead"), record.value("latency")
    if overhead is not None and overhead.value is None:
        return f": {overhead.note}"
    if overhead is not None and overhead.value is not None:
        half = None if overhead.low is None or overhead.high is None else 50 * (overhead.high - overhead.low)
        spread = f" ± {fixed(half, 2)}" if half is not None else ""
        number = len(overhead.samples)
        return f": overhead {fixed(100 * overhead.value, 2)}{spread} %, {number} replicate{'s' * (number > 1)}"
    return f": {fixed(1e3 * latency, 1)} ms" if latency is not None else ""
