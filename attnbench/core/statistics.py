"""Intervals for noisy figures: few lines of arithmetic, each with its source.

Two kinds of sample reach this module. *Replicates* are one figure from each of several fresh processes, and the process
is the unit of the interval. *Pairs* are the log ratios of interleaved runs inside one process.

Replicates are taken until the interval is narrow enough, and a rule that looks at the interval after each one stops by
preference where the spread is small by luck: simulated, intervals of nominally 95 % hold 91 to 93 %. Stein's two-stage
procedure does not: the spread of the first stage alone says how many are needed and how wide the interval is.

Runs of one process share its memory layout. Pairs of several are pooled where no such thing shows (``unlike_groups``).

Rejected: a percentile bootstrap (it undercovers below about 40 pairs).
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from statistics import fmean, median

BLOCKS_FROM, BLOCK_LENGTH, FEWEST_BLOCKS = 40, 10, 6


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


@dataclass(frozen=True)
class Mean:
    """A mean as far as it is known: its variance (the square of its standard error), and the degrees of freedom of that."""

    value: float
    variance: float
    degrees: float

    def interval(self, confidence: float = 0.95) -> Estimate:
        """Student's interval."""
        half = student_quantile(0.5 + confidence / 2, self.degrees) * math.sqrt(self.variance)
        return Estimate(self.value, self.value - half, self.value + half)

    def less(self, other: "Mean") -> "Mean":
        """The difference to another one, with the degrees that Welch and Satterthwaite give it.

        Neither need scatter as the other does. Source: Welch, *The generalization of "Student's" problem when several
        different population variances are involved*, Biometrika 34 (1947).
        """
        whole = self.variance + other.variance
        parts = sum(one.variance**2 / one.degrees for one in (self, other))
        degrees = whole**2 / parts if parts else min(self.degrees, other.degrees)
        return Mean(self.value - other.value, whole, degrees)

    @property
    def chance(self) -> float:
        """The chance of a value so far from 0, on either side, where 0 is true."""
        if not self.variance:
            return 0.0 if self.value else 1.0
        from scipy.special import stdtr  # noqa: PLC0415  scipy is slow to import

        return 2 * float(stdtr(self.degrees, -abs(self.value) / math.sqrt(self.variance)))


def replicate_interval(replicates: Sequence[float]) -> Estimate:
    """Mean of independent replicates with Student's t interval. One replicate has no interval.

    Source: any text on the mean of a small normal sample; the replicates are process medians, which are near normal.
    """
    return two_stage_interval(replicates, len(replicates))


def two_stage_interval(replicates: Sequence[float], first: int) -> Estimate:
    """Mean of all replicates with Stein's interval, whose spread is that of the ``first`` ones.

    They were taken before the others were decided on, so that the interval holds its confidence however many followed.
    Source: Stein, *A two-sample test for a linear hypothesis whose power is independent of the variance*, Annals of
    Mathematical Statistics 16 (1945).
    """
    if not replicates:
        raise ValueError("no replicates")
    found = two_stage_mean(replicates, first)
    return found.interval() if found else Estimate(fmean(replicates), None, None)


def two_stage_mean(replicates: Sequence[float], first: int) -> Mean | None:
    """The same as a mean with its variance; ``None`` where the first stage is fewer than two."""
    seen = replicates[:first]
    return Mean(fmean(replicates), sample_variance(seen) / len(replicates), len(seen) - 1) if len(seen) > 1 else None


def difference_interval(
    one: Sequence[float], two: Sequence[float], confidence: float = 0.95, first: tuple[int, int] | None = None
) -> Estimate:
    """Difference of the means of two series of replicates (the second less the first), each with its own spread.

    ``first`` are how many of each were taken before the others were decided on; all, if it is not given. Two each are the
    least. Source: Welch's interval (``Mean.less``), each spread by Stein's first stage.
    """
    stages = first or (len(one), len(two))
    before, after = two_stage_mean(one, stages[0]), two_stage_mean(two, stages[1])
    if before is None or after is None:
        raise ValueError("each series needs two replicates")
    return after.less(before).interval(confidence)


def sample_variance(values: Sequence[float]) -> float:
    """The variance of two values or more.

    Rejected: ``statistics.variance``, which computes in fractions and takes thirty times as long.
    """
    mean = math.fsum(values) / len(values)
    return math.fsum([(x - mean) ** 2 for x in values]) / (len(values) - 1)


def variance_of_mean(replicates: Sequence[float]) -> float:
    """How far the mean of two replicates or more may lie from the truth: the square of its standard error."""
    return sample_variance(replicates) / len(replicates)


def noise_floor(one: Sequence[float], two: Sequence[float]) -> tuple[float, float]:
    """What a measurement resolves that was made twice: the smallest overhead, and the smallest difference between two.

    The second is the half width of the difference's interval, or the difference seen if that is larger. The first, for one
    mean against a fixed value, is smaller by the root of two.
    """
    found = difference_interval(one, two)
    half = found.value - (found.low or 0.0)
    return half / math.sqrt(2), max(abs(found.value), half)


