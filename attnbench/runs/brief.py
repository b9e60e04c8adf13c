"""Facts read for some metrics alone: what these do not need is passed over, and no object is made of it.

What many facts say alike they share: the case, the sources, a finding. A case is read once, and then known by the text that
it stands in.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache, reduce
from operator import or_
from typing import Any, get_args

import msgspec
from msgspec.structs import fields, force_setattr

from attnbench.core.records import Case, Finding, Level
from attnbench.runs.facts import AnyFact, BuiltFact
from attnbench.runs.figures import LATENCIES, PAIRED, PANELS


class _BriefFinding(msgspec.Struct, frozen=True):
    target: str
    level: Level
    rule: str
    op: str
    inserted: bool = False


class _Whole(dict[_BriefFinding, Finding]):
    """Findings without words, each made once."""

    def __missing__(self, one: _BriefFinding) -> Finding:
        found = Finding(one.target, one.level, one.rule, "", one.op, "", "", "", "", "", inserted=one.inserted)
        return self.setdefault(one, found)


class _OfCase(msgspec.Struct):
    case: Case


_NEEDED: Mapping[str, Collection[str]] = {
    "findings": ("npu",),
    "aligned": ("aligned",),
    "cost": ("profiling_cost",),
    "wall": (*LATENCIES, *PAIRED, *PANELS),
    "cpu": (*PAIRED, *PANELS),
    **dict.fromkeys(("nodes", "checks", "stages", "at", "seconds", "in_runtime"), ()),
}
"""Fields of facts that some metrics alone need, or none, and those metrics; any other is always read."""


@cache
def _decoder(metrics: frozenset[str]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(reduce(or_, (_brief(kind, metrics) for kind in get_args(AnyFact))))


def _brief(kind: type[AnyFact], metrics: frozenset[str]) -> Any:
    """The kind of fact with its case as text; a field that is not needed goes by a name that no line has."""
    own: dict[str, tuple[Any, ...]] = {"case": ("case", msgspec.Raw)}
    if kind is BuiltFact:
        own["findings"] = ("findings", tuple[_BriefFinding, ...], ())
    for one in fields(kind):
        if one.name in _NEEDED and metrics.isdisjoint(_NEEDED[one.name]):
            named = {"default": () if one.required else one.default, "default_factory": one.default_factory}
            own[one.name] = (one.name, one.type, msgspec.field(**named, name=f"no {one.name}"))
    tag = kind.__struct_config__.tag
    return msgspec.defstruct(f"_Brief{kind.__name__}", own.values(), bases=(kind,), frozen=True, kw_only=True, tag=tag)


def brief_decoder(metrics: frozenset[str]) -> Callable[[bytes], AnyFact]:
    """Reads the lines of one file as far as metrics need them, by their names without ``@``; exact ones are always read.

    Findings, for ``npu``, are no more than target, level, rule and op.
    """
    read = _decoder(metrics).decode
    cases: dict[bytes, Case] = {}
    sources: dict[str, str] = {}
    findings = _Whole()

    def decode(line: bytes) -> AnyFact:
        fact: AnyFact = read(line)
        text = bytes(fact.case)  # type: ignore[call-overload]
        case = cases.get(text)
        if case is None:
            case = cases[text] = msgspec.json.decode(line, type=_OfCase).case
        force_setattr(fact, "case", case)
        force_setattr(fact, "sources", sources.setdefault(fact.sources, fact.sources))
        if isinstance(fact, BuiltFact):
            force_setattr(fact, "findings", tuple(map(findings.__getitem__, fact.findings)))  # type: ignore[arg-type]
        return fact

    return decode
