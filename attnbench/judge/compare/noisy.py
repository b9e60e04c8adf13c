"""Noisy figures: which overheads changed between two runs, which did not, and which the replicates do not resolve.

**The rule.** An overhead's change is the difference of the means of its replicates, in percentage points of the baseline's
latency. Its 95 % interval is Welch's, of two means by the variance model (``core.variance``): a case's scatter is told by
the first stage of its replicates and by the other cases, and what equal runs of the machine differ by is in it, as far as
the runs knew that. It is at least as wide as either run's noise floor, the critical difference between two measurements of
one variant. With a threshold of T points (by default 1, or a tenth of the overhead where that is more)

* the change is **told from noise** where the interval leaves out 0 and Welch's p, after Holm's correction over all that
  is judged in the comparison, overheads and latencies together, is at most 5 %;
* *worse* where it is told from noise and the interval's **upper end** reaches T; *better* where its lower end reaches -T;
* *same* where the whole interval lies within T: a change of T is excluded, a smaller one may be there;
* else *unresolved*: a change of T may be there, and may be noise. It is never called the same, and it passes no gate. How
  many more replicates would resolve it follows from the scatter seen so far (``resolving``).

So a false alarm needs two accidents at once: over all cases of two equal runs noise raises one in at most one comparison of
twenty, however wide it is. With replicates that scatter by T/10, five find a true change of T in 97 % of cases, and in 95 %
among 1,000; three among 89 cases find four of ten, and nearly all others are "not resolved". Measured on 81 runs of one code
(``results/calibration/history.md``): no false alarm in 1,830 comparisons; by a threshold of half a point 19 of 20 modules
found that became 0.6 % slower.

Rejected: to ask that the estimate reach T, which finds a true change of exactly T every second time; that all of the
interval lie beyond T, which finds one in forty; a test against T/2, which has too little power at five replicates. The price
for asking for its far end is that a true change of three quarters of T is called worse in one case of fifteen.

Rejected: a family of overheads and one of latencies beside it, which raise an alarm in one comparison of ten.

How far two days differ beyond what equal runs of the machine were seen to, the interval cannot know; the threshold stands
for that. What attribution is off by (see ``judge.verdicts``) is the same in both runs, and cancels.

Sources: Welch, *The generalization of "Student's" problem when several different population variances are involved*,
Biometrika 34 (1947); Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6
(1979).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from msgspec import structs

from attnbench.core.records import Case, Measurement, Run
from attnbench.core.statistics import Mean, medians
from attnbench.core.units import count, significant
from attnbench.core.variance import Moderated, moderated
from attnbench.judge.compare.match import Pair, unlike_figures
from attnbench.judge.compare.resolving import HALF, Scatter, more_replicates
from attnbench.judge.compare.rows import ComparisonRow, MoreReplicates, Verdict

Means = tuple[Mapping[Case, Moderated], Mapping[Case, Moderated]]
"""The mean overheads of both runs by the variance model (``runs.uncertainty``)."""

OVERHEAD, LATENCY = "overhead", "latency"

LEVEL = 0.05
"""Chance of any false alarm in a comparison of two equal runs, at most."""

UNRESOLVED = "not resolved: a change of the threshold may be there, and may be noise; more replicates would tell"
AMONG = "not resolved: told from noise alone, but not among all that is compared (Holm); more replicates would tell"
BLUNT = "not resolved: a change of the threshold may be there, and no replicates would tell: runs differ by too much"
SHOWN = "told, not judged: absolute times drift from run to run (--fail-on latency:5% judges them)"

Unlike = Callable[[Case], str]
"""Why a case's figures do not compare; empty where they do."""

Allowed = Callable[[float], float]
"""The change that counts of a figure that was so large."""


