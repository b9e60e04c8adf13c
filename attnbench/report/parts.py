"""A run by host, size and runtime: each part has a baseline, a floor and pictures of its own; and the parts side by side."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from msgspec import structs

from attnbench.core.records import Case, Run
from attnbench.core.units import significant
from attnbench.judge.rows import Row, rows_of
from attnbench.report.table import VARIANT, WHERE, Table, places
from attnbench.report.tables import has_overhead, overhead_text

SIDE_BY_SIDE = (
    "An overhead belongs to the runtime that it was measured in: each is a share of that runtime's own baseline. Where the "
    "ratio is far from 1, the module is not dearer in itself: one runtime folds it into its neighbours, or runs the host "
    "faster. int8 is measured in ONNX Runtime alone."
)


class RunPart(NamedTuple):
    """The cases of one baseline; ``run`` is the run with those of its runtime alone."""

    run: Run
    baseline: Case


def parts_of(run: Run) -> list[RunPart]:
    """Every part that the run plans or has, in its order."""
    cases = [*run.header.cases, *(record.case for record in run.records)]
    runs = {runtime: of_runtime(run, runtime) for runtime in dict.fromkeys(case.runtime for case in cases)}
    return [RunPart(runs[baseline.runtime], baseline) for baseline in dict.fromkeys(case.baseline for case in cases)]


def runtimes_of(run: Run) -> list[str]:
    """The runtimes of a run's cases."""
    return list(dict.fromkeys(case.runtime for case in (*run.header.cases, *(record.case for record in run.records))))


def of_runtime(run: Run, runtime: str) -> Run:
    """The run with one runtime's cases alone; the run itself where it has no others."""
    if runtimes_of(run) == [runtime]:
        return run
    header = replace(run.header, cases=tuple(case for case in run.header.cases if case.runtime == runtime), efforts={})
    return replace(run, header=header, records=tuple(record for record in run.records if record.case.runtime == runtime))


def by_runtime(run: Run) -> Table:
    """Overheads of one variant in each runtime, and how large the others are beside the first one's."""
    names = runtimes_of(run)
    if len(names) < 2:
        return Table()
    found: dict[Case, dict[str, Row]] = {}
    for row in rows_of(run):
        if not row.case.is_baseline:
            found.setdefault(structs.replace(row.case, runtime=names[0]), {})[row.case.runtime] = row
    where = places(found, VARIANT)
    return Table.of(
        {
            **where(case),
            **{f"{name} (%)": overhead_text(own[name]) if name in own else None for name in names},
            **{f"{name} / {names[0]}": _ratio(own, (names[0], name)) for name in names[1:]},
        }
        for case, own in found.items()
    ).keyed(*WHERE)


def _ratio(rows: dict[str, Row], names: Sequence[str]) -> str | None:
    one, other = (rows[name].number("overhead_pct") if name in rows and has_overhead(rows[name]) else None for name in names)
    return None if not one or other is None or one < 0 else significant(other / one, 2)
