"""What ``compare`` and ``track`` say of the runs of ``history``: pure reading, nothing is measured here.

A run's code is *as it was*, or one variant of it has become *slower*. ``compare`` is asked with its defaults, and what it
would fail a CI job on is counted: of runs as they were a false alarm, of the slower variant a detection.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from lab import percent, table
from scipy.stats import binomtest

from attnbench.comparing import Comparison, Row, compare
from attnbench.comparing.noisy import OVERHEAD
from attnbench.comparing.rows import INCOMPARABLE, SAME, WORSE
from attnbench.records import Record, Run, RunHeader
from attnbench.statistics import replicate_interval, signed_rank_interval
from attnbench.store import open_run
from attnbench.tracking import track

HOURS = "T{:02}:{:02}:00+00:00"


@dataclass(frozen=True)
class Sample:
    """A run, and the variant that is slower in it; none where the code is as it was."""

    run: Run
    slower: str = ""


@dataclass(frozen=True)
class Tally:
    """Comparisons of one kind: the rows of overheads that say what they should not, or should."""

    comparisons: Sequence[Comparison]

    def rows(self, comparison: Comparison) -> list[Row]:
        """The rows of overheads."""
        return [row for row in comparison.rows if row.metric == OVERHEAD]

    def with_alarm(self, ignored: Callable[[Row], bool] = lambda _row: False) -> int:
        """Comparisons that fail for a figure that did not change."""
        return sum(any(not ignored(row) for row in one.regressions) for one in self.comparisons)

    def verdicts(self, verdict: str | None) -> int:
        """Overheads of that verdict."""
        return sum(row.verdict == verdict for one in self.comparisons for row in self.rows(one))


def samples(raw: dict[str, Any]) -> list[Sample]:
    """The runs in the order of time."""
    return [
        Sample(
            Run(
                RunHeader.from_json({**raw["header"], "started": one["started"]}),
                tuple(Record.from_json(record) for record in one["records"]),
            ),
            one["slower"],
        )
        for one in raw["runs"]
    ]


def page(raw: dict[str, Any]) -> str:
    """False alarms, detections, and what a history of these runs looks like to ``track``."""
    found = samples(raw)
    equal = [one.run for one in found if not one.slower]
    return "\n\n".join(
        (
            (
                f"{len(equal)} runs of the same code and {len(found) - len(equal)} with one slower module, in turn, between "
                f"{found[0].run.header.started} and {found[-1].run.header.started}. A comparison is what CI makes: "
                "`attnbench compare BASE NEW` with its defaults over the six overheads of the study, of which one alarm "
                "fails it."
            ),
            "Runs of the same code:\n\n" + table(list(alarm_rows(equal))),
            "Runs with one module slower by about 1 % of the baseline's latency:\n\n" + table(list(detection_rows(found))),
            "By module, against the first run:\n\n" + table(list(module_rows(raw, found))),
            history_text(found),
        )
    )


def pairs_of_equal(equal: Sequence[Run]) -> dict[str, list[Comparison]]:
    """Comparisons of runs of the same code, by what the base is."""
    return {
        "the first run, as `baseline set` has it": [compare(equal[0], run) for run in equal[1:]],
        "the run before": [compare(one, two) for one, two in pairwise(equal)],
        "each with each later one": [compare(one, two) for one, two in combinations(equal, 2)],
    }


def pairs_of_slower(found: Sequence[Sample]) -> dict[str, list[tuple[str, Comparison]]]:
    """The slower variant with the comparison, by what the base is."""
    equal = [one.run for one in found if not one.slower]
    slower = [(place, one) for place, one in enumerate(found) if one.slower]
    before = {place: next(s.run for s in reversed(found[:place]) if not s.slower) for place, _ in slower}
    return {
        "the first run, as `baseline set` has it": [(one.slower, compare(equal[0], one.run)) for _, one in slower],
        "the run before": [(one.slower, compare(before[place], one.run)) for place, one in slower],
        "each run of the same code": [(one.slower, compare(run, one.run)) for _, one in slower for run in equal],
    }


def alarm_rows(equal: Sequence[Run]) -> Iterator[dict[str, str]]:
    """How many comparisons of the same code fail."""
    for base, comparisons in pairs_of_equal(equal).items():
        tally = Tally(comparisons)
        independent = base != "each with each later one"
        yield {
            "compared with": base,
            "comparisons": f"{len(comparisons):,}",
            "false alarms": f"{tally.with_alarm()}",
            "rate (%)": share(tally.with_alarm(), len(comparisons), independent=independent),
            "overheads the same": f"{tally.verdicts(SAME):,}",
            "not resolved": f"{tally.verdicts(INCOMPARABLE)}",
        }


def detection_rows(found: Sequence[Sample]) -> Iterator[dict[str, str]]:
    """How many comparisons fail for the slower variant, and for another one."""
    for base, comparisons in pairs_of_slower(found).items():
        rows = [slower_row(variant, comparison) for variant, comparison in comparisons]
        detected = sum(bool(row.trips) for row in rows)
        others = sum(
            Tally([comparison]).with_alarm(lambda row, variant=variant: changed(row, variant))
            for variant, comparison in comparisons
        )
        yield {
            "compared with": base,
            "comparisons": f"{len(comparisons):,}",
            "found": f"{detected:,}",
            "rate (%)": share(detected, len(comparisons), independent=base != "each run of the same code"),
            "not resolved": f"{sum(row.verdict == INCOMPARABLE for row in rows)}",
            "called the same": f"{sum(row.verdict == SAME for row in rows)}",
            "named the module's source as a cause": f"{sum(names_source(row) for row in rows):,}",
            "false alarms in other variants": f"{others}",
        }


def module_rows(raw: dict[str, Any], found: Sequence[Sample]) -> Iterator[dict[str, str]]:
    """By slower variant: by how much it is slower, and what the comparisons with the first run say."""
    comparisons = pairs_of_slower(found)["the first run, as `baseline set` has it"]
    for variant, truth in raw["truth"].items():
        rows = [slower_row(variant, comparison) for name, comparison in comparisons if name == variant]
        if not rows:
            continue
        deltas = [100 * (row.delta or 0.0) for row in rows]
        yield {
            "slower": variant,
            "truth by the clock (%)": percent(signed_rank_interval(truth["clock"])),
            "truth attributed (%)": percent(replicate_interval(truth["attributed"])),
            "runs": f"{len(rows)}",
            "found": f"{sum(row.verdict == WORSE and bool(row.trips) for row in rows)}",
            "change told (points)": f"{min(deltas):.2f} to {max(deltas):.2f}, mean {fmean(deltas):.2f}",
        }


def slower_row(variant: str, comparison: Comparison) -> Row:
    """What a comparison says of the variant's overhead."""
    return next(row for row in comparison.rows if row.metric == OVERHEAD and row.case.variant == variant)