@dataclass(frozen=True)
class ReplicateSeries:
    """The replicates of one figure in both runs: the row to fill, how narrow its interval may be, and what counts.

    ``means`` are what the variance model makes of them.
    """

    row: ComparisonRow
    one: Sequence[float]
    two: Sequence[float]
    threshold: float
    floor: float = 0.0
    means: tuple[Moderated, Moderated] | None = None

    @cached_property
    def sides(self) -> tuple[Moderated, Moderated]:
        """Both means: by the variance model where it has told them, else by these replicates alone."""
        if self.means:
            return self.means
        before, after = (moderated(side, len(side)) for side in (self.one, self.two))
        if before is None or after is None:
            raise ValueError("each series needs two replicates")
        return before, after

    @cached_property
    def difference(self) -> Mean:
        """The second mean less the first, as another pair of runs would be expected to tell it."""
        before, after = self.sides
        return after.whole.less(before.whole)


def overheads(
    pairs: Sequence[Pair], unlike: Unlike, floors: Mapping[Case, float], allowed: Allowed, means: Means = ({}, {})
) -> list[ReplicateSeries | ComparisonRow]:
    """Of each overhead that either run has what is to be judged, or its row where nothing is.

    ``floors`` are by baseline, ``unlike`` says why one does not compare.
    """
    return [one for pair in pairs for one in _overheads(pair, unlike(pair.case), floors, allowed, means)]


def latencies(
    pairs: Sequence[Pair], unlike: Unlike, allowed: Allowed | None, replicates: int
) -> list[ReplicateSeries | ComparisonRow]:
    """The same of each absolute latency: shown only, unless it says which change counts.

    The unit of their intervals is the process: a run keeps their times in the order of its processes, and each block of
    them, one for each of ``replicates``, counts as its median. Only those at one thread come from several processes.
    """
    return [one for pair in pairs for one in _latencies(pair, unlike(pair.case), allowed, replicates)]


def floors_of(*runs: Run) -> dict[Case, float]:
    """The smallest difference between overheads that each of the runs resolves, by the host and size they are counted on."""
    floors: dict[Case, float] = {}
    for run in runs:
        for record in run.records:
            if record.case.is_baseline:
                own = record.value("floor_difference") or 0.0
                floors[record.case] = max(own, floors.get(record.case, 0.0))
    return floors


def judged(found: Sequence[ReplicateSeries | ComparisonRow]) -> list[ComparisonRow]:
    """Rows of series, corrected as one family, in the order given; what is a row already stays as it is."""
    series = [one for one in found if isinstance(one, ReplicateSeries)]
    chances = [one.difference.chance for one in series]
    rows = map(_judged, series, chances, holm(chances), [len(series)] * len(series))
    return [next(rows) if isinstance(one, ReplicateSeries) else one for one in found]


def holm(chances: Sequence[float]) -> list[float]:
    """Chances corrected for their number: at 5 %, noise alone passes any of them in at most one family of twenty."""
    corrected, least = [0.0] * len(chances), 0.0
    for rank, index in enumerate(sorted(range(len(chances)), key=lambda i: chances[i])):
        least = max(least, min(1.0, (len(chances) - rank) * chances[index]))
        corrected[index] = least
    return corrected


def verdict_of(low: float, high: float, adjusted: float, threshold: float) -> Verdict:
    """What an interval of a change, more being worse, and its corrected chance come to, by the rule above."""
    if adjusted <= LEVEL and low > 0 and high >= threshold:
        return "worse"
    if adjusted <= LEVEL and high < 0 and low <= -threshold:
        return "better"
    return "same" if -threshold < low and high < threshold else "unresolved"


def _judged(series: ReplicateSeries, p: float, adjusted: float, number: int) -> ComparisonRow:
    found = series.difference.interval()
    half = max(found.value - (found.low or 0.0), series.floor)
    low, high = found.value - half, found.value + half
    identical = tuple(series.one) == tuple(series.two)
    verdict: Verdict = "same" if identical else verdict_of(low, high, adjusted, series.threshold)
    chance = "p < 0.0001" if adjusted < 1e-4 else f"p {significant(adjusted, 2)}"
    told = f"told from noise ({chance}, Holm over {count(number)})"
    apart, more = low > 0 or high < 0, None
    if verdict == "unresolved" or half > HALF * series.threshold:
        more = _more(series, LEVEL / number)
    match verdict:
        case "same":
            why = "the very same replicates" if identical else "a change of the threshold is excluded"
            why += f"; a smaller one is {told}" if adjusted <= LEVEL and apart else ""
        case "unresolved":
            why = BLUNT if more is None else AMONG if p <= LEVEL and apart else UNRESOLVED
        case _:
            why = f"{told} and reaches the threshold"
    return structs.replace(
        series.row, verdict=verdict, why=why, threshold=series.threshold, more=more,
        delta=found.value, low=low, high=high, p=p, adjusted=adjusted,
    )  # fmt: skip