@cache
def student_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit  # noqa: PLC0415  scipy is slow to import and only the measuring side needs it

    return float(stdtrit(degrees, probability))


def walsh_averages(values: Sequence[float]) -> list[float]:
    """All averages of two of the values, each value with itself too, in ascending order: n(n+1)/2 of them."""
    return sorted([(a + b) / 2 for i, a in enumerate(values) for b in values[i:]])


def signed_rank_interval(differences: Sequence[float]) -> Estimate:
    """Hodges-Lehmann centre of paired differences with the exact 95 % interval that inverts Wilcoxon's signed-rank test.

    The ends are order statistics of the Walsh averages. Below six pairs no such interval reaches 95 %, and the ends are
    ``None``. Source: Hollander, Wolfe and Chicken, *Nonparametric Statistical Methods*, 3rd ed., section 3.3.
    """
    if not differences:
        raise ValueError("no pairs")
    averages = walsh_averages(differences)
    centre = median(averages)
    rank = signed_rank_critical(len(differences), 0.05)
    if rank is None:
        return Estimate(centre, None, None)
    return Estimate(centre, averages[rank], averages[-1 - rank])


def median_interval(values: Sequence[float]) -> Estimate:
    """Median with the exact 95 % interval that inverts the sign test: for many values, whatever each is wrong by.

    Below six no such interval reaches 95 %, and the ends are ``None``. Source: Hollander, Wolfe and Chicken, section 3.6.
    """
    from scipy.special import bdtrik  # noqa: PLC0415  scipy is slow to import

    if len(values) < 6:
        return Estimate(median(values), None, None)
    ordered, rank = sorted(values), math.floor(bdtrik(0.025, len(values), 0.5))
    return Estimate(median(ordered), ordered[rank], ordered[-1 - rank])


def blocks(values: Sequence[float]) -> list[float]:
    """Medians of runs of neighbours, about ten each and six of them at least, from 40 values on; fewer stay as they are.

    The noise of neighbouring pairs is correlated; that of neighbouring blocks hardly is, so that blocks can be counted.
    """
    if len(values) < BLOCKS_FROM:
        return list(values)
    return medians(values, max(FEWEST_BLOCKS, len(values) // BLOCK_LENGTH))


def medians(values: Sequence[float], number: int) -> list[float]:
    """Medians of so many runs of neighbours, as equal in length as can be; no more than there are values."""
    number = min(number, len(values))
    edges = [round(index * len(values) / number) for index in range(number + 1)] if number else []
    return [median(values[start:end]) for start, end in pairwise(edges)]


def unlike_groups(groups: Sequence[Sequence[float]], alpha: float = 0.01) -> bool:
    """Whether groups of values differ by more than the values of a group do, by the test of Kruskal and Wallis.

    Source: Hollander, Wolfe and Chicken, section 6.1, with its approximation by chi-squared.
    """
    values = sorted(value for group in groups for value in group)
    if len(groups) < 2 or values[0] == values[-1]:
        return False
    from scipy.special import chdtrc  # noqa: PLC0415  scipy is slow to import

    number, middle = len(values), (len(values) + 1) / 2
    ranks = [fmean((bisect_left(values, one) + bisect_right(values, one) + 1) / 2 for one in group) for group in groups]
    spread = sum(len(group) * (rank - middle) ** 2 for group, rank in zip(groups, ranks, strict=True))
    return bool(chdtrc(len(groups) - 1, 12 / (number * (number + 1)) * spread) < alpha)


@cache
def signed_rank_critical(n: int, alpha: float) -> int | None:
    """Largest k with P(W <= k - 1) <= alpha/2 under the null hypothesis, counted from 0; ``None`` where there is none."""
    limit, k = alpha / 2 * 2**n, 0
    below = list(accumulate(_signed_rank_ways(n)))
    while below[k] <= limit:
        k += 1
    return k - 1 if k else None


def signed_rank_chance(differences: Sequence[float]) -> float:
    """The chance of differences so one-sided, either way, where there is none: Wilcoxon's signed-rank test, exact."""
    found = sorted(differences, key=abs)
    positive = sum(rank for rank, one in enumerate(found, start=1) if one > 0)
    least = min(positive, len(found) * (len(found) + 1) // 2 - positive)
    return min(1.0, 2 * sum(_signed_rank_ways(len(found))[: least + 1]) / 2 ** len(found))


@cache
def _signed_rank_ways(n: int) -> list[int]:
    """In how many of the 2**n ways to sign the ranks to ``n`` the positive ones have each sum."""
    ways = [1]
    for rank in range(1, n + 1):
        longer = [0] * (len(ways) + rank)
        for total, number in enumerate(ways):
            longer[total] += number
            longer[total + rank] += number
        ways = longer
    return ways


def quantile(values: Sequence[float], q: float) -> float:
    """Linear-interpolation quantile, the definition numpy and pandas default to."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
