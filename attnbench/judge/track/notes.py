"""What a reader must know before the tables: what was read and left out, how it is ordered and parted, what a step is."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from attnbench.core.units import count, counted
from attnbench.judge.track.gate import NEWEST, StepLimit
from attnbench.judge.track.history import Archive
from attnbench.judge.track.reading import RunKind
from attnbench.judge.track.steps import FALSE_RATE, FEWEST, SHORTEST
from attnbench.judge.track.trend import LevelStep, Trend

NAMED = 5
"""Files that are left out are named, so many of them."""


def notes(
    folder: Path,
    archive: Archive,
    kinds: Mapping[RunKind, str],
    trends: Sequence[Trend],
    limit: StepLimit | None,
    failing: Sequence[LevelStep],
) -> tuple[str, ...]:
    """Sentences: what was read, what was left out, order, kinds, what came of it, and what a step rests on."""
    return (
        _read(folder, archive),
        *_left_out(archive),
        _order(archive),
        *_kinds(archive, kinds),
        _outcome(trends),
        *_gate(limit, failing),
        *_rule(trends),
    )


def _read(folder: Path, archive: Archive) -> str:
    runs = archive.runs
    span = f"of {_day(runs[0].time)}" if len(runs) == 1 else f"from {_day(runs[0].time)} to {_day(runs[-1].time)}"
    return f"Read {counted(len(runs), 'run')} below {folder}, {span}."


def _left_out(archive: Archive) -> Iterator[str]:
    """How many files were left out and why; each reason once, with the first files of it."""
    paths_by_reason: dict[str, list[str]] = {}
    for path, why in archive.left_out:
        reason, _, detail = why.partition(": ")
        paths_by_reason.setdefault(reason, []).append(f"{path}: {detail}" if detail else path)
    for reason, paths in sorted(paths_by_reason.items(), key=lambda item: -len(item[1])):
        more = f", and {count(len(paths) - NAMED)} more" if len(paths) > NAMED else ""
        yield f"Left out {counted(len(paths), 'file')}, {reason} ({', '.join(paths[:NAMED])}{more})."


def _order(archive: Archive) -> str:
    started = sum(not run.by_commit for run in archive.runs)
    if not started:
        return "Ordered by the time of the commit that each run was made from."
    if started == len(archive.runs):
        return "Ordered by when each run started: none knows the time of its commit."
    return (
        f"Ordered by the time of the commit that each run was made from; {counted(started, 'run')} without one by when it "
        "started, which may be long after its commit."
    )


def _kinds(archive: Archive, kinds: Mapping[RunKind, str]) -> Iterator[str]:
    if len(kinds) < 2:
        return
    runs, cpus = Counter(run.kind for run in archive.runs), {run.kind: run.header.machine.get("cpu") for run in archive.runs}
    each = (f"{label} ({cpus[kind] or 'unknown CPU'}, {counted(runs[kind], 'run')})" for kind, label in kinds.items())
    yield f"Runs of another machine, protocol, major version or settings are series of their own: {'; '.join(each)}."


def _outcome(trends: Sequence[Trend]) -> str:
    steps = [step for trend in trends for step in trend.steps]
    stepped = sum(bool(trend.steps) for trend in trends)
    worse = sum(step.worse for step in steps)
    found = (
        f"{counted(len(steps), 'step')} in {count(stepped)} of them, {count(worse)} for the worse" if steps else "no step"
    )
    return f"Of {counted(len(trends), 'series')}: {found}."


def _gate(limit: StepLimit | None, failing: Sequence[LevelStep]) -> Iterator[str]:
    if limit is not None:
        found = counted(len(failing), "step") if failing else "no step"
        yield (
            f"By --fail-on-step {limit.text}: {found} for the worse whose interval reaches that size, among the "
            f"last {NEWEST} runs of a series."
        )


def _rule(trends: Sequence[Trend]) -> Iterator[str]:
    noisy = [trend for trend in trends if not trend.series.newest.exact]
    searched = sum(trend.searched for trend in noisy)
    if searched:
        yield (
            f"A noisy figure has a step where two levels of {SHORTEST} runs at least differ by more than noise explains: "
            f"over all {counted(searched, 'series')} and all places in them, noise alone shows a step in at most one of "
            f"{count(1 / FALSE_RATE)} reports. A step is found with its third run; one or two runs that differ are none."
        )
    if len(noisy) > searched:
        yield f"{counted(len(noisy) - searched, 'series')} of fewer than {FEWEST} runs: no step is looked for there."
    if len(noisy) < len(trends):
        yield "An exact figure has a step wherever it changes."


def _day(time: datetime) -> str:
    return time.date().isoformat()
