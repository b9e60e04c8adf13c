"""Where a noisy series changes its level for good: steps, not noise and not single bad runs.

**The noise.** A run counts by the standard error of its replicates, or by the median run's where that is larger: three
replicates may lie close together by luck, and no run shall decide alone for that. Where neighbouring runs differ by more
than this promises, all count by so much less: by the median difference of single runs or, so that noise that lasts for
several runs counts as what it is, by the lower quartile of those of stretches of ``SHORTEST`` runs, which no steps move.

**Steps.** Each run is brought to within ``REACH`` deviations of the median of the five around it: one run that differs is
no step, nor are two; so the newest step is found with its third run. Of all ways to cut this into stretches of
``SHORTEST`` runs at least, that one counts which has the least sum of squares with a penalty for each cut. The gain of a cut
is the square of Student's statistic of the two means beside it, so the penalty is the square of the quantile that noise
passes with a chance of ``FALSE_RATE``, divided by the number of series and of places for a cut (Bonferroni).

Every constant comes from ``benchmarks/calibration/steps.py``; ``results/calibration/steps.md`` has a column for each piece
left out or set otherwise.

What it cannot know: noise that lasts for weeks is a step to it, and a slow drift is several small ones.

Sources: Jackson and others, *An algorithm for optimal partitioning of data on an interval*, IEEE Signal Processing Letters
12 (2005), for the cuts; Pearson, *Outliers in process modeling and identification*, IEEE Trans. Control Systems Tech. 10
(2002), for the bad runs; Fryzlewicz, *Wild binary segmentation*, Annals of Statistics 42 (2014), for the noise.

Rejected: E-divisive with a t test, as in Hunter (``apache-otava`` 0.8), and PELT with Schwarz's penalty (``ruptures``
1.1.10): steps in 5 to 46 % of series of noise and at single bad runs, for they correct neither for places nor for series
and know no errors of points. Permutation and rank tests: two or three runs among sixty cannot reach a level of 1 in 10,000.
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

REACH = 1.0
"""Deviations that a run may lie from the median of its neighbours, to count in a cut."""

APART = 4.0
"""Deviations beyond which a run is said to lie apart, and set back before it counts in a level."""

NEIGHBOURS = 5
"""Runs around a run, itself included: the fewest of which three outvote two bad ones."""

LASTING = 8 * SHORTEST
"""Runs that a series needs for its stretches to tell how long its noise lasts."""

PROMISED, PER_RUN = 6, 1 / 4
"""Degrees of freedom of the noise: those of the replicates' errors, and what each run adds."""

TINY = 1e-100
"""A deviation of figures that are all the same; its square is still a number."""

