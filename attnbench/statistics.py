"""Intervals for noisy figures: few lines of arithmetic, each with its source.

Two kinds of sample reach this module. *Replicates* are one figure from each of several fresh processes, and the process
is the unit of the interval. *Pairs* are the log ratios of interleaved runs inside one process.

Rejected: a percentile bootstrap (it undercovers below about 40 pairs) and pooling runs of several processes as if they
were independent (runs of one process share its memory layout).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval that holds it with the stated confidence; ends are ``None`` where too little was seen."""

    value: float
    low: float | None
    high: float | None

    def map(self, function: Callable[[float], float]) -> "Estimate":
        """The estimate under an increasing function."""
        ends = (None if end is None else function(end) for end in (self.low, self.high))
        return Estimate(function(self.value), *ends)


def replicate_interval(replicates: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Mean of independent replicates with Student's t interval. One replicate has no interval.

    Source: any text on the mean of a small normal sample; the replicates are process medians, which are near normal.
    """
    if not replicates:
        raise ValueError("no replicates")
    value = fmean(replicates)
    if len(replicates) < 2:
        return Estimate(value, None, None)
    half = student_quantile(0.5 + confidence / 2, len(replicates) - 1) * stdev(replicates) / math.sqrt(len(replicates))
    return Estimate(value, value - half, value + half)


def student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit  # noqa: PLC0415  scipy is slow to import and only the measuring side needs it

    return float(stdtrit(degrees, probability))


def walsh_averages(values: Sequence[float]) -> list[float]:
    """All averages of two of the values, each value with itself too, in ascending order: n(n+1)/2 of them."""
    return sorted((a + b) / 2 for i, a in enumerate(values) for b in values[i:])


def signed_rank_interval(differences: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Hodges-Lehmann centre of paired differences with the exact interval that inverts Wilcoxon's signed-rank test.

    The ends are order statistics of the Walsh averages. Below six pairs no such interval reaches 95 %, and the ends are
    ``None``. Source: Hollander, Wolfe and Chicken, *Nonparametric Statistical Methods*, 3rd ed., section 3.3.
    """
    if not differences:
        raise ValueError("no pairs")
    averages = walsh_averages(differences)
    centre = median(averages)
    rank = signed_rank_critical(len(differences), 1 - confidence)
    if rank is None:
        return Estimate(centre, None, None)
    return Estimate(centre, averages[rank], averages[-1 - rank])


def signed_rank_critical(n: int, alpha: float) -> int | None:
    """Largest k with P(W <= k - 1) <= alpha/2 under the null hypothesis, counted from 0; ``None`` where there is none."""
    ways = [1]
    for rank in range(1, n + 1):
        longer = [0] * (len(ways) + rank)
        for total, number in enumerate(ways):
            longer[total] += number
            longer[total + rank] += number
        ways = longer
    limit, cumulated, k = alpha / 2 * 2**n, 0, 0
    while cumulated + ways[k] <= limit:
        cumulated += ways[k]
        k += 1
    return k - 1 if k else None


def quantile(values: Sequence[float], q: float) -> float:
    """Linear-interpolation quantile, the definition numpy and pandas default to."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
