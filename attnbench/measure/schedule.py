"""Which timing step is next: a pure function of the plan and of the facts so far.

The plan is gone through once for each replicate, so that a case's replicates lie as far apart in time as the sweep is long:
a machine's state drifts over minutes, and memory-bound modules gain or lose against compute-bound convolutions with it.
Replicates taken in a row would share one state, and their interval would promise more than another run keeps.

All rules of what is measured stand here: what a replicate consists of, when a case has enough, and the A/A repeat, which is
one variant of each host and size measured twice. What its two figures differ by is what the machine cannot resolve.
(Attribution of a baseline against a copy of itself is zero by construction and would prove nothing.)
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import Case, RunHeader
from attnbench.runs.facts import AnyFact, BuiltFact, LatencyFact, Ledger, MemoryFact, PairsFact, ProfileFact
from attnbench.runs.fold import CaseFacts, repeated_variant, repeats_wanted, replicates_wanted, variants_of
from attnbench.study.plan import Plan, PlannedCase

StepKind = Literal["build", "profile", "repeat", "pairs", "latency", "memory"]


class TimingStep(NamedTuple):
    """One thing to do for a case; all but ``build`` take a fresh timing process. ``number`` is the replicate's, from 0."""

    kind: StepKind
    case: Case
    number: int = 0
    threads: int = 1

    @property
    def replicate(self) -> tuple[Case, int, bool]:
        """What steps of one replicate have in common."""
        return self.case, self.number, self.kind == "repeat"


def schedule(plan: Plan, header: RunHeader, ledger: Ledger) -> Iterator[TimingStep]:
    """The steps that are still wanted, until none is; each one's fact must be in the ledger before the next is asked for."""
    number = 0
    while any(number < _wanted(header, ledger, planned.case) for planned in plan.cases):
        for planned in plan.cases:
            yield from _replicate(plan.protocol, planned, header, ledger, number)
        for planned in plan.cases:
            if planned.case.is_baseline:
                yield from _repeat(header, ledger, planned, number)
        number += 1


def work_left(plan: Plan, header: RunHeader, ledger: Ledger, case: Case) -> float:
    """The work that is left of a case, in runs of a network; building and process starts count as so many more."""
    protocol, effort, facts = plan.protocol, header.effort_of(case), CaseFacts.of(ledger.of(case))
    had = len(facts.replicates)
    left = max(0, _wanted(header, ledger, case) - had)
    once = 10 + 8 * effort.memory if facts.built is None and not facts.ended else 0
    pairs = 4 + 2 * (protocol.warmup + effort.rounds / effort.processes) if effort.rounds else 0
    return once + left * (protocol.warmup + effort.repeat + 4) + max(0, min(left, effort.processes - had)) * pairs


def pair_rounds(effort: Effort, number: int) -> int:
    """How many interleaved pairs a replicate takes: the rounds are spread over the first stage."""
    share = -(-effort.rounds // effort.processes)
    return max(0, min(share, effort.rounds - share * number))


def _wanted(header: RunHeader, ledger: Ledger, case: Case) -> int:
    facts = CaseFacts.of(ledger.of(case))
    return 0 if facts.ended else replicates_wanted(facts, header.effort_of(case), case)


def _replicate(
    protocol: Protocol, planned: PlannedCase, header: RunHeader, ledger: Ledger, number: int
) -> Iterator[TimingStep]:
    """The steps of one replicate of a case that it still lacks; a failure ends them."""
    case = planned.case
    had = {_step_of(fact) for fact in ledger.of(case)}
    if number >= _wanted(header, ledger, case):
        return
    for step in _steps(protocol, planned.effort, case, number):
        if step not in had:
            yield step
            if CaseFacts.of(ledger.of(case)).ended:
                return


def _steps(protocol: Protocol, effort: Effort, case: Case, number: int) -> Iterator[TimingStep]:
    """What a replicate consists of. Pairs, latencies and memory belong to the first stage."""
    if number == 0:
        yield TimingStep("build", case)
    yield TimingStep("profile", case, number)
    if number >= effort.processes:
        return
    if pair_rounds(effort, number):
        yield TimingStep("pairs", case, number)
    for threads in protocol.threads:
        if (threads != 1 or not effort.rounds) and (case.is_baseline or number == 0):
            yield TimingStep("latency", case, number, threads)
    if number == 0 and effort.memory and protocol.provider == "cpu":  # another provider may keep its tensors elsewhere
        yield TimingStep("memory", case)


def _step_of(fact: AnyFact) -> TimingStep | None:
    """The step that a fact is of."""
    match fact:
        case BuiltFact():
            return TimingStep("build", fact.case)
        case ProfileFact():
            return TimingStep("repeat" if fact.repeat else "profile", fact.case, fact.number)
        case PairsFact():
            return TimingStep("pairs", fact.case, fact.number)
        case LatencyFact():
            return TimingStep("latency", fact.case, fact.number, fact.threads)
        case MemoryFact():
            return TimingStep("memory", fact.case)
    return None


def _repeat(header: RunHeader, ledger: Ledger, baseline: PlannedCase, number: int) -> Iterator[TimingStep]:
    """The A/A repeat of this pass, of the variant that was repeated before, or of the one of median overhead."""
    replicates = len(CaseFacts.of(ledger.of(baseline.case)).replicates)
    if number >= min(baseline.effort.processes, replicates) or not repeats_wanted(header, ledger, baseline.case):
        return
    variant = repeated_variant(header, ledger, baseline.case) or _median_variant(header, ledger, baseline.case)
    if variant is not None:
        step = TimingStep("repeat", variant, number)
        if step not in map(_step_of, ledger.of(variant)):
            yield step


def _median_variant(header: RunHeader, ledger: Ledger, baseline: Case) -> Case | None:
    found = [
        (sum(overheads) / len(overheads), case)
        for case in variants_of(header, baseline)
        if (overheads := CaseFacts.of(ledger.of(case)).overheads)
    ]
    return sorted(found, key=lambda one: one[0])[(len(found) - 1) // 2][1] if found else None
