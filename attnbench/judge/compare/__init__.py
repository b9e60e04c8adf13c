"""Two runs compared, case by case and figure by figure, each with a verdict, the reason and the likely cause.

Exact figures compare by equality on any machines (``exact``). Noisy ones compare only where machine and protocol are alike
(``match``), by interval and threshold, corrected for their number (``noisy``). Causes are what differs between the runs
(``causes``); what fails is the user's to say (``gates``), and silence never passes (``gaps``). Nothing is measured, built or
looked up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

from msgspec import structs

from attnbench.core.records import Case, Run
from attnbench.judge.compare.causes import Causes
from attnbench.judge.compare.exact import NPU, exact_rows
from attnbench.judge.compare.gaps import Gap, gaps
from attnbench.judge.compare.gates import FailOn, RegressionGate, parse
from attnbench.judge.compare.match import Pair, match, status_rows, unlike, unlike_runtime
from attnbench.judge.compare.noisy import LATENCY, OVERHEAD, floors_of, judged, latencies, overheads
from attnbench.judge.compare.notes import notes
from attnbench.judge.compare.rows import COMPARED, ComparisonRow
from attnbench.runs.uncertainty import means_of

__all__ = ["METRICS", "Comparison", "ComparisonRow", "FailOn", "compare", "parse"]

PASSED, REGRESSED, MISSING, UNRESOLVED = 0, 1, 3, 4
"""Exit codes, in words: no regression; one; a gated figure that could not be compared; one that noise does not tell."""


METRICS = (OVERHEAD, LATENCY, "core_share", "floor_difference", NPU)
"""What is compared besides exact figures, and what that rests on."""


@dataclass(frozen=True)
class Comparison:
    """Rows by case in the new run's order, and what was asked. ``names`` are what the two runs are called.

    ``missing`` are the figures that were asked for and could not be compared.
    """

    base: Run
    new: Run
    fail_on: FailOn
    names: tuple[str, str]
    across_machines: bool
    allow_unresolved: int
    rows: tuple[ComparisonRow, ...] = ()
    missing: tuple[Gap, ...] = ()

    @cached_property
    def thresholds(self) -> tuple[RegressionGate, ...]:
        """The entries that verdicts on overheads are by: those of the default where none is asked for."""
        return self.fail_on.of(OVERHEAD) or parse(()).of(OVERHEAD)

    @property
    def threshold(self) -> float:
        """The smallest change of an overhead that counts, as a share of the baseline's latency."""
        return min(gate.limit for gate in self.thresholds)

    @cached_property
    def regressions(self) -> tuple[ComparisonRow, ...]:
        """The rows that ``fail_on`` fails on."""
        return tuple(row for row in self.rows if row.fails)

    @cached_property
    def unresolved(self) -> tuple[ComparisonRow, ...]:
        """The rows that ``fail_on`` asks for, and noise does not tell."""
        return tuple(row for row in self.rows if row.verdict == "unresolved" and self.fail_on.judges(row))

    @cached_property
    def not_compared(self) -> tuple[str, ...]:
        """Metrics of ``fail_on`` that could be compared in no case."""
        return self.fail_on.not_compared(self.rows)

    @cached_property
    def nothing_compared(self) -> bool:
        """Whether no figure at all could be compared."""
        return not any(row.verdict in COMPARED for row in self.rows)

    @property
    def exit_code(self) -> int:
        """What the gate comes to: 0 where every planned case excludes every threshold, else the gravest of the others."""
        if self.regressions:
            return REGRESSED
        if self.nothing_compared or self.not_compared or self.missing:
            return MISSING
        return UNRESOLVED if len(self.unresolved) > self.allow_unresolved else PASSED

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know first, a sentence each."""
        return tuple(notes(self))

    @property
    def replicates_lacking(self) -> dict[Case, int]:
        """By case how many replicates of NEW its overhead lacks, whatever it comes to, where BASE has enough."""
        rows = (row for row in self.rows if row.metric == OVERHEAD)
        return {row.case: row.more.new for row in rows if row.more is not None and not row.more.base}


def compare(
    base: Run,
    new: Run,
    fail_on: FailOn | None = None,
    *,
    across_machines: bool = False,
    across_runtimes: bool = False,
    allow_unresolved: int = 0,
    names: tuple[str, str] = ("", ""),
) -> Comparison:
    """What became of each figure of the base in the new run; ``names`` are what the two are called.

    With ``across_machines`` overheads compare even where the machines differ, as if they were a property of the graph; with
    ``across_runtimes`` so do all noisy figures of one runtime in two versions, whose change is then a cause.
    """
    asked = Comparison(base, new, fail_on or parse(()), names, across_machines, allow_unresolved)
    matched = list(match(base, new))
    order = {one.case: place for place, one in enumerate(matched)}
    pairs = {one.case: one for one in matched if isinstance(one, Pair)}
    built = [pair for pair in pairs.values() if pair.built]
    replicates = min(int(run.header.effort.get("processes", 1)) for run in (base, new))
    one_a_runtime = {} if across_runtimes else {case.runtime: case for case in pairs}
    runtimes = {name: unlike_runtime(base.header, new.header, case) for name, case in one_a_runtime.items()}
    of_overheads, of_latencies = (
        partial(_unlike, unlike(base.header, new.header, across_machines=across), runtimes)
        for across in (across_machines, False)
    )
    threshold = partial(FailOn(asked.thresholds).smallest, OVERHEAD)
    timed = partial(asked.fail_on.smallest, LATENCY) if asked.fail_on.of(LATENCY) else None
    noisy = [
        *overheads(built, of_overheads, floors_of(base, new), threshold, (means_of(base), means_of(new))),
        *latencies(built, of_latencies, timed, replicates),
    ]
    rows = [
        *(one for one in matched if isinstance(one, ComparisonRow)),
        *(row for pair in pairs.values() for row in status_rows(pair)),
        *(row for pair in built for row in exact_rows(pair)),
        *judged(noisy),
    ]
    rows.sort(key=lambda row: order[row.case])
    causes = Causes(base.header, new.header)
    explained = tuple(
        structs.replace(row, causes=causes.of(row.metric, *pairs[row.case]), fails=asked.fail_on.failed_by(row))
        if row.verdict in ("better", "worse")
        else row
        for row in rows
    )
    return replace(asked, rows=explained, missing=tuple(gaps(matched, explained, asked.fail_on)))


def _unlike(why: str, runtimes: Mapping[str, str], case: Case) -> str:
    """Why a case's noisy figures do not compare: what holds of all cases, or the version of its runtime."""
    return why or runtimes.get(case.runtime, "")
