"""How overheads differ between machines: a column a machine, and the differences from the first one, with intervals.

A percentage belongs to a machine: on another one the same module may cost another share of the same network. What two
machines differ by is had from two runs that know nothing of each other, so that the half widths add up as squares.
"""

from collections.abc import Iterator, Mapping
from math import hypot

from attnbench.core.records import Case, Measurement, Run
from attnbench.core.units import MISSING, fixed
from attnbench.report.answer import sections_text
from attnbench.report.table import Section, Table


def render(runs: Mapping[str, Run]) -> str:
    """The tables as Markdown."""
    return sections_text(list(sections(runs)))


def sections(runs: Mapping[str, Run]) -> Iterator[Section]:
    """The machines, the overhead of each case on each, and the differences from the first machine."""
    machines = [
        {"machine": name, "id": run.header.machine["id"], "CPU": run.header.machine["cpu"],
         "cores": run.header.machine["cores"], "cases": len(run.records)}
        for name, run in runs.items()
    ]  # fmt: skip
    yield Section("Machines", "", Table.of(machines))
    found = {name: {r.case: m for r in run.records if (m := r.get("overhead")) is not None} for name, run in runs.items()}
    cases = list(dict.fromkeys(case for run in runs.values() for case in run.header.cases if not case.is_baseline))
    rows = [{**_named(case), **{name: _interval(own.get(case)) for name, own in found.items()}} for case in cases]
    yield Section("Overhead on each machine, %", "Intervals hold with 95 % confidence.", Table.of(rows).keyed("case"))
    if len(runs) < 2:
        return
    first, *others = found
    rows = [
        {**_named(case), **{name: _difference(found[first].get(case), found[name].get(case)) for name in others}}
        for case in cases
    ]
    title = f"Overhead less that on {first}, percentage points"
    meaning = "Where an interval holds 0, the machines do not differ as far as was measured."
    yield Section(title, meaning, Table.of(rows).keyed("case"))


def _named(case: Case) -> dict[str, str]:
    return {"case": f"{case.variant} ({case.where})"}


def _half(found: Measurement) -> float | None:
    return None if found.low is None or found.high is None else (found.high - found.low) / 2


def _interval(found: Measurement | None) -> str:
    if found is None or found.value is None:
        return MISSING
    half = _half(found)
    return fixed(100 * found.value, 2) + ("" if half is None else f" ± {fixed(100 * half, 2)}")


def _difference(one: Measurement | None, other: Measurement | None) -> str:
    if one is None or other is None or one.value is None or other.value is None:
        return MISSING
    first, second = _half(one), _half(other)
    if first is None or second is None:
        return MISSING
    difference, half = other.value - one.value, hypot(first, second)
    return f"{fixed(100 * difference, 2)} ± {fixed(100 * half, 2)}"
