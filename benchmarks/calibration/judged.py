"""What ``compare`` and ``track`` say of the runs of ``history``: pure reading, nothing is measured here.

A run's code is *as it was*, or one variant of it has become *slower*. ``compare`` is asked with its defaults, and what it
fails a CI job on is counted: an overhead that did not change is a false alarm, that of the slower variant a detection.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

from lab import percent, rate, table

from attnbench.core.records import Record, Run, RunHeader
from attnbench.core.statistics import replicate_interval, signed_rank_interval
from attnbench.judge.compare import Comparison, ComparisonRow, compare
from attnbench.judge.compare.gates import parse
from attnbench.judge.compare.noisy import OVERHEAD
from attnbench.judge.track import track
from attnbench.runs.store import open_run

FIRST, BEFORE, EACH = "the first run, as `baseline set` has it", "the last run as it was", "each earlier run as it was"
BASES: dict[str, Callable[[list[Run]], list[Run]]] = {
    FIRST: lambda earlier: earlier[:1],
    BEFORE: lambda earlier: earlier[-1:],
    EACH: lambda earlier: earlier,
}
"""What a run is compared with, of the earlier runs of the code as it was."""

HALF = "overhead:0.5%:10%"
"""A gate that asks for half of what the default does."""


@dataclass(frozen=True)
class Sample:
    """A run, and the variant that is slower in it; none where the code is as it was."""

    run: Run
    slower: str = ""


@dataclass(frozen=True)
class Judged:
    """A comparison, and the variant that became slower; none where nothing changed."""

    comparison: Comparison
    slower: str = ""

    @property
    def overheads(self) -> list[ComparisonRow]:
        """The rows of overheads."""
        return [row for row in self.comparison.rows if row.metric == OVERHEAD]

    @property
    def alarm(self) -> bool:
        """Whether it fails for a variant without the slower module, which may stand at more than one place."""
        return any(module_of(row.case.variant) != module_of(self.slower) for row in self.comparison.regressions)

    @property
    def sought(self) -> ComparisonRow:
        """What it says of the slower variant's overhead."""
        return next(row for row in self.overheads if row.case.variant == self.slower)

    @property
    def found(self) -> bool:
        """Whether it fails for the slower variant's overhead."""
        return bool(self.sought.fails)

    @property
    def names_source(self) -> bool:
        """Whether the slower module's source is among the causes that it names."""
        return any(cause.kind == "code" and module_of(self.slower) in cause.detail for cause in self.sought.causes)


def module_of(variant: str) -> str:
    """The module of a variant with one."""
    return variant.partition("=")[2]


def samples(raw: dict[str, Any]) -> list[Sample]:
    """The runs in the order of time."""
    found = []
    for one in raw["runs"]:
        header = RunHeader.from_json({**raw["header"], "started": one["started"]})
        found.append(Sample(Run(header, tuple(map(Record.from_json, one["records"]))), one["slower"]))
    return found


def judged(found: Sequence[Sample], base: str, *, slower: bool, gate: str = "") -> list[Judged]:
    """All comparisons of runs of the code as it was, or of the slower ones, with that of ``BASES``, by the ``gate``."""
    fail_on = parse([gate]) if gate else None
    results: list[Judged] = []
    earlier: list[Run] = []
    for one in found:
        if bool(one.slower) == slower:
            results += [Judged(compare(run, one.run, fail_on), one.slower) for run in BASES[base](earlier)]
        if not one.slower:
            earlier.append(one.run)
    return results


def page(raw: dict[str, Any]) -> str:
    """False alarms, detections, and what a history of these runs looks like to ``track``."""
    found = samples(raw)
    equal = sum(not one.slower for one in found)
    slower = 100 * median(signed_rank_interval(truth["clock"]).value for truth in raw["truth"].values())
    told = (
        f"{equal} runs of the code as it was and {len(found) - equal} with one slower module, in turn, from "
        f"{found[0].run.header.started} to {found[-1].run.header.started}. A comparison is what a CI job makes: "
        "`attnbench compare BASE NEW` with its defaults, over the six overheads of the quick study; one alarm fails it."
    )
    parts = (
        told,
        "The code as it was:",
        table(alarm_row(found, base) for base in BASES),
        f"One module slower by {slower:.1f} % of the baseline's latency (by the clock); the default gate asks for a point:",
        table(detection_row(found, base) for base in BASES),
        f"The same runs with `--fail-on {HALF}`, which asks for half a point: the code as it was, then the slower modules.",
        table(alarm_row(found, base, HALF) for base in BASES),
        table(detection_row(found, base, HALF) for base in BASES),
        "By module, against the first run:",
        table(module_rows(raw, found)),
        history_text(found),
    )
    return "\n\n".join(parts)


