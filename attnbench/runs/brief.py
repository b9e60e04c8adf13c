"""Facts read in brief: without what is most of a file and not compared: nodes, a second clock, words of findings."""

from functools import cache

import msgspec

from attnbench.core.records import Check, Finding, Level
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


class _BriefBuiltFact(BuiltFact, frozen=True, kw_only=True, tag="built"):
    findings: tuple[_BriefFinding, ...] = ()  # type: ignore[assignment]
    checks: tuple[Check, ...] = msgspec.field(default=(), name="no checks")


class _BriefProfileFact(ProfileFact, frozen=True, kw_only=True, tag="profile"):
    nodes: tuple[NodeRow, ...] = msgspec.field(default=(), name="no nodes")


class _BriefPairsFact(PairsFact, frozen=True, kw_only=True, tag="pairs"):
    cpu: tuple[tuple[float, float], ...] = msgspec.field(default=(), name="no CPU time")


_BRIEF_DECODER = msgspec.json.Decoder(
    _BriefBuiltFact | _BriefProfileFact | ApartFact | _BriefPairsFact | LatencyFact | MemoryFact | FailedFact
)


def decode_brief(line: bytes) -> AnyFact:
    """The fact in a line without nodes and checks, and of findings only what is compared: target, level, rule and op."""
    fact = _BRIEF_DECODER.decode(line)
    if isinstance(fact, _BriefBuiltFact):
        return msgspec.structs.replace(fact, findings=tuple(map(_finding, fact.findings)))
    return fact


@cache
def _finding(brief: _BriefFinding) -> Finding:
    return Finding(brief.target, brief.level, brief.rule, "", brief.op, "", "", "", "", "", inserted=brief.inserted)
