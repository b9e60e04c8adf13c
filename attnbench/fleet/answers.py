"""What the client makes of machines' answers: facts, and words for what went wrong."""

from collections.abc import Mapping
from typing import Any

from attnbench.core.errors import InputError
from attnbench.core.records import Case
from attnbench.core.units import fixed
from attnbench.core.versions import version
from attnbench.fleet.pool import Member
from attnbench.measure.schedule import TimingStep
from attnbench.runs.facts import AnyFact, decode
from attnbench.runs.fold import summarise

FLOOR = "floor_difference"


def checked(step: TimingStep, lines: list[str], sources: Mapping[Case, str]) -> list[AnyFact]:
    """The facts in an answer. Raises ``InputError`` where they are not of this step or of other sources."""
    asked = {*step.cases, *(case.baseline for case in step.cases)}
    facts = []
    for line in lines:
        try:
            fact = decode(line.encode())
        except ValueError as error:
            raise InputError(f"an answer that is no fact: {error}") from error
        if fact.case not in asked or fact.sources != sources.get(fact.case):
            raise InputError(f"an answer of another case or of other sources: {fact.case.label}")
        facts.append(fact)
    if not facts:
        raise InputError(f"no fact of {step_text(step)}")
    return facts


def error_text(found: Any) -> str:
    """What went wrong on a worker, in a line: its error comes as a pickle, and is not loaded."""
    text = repr(getattr(found, "args", found))
    if "No module named" in text and "attnbench" in text:
        return f"attnbench is not installed there: pip install 'attnbench[dask]=={version('attnbench')}'"
    return f"it answers with an error that stands in its own log ({type(found).__name__})"


def step_text(step: TimingStep | None) -> str:
    """A step in words."""
    if step is None:
        return "nothing"
    what = step.case.variant if len(step.cases) == 1 else f"{len(step.cases)} cases"
    return f"{step.kind} of {what}"


def resolved(member: Member) -> str:
    """What a machine could tell apart, of the host and size that it could least of."""
    found = [
        (floor, case)
        for case in member.header.cases
        if case.is_baseline
        and (floor := summarise(member.header, member.ledger, case, frozenset([FLOOR])).value(FLOOR)) is not None
    ]
    if not found:
        return ""
    floor, case = max(found, key=lambda one: one[0])
    return f"{fixed(100 * floor, 2)} points between two overheads ({case.host} {case.size})"
