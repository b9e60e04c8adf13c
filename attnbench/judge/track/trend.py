"""What became of one series: its change from the first run to the last, and its steps.

An exact figure steps wherever it changes. A noisy one steps where ``steps`` finds it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from attnbench.core.metrics import SHARES
from attnbench.core.statistics import Estimate
from attnbench.judge.track.history import TrendPoint, TrendSeries
from attnbench.judge.track.steps import FEWEST, Noise, Stretch, find_levels, noise_of
from attnbench.judge.verdicts import VERDICTS


@dataclass(frozen=True)
class LevelStep:
    """A change of level that lasts: ``at`` is the place of the first run after it among the series' points.

    ``before`` and ``after`` are the levels, in base units, or verdicts; ``size`` is their difference with its 95 % interval,
    without ends where it is exact, and ``None`` between verdicts. ``runs`` are how many lie at the two levels.
    """

    series: TrendSeries
    at: int
    before: float | str
    after: float | str
    size: Estimate | None
    runs: tuple[int, int]
    causes: tuple[str, ...] = ()

    @property
    def last(self) -> TrendPoint:
        """The last run before the step."""
        return self.series.points[self.at - 1]

    @property
    def first(self) -> TrendPoint:
        """The first run after the step."""
        return self.series.points[self.at]

    @property
    def worse(self) -> bool:
        """Whether the new level is the worse one; never where neither direction is."""
        if isinstance(self.before, str) or isinstance(self.after, str):
            return VERDICTS.index(str(self.after)) < VERDICTS.index(str(self.before))
        better = self.series.newest.better
        return self.after > self.before if better == "lower" else better == "higher" and self.after < self.before

    @property
    def reaches(self) -> float:
        """How large it may be, in %: the far end of its interval, in points of a share or in % of the level before.

        Infinite for a verdict, and for what was 0.
        """
        if self.size is None or isinstance(self.before, str):
            return float("inf")
        end = self.size.high if self.size.value > 0 else self.size.low
        far = abs(self.size.value if end is None else end)
        if self.series.metric.partition("@")[0] in SHARES:
            return 100 * far
        return 100 * far / abs(self.before) if self.before else float("inf")


@dataclass(frozen=True)
class Trend:
    """A series with what became of it.

    ``change`` is the last figure less the first, with the 95 % interval of run-to-run noise, in base units. ``levels`` are
    the stretches between its steps, none for an exact series. ``apart`` are the places of runs that lie apart from their
    neighbours. ``searched`` says whether steps were looked for: a noisy series may be too short.
    """

    series: TrendSeries
    change: Estimate | None
    steps: tuple[LevelStep, ...] = ()
    levels: tuple[Stretch, ...] = ()
    apart: frozenset[int] = frozenset()
    searched: bool = True

    @property
    def undecided(self) -> int:
        """How many of the newest runs lie apart from those before them: a step that began, or bad runs."""
        last = len(self.series.points) - 1
        return next(number for number in range(len(self.apart) + 1) if last - number not in self.apart)


def trends_of(series: Sequence[TrendSeries]) -> tuple[Trend, ...]:
    """The trend of each series; those in which steps are looked for share one chance of a false step."""
    noises = [None if one.newest.exact else noise_of(_values(one), [p.figure.error for p in one.points]) for one in series]
    family = sum(noise is not None and len(one.points) >= FEWEST for one, noise in zip(series, noises, strict=True))
    return tuple(
        _exact(one) if one.newest.exact else _noisy(one, noise, max(1, family))
        for one, noise in zip(series, noises, strict=True)
    )


def _values(series: TrendSeries) -> list[float]:
    return [float(point.figure.value) for point in series.points]


def _noisy(series: TrendSeries, noise: Noise | None, family: int) -> Trend:
    if noise is None:
        return Trend(series, None, searched=False)
    values = _values(series)
    found = find_levels(values, noise, family)
    change, reach = values[-1] - values[0], math.hypot(noise.reach(slice(1)), noise.reach(slice(-1, None)))
    steps = tuple(
        LevelStep(series, two.start, one.mean.value, two.mean.value, size, (one.end - one.start, two.end - two.start))
        for size, (one, two) in zip(found.steps, pairwise(found.levels), strict=True)
    )
    return Trend(
        series, Estimate(change, change - reach, change + reach), steps, found.levels, found.apart, len(values) >= FEWEST
    )


def _exact(series: TrendSeries) -> Trend:
    values = [point.figure.value for point in series.points]
    edges = [0, *(at for at in range(1, len(values)) if values[at] != values[at - 1]), len(values)]
    steps = (
        LevelStep(series, at, values[start], values[at], _difference(values[start], values[at]), (at - start, end - at))
        for start, at, end in zip(edges, edges[1:], edges[2:], strict=False)
    )
    return Trend(series, _difference(values[0], values[-1]), tuple(steps))


def _difference(one: float | str, two: float | str) -> Estimate | None:
    if isinstance(one, str) or isinstance(two, str):
        return None
    return Estimate(two - one, None, None)
