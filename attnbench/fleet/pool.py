"""Which machine measures what, and which step is next on each: a function of the plan and of the facts so far.

Each machine goes through the schedule of a sweep by itself: baseline and variants stay together, because an overhead is a
ratio within one machine. In mode ``each`` every machine measures all cases. In mode ``split`` like machines share them: a
machine without work is dealt a *hand* of the cases that nobody has, smaller the fewer are left. What a lost machine has not
finished is dealt anew after ``GRACE_SECONDS``, from its first replicate on: replicates of two machines are not one case's.

Nothing here knows of Dask, of clocks or of files: time comes in as seconds, and facts go out by a function.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from msgspec import structs

from attnbench.core.errors import CaseFailure
from attnbench.core.records import Case, RunHeader
from attnbench.measure.schedule import TimingStep, failed, schedule
from attnbench.runs.facts import AnyFact, BuiltFact, ProfileFact
from attnbench.runs.fold import replicates, summarise
from attnbench.runs.ledger import Ledger
from attnbench.study.plan import Plan

Mode = Literal["each", "split"]

GRACE_SECONDS = 60.0
"""So long a lost machine's cases wait for it: it may be back, and go on where it was."""

TRIES = 3
"""A step that its machine was lost in so often is a failure of its cases."""

BUILT_AT_A_TIME = 16
"""Cases that one step describes: what a lost machine loses at most."""

HANDS = 2
"""Hands that each machine gets of what is left, were there no more to come: the last ones are small."""

SCHEDULED = frozenset({"macs", "bytes_moved", "activation_peak"})
"""The figures without a clock that the schedule asks for."""


@dataclass
class Member:
    """A machine of the fleet: what it measures, what it has measured, and the step that it is at."""

    name: str
    header: RunHeader
    ledger: Ledger
    write: Callable[..., None]
    here: bool = True
    hand: dict[Case, None] = field(default_factory=dict)
    steps: Iterator[TimingStep] | None = None
    step: TimingStep | None = None
    lost_at: float = 0.0
    losses: int = 0
    done: bool = False


