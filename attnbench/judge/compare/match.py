"""Which cases of two runs belong together, and whether the noisy figures of the two may be compared at all."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec.structs import asdict

from attnbench.core.grammar import parse_spec
from attnbench.core.protocol import Protocol
from attnbench.core.records import Case, Measurement, Record, Run, RunHeader
from attnbench.judge.compare.rows import CASE, ComparisonRow, Verdict

PROTOCOL_FIELDS = tuple(name for name in Protocol.__struct_fields__ if name != "threads")
"""What must be alike for two overheads to be compared. An absolute latency says its number of threads itself."""


class Pair(NamedTuple):
    """The two records of a case."""

    before: Record
    after: Record

    @property
    def case(self) -> Case:
        """The case of both."""
        return self.after.case

    @property
    def built(self) -> bool:
        """Whether both hold what is known without a clock: a skipped case was built, and not run."""
        return all(record.status in ("ok", "skipped") for record in self)


def match(base: Run, new: Run) -> Iterator[Pair | ComparisonRow]:
    """Every case of either run, in the order of the new one: its two records, or the row that says why there are not two.

    A case that a run planned and did not come to is not removed: that run ended too early to say.
    """
    before, after = _by_case(base), _by_case(new)
    for case in dict.fromkeys((*after, *before)):
        one, two = before.get(case), after.get(case)
        statuses = one.status if one else None, two.status if two else None
        if one is not None and two is not None:
            yield Pair(one, two)
        elif case not in before:
            yield ComparisonRow(case, CASE, "added", "only NEW has it", *statuses)
        elif case not in after:
            yield ComparisonRow(case, CASE, "removed", "only BASE has it", *statuses)
        else:
            ended = " and ".join(name for name, record in (("BASE", one), ("NEW", two)) if record is None)
            yield ComparisonRow(case, CASE, "incomparable", f"{ended} ended before this case", *statuses)


def status_rows(pair: Pair) -> Iterator[ComparisonRow]:
    """What became of a case as a whole; nothing where it has its figures in both runs.

    A case that lost its figures is worse, one that gained them better. A skipped one was left out on purpose, and one
    that has figures in neither run says nothing of a change, unless the module refuses the place in both.
    """
    one, two = pair.before.status, pair.after.status
    if one == two == "ok":
        return
    verdict: Verdict = "incomparable"
    why = f"{one} in both" if one == two else f"{one} in BASE, {two} in NEW"
    if one == two and one in ("refused", "skipped"):
        verdict = "same"
    elif one == "ok" and two in ("failed", "refused"):
        verdict, why = "worse", f"{two} at {pair.after.failure or 'an unknown stage'}"
    elif two == "ok" and one in ("failed", "refused"):
        verdict, why = "better", f"was {one} at {pair.before.failure or 'an unknown stage'}"
    yield ComparisonRow(pair.case, CASE, verdict, why, one, two)


def unlike(base: RunHeader, new: RunHeader, *, across_machines: bool = False) -> str:
    """Why the noisy figures of two runs do not compare; empty where they do."""
    versions = [header.software.get("protocol", 1) for header in (base, new)]
    differing = [("version", *versions)] if versions[0] != versions[1] else []
    if differing := [*differing, *protocol_differences(base, new)]:
        return f"measured with another protocol ({'; '.join(f'{name} {one}, {two}' for name, one, two in differing)})"
    machines = [header.machine.get("id") for header in (base, new)]
    if not across_machines and (machines[0] != machines[1] or not machines[0]):
        return f"measured on another machine (id {', '.join(str(machine or 'unknown') for machine in machines)})"
    return ""


def unlike_runtime(base: RunHeader, new: RunHeader, case: Case) -> str:
    """Why a case's noisy figures of two runs do not compare: its runtime was of another version; empty where it was not."""
    name = parse_spec(case.runtime).name
    one, two = (header.software.get(name) for header in (base, new))
    return f"run by another {name} ({one}, {two})" if one and two and one != two else ""


def unlike_figures(before: Measurement, after: Measurement) -> str:
    """Why two measurements of one metric are not of one quantity; empty where they are."""
    if before.unit != after.unit:
        return f"told in {before.unit} in BASE, in {after.unit} in NEW"
    if before.better != after.better:
        return f"of BASE {before.better} is better, of NEW {after.better}"
    return ""


def protocol_differences(base: RunHeader, new: RunHeader) -> list[tuple[str, Any, Any]]:
    """The fields of the protocol that differ, with both values; one that an old run does not name had its default."""
    one, two = ({**asdict(Protocol()), **header.protocol} for header in (base, new))
    return [(name, one[name], two[name]) for name in PROTOCOL_FIELDS if one[name] != two[name]]


def _by_case(run: Run) -> dict[Case, Record | None]:
    return {**dict.fromkeys(run.header.cases), **{record.case: record for record in run.records}}
