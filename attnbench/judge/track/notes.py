"""What a reader must know before the tables: what was read and left out, how it is ordered and parted, what a step is."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.core.units import count, counted
from attnbench.judge.track.gate import NEWEST
from attnbench.judge.track.history import Archive
from attnbench.judge.track.steps import FALSE_RATE, FEWEST, SHORTEST
from attnbench.judge.track.trend import Trend

if TYPE_CHECKING:
    from attnbench.judge.track import History

NAMED = 5
"""Files that are left out are named, so many of them."""


def notes(found: "History") -> Iterator[str]:
    """Sentences: what was read, what was left out, order, kinds, what came of it, and what a step rests on."""
    runs = found.archive.runs
    first, last = (run.time.date().isoformat() for run in (runs[0], runs[-1]))
    span = f"of {first}" if first == last else f"from {first} to {last}"
    yield f"Read {counted(len(runs), 'run')} below {found.folder}, {span}."
    yield from _left_out(found.archive)
    yield _order(found.archive)
    yield from _kinds(found)
    yield from headline(found)
    yield from _rule(found.trends)


def headline(found: "History") -> list[str]:
    """What came of it, and of what was to fail on."""
    return [outcome(found.trends), *_gate(found)]


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


def _kinds(found: "History") -> Iterator[str]:
    if len(found.kinds) > 1:
        every = found.archive.runs
        runs, cpus = Counter(run.kind for run in every), {run.kind: run.header.machine.get("cpu") for run in every}
        each = (
            f"{label} ({cpus[kind] or 'unknown CPU'}, {counted(runs[kind], 'run')})" for kind, label in found.kinds.items()
        )
        yield f"Runs of another machine, protocol, major version or settings are series of their own: {'; '.join(each)}."


def outcome(trends: Sequence[Trend]) -> str:
    """How many steps there are, and how many of them for the worse."""
    steps = [step for trend in trends for step in trend.steps]
    stepped = sum(bool(trend.steps) for trend in trends)
    worse = sum(step.worse for step in steps)
    told = f"{counted(len(steps), 'step')} in {count(stepped)} of them, {count(worse)} for the worse"
    return f"Of {counted(len(trends), 'series')}: {told if steps else 'no step'}."


def _gate(found: "History") -> Iterator[str]:
    if found.limit is not None:
        steps = counted(len(found.failing), "step") if found.failing else "no step"
        yield (
            f"By --fail-on-step {found.limit.digits}%: {steps} for the worse whose interval reaches that size, among the "
            f"last {NEWEST} runs of a series."
        )
    if found.lost:
        named = ", ".join(f"{series.case.label} {series.metric}" for series in found.lost[:NAMED])
        more = f", and {count(len(found.lost) - NAMED)} more" if len(found.lost) > NAMED else ""
        yield f"Of {counted(len(found.lost), 'series')} the newest run has no figure, which is no pass: {named}{more}."


def _rule(trends: Sequence[Trend]) -> Iterator[str]:
    noisy = [trend for trend in trends if not trend.series.newest.exact]
    searched = sum(trend.searched for trend in noisy)
    if searched:
        yield (
            f"A noisy figure has a step where two levels of {SHORTEST} runs at least differ by more than noise explains: "
            f"over all {counted(searched, 'series')} and all places in them, noise alone shows a step in at most one of "
            f"{count(1 / FALSE_RATE)} reports. A step is found with its third run, or later where runs often lie apart; "
            "one or two runs that differ are none, nor are up to four after which the level is what it was."
        )
    if len(noisy) > searched:
        yield f"{counted(len(noisy) - searched, 'series')} of fewer than {FEWEST} runs: no step is looked for there."
    if len(noisy) < len(trends):
        yield "An exact figure has a step wherever it changes."
