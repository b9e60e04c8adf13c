"""Which cases of two runs belong together, and which of their noisy figures may be held against each other at all."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from msgspec.structs import asdict

from attnbench.core.records import Case, Effort, Protocol, Record, Run, RunHeader
from attnbench.judge.compare.rows import ADDED, BETTER, CASE, INCOMPARABLE, REMOVED, SAME, WORSE, Row, Verdict

ALIKE = ("warmup", "repeat", "provider", "optimization", "seed", "canonical")
"""Settings that say what is run. Overheads compare only where these are the same."""

FREE = ("processes", "max_processes", "precision", "rounds", "threads", "memory", "step_seconds", "timeout_seconds")
"""Settings that say how many figures are taken, and how long that may last. They may differ: the interval knows."""


class Pair(NamedTuple):
    """The two records of a case."""

    before: Record
    after: Record

    @property
    def case(self) -> Case:
        """The case of both."""
        return self.after.case


def match(base: Run, new: Run) -> Iterator[Pair | Row]:
    """Every case of either run, in the order of the new one: its two records, or the row that says why there are not two.

    A case that a run planned and did not come to is not removed: that run ended too early to say.
    """
    before, after = _by_case(base), _by_case(new)
    for case in dict.fromkeys((*after, *before)):
        if case not in before:
            yield Row(case, CASE, ADDED, "only NEW has it", after=_status(after[case]))
        elif case not in after:
            yield Row(case, CASE, REMOVED, "only BASE has it", before=_status(before[case]))
        else:
            one, two = before[case], after[case]
            if one is not None and two is not None:
                yield Pair(one, two)
            else:
                ended = " and ".join(name for name, record in (("BASE", one), ("NEW", two)) if record is None)
                yield Row(case, CASE, INCOMPARABLE, f"{ended} ended before this case", _status(one), _status(two))


def status_row(pair: Pair) -> Row | None:
    """What became of a case as a whole; nothing where it has its figures in both runs.

    A case that lost its figures is worse, one that gained them better. A skipped one was left out on purpose, and one
    that has figures in neither run says nothing of a change, unless the module refuses the place in both.
    """
    one, two = pair.before.status, pair.after.status
    if one == two == "ok":
        return None
    verdict: Verdict = INCOMPARABLE
    why = f"{one} in both" if one == two else f"{one} in BASE, {two} in NEW"
    if one == two and one in ("refused", "skipped"):
        verdict = SAME
    elif one == "ok" and two in ("failed", "refused"):
        verdict, why = WORSE, f"{two} at {_reason(pair.after)}"
    elif two == "ok" and one in ("failed", "refused"):
        verdict, why = BETTER, f"was {one} at {_reason(pair.before)}"
    return Row(pair.case, CASE, verdict, why, one, two)


def has_graph(record: Record) -> bool:
    """Whether a record holds what is known without a clock: a skipped case was built, and not run."""
    return record.status in ("ok", "skipped")


def unlike(base: RunHeader, new: RunHeader, *, across_machines: bool = False) -> str:
    """Why the noisy figures of two runs do not compare; empty where they do."""
    protocols = [header.software.get("protocol", 1) for header in (base, new)]
    if protocols[0] != protocols[1]:
        return f"measured by another protocol ({protocols[0]}, {protocols[1]})"
    machines = [header.machine.get("id") for header in (base, new)]
    if not across_machines and (machines[0] != machines[1] or not machines[0]):
        told = ", ".join(str(machine or "unknown") for machine in machines)
        return f"measured on another machine (id {told})"
    differing = [f"{name} {one}, {two}" for name, one, two in settings_that_differ(base, new, ALIKE)]
    return f"measured with other settings ({'; '.join(differing)})" if differing else ""


def settings_that_differ(base: RunHeader, new: RunHeader, names: tuple[str, ...]) -> list[tuple[str, Any, Any]]:
    """Settings with their two values, where these differ; one that an old run does not name had its default."""
    one, two = _with_defaults(base.settings), _with_defaults(new.settings)
    return [(name, one[name], two[name]) for name in names if one[name] != two[name]]


def _with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**asdict(Protocol()), **asdict(Effort()), **settings}


def _by_case(run: Run) -> dict[Case, Record | None]:
    return {**dict.fromkeys(run.header.cases), **{record.case: record for record in run.records}}


def _status(record: Record | None) -> str | None:
    return record.status if record else None


def _reason(record: Record) -> str:
    return f"{record.failure.stage}: {record.failure.message}" if record.failure else "an unknown stage"
