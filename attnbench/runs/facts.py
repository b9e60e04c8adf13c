"""What one timing step saw, as it is stored: appended to a run's file, and never changed.

Values are raw and in base units (seconds, bytes). What they come to is computed from them whenever it is asked for
(``fold``), so that another way of computing needs no other file. A fact says of which case it is, which sources it ran, and
when. The facts of a replicate share its ``number``.

Rejected: a summary a case, written anew after every step. It could not be taken apart where a replicate ran other code.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from attnbench.core.errors import MachineFailure
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

MOST_TRIES = 3
"""How often a case is measured that the machine makes fail, before that is taken for the case's own doing."""

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


@dataclass(frozen=True)
class CaseFacts:
    """The facts of one case that count, by what they are of.

    ``together`` are a baseline's pairs with panels. ``failed`` is the failure that ended the case, ``tries`` how often the
    machine made it fail.
    """

    built: BuiltFact | None
    replicates: tuple[ProfileFact, ...]
    repeats: tuple[ProfileFact, ...]
    apart: tuple[ApartFact, ...]
    pairs: tuple[PairsFact, ...]
    together: tuple[PairsFact, ...]
    latencies: tuple[LatencyFact, ...]
    memory: MemoryFact | None
    failed: FailedFact | None
    repeat_failed: FailedFact | None
    crosscheck_failed: FailedFact | None
    tries: int = 0

    @classmethod
    def of(cls, facts: Iterable[AnyFact]) -> "CaseFacts":
        """Sort the facts of one case. The last built and memory facts count."""
        found = list(facts)
        sorts: defaultdict[Any, list[Any]] = defaultdict(list)
        for fact in found:
            sorts[fact.__struct_config__.tag].append(fact)
        failures, pairs = sorts["failed"], sorts["pairs"]
        return cls(
            built=next(reversed(sorts["built"]), None),
            replicates=tuple([fact for fact in sorts["profile"] if not fact.repeat]),
            repeats=tuple([fact for fact in sorts["profile"] if fact.repeat]),
            apart=tuple(sorts["apart"]),
            pairs=tuple([fact for fact in pairs if not fact.together]),
            together=tuple([fact for fact in pairs if fact.together]),
            latencies=tuple(sorts["latency"]),
            memory=next(reversed(sorts["memory"]), None),
            failed=_ending(found),
            tries=sum(fact.kind == MachineFailure.__name__ and not fact.aside for fact in failures),
            repeat_failed=next((fact for fact in failures if fact.step == "repeat"), None),
            crosscheck_failed=next((fact for fact in failures if fact.step == "crosscheck"), None),
        )

    @property
    def tried_again(self) -> bool:
        """Whether it failed by what the machine was short of, so that a resumed sweep tries it again; not for ever."""
        return self.failed is not None and self.failed.kind == MachineFailure.__name__ and self.tries < MOST_TRIES

    @property
    def ended(self) -> bool:
        """Whether nothing more will be measured: it failed, or needs no clock."""
        return self.failed is not None or bool(self.built and self.built.untimed)

    @property
    def overheads(self) -> tuple[float, ...]:
        """The overhead of each replicate, where all of them could be attributed; else nothing."""
        found = [fact.overhead for fact in self.replicates if not fact.reason and fact.overhead is not None]
        return tuple(found) if len(found) == len(self.replicates) else ()


def _ending(facts: Sequence[AnyFact]) -> FailedFact | None:
    """The last failure that ended a case; none where something was had after it, for then it was tried again."""
    for fact in reversed(facts):
        if isinstance(fact, FailedFact) and not fact.aside:
            return fact
        beside = isinstance(fact, ApartFact | FailedFact) or (isinstance(fact, PairsFact) and fact.together)
        if not beside and not (isinstance(fact, ProfileFact) and fact.repeat):
            return None
    return None


class Ledger:
    """The facts so far, by case; facts are only ever added.

    A case's facts count where they ran the sources that ``sources`` names for it now, or else those that it was built from
    last: figures of two versions of a module's code are never one case's.
    """

    def __init__(self, facts: Iterable[AnyFact] = (), sources: Mapping[Case, str] | None = None) -> None:
        self._facts: defaultdict[Case, list[AnyFact]] = defaultdict(list)
        self._known: dict[Case, CaseFacts] = {}
        self._cached: dict[Any, Any] = {}
        self._sources = dict(sources or {})
        for fact in facts:
            self._facts[fact.case].append(fact)

    def add(self, fact: AnyFact) -> None:
        """One more fact."""
        self._facts[fact.case].append(fact)
        self._known.pop(fact.case, None)
        self._cached.clear()

    def cases(self) -> list[Case]:
        """The cases of which anything is known, in the order of their first facts."""
        return list(self._facts)

    def of(self, case: Case) -> list[AnyFact]:
        """The facts of a case that count, as they came."""
        current = self.current(case)
        return [fact for fact in self._facts.get(case, ()) if fact.sources == current]

    def known(self, case: Case) -> CaseFacts:
        """The same, sorted by what they are of."""
        found = self._known.get(case)
        if found is None:
            found = self._known[case] = CaseFacts.of(self.of(case))
        return found

    def cached(self, key: Any, compute: Callable[[], Any]) -> Any:
        """What follows from all facts, computed once until there is one more."""
        if key not in self._cached:
            self._cached[key] = compute()
        return self._cached[key]

    def current(self, case: Case) -> str:
        """The sources that count for a case."""
        if case in self._sources:
            return self._sources[case]
        return next((fact.sources for fact in reversed(self._facts.get(case, ()))), "")

    def set_aside(self, case: Case) -> int:
        """How many replicates of a case do not count, for they ran other sources."""
        current = self.current(case)
        return sum(
            fact.sources != current and isinstance(fact, ProfileFact) and not fact.repeat
            for fact in self._facts.get(case, ())
        )

    def __iter__(self) -> Any:
        return (fact for facts in self._facts.values() for fact in facts)
