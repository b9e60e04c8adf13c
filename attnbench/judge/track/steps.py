"""Where a noisy series changes its level for good: steps, told from noise, from noise that lasts, and from single bad runs.

**The noise.** A run counts by the standard error of its replicates, or by the median run's where that is larger: three
replicates may lie close together by luck, and no run shall decide alone for that. By how much runs scatter beyond this, the
series itself tells: by the median absolute difference of neighbouring runs, and, once what surely are steps is taken out,
of the means of neighbouring stretches of 2, 4 and 8 runs, whichever is largest, so that noise that lasts for several runs
counts as what it is. That is shrunk towards what the replicates promise, as if they knew it with ``PRIOR`` degrees of
freedom, and is never below it.

**Bad runs.** A run that lies further than ``REACH`` deviations from the median of the five around it is set back to that
distance, and a step must have three runs on either side that lie nearer to their own level, as they were. One run that
differs is no step, nor are two; so the newest step is found with its third run.

**Steps.** Of all ways to cut the series into stretches of ``SHORTEST`` runs at least, that one counts which has the least
sum of squares with a penalty for each cut. The gain of a cut is the square of Student's statistic of the two means beside
it, so the penalty is the square of the quantile that noise passes with a chance of ``FALSE_RATE``, divided by the number of
series and of places for a cut (Bonferroni): of all reports on nothing but noise, however many series they have, that share
at most shows a step.

Simulated (and in ``tests/test_tracking.py``, in short): three replicates a run that scatter by 0.1 points, 100 series. Of
noise, no step in 2,000 series each of 6 to 60 runs, nor where a fifth of the runs scatters three times as much, where the
tails are those of Student's t with three degrees, where runs scatter by twice what their replicates show, nor in a month of
reports, one after each run. A step of 1 point is found with its third run in 98 % of series that have three runs before it,
in all that have ten, and one of 0.3 points after 60 runs in 83 %, in all with its tenth. Two bad runs at the end pass for a
step in one series of 1,000; of one series alone, which is held against a lower bar, in 2 %. In the 464 figures of
``results/calibration/aa_attributed.json``, where nothing changed, there is none.

What it cannot know: noise that lasts for weeks is a step to it, and a slow drift is several small ones. Noise with a
correlation of 0.6 between neighbours and twice what replicates show has a step in 1 % of series.

Sources: Jackson and others, *An algorithm for optimal partitioning of data on an interval*, IEEE Signal Processing Letters
12 (2005), for the cuts; Pearson, *Outliers in process modeling and identification*, IEEE Transactions on Control Systems
Technology 10 (2002), for the bad runs (Hampel's identifier); Fryzlewicz, *Wild binary segmentation for multiple
change-point detection*, Annals of Statistics 42 (2014), for the noise by differences; Smyth, *Linear models and empirical
Bayes methods*, Statistical Applications in Genetics and Molecular Biology 3 (2004), for the shrinking.

Rejected after the same simulations: E-divisive with a t test, as in Hunter (``apache-otava`` 0.8): steps in 5 to 17 % of
series of noise, for it corrects neither for places nor for series, at one bad last run in 99 %, and five in the
calibration's figures; it also brings clients of Slack, BigQuery and PostgreSQL and pins numpy to 2.2. PELT with Schwarz's
penalty (``ruptures`` 1.1.10, well kept, needs numpy and scipy alone): steps in 9 to 46 % of series of noise and at every
single bad run, for its costs know no errors of points; the noise, the bad runs and the penalty, which decide, would still
be ours, and the cut itself is the twenty lines of ``_cut``, 0.4 ms a series. Permutation and rank tests: two or three runs
among sixty cannot reach a level of 1 in 10,000. A cost with bounded loss (Fearnhead and Rigaill 2019): does what setting
back does, with more code. asv's weighted absolute deviations: its penalty is one that "appears to work", by its own word.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from attnbench.core.statistics import Estimate, student_quantile

FALSE_RATE = 0.01
"""Chance that a report of noise alone shows any step, at most."""

SHORTEST = 3
"""Runs on either side of a step, at least."""

FEWEST = 2 * SHORTEST
"""Runs that a series needs for a step to be looked for."""

REACH = 2.5
"""Deviations beyond which a run is set back towards its neighbours."""

APART = 4.0
"""Deviations beyond which a run is said to lie apart."""

NEIGHBOURS = 5
PRIOR = 4
"""Degrees of freedom that the replicates' own promise counts for."""

