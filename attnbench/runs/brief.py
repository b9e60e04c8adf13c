"""Facts read in brief: without what is most of a file and not compared: nodes, a second clock, words of findings.

What many facts say alike they share: the case, the sources, a finding. A case is read once, and then known by the text that
it stands in.
"""

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from attnbench.core.records import Case, Check, Finding, Level
from attnbench.runs.facts import (
    AnyFact,
    ApartFact,
    BuiltFact,
    FailedFact,
    LatencyFact,
    MemoryFact,
    NodeRow,
    PairsFact,
    ProfileFact,
)


class _BriefFinding(msgspec.Struct, frozen=True):
    target: str
    level: Level
    rule: str
    op: str
    inserted: bool = False


class _OfCase(msgspec.Struct):
    case: Case


def _without(field: str, kind: Any, default: Any) -> tuple[str, Any, Any]:
    """A field that no line has: it is passed over, and has its default."""
    return field, kind, msgspec.field(default=default, name=f"no {field}")


_OTHERWISE: dict[type[AnyFact], list[tuple[str, Any, Any]]] = {
    BuiltFact: [("findings", tuple[_BriefFinding, ...], ()), _without("checks", tuple[Check, ...], ())],
    ProfileFact: [_without("nodes", tuple[NodeRow, ...], ())],
    ApartFact: [],
    PairsFact: [_without("cpu", tuple[tuple[float, float], ...], ())],
    LatencyFact: [],
    MemoryFact: [],
    FailedFact: [],
}
"""By kind of fact what is read in another way, besides the case and the time of day."""

_BRIEF = [
    msgspec.defstruct(
        f"_Brief{kind.__name__}",
        [("case", msgspec.Raw), _without("at", str, ""), *fields],
        bases=(kind,),
        frozen=True,
        kw_only=True,
        tag=kind.__struct_config__.tag,
    )
    for kind, fields in _OTHERWISE.items()
]
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(reduce(or_, _BRIEF))


def brief_decoder() -> Callable[[bytes], AnyFact]:
    """Reads the lines of one file: facts without nodes, checks and time of day, and of findings only what is compared.

    That is target, level, rule and op.
    """
    cases: dict[bytes, Case] = {}
    sources: dict[str, str] = {}
    findings: dict[_BriefFinding, Finding] = {}

    def decode(line: bytes) -> AnyFact:
        fact: AnyFact = _DECODER.decode(line)
        text = bytes(fact.case)  # type: ignore[call-overload]
        case = cases.get(text)
        if case is None:
            case = cases[text] = msgspec.json.decode(line, type=_OfCase).case
        force_setattr(fact, "case", case)
        force_setattr(fact, "sources", sources.setdefault(fact.sources, fact.sources))
        if isinstance(fact, BuiltFact):
            told: tuple[Any, ...] = fact.findings
            force_setattr(fact, "findings", tuple(findings.get(one) or whole(one) for one in told))
        return fact

    def whole(one: _BriefFinding) -> Finding:
        found = Finding(one.target, one.level, one.rule, "", one.op, "", "", "", "", "", inserted=one.inserted)
        return findings.setdefault(one, found)

    return decode
