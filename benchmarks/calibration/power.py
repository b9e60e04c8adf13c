"""False alarms and power of the comparison of overheads, simulated, through the functions that ``compare`` uses.

Overheads and scatter are those of the report study: cases are drawn from it, with as much scatter as the trend through its
variances says, and as much beside the trend as its cases have. Runs differ by what ``coverage`` found. Replicates are
normal.

*Before* are the pooled interval and Welch's chance of a case's own replicates, *now* the variance model. *Resolved* is the
new run after ``sweep --resolve`` has measured on where it says so, which looks at the figures once before the comparison
does. An alarm is a comparison of equal runs with any regression; a change of one point is in one case, whose replicates
scatter by 0.1 points.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, NamedTuple, cast

from lab import RESULTS, experiment, rate, table

from attnbench.cli.resolving import MOST_MORE
from attnbench.core.records import Case
from attnbench.core.statistics import Mean, variance_of_mean
from attnbench.core.variance import VarianceTrend, variance_trend
from attnbench.judge.compare.noisy import ReplicateSeries, holm, judged, verdict_of
from attnbench.judge.compare.rows import ComparisonRow
from attnbench.runs.store import load_run
from attnbench.runs.uncertainty import RUN_TO_RUN, means

TRIALS = {6: 2000, 85: 400, 1000: 50}
"""Comparisons, by the number of cases."""

REPLICATES = 3
SCATTER, CHANGE, THRESHOLD = 0.001, 0.01, 0.01
"""Of the changed case, and what counts, as shares of the baseline's time."""

JUDGED = ("same", "better", "worse")
TOLD, RESOLVED = "told what runs differ by", "resolved"
WAYS = ("before", "now", f"now, {RESOLVED}", f"now, {TOLD}", f"now, {TOLD}, {RESOLVED}")


class Measured(NamedTuple):
    """A case in one run: where that run's replicates lie, how they scatter, and those that were taken."""

    level: float
    scatter: float
    samples: tuple[float, ...] = ()


class World:
    """What cases are like: overheads, the trend of their variances, how far they lie beside it, what runs differ by."""

    def __init__(self, seed: int) -> None:
        report = load_run(RESULTS.parent / "report")
        found = [record.get("overhead") for record in report.records]
        stages = [one.samples[:REPLICATES] for one in found if one is not None and one.value is not None]
        self.trend = cast("VarianceTrend", variance_trend(stages))
        self.overheads = [fmean(stage) for stage in stages]
        self.between: float = json.loads((RESULTS / "coverage.json").read_text())["all"]
        self.header = replace(report.header, machine={}, effort={**report.header.effort, "processes": REPLICATES})
        self.draw = random.Random(seed)  # noqa: S311  a simulation, not a secret

    def scatter(self, overhead: float) -> float:
        """A standard deviation of replicates, beside the trend as far as those of the report study are."""
        if math.isinf(self.trend.degrees):
            return math.sqrt(self.trend.variance(overhead))
        chi = self.draw.gammavariate(self.trend.degrees / 2, 2)
        return math.sqrt(self.trend.variance(overhead) * self.trend.degrees / chi)

    def measured(self, overhead: float, scatter: float) -> Measured:
        """A case's replicates in one run."""
        level = self.draw.gauss(overhead, scatter * math.sqrt(self.between))
        return self.more(Measured(level, scatter), REPLICATES)

    def more(self, known: Measured, number: int) -> Measured:
        """The same with so many replicates more."""
        return known._replace(
            samples=(*known.samples, *(self.draw.gauss(known.level, known.scatter) for _ in range(number)))
        )

    def cases(self, number: int) -> list[tuple[float, float]]:
        """Overheads with the scatter of their replicates, that of the changed one first."""
        drawn = [self.draw.choice(self.overheads) for _ in range(number - 1)]
        return [(CHANGE, SCATTER), *((overhead, self.scatter(overhead)) for overhead in drawn)]


