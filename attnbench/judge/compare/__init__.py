"""Two runs held against each other, case by case and figure by figure, each with a verdict, the reason and the likely cause.

Exact figures compare by equality on any machines (``exact``). Noisy ones compare only where machine, settings and protocol
are alike (``match``), by interval and threshold, corrected for their number (``noisy``). Causes are what differs between the
runs (``causes``); what fails is the user's to say (``gates``). Nothing is measured, built or looked up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from attnbench.core.records import Case, Run, RunHeader
from attnbench.judge.compare.causes import Causes
from attnbench.judge.compare.exact import exact_rows
from attnbench.judge.compare.gates import FailOn, parse
from attnbench.judge.compare.match import Pair, has_graph, match, status_row, unlike
from attnbench.judge.compare.noisy import THRESHOLD, floors_of, latency_rows, overhead_rows
from attnbench.judge.compare.notes import Sides, notes
from attnbench.judge.compare.rows import BETTER, CASE, JUDGED, WORSE, Cause, Row, Verdict

__all__ = ["CASE", "Cause", "Comparison", "FailOn", "Row", "Verdict", "compare", "parse"]

FINE, REGRESSED, NOTHING_COMPARED = 0, 1, 3


@dataclass(frozen=True)
class Comparison:
    """Rows by case in the new run's order, what was asked, and what a reader must know first, a sentence each.

    ``unanswered`` are metrics of ``fail_on`` that could be compared in no case. ``threshold`` is that of the overheads, a
    ratio.
    """

    base: RunHeader
    new: RunHeader
    fail_on: FailOn
    threshold: float
    rows: tuple[Row, ...]
    unanswered: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Row, ...]:
        """The rows that ``fail_on`` fails on."""
        return tuple(row for row in self.rows if row.trips)

    @property
    def exit_code(self) -> int:
        """0 without a regression, 1 with one, 3 where nothing, or not all that was asked for, could be compared."""
        if self.regressions:
            return REGRESSED
        nothing = not any(row.verdict in JUDGED for row in self.rows)
        return NOTHING_COMPARED if nothing or self.unanswered else FINE


def compare(
    base: Run,
    new: Run,
    fail_on: FailOn | None = None,
    *,
    across_machines: bool = False,
    names: tuple[str, str] = ("", ""),
) -> Comparison:
    """What became of each figure of the base in the new run; ``names`` are what the two are called.

    With ``across_machines`` overheads compare even where the machines differ, as if they were a property of the graph.
    """
    fail_on = fail_on or parse(())
    threshold = fail_on.threshold("overhead") or THRESHOLD
    matched = list(match(base, new))
    pairs = [one for one in matched if isinstance(one, Pair)]
    rows = [*(one for one in matched if isinstance(one, Row)), *(row for pair in pairs if (row := status_row(pair)))]
    built = [pair for pair in pairs if has_graph(pair.before) and has_graph(pair.after)]
    rows += [row for pair in built for row in exact_rows(pair)]
    rows += _noisy_rows(base, new, built, fail_on, threshold, across_machines=across_machines)
    told = tuple(_explained(base, new, pairs, _in_order(rows, [one.case for one in matched]), fail_on))
    unanswered = fail_on.unanswered(told)
    sides = Sides(base, new, names, across_machines=across_machines)
    return Comparison(
        base.header, new.header, fail_on, threshold, told, unanswered, notes(sides, told, fail_on, threshold, unanswered)
    )


def _noisy_rows(
    base: Run, new: Run, pairs: Sequence[Pair], fail_on: FailOn, threshold: float, *, across_machines: bool
) -> list[Row]:
    reason = unlike(base.header, new.header, across_machines=across_machines)
    replicates = min(int(run.header.settings.get("processes", 1)) for run in (base, new))
    return [
        *overhead_rows(pairs, reason, floors_of(base, new), threshold),
        *latency_rows(pairs, unlike(base.header, new.header), fail_on.threshold("latency"), replicates),
    ]


def _in_order(rows: Sequence[Row], cases: Sequence[Case]) -> list[Row]:
    """Rows in the order of their cases; those of a case as they are."""
    by_case: dict[Case, list[Row]] = {case: [] for case in cases}
    for row in rows:
        by_case[row.case].append(row)
    return [row for own in by_case.values() for row in own]


def _explained(base: Run, new: Run, pairs: Sequence[Pair], rows: Sequence[Row], fail_on: FailOn) -> Iterator[Row]:
    """Rows with what a change may come from, and with what it is a regression by."""
    causes, by_case = Causes(base.header, new.header), {pair.case: pair for pair in pairs}
    for row in rows:
        if row.verdict in (BETTER, WORSE):
            yield replace(row, causes=causes.of(row, *by_case[row.case]), trips=fail_on.tripped_by(row))
        else:
            yield row
