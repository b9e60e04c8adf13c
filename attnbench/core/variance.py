"""The variance model: how far a mean of few replicates may lie from what another run would say.

Three replicates tell their own scatter badly (the interval of a variance from them spans a factor of 150), and they were
all taken in one run. So two things are added to what a case's own replicates say:

* **What the other cases say.** Scatter follows the overhead. A straight line is fitted through the logarithms of the cases'
  variances, and each variance is drawn towards it: by as much as the line is worth, in degrees of freedom, which the
  variances' own scatter about the line tells. The interval of a case then rests on more degrees of freedom than its own.
* **What other runs say.** Means of equal runs differ by more than their replicates promise. The excess, as a multiple of the
  variance of one replicate, is a property of the machine, estimated from equal runs.

A case whose scatter is unlike that of its neighbours on the line is judged by theirs in part: intervals hold their
confidence over the cases of a run, and not for each one of them. ``results/calibration/coverage.md`` has how well.

Sources: Smyth, *Linear models and empirical Bayes methods for assessing differential expression*, Statistical Applications
in Genetics and Molecular Biology 3 (2004), for the line and its degrees; Satterthwaite, *An approximate distribution of
estimates of variance components*, Biometrics Bulletin 2 (1946), for those of a sum; Currie, *Limits for qualitative
detection and quantitative determination*, Analytical Chemistry 40 (1968), and ISO 11843, for the two limits.

Rejected: Smyth's own height of the line, from the mean of the logarithms. It holds for normal replicates, and measured ones
have longer tails: intervals of equal runs then held 83 % where they hold 87. The mean of the variances over the line is
right whatever the tails, but for what lies so high that it is another matter (``MOST``). The pooled variance of all cases,
for the largest overheads scatter a thousand times as much as the smallest, and an excess in points, for the same reason.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, linear_regression, median

from attnbench.core.statistics import Mean, quantile, sample_variance, student_quantile

FEWEST_CASES, FEWEST_FOR_A_SLOPE = 5, 10
"""Cases from which on variances are drawn together, and from which on they tell the slope of the line, too."""

SLOPE = 1.7
"""The slope of fewer: that of the 85 overheads in ``results/report``."""

STEEPEST = 2 * SLOPE
"""The most that a slope is taken for: that of overheads which are all about the same is noise."""

MOST = 10.0
"""Times the median height above the line that a case counts for: one that was disturbed must not blind the others. Of normal
replicates, three a case, one case in a thousand lies higher."""

LEAST_VARIANCE = 1e-5
"""Of the median variance: replicates that are alike by chance are taken for so much apart, as in Smyth's own programs."""


@dataclass(frozen=True)
class RunToRun:
    """What equal runs differ by beyond their replicates: its variance over that of one replicate.

    ``degrees`` are those that the ratio rests on, ``source`` says which runs.
    """

    ratio: float = 0.0
    degrees: float = math.inf
    source: str = ""


@dataclass(frozen=True)
class VarianceTrend:
    """The variance to expect of one replicate, by the overhead, and the degrees of freedom that this is worth.

    ``pooled`` are the degrees of all cases together: no interval rests on more.
    """

    level: float
    slope: float
    offset: float
    degrees: float
    pooled: float

    def variance(self, overhead: float) -> float:
        """The variance to expect at this overhead."""
        return self.level * (abs(overhead) + self.offset) ** self.slope


@dataclass(frozen=True)
class Moderated:
    """A mean of ``number`` replicates. ``variance`` is that of one of them, on ``degrees``; ``between`` is the machine's."""

    value: float
    variance: float
    degrees: float
    number: int
    between: RunToRun = RunToRun()

    @property
    def within(self) -> Mean:
        """The mean as the replicates of this run tell it."""
        return Mean(self.value, self.variance / self.number, self.degrees)

    @property
    def whole(self) -> Mean:
        """The mean as another run would be expected to tell it."""
        within, runs = 1 / self.number, self.between.ratio
        share = runs / (within + runs)
        degrees = 1 / (1 / self.degrees + share**2 / self.between.degrees)
        return Mean(self.value, self.variance * (within + runs), degrees)

    def needed(self, half_width: float, confidence: float = 0.95) -> int:
        """How many replicates in all give an interval of this half width within the run."""
        if half_width <= 0:
            return sys.maxsize
        errors = student_quantile(0.5 + confidence / 2, self.degrees)
        return math.ceil(errors**2 * self.variance / half_width**2 - 1e-9)


