"""Two runs compared, case by case and figure by figure, each with a verdict, the reason and the likely cause.

Exact figures compare by equality on any machines (``exact``). Noisy ones compare only where machine and protocol are alike
(``match``), by interval and threshold, corrected for their number (``noisy``). Causes are what differs between the runs
(``causes``); what fails is the user's to say (``gates``). Nothing is measured, built or looked up.
"""

from dataclasses import dataclass, replace

from attnbench.core.records import Run
from attnbench.judge.compare.causes import Causes
from attnbench.judge.compare.exact import exact_rows
from attnbench.judge.compare.gates import FailOn, parse
from attnbench.judge.compare.match import Pair, match, status_rows, unlike
from attnbench.judge.compare.noisy import LATENCY, OVERHEAD, THRESHOLD, floors_of, latency_rows, overhead_rows
from attnbench.judge.compare.notes import notes
from attnbench.judge.compare.rows import COMPARED, ComparisonRow

__all__ = ["Comparison", "ComparisonRow", "FailOn", "compare", "parse"]

NO_REGRESSION, REGRESSED, NOTHING_COMPARED = 0, 1, 3


@dataclass(frozen=True)
class Comparison:
    """Rows by case in the new run's order, and what was asked. ``names`` are what the two runs are called."""

    base: Run
    new: Run
    fail_on: FailOn
    names: tuple[str, str]
    across_machines: bool
    rows: tuple[ComparisonRow, ...]

    @property
    def threshold(self) -> float:
        """The change of an overhead that counts, as a share of the baseline's latency."""
        return self.fail_on.threshold(OVERHEAD) or THRESHOLD

    @property
    def regressions(self) -> tuple[ComparisonRow, ...]:
        """The rows that ``fail_on`` fails on."""
        return tuple(row for row in self.rows if row.fails)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """Metrics of ``fail_on`` that could be compared in no case."""
        return self.fail_on.not_compared(self.rows)

    @property
    def nothing_compared(self) -> bool:
        """Whether no figure at all could be compared."""
        return not any(row.verdict in COMPARED for row in self.rows)

    @property
    def exit_code(self) -> int:
        """0 without a regression, 1 with one, 3 where nothing, or not all that was asked for, could be compared."""
        if self.regressions:
            return REGRESSED
        return NOTHING_COMPARED if self.nothing_compared or self.not_compared else NO_REGRESSION

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know first, a sentence each."""
        return tuple(notes(self))


def compare(
    base: Run, new: Run, fail_on: FailOn | None = None, *, across_machines: bool = False, names: tuple[str, str] = ("", "")
) -> Comparison:
    """What became of each figure of the base in the new run; ``names`` are what the two are called.

    With ``across_machines`` overheads compare even where the machines differ, as if they were a property of the graph.
    """
    asked = Comparison(base, new, fail_on or parse(()), names, across_machines, ())
    matched = list(match(base, new))
    order = {one.case: place for place, one in enumerate(matched)}
    pairs = {one.case: one for one in matched if isinstance(one, Pair)}
    built = [pair for pair in pairs.values() if pair.built]
    replicates = min(int(run.header.effort.get("processes", 1)) for run in (base, new))
    reasons = (unlike(base.header, new.header, across_machines=across) for across in (across_machines, False))
    rows = [
        *(one for one in matched if isinstance(one, ComparisonRow)),
        *(row for pair in pairs.values() for row in status_rows(pair)),
        *(row for pair in built for row in exact_rows(pair)),
        *overhead_rows(built, next(reasons), floors_of(base, new), asked.threshold),
        *latency_rows(built, next(reasons), asked.fail_on.threshold(LATENCY), replicates),
    ]
    rows.sort(key=lambda row: order[row.case])
    causes = Causes(base.header, new.header)
    explained = (
        replace(row, causes=causes.of(row.metric, *pairs[row.case]), fails=asked.fail_on.failed_by(row))
        if row.verdict in ("better", "worse")
        else row
        for row in rows
    )
    return replace(asked, rows=tuple(explained))
