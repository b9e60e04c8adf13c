"""What a step may come from, as far as the last run before it and the first run after it can tell.

These are the causes that ``compare`` names for the same two runs, and what only a history shows: whether the commit is the
same, whether the machine's system was updated, and in how many other series the level changed between the same two runs.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from attnbench.core.records import Record
from attnbench.core.units import count
from attnbench.judge.compare.causes import Causes
from attnbench.judge.compare.noisy import OVERHEAD
from attnbench.judge.track.trend import LevelStep, Trend

PASSING = ("system", "distribution")
"""Facts of a machine that its id leaves out: an update changes them."""


def explained(trends: Sequence[Trend]) -> tuple[Trend, ...]:
    """The trends, each step with its causes in words, the most direct first."""
    steps = Counter(_place(step) for trend in trends for step in trend.steps)
    spanned = Counter(place for trend in trends for place in _places(trend))
    return tuple(
        replace(trend, steps=tuple(replace(step, causes=tuple(_causes(step, steps, spanned))) for step in trend.steps))
        for trend in trends
    )


def _causes(step: LevelStep, steps: Counter[tuple[str, ...]], spanned: Counter[tuple[str, ...]]) -> Iterator[str]:
    one, two = step.last, step.first
    case, metric = step.series.case, step.series.metric
    family = metric if step.series.newest.exact else OVERHEAD
    records = (Record(case, "ok", sources=point.sources) for point in (one, two))
    yield from (cause.text for cause in Causes(one.run.header, two.run.header).of(family, *records))
    for fact in PASSING:
        before, after = (str(point.run.header.machine.get(fact, "unknown")) for point in (one, two))
        if before != after:
            yield f"machine: {fact} {before} → {after}"
    if one.run.commit and one.run.commit == two.run.commit:
        same = "the commit is the same on both sides"
        yield f"{same}, with changes that are in none" if one.run.commit.endswith("-dirty") else f"{same}: not its code"
    place = _place(step)
    if steps[place] > 1:
        yield f"{count(steps[place])} of {count(spanned[place])} series of {metric} have a step between the same two runs"


def _place(step: LevelStep) -> tuple[str, ...]:
    return step.series.metric, step.last.run.path, step.first.run.path


def _places(trend: Trend) -> Iterator[tuple[str, ...]]:
    """Between which runs the series could have a step."""
    for one, two in pairwise(trend.series.points):
        yield trend.series.metric, one.run.path, two.run.path