def variance_trend(first_stages: Iterable[Sequence[float]]) -> VarianceTrend | None:
    """What the cases of one host and size say of the variance of one more; ``None`` of too few.

    Each is the replicates of a case's first stage, two at least.
    """
    cases = [stage for stage in first_stages if len(stage) > 1]
    if len(cases) < FEWEST_CASES:
        return None
    found, halves = [sample_variance(stage) for stage in cases], [(len(stage) - 1) / 2 for stage in cases]
    usual = median(found)
    if not usual:
        return None
    offset = math.sqrt(usual)
    places = [math.log(abs(fmean(stage)) + offset) for stage in cases]
    logs = [
        math.log(max(one, LEAST_VARIANCE * usual)) - _digamma(half) + math.log(half)
        for one, half in zip(found, halves, strict=True)
    ]
    sloped = len(cases) >= FEWEST_FOR_A_SLOPE and len(set(places)) > 1
    slope = min(max(0.0, linear_regression(places, logs).slope), STEEPEST) if sloped else SLOPE
    beside = [log - slope * place for place, log in zip(places, logs, strict=True)]
    beyond = sample_variance(beside) * (len(cases) - 1) / (len(cases) - 1 - sloped)
    beyond -= fmean(map(_trigamma, halves))
    degrees = 2 * _inverse_trigamma(beyond) if beyond > 0 else math.inf
    heights = [one / math.exp(slope * place) for place, one in zip(places, found, strict=True)]
    most = MOST * median(heights)
    level = fmean(min(most, height) for height in heights)
    return VarianceTrend(level, slope, offset, degrees, 2 * math.fsum(halves))


def moderated(
    replicates: Sequence[float], first: int, trend: VarianceTrend | None = None, between: RunToRun | None = None
) -> Moderated | None:
    """A case's mean, its variance told by its first stage and the trend; ``None`` of fewer than two replicates."""
    stage = replicates[:first]
    if len(stage) < 2:
        return None
    value, own, degrees = fmean(replicates), sample_variance(stage), float(len(stage) - 1)
    if trend is not None:
        expected = trend.variance(fmean(stage))
        weight = degrees / (trend.degrees + degrees)
        own = weight * own + (1 - weight) * expected
        degrees = min(trend.degrees + degrees, trend.pooled)
    return Moderated(value, own, degrees, len(replicates), between or RunToRun())


def run_to_run(series: Iterable[Sequence[Moderated]], confidence: float = 0.95) -> tuple[float, int] | None:
    """What equal runs differ by beyond their replicates, as ``RunToRun`` has it, and its degrees; ``None`` of too few.

    Each is one case: its mean in each run. It is the least ratio with which as many of these intervals as they promise hold
    the mean of all runs, so that long tails are in it, too. The cases of a run share what the machine was like then, so the
    degrees are those of one case, the one of most runs.
    """
    wanted, most = [], 0
    for runs in (runs for runs in map(list, series) if len(runs) > 1):
        centre, most = fmean(run.value for run in runs), max(most, len(runs))
        for run in (run for run in runs if run.variance):
            apart = (run.value - centre) ** 2 * len(runs) / (len(runs) - 1)
            errors = student_quantile(0.5 + confidence / 2, run.degrees) ** 2
            wanted.append(apart / errors / run.variance - 1 / run.number)
    return (max(0.0, quantile(wanted, confidence)), most - 1) if wanted else None


def critical_value(found: Mean, confidence: float = 0.95) -> float:
    """The overhead above which one is told from 0: where there is none, 5 % of figures lie beyond it, on either side."""
    return student_quantile(0.5 + confidence / 2, found.degrees) * math.sqrt(found.variance)


def detection_limit(found: Mean, confidence: float = 0.95) -> float:
    """The overhead that is told from 0 in 95 % of measurements: a true one of the critical value is in half of them."""
    from scipy.special import nctdtrinc  # noqa: PLC0415  scipy is slow to import

    critical = student_quantile(0.5 + confidence / 2, found.degrees)
    return float(nctdtrinc(found.degrees, 1 - confidence, critical)) * math.sqrt(found.variance)


@cache
def _digamma(value: float) -> float:
    from scipy.special import psi  # noqa: PLC0415  scipy is slow to import

    return float(psi(value))


@cache
def _trigamma(value: float) -> float:
    from scipy.special import polygamma  # noqa: PLC0415  scipy is slow to import

    return float(polygamma(1, value))


def _inverse_trigamma(value: float) -> float:
    """The argument at which the trigamma function has this value, by Newton's steps on its reciprocal (Smyth, appendix)."""
    from scipy.special import polygamma  # noqa: PLC0415  scipy is slow to import

    if value < 1e-6:
        return 1 / value
    at = 0.5 + 1 / value
    for _ in range(50):
        here = float(polygamma(1, at))
        step = here * (1 - here / value) / float(polygamma(2, at))
        at += step
        if -step / at < 1e-8:
            break
    return at