def _more(series: ReplicateSeries, chance: float) -> MoreReplicates | None:
    """How many more replicates would resolve a change, besides what runs differ by whatever their replicates."""
    before, after = series.sides
    inside, whole = after.within.less(before.within).interval(), series.difference.interval()
    halves = [one.value - (one.low or 0.0) for one in (inside, whole)]
    beyond = max(0.0, halves[1] ** 2 - halves[0] ** 2) / (HALF * series.threshold) ** 2
    if beyond >= 1:
        return None
    threshold = series.threshold * math.sqrt(1 - beyond)
    one, two = (Scatter(side.variance, side.number) for side in (before, after))
    return more_replicates(one, two, halves[0], threshold=threshold, floor=series.floor, chance=chance)


def _overheads(
    pair: Pair, unlike: str, floors: Mapping[Case, float], allowed: Allowed, means: Means
) -> Iterator[ReplicateSeries | ComparisonRow]:
    before, after = pair.before.get(OVERHEAD), pair.after.get(OVERHEAD)
    if before is after is None or any(one and one.exact for one in (before, after)):
        return  # one that was known without a clock compares by equality
    row = ComparisonRow(
        pair.case, OVERHEAD, "incomparable", unlike, before.value if before else None, after.value if after else None
    )
    lacking = [f"{why} in {name}" for name, one in (("BASE", before), ("NEW", after)) if (why := _lacking(one))]
    if unlike or lacking or before is None or after is None or before.value is None:
        yield structs.replace(row, why=unlike or "; ".join(lacking))
    elif other := unlike_figures(before, after):
        yield structs.replace(row, why=other)
    else:
        floor, (one, two) = floors.get(pair.case.baseline, 0.0), (side.get(pair.case) for side in means)
        told = (one, two) if one and two else None
        yield ReplicateSeries(row, before.samples, after.samples, allowed(before.value), floor, told)


def _lacking(measured: Measurement | None) -> str:
    """Why an overhead cannot be compared; empty where it can."""
    if measured is None:
        return "not measured"
    if measured.value is None:
        return "not attributed"
    if not all(map(math.isfinite, (measured.value, *measured.samples))):
        return "not a finite number"
    return "fewer than two replicates" if len(measured.samples) < 2 else ""


def _latencies(
    pair: Pair, unlike: str, allowed: Allowed | None, replicates: int
) -> Iterator[ReplicateSeries | ComparisonRow]:
    for after in pair.after.measurements:
        if after.value is None or after.metric.partition("@")[0] != LATENCY:
            continue
        before = pair.before.get(after.metric)
        if before is None or before.value is None:
            continue
        row = ComparisonRow(pair.case, after.metric, None, SHOWN, before.value, after.value, "s")
        if other := unlike or unlike_figures(before, after):
            yield structs.replace(row, verdict="incomparable", why=other)
        elif allowed is None or after.metric != LATENCY:
            yield structs.replace(row, delta=after.value - before.value)
        elif min(map(len, blocks := (medians(before.samples, replicates), medians(after.samples, replicates)))) < 2:
            yield structs.replace(row, verdict="incomparable", why="fewer than two replicates")
        elif not all(map(math.isfinite, (before.value, *before.samples, *after.samples))):
            yield structs.replace(row, verdict="incomparable", why="not a finite number")
        else:
            yield ReplicateSeries(row, *blocks, allowed(before.value))