def alarm_row(found: Sequence[Sample], base: str, gate: str = "") -> dict[str, str]:
    """How many comparisons of the same code fail."""
    all_ = judged(found, base, slower=False, gate=gate)
    verdicts = [row.verdict for one in all_ for row in one.overheads]
    alarms = sum(one.alarm for one in all_)
    return {
        "compared with": base,
        "comparisons": f"{len(all_):,}",
        "false alarms": f"{alarms}",
        "rate (%)": rate_text(alarms, len(all_), base),
        "overheads the same": f"{verdicts.count('same'):,}",
        "not resolved": f"{verdicts.count('unresolved')}",
    }


def detection_row(found: Sequence[Sample], base: str, gate: str = "") -> dict[str, str]:
    """How many comparisons fail for the slower variant, and for another one."""
    all_ = judged(found, base, slower=True, gate=gate)
    verdicts = [one.sought.verdict for one in all_]
    detected = sum(one.found for one in all_)
    return {
        "compared with": base,
        "comparisons": f"{len(all_):,}",
        "found": f"{detected}",
        "rate (%)": rate_text(detected, len(all_), base),
        "not resolved": f"{verdicts.count('unresolved')}",
        "called the same": f"{verdicts.count('same')}",
        "named the source as a cause": f"{sum(one.names_source for one in all_)}",
        "false alarms beside": f"{sum(one.alarm for one in all_)}",
    }


def module_rows(raw: dict[str, Any], found: Sequence[Sample]) -> Iterator[dict[str, str]]:
    """By slower variant: by how much it is slower, and what the comparisons with the first run say."""
    all_ = judged(found, FIRST, slower=True)
    for variant, truth in raw["truth"].items():
        own = [one for one in all_ if one.slower == variant]
        told = [100 * (one.sought.delta or 0.0) for one in own]
        yield {
            "slower": variant,
            "truth by the clock (%)": percent(signed_rank_interval(truth["clock"])),
            "truth attributed (%)": percent(replicate_interval(truth["attributed"])),
            "runs": f"{len(own)}",
            "found": f"{sum(one.found for one in own)}",
            "change told (points)": f"{fmean(told):.2f}, from {min(told):.2f} to {max(told):.2f}" if own else "",
        }


def history_text(found: Sequence[Sample]) -> str:
    """What ``track`` finds in the runs of the same code, and where the runs with a slower module follow on them."""
    equal = [one.run for one in found if not one.slower]
    sought = [variant for variant in dict.fromkeys(one.slower for one in found) if variant]
    right = 0
    for variant in sought:
        slower = [one.run for one in found if one.slower == variant]
        right += (variant, len(equal)) in steps([*equal, *slower])
    return (
        f"`attnbench track` over the {len(equal)} runs of the code as it was finds {len(steps(equal))} steps in their six "
        "series. With the runs of one slower module behind them, as if it had been committed then, it finds the step at the "
        f"right run for {right} of {len(sought)} modules."
    )


def steps(runs: Sequence[Run]) -> set[tuple[str, int]]:
    """The variants that ``track`` finds a step in, and the place of the first run after it, of runs in this order."""
    with tempfile.TemporaryDirectory() as name:
        for place, run in enumerate(runs):
            started = f"2026-01-01T{place // 60:02}:{place % 60:02}:00+00:00"
            with open_run(Path(name, f"{place:03}"), replace(run.header, started=started)) as writer:
                for record in run.records:
                    writer.append(record)
        return {(step.series.case.variant, step.at) for step in track(Path(name)).steps}


def rate_text(number: int, of: int, base: str) -> str:
    """A rate in percent, with its interval where each comparison has a new run of its own."""
    if base == EACH or not of:
        return f"{100 * number / of:.2f}" if of else ""
    return rate(number, of)
