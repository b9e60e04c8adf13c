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
from attnbench.core.units import counted, fixed, seconds_text


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


class Lines:
    """A line a step on standard error."""

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

    def at(self, cases: Sequence[Case], replicate: int, kind: str) -> None:
        """Nothing: a line is for what is done."""

    def recorded(self, record: Record, left: float) -> None:
        """Say what came of it and how far the sweep is."""
        self.add(record, left)
        case = f"{record.status} {record.case.label}{outcome(record)}"
        self.say(f"[{self.finished}/{self.total} done] {case}; {self.time_left.text()}")

    def add(self, record: Record, left: float) -> None:
        """A record came, and so much work is left."""
        self.time_left.update(left)
        self.failed += record.status == "failed"
        (self.done.discard if record.pending else self.done.add)(record.case)

    def say(self, text: str) -> None:
        """Show a line."""
        print(text, file=sys.stderr, flush=True)


class Bar(Lines):
    """A live bar with the case at hand and the counts so far; failures are printed above it as they come."""

    def __init__(self) -> None:
        super().__init__()
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
        super().started(folder, total, kept, work)
        self.progress.update(self.task, total=work, counts=self._counts())

    def at(self, cases: Sequence[Case], replicate: int, kind: str) -> None:
        """Show what is at hand."""
        what = cases[0].variant if len(cases) == 1 else f"{len(cases)} cases"
        number = f", {kind}" if kind == "build" else f", replicate {replicate}"
        self.progress.update(self.task, description=f"{what} {cases[0].size}{number}")

    def recorded(self, record: Record, left: float) -> None:
        """Advance, and print what went wrong."""
        self.add(record, left)
        if record.failure:
            self.say(f"{record.status} {record.case.label}{outcome(record)}")
        done, text = self.time_left.done, self.time_left.text()
        self.progress.update(self.task, completed=done, total=done + left, left=text, counts=self._counts())

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(text)

    def _counts(self) -> str:
        return f"{self.finished} done, {self.failed} failed, {self.total - self.finished} left"


def outcome(record: Record) -> str:
    """What came of a case, to follow its name."""
    if record.failure:
        return f": {record.failure}"
    overhead, latency = record.get("overhead"), record.value("latency")
    if overhead is not None:
        if overhead.value is None:
            return f": {overhead.note}"
        half = None if overhead.low is None or overhead.high is None else 50 * (overhead.high - overhead.low)
        spread = f" ± {fixed(half, 2)}" if half is not None else ""
        return f": overhead {fixed(100 * overhead.value, 2)}{spread} %, {counted(len(overhead.samples), 'replicate')}"
    return f": {fixed(1e3 * latency, 1)} ms" if latency is not None else ""
