"""Where a noisy series changes its level for good: steps, not noise and not bad runs.

**The noise.** A run counts by the standard error of its replicates, or by the median run's where that is larger: three
replicates may lie close together by luck, and no run shall decide alone for that. Where neighbouring runs differ by more
than this promises, all count by so much less: by the median difference of single runs or, so that noise that lasts for
several runs counts as what it is, by the lower quartile of those of stretches of ``SHORTEST`` runs, which no steps move.

**Steps.** Of all ways to give each run a level, that one counts which has the least sum of losses with a penalty for each
change of the level. The loss of a run is the square of its distance from the level in deviations, and no more than a bound.
The gain of a change is then that of Student's statistic, so the penalty is the square of the quantile that noise passes with
a chance of ``FALSE_RATE``, divided by the number of series and of places for a change (Bonferroni).

**Bad runs.** The bound is such that a change pays from its n-th run on, however far these lie, and not before: fewer are
bad runs, at the newest end or at the oldest. Between two levels that are the same, a change and its return cost two
penalties, so that it takes twice as many to make two steps of them. n is ``SHORTEST``, or more in a series in which runs lie
apart by themselves, for a fault of the machine or because two machines bear one id: as many as would all be bad in one of
``1 / FALSE_RATE`` histories, were they so by chance at the rate at which this one's are.

So it is robust to single bad runs of any size, to up to one run in five being bad, and to as many bad runs in a row as their
rate explains. It is not robust to more runs in a row that are bad together, to half of the runs coming from another machine
(their difference is then taken for noise, and a step must be larger), and to noise that lasts for weeks; a slow drift is
several small steps. What is bad for fewer than twice n runs and good again is told as runs that lie apart, and not as steps.

Every constant comes from ``benchmarks/calibration/steps.py``; ``results/calibration/steps.md`` has a column for each piece
left out or set otherwise.

Sources: Fearnhead and Rigaill, *Changepoint detection in the presence of outliers*, Journal of the American Statistical
Association 114 (2019), for the bounded loss; Jackson and others, *An algorithm for optimal partitioning of data on an
interval*, IEEE Signal Processing Letters 12 (2005), for the cuts; Fryzlewicz, *Wild binary segmentation*, Annals of
Statistics 42 (2014), for the noise.

Rejected: to bring each run to within a deviation of the median of five and to cut by squares, as was here before (steps
in 28 % of histories of 60 runs of which every fifth is bad, and in 20 % of those of 500 of which every twentieth is; now in
2.5 % and in none); E-divisive with a t test, as in Hunter (``apache-otava`` 0.8), and PELT with Schwarz's penalty
(``ruptures`` 1.1.10): steps in 5 to 46 % of series of noise and at single bad runs, for they correct neither for places nor
for series and know no errors of points; permutation and rank tests: two or three runs among sixty cannot reach a level of
1 in 10,000.
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


APART = 4.0
"""Deviations from its level beyond which a run is said to lie apart, and counts in no mean."""

FINE = 10
"""Levels that are tried in a deviation, near each run."""


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

    def reach(self, where: slice | NDArray[np.intp] = slice(None), confidence: float = 0.95) -> float:
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
    runs = len(series)
    edges, apart = [0, runs], np.zeros(runs, bool)
    if runs >= FEWEST:
        price, lasting = penalty(runs, noise, family), SHORTEST
        while True:
            edges, levels = cut(series, noise.deviations, price, bound(price, lasting))
            apart = np.abs(series - levels) > APART * noise.deviations
            needed = explained(int(apart.sum()), runs)
            if needed <= lasting:
                break
            lasting = needed
    found = tuple(_stretch(series, noise, start, end, apart) for start, end in pairwise(edges))
    steps = tuple(_step(one, two) for one, two in pairwise(found))
    return SeriesLevels(tuple(one for one, _ in found), steps, frozenset(np.flatnonzero(apart).tolist()))


def bound(price: float, lasting: int) -> float:
    """The most that a run may lose: so many runs pay for a change, and one fewer does not."""
    return price / (lasting - 0.9)


def explained(bad: int, runs: int) -> int:
    """How many runs in a row must be bad to be more than chance, where ``bad`` of them lie apart."""
    if not bad:
        return SHORTEST
    return min(runs, max(SHORTEST, math.ceil(math.log(FALSE_RATE / runs) / math.log(bad / (runs + 1)))))


def cut(series: Array, deviations: Array, price: float, most: float) -> tuple[list[int], Array]:
    """The edges of the stretches, 0 and the length among them, and each run's level, at the least loss in all.

    One level is carried to the next run, or the best of all is changed for another at the price (Viterbi's way).
    """
    step = float(deviations.min()) / FINE
    lowest, near = series.min(), np.arange(-FINE, FINE + 1)
    levels = lowest + step * np.unique(np.round((series - lowest) / step)[:, None] + near)
    losses = np.minimum(((series[:, None] - levels) / deviations[:, None]) ** 2, most)
    best, changed, origins = losses[0], np.zeros(losses.shape, bool), np.zeros(len(series), np.intp)
    for at in range(1, len(series)):
        origins[at] = best.argmin()
        changed[at] = best > best[origins[at]] + price
        best = np.minimum(best, best[origins[at]] + price) + losses[at]
    level, edges, found = int(best.argmin()), [len(series)], np.empty(len(series))
    for at in range(len(series) - 1, -1, -1):
        found[at] = levels[level]
        if changed[at, level]:
            edges.append(at)
            level = int(origins[at])
    return [0, *edges[::-1]], found


def penalty(runs: int, noise: Noise, family: int) -> float:
    """What a cut must gain: the square of Student's statistic that noise reaches too rarely."""
    places = runs - FEWEST + 1
    return student_quantile(1 - FALSE_RATE / (2 * family * places), noise.degrees) ** 2


def _sums(values: Array) -> Array:
    return np.concatenate((np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)), axis=-1)


def _stretch(series: Array, noise: Noise, start: int, end: int, apart: NDArray[np.bool_]) -> tuple[Stretch, float]:
    """A stretch with the mean of the runs that do not lie apart, and half the width of its interval."""
    where = np.arange(start, end)
    own = where[~apart[where]] if not apart[where].all() else where
    mean = float(np.average(series[own], weights=noise.deviations[own] ** -2))
    reach = noise.reach(own)
    return Stretch(start, end, Estimate(mean, mean - reach, mean + reach)), reach


def _step(one: tuple[Stretch, float], two: tuple[Stretch, float]) -> Estimate:
    """The second level less the first, with its 95 % interval."""
    size, reach = two[0].mean.value - one[0].mean.value, math.hypot(one[1], two[1])
    return Estimate(size, size - reach, size + reach)
