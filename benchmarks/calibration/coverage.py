"""How often a printed interval holds what the other runs say: the runs of ``history`` that measured the same code.

An interval of one run is held against the mean of all others. Replicates are those of the run files; nothing is measured
here. *Before* is Student's interval of a case's own replicates. What is printed now is the variance model's: variances drawn
together over the cases of the run, and what equal runs differ by beyond their replicates. The latter is learned from every
second run and put to the others, both ways round.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from statistics import correlation, fmean, mean
from typing import Any

from lab import RESULTS, experiment, table

from attnbench.core.records import Case, Record, RunHeader
from attnbench.core.statistics import Estimate, quantile, two_stage_interval
from attnbench.core.variance import RunToRun, run_to_run
from attnbench.runs.uncertainty import RUN_TO_RUN, means

Run = dict[Case, tuple[float, ...]]
"""The replicates of each case."""

RESAMPLED = 2000


def run(_: bool) -> dict[str, Any]:
    """By way the hits of each run, one a case; and what the runs differ by."""
    raw = json.loads((RESULTS / "history.json").read_text())
    header = RunHeader.from_json({**raw["header"], "started": ""})
    runs = [overheads(one["records"]) for one in raw["runs"] if not one["slower"]]
    learned = [between(header, runs[parity::2]) for parity in (0, 1)]
    processes = header.effort_of(next(iter(runs[0]))).processes

    def own(one: Run, _: int) -> dict[Case, Estimate]:
        return {case: two_stage_interval(found, processes) for case, found in one.items()}

    def drawn(one: Run, _: int) -> dict[Case, Estimate]:
        return {case: found.whole.interval() for case, found in means(header, one).items()}

    def whole(one: Run, number: int) -> dict[Case, Estimate]:
        machine = {RUN_TO_RUN: asdict(learned[1 - number % 2])}
        return {case: found.whole.interval() for case, found in means(replace(header, machine=machine), one).items()}

    ways: dict[str, Callable[[Run, int], dict[Case, Estimate]]] = {
        "before: each case's own replicates": own,
        "variances drawn together": drawn,
        "and what runs differ by: as printed": whole,
    }
    found = {name: [ends(way(one, number)) for number, one in enumerate(runs)] for name, way in ways.items()}
    first, last = (datetime.fromisoformat(raw["runs"][at]["started"]) for at in (0, -1))
    return {
        "minutes": round((last - first).total_seconds() / 60),
        "learned": [one.ratio for one in learned],
        "all": between(header, runs).ratio,
        "by_case": {case.variant: between(header, runs, case).ratio for case in runs[0]},
        "means": {case.variant: [fmean(one[case]) for one in runs] for case in runs[0]},
        "intervals": found,
    }


def overheads(records: Sequence[dict[str, Any]]) -> Run:
    """The replicates of a run's overheads."""
    found = ((record.case, record.get("overhead")) for record in map(Record.from_json, records))
    return {case: overhead.samples for case, overhead in found if overhead is not None and overhead.value is not None}


def between(header: RunHeader, runs: Sequence[Run], *only: Case) -> RunToRun:
    """What equal runs differ by, by all cases or by some."""
    told = [means(header, one) for one in runs]
    found = run_to_run([[one[case] for one in told] for case in only or runs[0]])
    return RunToRun(*found) if found else RunToRun()


def ends(intervals: dict[Case, Estimate]) -> dict[str, tuple[float | None, float | None]]:
    """The ends of each case's interval."""
    return {case.variant: (one.low, one.high) for case, one in intervals.items()}


def hits(raw: dict[str, Any], way: str) -> list[list[bool]]:
    """By run, whether each case's interval holds the mean of the other runs."""
    found = []
    for number, intervals in enumerate(raw["intervals"][way]):
        held = []
        for variant, (low, high) in intervals.items():
            values = raw["means"][variant]
            others = (sum(values) - values[number]) / (len(values) - 1)
            held.append(low <= others <= high)
        found.append(held)
    return found


def coverage(found: Sequence[Sequence[bool]]) -> Estimate:
    """The share of hits in %, with an interval over whole runs drawn anew: the cases of a run are not independent."""
    draw = random.Random(0)  # noqa: S311  a resampling, not a secret
    shares = [mean(one) for one in found]
    rates = [100 * fmean(draw.choices(shares, k=len(shares))) for _ in range(RESAMPLED)]
    return Estimate(100 * fmean(shares), quantile(rates, 0.025), quantile(rates, 0.975))


def page(raw: dict[str, Any]) -> str:
    """Coverage by way, and what the runs differ by."""
    rows = []
    for way, intervals in raw["intervals"].items():
        found = coverage(hits(raw, way))
        widths = [100 * (high - low) / 2 for one in intervals for low, high in one.values()]
        rows.append(
            {
                "intervals": way,
                "hold the mean of the other runs (%)": f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]",
                "half width, mean (points)": f"{fmean(widths):.3f}",
            }
        )
    cases = [
        {"variant": variant, "runs differ by (% of the variance of a replicate)": f"{100 * ratio:.0f}"}
        for variant, ratio in raw["by_case"].items()
    ]
    series = list(raw["means"].values())
    pairs = [correlation(one, two) for at, one in enumerate(series) for two in series[:at]]
    number, apart = len(series[0]), len(series) * len(series[0])
    halves = " and ".join(f"{100 * one:.0f}" for one in raw["learned"])
    beyond = (
        f"Beyond what their replicates promise, runs differ by {100 * raw['all']:.0f} % of the variance of one replicate "
        f"({halves} in the two halves); by case:"
    )
    return "\n\n".join(
        (
            f"{number} runs of the quick study with one code within {raw['minutes']} minutes, {apart} intervals of 95 %.",
            table(rows),
            beyond,
            table(cases),
            f"The means of a run's cases correlate by {min(pairs):.2f} to {max(pairs):.2f}.",
        )
    )


if __name__ == "__main__":
    experiment("Coverage of the printed intervals over equal runs", run, page)