def changed(row: Row, slower: str) -> bool:
    """Whether a row is of a variant with the slower module, which may stand at more than one place."""
    return row.case.variant.partition("=")[2] == slower.partition("=")[2]


def names_source(row: Row) -> bool:
    """Whether the slower module's source is among the causes."""
    return any(cause.kind == "code" and row.case.variant.partition("=")[2] in cause.detail for cause in row.causes)


def history_text(found: Sequence[Sample]) -> str:
    """What ``track`` finds in the runs of the same code, and where the runs with a slower module follow on them."""
    equal = [one.run for one in found if not one.slower]
    false = len(steps(equal))
    sought = [variant for variant in dict.fromkeys(one.slower for one in found) if variant]
    right = 0
    for variant in sought:
        slower = [one.run for one in found if one.slower == variant]
        right += (variant, len(equal)) in steps([*equal, *slower])
    return (
        f"`attnbench track` over the {len(equal)} runs of the same code finds {false} steps in their six series. With the "
        f"runs of one slower module put after them, as if it had been committed then, it finds the step at the right run "
        f"for {right} of {len(sought)} modules."
    )


def steps(runs: Sequence[Run]) -> set[tuple[str, int]]:
    """The variants that ``track`` finds a step in, and the place of the first run after it, of runs in this order."""
    with tempfile.TemporaryDirectory() as name:
        for place, run in enumerate(runs):
            started = "2026-01-01" + HOURS.format(place // 60, place % 60)
            with open_run(Path(name, f"{place:03}"), replace(run.header, started=started)) as writer:
                for record in run.records:
                    writer.append(json.loads(json.dumps(record.to_json())))
        return {(step.series.case.variant, step.at) for step in track(Path(name)).steps}


def share(number: int, of: int, *, independent: bool) -> str:
    """A rate in percent, with the exact binomial interval where each comparison has a run of its own."""
    if not independent:
        return f"{100 * number / of:.2f}"
    interval = binomtest(number, of).proportion_ci(method="exact")
    return f"{100 * number / of:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
