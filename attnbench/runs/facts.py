"""What one timing step saw, as it is stored: appended to a run's file, and never changed.

Values are raw and in base units (seconds, bytes). What they come to is computed from them whenever it is asked for
(``fold``), so that another way of computing needs no other file. A fact says of which case it is, which sources it ran, and
when. The facts of a replicate share its ``number``.

Rejected: a summary a case, written anew after every step. It could not be taken apart where a replicate ran other code.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from attnbench.core.records import Case, Check, Finding, Measurement, Status

NodeRow = tuple[str, str, str, str, float, float]
"""A ``NodeShare`` without its keys: node, op, site, kind, seconds, share."""


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="fact"):
    """What all facts say: ``seconds`` is how long the step took in all, ``in_runtime`` the part of it in the runtime."""

    case: Case
    sources: str = ""
    at: str = ""
    seconds: float = 0.0
    in_runtime: float = 0.0


class BuiltFact(Fact, frozen=True, kw_only=True, tag="built"):
    """What is known of a case without a clock. ``skip`` says why it must not be run, where it must not.

    ``regions`` are the parts of the host that its modules stand in: cases with one in common do not share a graph.
    ``hashes`` map host and modules to hashes of their sources; ``stages`` are the seconds that building and checking took.
    """

    measurements: tuple[Measurement, ...] = ()
    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()
    uncounted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    skip: str = ""
    stages: Mapping[str, float] = {}
    hashes: Mapping[str, str] = {}

    @property
    def untimed(self) -> bool:
        """Whether it must not be run, or need not: its modules came to no node, and its overhead is known."""
        return bool(self.skip) or any(m.metric == "overhead" for m in self.measurements)

    def figure(self, metric: str) -> float:
        """The value of that metric; 0 where it was not had."""
        return next((m.value or 0.0 for m in self.measurements if m.metric == metric), 0.0)


class ProfileFact(Fact, frozen=True, kw_only=True, tag="profile"):
    """One profile in a fresh process: of a variant what it adds to its baseline, profiled close in time.

    ``overhead`` and ``aligned`` are ratios (see ``measure.attribution``), ``reason`` says why the overhead means nothing.
    ``cost`` is what profiling itself takes of a node, in seconds; ``core_share`` the part of its time that the process had
    its core. ``panel`` names the graph where other cases stood in it, too. With ``repeat`` it is the A/A repeat of a
    variant, no replicate of it.
    """

    number: int
    core_share: float
    cost: float = 0.0
    overhead: float | None = None
    aligned: float | None = None
    reason: str = ""
    nodes: tuple[NodeRow, ...] = ()
    panel: str = ""
    repeat: bool = False


class ApartFact(Fact, frozen=True, kw_only=True, tag="apart"):
    """Why a replicate of a case is taken in a graph of its own: in the named panel it was not what it is alone."""

    panel: str
    why: str


class PairsFact(Fact, frozen=True, kw_only=True, tag="pairs"):
    """Interleaved runs of baseline and variant: seconds on the wall clock and of the thread's CPU time, a row a pair.

    With ``together``, the variants of a panel, it is of the baseline and that graph.
    """

    number: int
    together: tuple[str, ...] = ()
    wall: tuple[tuple[float, float], ...]
    cpu: tuple[tuple[float, float], ...]


class LatencyFact(Fact, frozen=True, kw_only=True, tag="latency"):
    """Seconds of plain runs at a number of threads."""

    number: int
    threads: int
    wall: tuple[float, ...]


class MemoryFact(Fact, frozen=True, kw_only=True, tag="memory"):
    """Most bytes of one inference and of creating the session, or why they are ``missing``; see ``measure.memory``."""

    session_peak: int | None = None
    run_peak: int | None = None
    plain_peak: int | None = None
    static_peak: int | None = None
    in_place_peak: int | None = None
    missing: str = ""


class FailedFact(Fact, frozen=True, kw_only=True, tag="failed"):
    """A step that ended in a failure: the stage, the kind of error, its message, and what the case is by it.

    It ends the case; of a ``repeat`` or a ``crosscheck`` it ends no more than those.
    """

    step: str
    stage: str
    kind: str
    message: str
    status: Status = "failed"
    number: int = 0

    @property
    def aside(self) -> bool:
        """Whether the case itself goes on."""
        return self.step in ("repeat", "crosscheck")


AnyFact = BuiltFact | ProfileFact | ApartFact | PairsFact | LatencyFact | MemoryFact | FailedFact

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(AnyFact)
_HALF_CHARACTERS = re.compile("[\ud800-\udfff]")


def encode(fact: AnyFact) -> bytes:
    """The fact as one line of JSON, without its end."""
    try:
        return _ENCODER.encode(fact)
    except UnicodeEncodeError:
        return unicode_json(msgspec.to_builtins(fact)).encode()


def unicode_json(value: Any) -> str:
    """A value as JSON that is valid Unicode: half of a character, as file names may hold, becomes its escape in words."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _HALF_CHARACTERS.sub(lambda half: f"\\\\u{ord(half[0]):04x}", text)


def decode(line: bytes) -> AnyFact:
    """The fact in a line. Raises ``ValueError`` for what is none, with msgspec's words for what is wrong."""
    return _DECODER.decode(line)
