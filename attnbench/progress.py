"""What a sweep shows while it runs: a live bar on a terminal, a line a case elsewhere, or nothing."""

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from attnbench.records import Case, Record
from attnbench.units import fixed, seconds_text


class Silent:
    """Shows nothing."""

    def started(self, folder: Path, total: int, kept: int) -> None:
        """Nothing."""

    def at(self, case: Case, replicate: int) -> None:
        """Nothing."""

    def recorded(self, record: Record, work: float) -> None:
        """Nothing."""


class TimeLeft:
    """An honest guess of the time left: the work left at the pace of the work done; none before the first case."""

    def __init__(self, total_weight: float) -> None:
        self.left = total_weight
        self.done = 0.0
        self.began = time.monotonic()

    def add(self, weight: float) -> None:
        """So much work is done."""
        self.left -= weight
        self.done += weight

    def text(self) -> str:
        """``about 3 min 05 s left``."""
        if not self.done:
            return "time left unknown yet"
        return f"about {seconds_text(max(0.0, self.left) * (time.monotonic() - self.began) / self.done)} left"


class Lines:
    """A line a replicate on standard error."""

    def __init__(self, work: float) -> None:
        self.time_left = TimeLeft(work)
        self.total = self.finished = self.replicate = 0

    def started(self, folder: Path, total: int, kept: int) -> None:
        """Say where the run is written and what it continues."""
        self.total, self.finished = total, kept
        before = f", {kept} of them finished before" if kept else ""
        print(f"run {folder}: {total} cases{before}", file=sys.stderr, flush=True)

    def at(self, case: Case, replicate: int) -> None:  # noqa: ARG002  a bar shows the case at hand
        """Note the replicate."""
        self.replicate = replicate

    def recorded(self, record: Record, work: float) -> None:
        """Say what came of it and how far the sweep is."""
        self.finished += not record.pending
        self.time_left.add(work)
        print(
            f"[{self.finished}/{self.total} done] replicate {self.replicate}: {record.status} {record.case.label}"
            f"{outcome(record)}; {self.time_left.text()}",
            file=sys.stderr,
            flush=True,
        )


class Bar:
    """A live bar with the case at hand and the counts so far; failures are printed above it as they come."""

    def __init__(self, work: float) -> None:
        self.time_left = TimeLeft(work)
        self.total = self.finished = self.failed = 0
        self.progress = Progress(
            TextColumn("{task.fields[counts]}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.description}", style="cyan", markup=False),
            console=Console(stderr=True, markup=False, highlight=False),  # options of a module are no markup
        )
        self.task = self.progress.add_task("starting", total=work, left="", counts="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def started(self, folder: Path, total: int, kept: int) -> None:
        """Say where the run is written and what it continues."""
        self.total, self.finished = total, kept
        before = f", {kept} of them finished before" if kept else ""
        self.progress.console.print(f"run {folder}: {total} cases{before}")
        self.progress.update(self.task, counts=self._counts())

    def at(self, case: Case, replicate: int) -> None:
        """Show the case at hand."""
        self.progress.update(self.task, description=f"{case.variant} {case.size}, replicate {replicate}")

    def recorded(self, record: Record, work: float) -> None:
        """Advance, and print what went wrong."""
        self.time_left.add(work)
        self.finished += not record.pending
        if record.failure:
            self.failed += record.status == "failed"
            self.progress.console.print(f"{record.status} {record.case.label}{outcome(record)}")
        self.progress.update(self.task, advance=work, left=self.time_left.text(), counts=self._counts())

    def _counts(self) -> str:
        return f"{self.finished} done, {self.failed} failed, {self.total - self.finished} left"


def outcome(record: Record) -> str:
    """What came of a case, to follow its name."""
    if record.failure:
        return f": {record.failure.stage}: {record.failure.message}"
    overhead, latency = record.value("overhead"), record.value("latency")
    if overhead is not None:
        return f": overhead {fixed(100 * overhead, 2)} %"
    return f": {fixed(1e3 * latency, 1)} ms" if latency is not None else ""
