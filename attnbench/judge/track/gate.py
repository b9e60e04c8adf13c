"""What fails a history: a step for the worse, large enough, at the newest end of a series that is still measured.

*Large enough* is a step whose interval reaches the limit, as with ``compare --fail-on``: in percentage points of a share (an
overhead), else in % of the level before. Only what is surely smaller passes. A verdict that became worse is always large
enough, and so is any rise from 0.

*At the newest end* is a step whose first run is among the last ``NEWEST`` of its series: one in noise is found with its
third run or a few later, and should fail something then.

*Still measured* is a series whose last point is among the newest runs of its own kind (machine, protocol, settings), and
whose kind is not given up: no longer ago than ``NEWEST`` of its runs usually take, seen from the newest run of all.
Rejected: the newest runs of all kinds together, among which a seldom measured machine never is.

A series is *lost* whose newest run planned the case and has no figure of it, because it failed, was ended or could not be
attributed: no word on it is no pass.
"""

from collections.abc import Sequence
from datetime import timedelta

from attnbench.core.quantities import Quantity, parse_quantity
from attnbench.judge.track.history import Archive, TrendSeries
from attnbench.judge.track.reading import DatedRun, RunKind
from attnbench.judge.track.trend import LevelStep, Trend

NEWEST = 5


def read_limit(text: str) -> Quantity:
    """What size of a step fails. Raises ``InputError`` for anything but a number and a percent sign."""
    wrong = f"--fail-on-step '{text}' is not the size of a step: write it like 1% or 0.5%"
    return parse_quantity(text, "share", otherwise=wrong)


def failing(archive: Archive, trends: Sequence[Trend], limit: Quantity) -> tuple[LevelStep, ...]:
    """The steps that a limit fails on."""
    recent = _recent(archive)
    return tuple(
        step
        for trend in trends
        if trend.series.points[-1].run.path in recent
        for step in trend.steps
        if step.at >= len(trend.series.points) - NEWEST and step.worse and step.reaches >= limit.to("%")
    )


def lost(archive: Archive) -> tuple[TrendSeries, ...]:
    """The series whose newest run planned the case and has no figure of it: a step there could not be seen."""
    recent, places = _recent(archive), {run.path: place for place, run in enumerate(archive.runs)}
    return tuple(
        series
        for series in archive.series
        if series.lacking
        and series.lacking[-1].path in recent
        and places[series.lacking[-1].path] > places[series.points[-1].run.path]
    )


def _recent(archive: Archive) -> set[str]:
    """The newest runs of each kind that is still measured, by their files."""
    runs: dict[RunKind, list[DatedRun]] = {}
    for run in archive.runs:
        runs.setdefault(run.kind, []).append(run)
    now = archive.runs[-1].time
    return {run.path for own in runs.values() if now - own[-1].time <= _usual(own) for run in own[-NEWEST:]}


def _usual(runs: Sequence[DatedRun]) -> timedelta:
    """How long ``NEWEST`` runs of this kind usually take, by the last ones."""
    last = runs[-NEWEST - 1 :]
    return NEWEST * (last[-1].time - last[0].time) / max(1, len(last) - 1)