SHARE = 0.25
"""Degrees of freedom that one run adds to what the series tells of its noise: a median, of differences that overlap."""

MOST = 30
"""Degrees of freedom at most: however long a series, nobody knows that its tails are normal."""

SPANS = (2, 4, 8)
SPANS_NEED = 12
"""A stretch of so many runs is looked at where the series holds it so many times."""

SURE = 10.0
"""Student's statistic of a step that no noise explains, not even one that lasts."""

TINY = 1e-100
"""A deviation of figures that are all the same; its square is still a number."""

NORMAL_MEDIAN = 1.4826
"""Standard deviation over median absolute deviation of normal noise."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """How far each run may lie from its level: standard deviations, and the degrees of freedom that they rest on."""

    deviations: Array
    degrees: int

    def reach(self, where: slice = slice(None), confidence: float = 0.95) -> float:
        """Half the width of the interval of the mean of these runs."""
        return student_quantile(0.5 + confidence / 2, self.degrees) * _deviation_of_mean(self.deviations[where])


@dataclass(frozen=True)
class Level:
    """A stretch of runs at one level: from ``start`` up to and without ``end``, and the mean with its 95 % interval."""

    start: int
    end: int
    mean: Estimate


@dataclass(frozen=True)
class Levels:
    """A series as stretches, with a step from each to the next; ``apart`` are runs that lie apart from their neighbours."""

    levels: tuple[Level, ...]
    steps: tuple[Estimate, ...]
    apart: frozenset[int]


def noise_of(values: Sequence[float], errors: Sequence[float | None]) -> Noise | None:
    """The noise of a series; ``None`` where neither its own scatter nor its replicates' could tell.

    A run without an error, beside others that have one, has fewer replicates than they: it counts as the worst of them.
    """
    known = [error for error in errors if error is not None]
    promised = 2 * len(known) >= len(values)
    if len(values) < 2 or (not promised and len(values) < FEWEST):
        return None
    series = np.asarray(values, float)
    least = 1e-6 * float(np.ptp(series))  # where figures repeat themselves to the last digit, any lasting change counts
    unit = np.ones(len(series))
    if promised:
        unit = np.array([max(known) if error is None else error for error in errors])
        unit = np.maximum(np.maximum(unit, np.median(unit)), max(least, TINY))
    floor = max(least, TINY)
    beyond, own = _scatter(series, unit, floor), SHARE * (len(series) - 1)
    if not promised:
        return Noise(np.maximum(beyond * unit, floor), min(MOST, max(1, int(own))))
    shrunk = (PRIOR + own * beyond**2) / (PRIOR + own)
    return Noise(np.sqrt(max(1.0, shrunk)) * unit, min(MOST, int(PRIOR + own)))


def find_levels(values: Sequence[float], noise: Noise, family: int) -> Levels:
    """The stretches of a series that is one of ``family`` in which steps are looked for."""
    series = np.asarray(values, float)
    if len(series) < FEWEST:
        return Levels((_level(series, noise, 0, len(series)),), (), frozenset())
    cleaned, apart = _set_back(series, noise.deviations)
    places = len(series) - FEWEST + 1
    bar = student_quantile(1 - FALSE_RATE / (2 * family * places), noise.degrees)
    edges = _carried(series, _cut(cleaned, noise.deviations, bar**2))
    levels = tuple(_level(cleaned, noise, start, end) for start, end in pairwise(edges))
    return Levels(levels, tuple(_step(noise, one, two) for one, two in pairwise(levels)), apart)


def _scatter(series: Array, unit: Array, floor: float) -> float:
    """By how much neighbours scatter, as a multiple of what ``unit`` promises; 1 where it holds.

    Single runs first; then, without what surely are steps and bad runs by that, stretches of runs.
    """
    near = _typical(_differences(series, unit, 1))
    spans = [span for span in SPANS if len(series) >= SPANS_NEED * span]
    if not spans:
        return near
    deviations = np.maximum(near * unit, floor)
    rest, _ = _set_back(series, deviations)
    for start, end in pairwise(_cut(rest, deviations, SURE**2)):
        rest[start:end] -= np.average(rest[start:end], weights=deviations[start:end] ** -2)
    return max(near, *(_typical(_differences(rest, unit, span)) for span in spans))


def _typical(differences: Array) -> float:
    """The standard deviation of most of them: a few that are far larger do not move it."""
    return NORMAL_MEDIAN * float(np.median(np.abs(differences)))


def _differences(series: Array, unit: Array, span: int) -> Array:
    """Differences between the means of neighbouring stretches, over the deviations that they should have."""
    means = np.convolve(series, np.full(span, 1 / span), "valid")
    variances = np.convolve(unit**2, np.full(span, 1 / span**2), "valid")
    found: Array = (means[span:] - means[:-span]) / np.sqrt(variances[span:] + variances[:-span])
    return found


def _set_back(series: Array, deviations: Array) -> tuple[Array, frozenset[int]]:
    """The series with runs that lie apart brought back to their neighbours, and which these are."""
    starts = np.clip(np.arange(len(series)) - NEIGHBOURS // 2, 0, len(series) - NEIGHBOURS)
    middle = np.median(series[starts[:, None] + np.arange(NEIGHBOURS)], axis=1)
    cleaned = np.clip(series, middle - REACH * deviations, middle + REACH * deviations)
    return cleaned, frozenset(np.flatnonzero(np.abs(series - middle) > APART * deviations).tolist())


def _cut(series: Array, deviations: Array, penalty: float) -> list[int]:
    """The edges of the stretches: 0, the first run of each next one, and the length."""
    weights, centred = deviations**-2, series - np.median(series)
    number, total, square = (_sums(weights * centred**power) for power in range(3))
    best, earlier = np.full(len(series) + 1, np.inf), np.zeros(len(series) + 1, int)
    best[0] = -penalty
    for end in range(SHORTEST, len(series) + 1):
        starts = slice(0, end - SHORTEST + 1)
        spread = square[end] - square[starts] - (total[end] - total[starts]) ** 2 / (number[end] - number[starts])
        costs = best[starts] + spread + penalty
        earlier[end] = np.argmin(costs)
        best[end] = costs[earlier[end]]
    edges = [len(series)]
    while edges[-1]:
        edges.append(int(earlier[edges[-1]]))
    return edges[::-1]


def _carried(series: Array, edges: list[int]) -> list[int]:
    """The edges with ``SHORTEST`` runs on either side that lie, as they were, nearer to their own level than to the other.

    So two bad runs do not become a step by a third that lies but a little to their side.
    """
    for one, at, two in zip(edges, edges[1:], edges[2:], strict=False):
        before, after = series[one:at], series[at:two]
        low, high = np.median(before), np.median(after)
        own = (np.abs(before - low) < np.abs(before - high), np.abs(after - high) < np.abs(after - low))
        if min(map(np.count_nonzero, own)) < SHORTEST:
            return _carried(series, [edge for edge in edges if edge != at])
    return edges


def _sums(values: Array) -> Array:
    return np.concatenate(([0.0], np.cumsum(values)))


def _level(series: Array, noise: Noise, start: int, end: int) -> Level:
    where = slice(start, end)
    mean = float(np.average(series[where], weights=noise.deviations[where] ** -2))
    reach = noise.reach(where)
    return Level(start, end, Estimate(mean, mean - reach, mean + reach))


def _step(noise: Noise, one: Level, two: Level) -> Estimate:
    """The second level less the first, with its 95 % interval."""
    size = two.mean.value - one.mean.value
    reach = math.hypot(*(noise.reach(slice(level.start, level.end)) for level in (one, two)))
    return Estimate(size, size - reach, size + reach)


def _deviation_of_mean(deviations: Array) -> float:
    return float(np.sum(deviations**-2) ** -0.5)