NORMAL_MEDIAN, NORMAL_QUARTILE = 0.6745, 0.3186
"""Of the absolute value of normal noise, in standard deviations."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """How far each run may lie from its level: standard deviations, and the degrees of freedom that they rest on."""

    deviations: Array
    degrees: int

    def reach(self, where: slice = slice(None), confidence: float = 0.95) -> float:
        """Half the width of the interval of the mean of these runs."""
        deviation = float(np.sum(self.deviations[where] ** -2) ** -0.5)
        return student_quantile(0.5 + confidence / 2, self.degrees) * deviation


@dataclass(frozen=True)
class Stretch:
    """Runs at one level: from ``start`` up to and without ``end``, and the mean with its 95 % interval."""

    start: int
    end: int
    mean: Estimate


@dataclass(frozen=True)
class SeriesLevels:
    """A series as stretches, with a step from each to the next; ``apart`` are runs that lie apart from their neighbours."""

    levels: tuple[Stretch, ...]
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
    if promised:
        return noise_by(series, np.array([max(known) if error is None else error for error in errors]))
    return noise_by(series, None)


def noise_by(series: Array, errors: Array | None) -> Noise:
    """The noise of a series, or of many of one length (the last axis), with or without the errors of replicates."""
    least = np.maximum(1e-6 * np.ptp(series, axis=-1, keepdims=True), TINY)  # of figures alike to the last digit
    own = int(PER_RUN * series.shape[-1])
    if errors is None:
        unit = np.ones_like(series)
        return Noise(np.maximum(scatter(series, unit)[..., None] * unit, least), max(1, own))
    unit = np.maximum(np.maximum(errors, np.median(errors, axis=-1, keepdims=True)), least)
    return Noise(np.maximum(scatter(series, unit), 1.0)[..., None] * unit, PROMISED + own)


def scatter(series: Array, unit: Array) -> Array:
    """By how much neighbours scatter, as a multiple of what ``unit`` promises; 1 where it is true."""
    near: Array = np.median(differences(series, unit, 1), axis=-1) / NORMAL_MEDIAN
    if series.shape[-1] < LASTING:
        return near
    return np.maximum(near, np.quantile(differences(series, unit, SHORTEST), 0.25, axis=-1) / NORMAL_QUARTILE)


def differences(series: Array, unit: Array, span: int) -> Array:
    """How far apart the means of neighbouring stretches are, over the deviations that this should have."""
    means, variances = (_sums(values)[..., span:] - _sums(values)[..., :-span] for values in (series, unit**2))
    found = (means[..., span:] - means[..., :-span]) / np.sqrt(variances[..., span:] + variances[..., :-span])
    return np.abs(found)


def find_levels(values: Sequence[float], noise: Noise, family: int) -> SeriesLevels:
    """The stretches of a series that is one of ``family`` in which steps are looked for."""
    series = np.asarray(values, float)
    if len(series) < FEWEST:
        return SeriesLevels((_stretch(series, noise, 0, len(series)),), (), frozenset())
    cuts = cut(near_neighbours(series, noise.deviations, REACH), noise.deviations, penalty(len(series), noise, family))
    used = near_neighbours(series, noise.deviations, APART)
    levels = tuple(_stretch(used, noise, start, end) for start, end in pairwise(edges(cuts)))
    apart = frozenset(np.flatnonzero(used != series).tolist())
    return SeriesLevels(levels, tuple(_step(noise, one, two) for one, two in pairwise(levels)), apart)


def near_neighbours(series: Array, deviations: Array, reach: float) -> Array:
    """The series with each run brought to within so many deviations of the median of the runs around it."""
    runs = series.shape[-1]
    starts = np.clip(np.arange(runs) - NEIGHBOURS // 2, 0, runs - NEIGHBOURS)
    middle = np.median(series[..., starts[:, None] + np.arange(NEIGHBOURS)], axis=-1)
    return np.clip(series, middle - reach * deviations, middle + reach * deviations)


def penalty(runs: int, noise: Noise, family: int) -> float:
    """What a cut must gain: the square of Student's statistic that noise reaches too rarely."""
    places = runs - FEWEST + 1
    return student_quantile(1 - FALSE_RATE / (2 * family * places), noise.degrees) ** 2


def cut(series: Array, deviations: Array, price: float) -> NDArray[np.intp]:
    """For each number of first runs where their last stretch starts, in the best way to cut them."""
    weights, centred = deviations**-2, series - np.median(series, axis=-1, keepdims=True)
    number, total, square = (_sums(weights * centred**power) for power in range(3))
    best, starts = np.full(number.shape, np.inf), np.zeros(number.shape, np.intp)
    best[..., 0] = -price
    for end in range(SHORTEST, number.shape[-1]):
        first = slice(0, end - SHORTEST + 1)
        size, sum_, squares = (sums[..., end, None] - sums[..., first] for sums in (number, total, square))
        costs = best[..., first] + squares - sum_**2 / size + price
        starts[..., end], best[..., end] = costs.argmin(-1), costs.min(-1)
    return starts


def edges(starts: NDArray[np.intp]) -> list[int]:
    """The edges of the stretches of one series: 0, the first run of each next one, and the length."""
    found = [len(starts) - 1]
    while found[-1]:
        found.append(int(starts[found[-1]]))
    return found[::-1]


def _sums(values: Array) -> Array:
    return np.concatenate((np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)), axis=-1)


def _stretch(series: Array, noise: Noise, start: int, end: int) -> Stretch:
    where = slice(start, end)
    mean = float(np.average(series[where], weights=noise.deviations[where] ** -2))
    reach = noise.reach(where)
    return Stretch(start, end, Estimate(mean, mean - reach, mean + reach))


def _step(noise: Noise, one: Stretch, two: Stretch) -> Estimate:
    """The second level less the first, with its 95 % interval."""
    size = two.mean.value - one.mean.value
    reach = math.hypot(*(noise.reach(slice(level.start, level.end)) for level in (one, two)))
    return Estimate(size, size - reach, size + reach)
