"""The facts so far, sorted: what is known of each case, and what follows from it, computed once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attnbench.core.errors import MachineFailure
from attnbench.core.records import Case
from attnbench.runs.facts import AnyFact, ApartFact, BuiltFact, FailedFact, LatencyFact, MemoryFact, PairsFact, ProfileFact

MOST_TRIES = 3
"""How often a case is measured that the machine makes fail, before that is taken for the case's own doing."""


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
        self._settled: dict[Any, Any] = {}
        self._sources = dict(sources or {})
        for fact in facts:
            self._facts[fact.case].append(fact)

    def add(self, fact: AnyFact) -> None:
        """One more fact."""
        self._facts[fact.case].append(fact)
        self._known.pop(fact.case, None)
        self._cached.clear()
        if isinstance(fact, BuiltFact | ApartFact | FailedFact):
            self._settled.clear()

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

    def settled(self, key: Any, compute: Callable[[], Any]) -> Any:
        """What follows from what was built, sent apart or failed, computed once until there is more of that."""
        if key not in self._settled:
            self._settled[key] = compute()
        return self._settled[key]

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