class Fleet:
    """The machines of a plan. ``sources`` are the hashes of what each case runs."""

    def __init__(self, plan: Plan, mode: Mode, sources: Mapping[Case, str]) -> None:
        self.plan = plan
        self.mode = mode
        self.sources = sources
        self.members: dict[str, Member] = {}
        self.had: set[Case] = set()
        counted_from = {planned.case.baseline for planned in plan.cases if not planned.case.is_baseline}
        self.dealt: dict[Case, None] = {p.case: None for p in plan.cases if p.case not in counted_from}
        self.pool: dict[Case, None] = dict(self.dealt)

    def join(
        self, name: str, header: RunHeader, facts: Iterable[AnyFact], write: Callable[..., None], *, here: bool = True,
        now: float = 0.0,
    ) -> Member:  # fmt: skip
        """A machine with what it has measured before; one that is not ``here`` may come yet. One that was lost is back."""
        member = self.members.get(name)
        if member is None:
            ledger = Ledger(map(lean, facts), self.sources)
            member = self.members[name] = Member(name, header, ledger, write, here, lost_at=now)
            for case in self.dealt if self.mode == "each" else [case for case in self.dealt if ledger.of(case)]:
                member.hand[case] = None
                self.pool.pop(case, None)
                if self.mode == "split" and summarise(header, ledger, case, frozenset()).pending == 0:
                    self.had.add(case)
        elif here and not member.here:
            member.here = True
        return member

    def next(self, name: str) -> TimingStep | None:
        """The step that a machine takes now; ``None`` where it is away or there is none for it, at least for now."""
        member = self.members[name]
        if not member.here or (member.done and not self.pool):
            return None
        while member.step is None:
            if member.steps is None:
                member.steps = _in_parts(schedule(self._plan_of(member), member.header, member.ledger))
            member.step = next(member.steps, None)
            if member.step is None:
                member.steps = None
                self.had |= member.hand.keys()
                member.done = not self._deal(member)
                if member.done:
                    return None
        return member.step

    def took(self, name: str, facts: Iterable[AnyFact]) -> None:
        """What the step of a machine came to: written, and then known."""
        member = self.members[name]
        known = list(facts)
        member.write(*known)
        for fact in known:
            member.ledger.add(lean(fact))
        member.step, member.losses = None, 0

    def again(self, name: str, why: str) -> None:
        """The step of a machine came to nothing: it is asked for again, and after ``TRIES`` times it is a failure."""
        member = self.members[name]
        member.losses += 1
        if (step := member.step) is not None and member.losses >= TRIES:
            cases = step.cases[:1] if step.kind in ("repeat", "crosscheck") else step.cases
            facts = [failed(step, case, CaseFailure("fleet", why)) for case in cases]
            self.took(name, [structs.replace(fact, sources=self.sources.get(fact.case, "")) for fact in facts])

    def lost(self, name: str, now: float, *, blame: bool = True) -> None:
        """A machine is gone, perhaps by the step that it was at. Its cases stay its own for a while."""
        member = self.members[name]
        if member.here:
            member.here, member.lost_at = False, now
            if member.step is not None and blame:
                self.again(name, f"the machine was lost {TRIES} times at it")

    def leave(self, name: str) -> None:
        """A machine is refused: what it has not finished is anybody's, and nobody waits for it."""
        member = self.members.get(name)
        if member is not None:
            self._take_back(member)
            member.here, member.done = False, True

    def tick(self, now: float) -> None:
        """Take from machines that stay away what they have not finished; who has nothing to do is asked again."""
        for member in self.members.values() if self.mode == "split" else ():
            if not member.here and now - member.lost_at > GRACE_SECONDS:
                self._take_back(member)

    def counted(self, member: Member) -> tuple[int, int]:
        """The replicates that a machine has of its cases, and those that are wanted as far as is known."""
        return replicates(member.header, member.ledger, {*member.hand, *(case.baseline for case in member.hand)})

    def _take_back(self, member: Member) -> None:
        for case in [case for case in member.hand if case not in self.had] if self.mode == "split" else ():
            del member.hand[case]
            self.pool[case] = None
        member.steps = member.step = None

    @property
    def finished(self) -> bool:
        """Whether all is measured: on every machine, or by all of them together."""
        if self.mode == "each":
            return bool(self.members) and all(member.done for member in self.members.values())
        here = [member for member in self.members.values() if member.here]
        return not (self.dealt.keys() - self.had) and all(member.done for member in here)

    def _plan_of(self, member: Member) -> Plan:
        """The cases that a machine measures, with their baselines."""
        if self.mode == "each":
            return self.plan
        kept = {*member.hand, *(case.baseline for case in member.hand)}
        return replace(self.plan, cases=tuple(planned for planned in self.plan.cases if planned.case in kept))

    def _deal(self, member: Member) -> bool:
        """Give a machine more cases of those that nobody has; whether there were any.

        They are of one host and size, for their baseline's sake, and lie apart in the plan: neighbours there are often of
        one place, and cannot share a graph.
        """
        if not self.pool:
            return False
        here = sum(other.here for other in self.members.values())
        first = next(iter(self.pool)).baseline
        known = [case.baseline for case in member.hand]
        wanted = next((case.baseline for case in self.pool if case.baseline in known), first)
        own = [case for case in self.pool if case.baseline == wanted]
        size = max(1, -(-len(self.pool) // (HANDS * max(1, here))))
        for case in own[:: max(1, len(own) // size)][:size]:
            member.hand[case] = None
            del self.pool[case]
        return True


def lean(fact: AnyFact) -> AnyFact:
    """A fact without what the schedule does not ask for: a fleet's facts stand in memory all at once."""
    match fact:
        case ProfileFact() if fact.nodes:
            return structs.replace(fact, nodes=())
        case BuiltFact():
            kept = tuple(one for one in fact.measurements if one.metric in SCHEDULED)
            return structs.replace(
                fact, measurements=kept, findings=(), checks=(), uncounted=(), notes=(), stages={}, hashes={}
            )
    return fact


def _in_parts(steps: Iterable[TimingStep]) -> Iterator[TimingStep]:
    """Steps; one that describes many cases as several of a few."""
    for step in steps:
        if step.kind != "build":
            yield step
            continue
        cases: Sequence[Case] = sorted(step.cases, key=lambda case: not case.is_baseline)
        for start in range(0, len(cases), BUILT_AT_A_TIME):
            yield step._replace(cases=tuple(cases[start : start + BUILT_AT_A_TIME]))