def verdicts(world: World, before: Sequence[Measured], after: Sequence[Measured], way: str) -> tuple[list[str], int]:
    """What a way says of each case, and how many replicates more it took."""
    if way == WAYS[0]:
        return list(pooled(before, after)), 0
    found = rows(world, before, after, told=TOLD in way)
    if RESOLVED not in way:
        return [str(row.verdict) for row in found], 0
    lacking = [more.new if (more := row.more) and not more.base and more.new <= MOST_MORE else 0 for row in found]
    resolved = [world.more(one, number) for one, number in zip(after, lacking, strict=True)]
    return [str(row.verdict) for row in rows(world, before, resolved, told=TOLD in way)], sum(lacking)


def rows(world: World, before: Sequence[Measured], after: Sequence[Measured], *, told: bool) -> list[ComparisonRow]:
    """What the comparison says of each case; ``told`` is whether the runs know what equal ones differ by."""
    header = replace(world.header, machine={RUN_TO_RUN: {"ratio": world.between, "degrees": 60.0}} if told else {})
    named = [Case("h", f"v{number}", "1x1") for number in range(len(before))]
    sides = [means(header, {case: one.samples for case, one in zip(named, side, strict=True)}) for side in (before, after)]
    return judged(
        [
            ReplicateSeries(
                ComparisonRow(case, "overhead", None, ""), one.samples, two.samples, THRESHOLD,
                means=(sides[0][case], sides[1][case]),
            )
            for case, one, two in zip(named, before, after, strict=True)
        ]
    )  # fmt: skip


def pooled(before: Sequence[Measured], after: Sequence[Measured]) -> Iterator[str]:
    """What was there before: Student's pooled interval, and Welch's chance."""
    found = []
    for one, two in zip((one.samples for one in before), (two.samples for two in after), strict=True):
        spread = (variance_of_mean(one) + variance_of_mean(two)) / 2 * REPLICATES
        mean = Mean(fmean(two) - fmean(one), spread * 2 / REPLICATES, 2 * (REPLICATES - 1))
        welch = Mean(fmean(two), variance_of_mean(two), REPLICATES - 1).less(
            Mean(fmean(one), variance_of_mean(one), REPLICATES - 1)
        )
        found.append((mean.interval(), welch.chance))
    for (interval, _), adjusted in zip(found, holm([chance for _, chance in found]), strict=True):
        yield verdict_of(interval.low or 0.0, interval.high or 0.0, adjusted, THRESHOLD)


def run(quick: bool) -> dict[str, Any]:
    """By number of cases and way: comparisons, alarms, and what became of the change."""
    found: dict[str, Any] = {}
    for number, trials in TRIALS.items():
        world = World(number)
        own: dict[str, dict[str, int]] = {
            way: dict.fromkeys(("comparisons", "alarms", "found", "same", "not resolved", "open", "more"), 0) for way in WAYS
        }
        for _ in range(max(3, trials // 50) if quick else trials):
            cases = world.cases(number)
            before, equal = ([world.measured(*case) for case in cases] for _ in range(2))
            changed = [world.measured(CHANGE + cases[0][0], SCATTER), *equal[1:]]
            for way in WAYS:
                told, more = verdicts(world, before, equal, way)
                first = verdicts(world, before, changed, way)[0][0]
                counts = own[way]
                counts["comparisons"] += 1
                counts["more"] += more
                counts["alarms"] += "worse" in told
                counts["open"] += sum(verdict not in JUDGED for verdict in told)
                counts["found"] += first == "worse"
                counts["same"] += first == "same"
                counts["not resolved"] += first not in JUDGED
        found[str(number)] = own
    return found


def page(raw: dict[str, Any]) -> str:
    """A row for each number of cases and way."""
    return table(
        {
            "cases": f"{int(number):,}",
            "way": way,
            "comparisons": f"{own['comparisons']:,}",
            "false alarms (%)": rate(own["alarms"], own["comparisons"]),
            "+1 point found (%)": rate(own["found"], own["comparisons"]),
            "called the same (%)": rate(own["same"], own["comparisons"]),
            "equal cases not resolved (%)": f"{100 * own['open'] / own['comparisons'] / int(number):.1f}",
            "replicates more a case": f"{own['more'] / own['comparisons'] / int(number):.1f}",
        }
        for number, ways in raw.items()
        for way, own in ways.items()
    )


if __name__ == "__main__":
    experiment("Power and false alarms of compare, simulated", run, page)
