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

    def started(self, folder: Path, total: int, done: int) -> None:
        """Nothing."""

    def stage(self, case: Case, stage: str) -> None:
        """Nothing."""

    def recorded(self, record: Record, weight: float) -> None:
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
    """A line a case on standard error."""

    def __init__(self, waiting_weight: float) -> None:
        self.time_left = TimeLeft(waiting_weight)
        self.total = self.done = 0

    def started(self, folder: Path, total: int, done: int) -> None:
        """Say where the run is written and what it continues."""
        self.total, self.done = total, done
        kept = f", {done} of {total} cases kept from before" if done else f", {total} cases"
        print(f"run {folder}{kept}", file=sys.stderr, flush=True)

    def stage(self, case: Case, stage: str) -> None:
        """Nothing: a line a case is enough."""

    def recorded(self, record: Record, weight: float) -> None:
        """Count the case and say what came of it."""
        self.done += 1
        self.time_left.add(weight)
        print(
            f"[{self.done}/{self.total}] {record.status:<7} {record.case.label}{outcome(record)}; {self.time_left.text()}",
            file=sys.stderr,
            flush=True,
        )


class Bar:
    """A live bar with the case at hand and the counts so far; failures are printed above it as they come."""

    def __init__(self, waiting_weight: float) -> None:
        self.time_left = TimeLeft(waiting_weight)
        self.failed = 0
        self.progress = Progress(
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[cyan]{task.description}"),
            console=Console(stderr=True),
        )
        self.task = self.progress.add_task("starting", total=None, left="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def started(self, folder: Path, total: int, done: int) -> None:
        """Set the bar's length and say where the run is written."""
        self.progress.console.print(f"run {folder}" + (f", {done} cases kept from before" if done else ""))
        self.progress.update(self.task, total=total, completed=done)

    def stage(self, case: Case, stage: str) -> None:
        """Show the case at hand."""
        self.progress.update(self.task, description=f"{case.variant} {case.size}: {stage}")

    def recorded(self, record: Record, weight: float) -> None:
        """Advance, and print what went wrong."""
        self.time_left.add(weight)
        if record.failure:
            self.failed += record.status == "failed"
            self.progress.console.print(f"{record.status} {record.case.label}{outcome(record)}", highlight=False)
        left = f"{self.time_left.text()}, {self.failed} failed"
        self.progress.update(self.task, advance=1, left=left)


def outcome(record: Record) -> str:
    """What came of a case, to follow its name."""
    if record.failure:
        return f": {record.failure.stage}: {record.failure.message}"
    overhead, latency = record.value("overhead"), record.value("latency")
    if overhead is not None:
        return f": overhead {fixed(100 * overhead, 2)} %"
    return f": {fixed(1e3 * latency, 1)} ms" if latency is not None else ""
