"""Which timing step is next: a pure function of the plan and of the facts so far. Resuming is reading the facts.

What is known without a clock comes first, for all cases. Then the plan is gone through once for each replicate, so that a
case's replicates lie as far apart in time as the sweep is long: a machine's state drifts over minutes, and memory-bound
modules gain or lose against compute-bound convolutions with it. Replicates taken in a row would share one state, and their
interval would promise more than another run keeps.

Each time, the cases that still lack a replicate are packed into *panels*: graphs with several cases at places that do not
touch. Who stands beside whom is drawn anew each time, so that what neighbours do to each other is in the interval. A case
that is heavy gets a graph of its own, and so does one that was not in a panel what it is alone.

All rules of what is measured stand here: what a replicate consists of, when a case has enough, the panel that is held
against the clock, and the A/A repeat, which is one variant of each host and size measured twice. What its two figures
differ by is what the machine cannot resolve. (Attribution of a baseline against a copy of itself is zero by construction and
would prove nothing.)
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from statistics import fmean
from typing import Literal, NamedTuple

from attnbench.core.errors import CaseFailure
from attnbench.core.grammar import parse_spec
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import Case, RunHeader
from attnbench.measure.panels import graphs, split
from attnbench.runs.crosscheck import crosscheck
from attnbench.runs.facts import AnyFact, FailedFact, LatencyFact, PairsFact
from attnbench.runs.fold import repeated_variant, repeats_wanted, replicates_wanted, variants_of
from attnbench.runs.ledger import Ledger
from attnbench.runtimes import CPU, device_of, told
from attnbench.study.plan import Plan, PlannedCase

StepKind = Literal["build", "profile", "repeat", "pairs", "crosscheck", "latency", "memory"]

START = 4
"""What a process takes to start, in runs of a network: for the work left."""

MEMORY_RUNS = 14
"""What a measurement of memory takes, likewise."""

FIRST_PAIRS = 8
"""Six have an exact 95 % interval at all."""

MEMORY_CASES = 8
"""Cases that one step measures the memory of, several at a time: what a step that is broken off loses at most."""


class TimingStep(NamedTuple):
    """One thing to do for cases of one host and size.

    They are built, share a graph in one fresh timing process, or have their memory measured, each in a process of its own.
    ``number`` is the replicate's, from 0; a ``repeat`` is of the first case.
    """

    kind: StepKind
    cases: tuple[Case, ...]
    number: int = 0
    threads: int = 1

    @property
    def case(self) -> Case:
        """The first of its cases."""
        return self.cases[0]


def schedule(plan: Plan, header: RunHeader, ledger: Ledger) -> Iterator[TimingStep]:
    """The steps that are still wanted, until none is; the facts of each must be in the ledger before the next is asked for.

    Every case is described first, by one step.
    """
    unbuilt = tuple(p.case for p in plan.cases if ledger.known(p.case).built is None and not ledger.known(p.case).ended)
    if unbuilt:
        yield TimingStep("build", unbuilt)
    number = 0
    while any(number < replicates_wanted(header, ledger, planned.case) for planned in plan.cases):
        for baseline in (planned for planned in plan.cases if planned.case.is_baseline):
            own = [planned for planned in plan.cases if planned.case.baseline == baseline.case]
            yield from _pass(plan.protocol, own, header, ledger, number)
            yield from _repeat(plan, own, header, ledger, number)
        number += 1


def work_left(plan: Plan, header: RunHeader, ledger: Ledger) -> float:
    """The work that is left on the clock, in runs of a network; process starts count as so many more."""
    return sum(work_of(plan, header, ledger, one.case) for one in plan.cases if one.case.is_baseline)


def work_of(plan: Plan, header: RunHeader, ledger: Ledger, baseline: Case) -> float:
    """The same of one host and size."""
    own = [planned for planned in plan.cases if planned.case.baseline == baseline]
    facts = {planned.case: ledger.known(planned.case) for planned in own}
    work = 0.0
    for planned in own:
        work += MEMORY_RUNS * _lacks_memory(plan.protocol, planned, ledger)
    number = min((len(one.replicates) for one in facts.values() if not one.ended), default=0)
    while lacking := _lacking(own, header, ledger, number):
        effort = lacking[0].effort
        profiles = 1 + graphs(ledger, [planned for planned in lacking if not planned.case.is_baseline])
        work += profiles * (plan.protocol.warmup + effort.repeat + START)
        work += 2 * sum(pair_rounds(planned.effort, number) for planned in lacking)
        number += 1
    effort = header.effort_of(baseline)
    repeats = repeats_wanted(header, ledger, baseline)
    return work + 2 * crosscheck(header, ledger, baseline).left + repeats * (plan.protocol.warmup + effort.repeat + START)


def pair_rounds(effort: Effort, number: int) -> int:
    """How many interleaved pairs a replicate takes: the rounds are spread over the first stage."""
    share = -(-effort.rounds // effort.processes)
    return max(0, min(share, effort.rounds - share * number))


def crosscheck_rounds(effort: Effort, number: int) -> int:
    """How many pairs a replicate takes of the panel and its baseline: few first, which tell a sum that is large."""
    first = min(FIRST_PAIRS, effort.crosscheck)
    share = -(-(effort.crosscheck - first) // max(1, effort.processes - 1))
    return first if number == 0 and effort.processes > 1 else max(first, share)


def _lacking(own: Iterable[PlannedCase], header: RunHeader, ledger: Ledger, number: int) -> list[PlannedCase]:
    """The cases that want a replicate of this number and have none."""
    return [
        planned
        for planned in own
        if number < replicates_wanted(header, ledger, planned.case)
        and all(fact.number != number for fact in ledger.known(planned.case).replicates)
    ]


def _pass(
    protocol: Protocol, own: Sequence[PlannedCase], header: RunHeader, ledger: Ledger, number: int
) -> Iterator[TimingStep]:
    """One replicate of each case of a host and size that still lacks it; the baseline's profile comes first.

    What is taken beside the profiles comes after them in the first pass, so that figures come soon, and before them in the
    others: a run whose cases have their replicates has all.
    """
    lacking = _lacking(own, header, ledger, number)
    for baseline in [planned for planned in lacking if planned.case.is_baseline]:
        yield TimingStep("profile", (baseline.case,), number)
    lacking = [planned for planned in _lacking(own, header, ledger, number) if not planned.case.is_baseline]
    panels, alone = split(ledger, lacking, number)
    first = number == 0 and any(planned.effort.processes > 1 for planned in own)
    if not first:
        yield from _beside(protocol, own, header, ledger, panels, number)
    for panel in panels:
        yield TimingStep("profile", tuple(panel), number)
    sent_apart = [planned.case for planned in _lacking(own, header, ledger, number) if planned.case not in alone]
    for case in [*alone, *sent_apart]:
        yield TimingStep("profile", (case,), number)
    if first:
        yield from _beside(protocol, own, header, ledger, panels, number)


def _beside(
    protocol: Protocol,
    own: Sequence[PlannedCase],
    header: RunHeader,
    ledger: Ledger,
    panels: Sequence[Sequence[Case]],
    number: int,
) -> Iterator[TimingStep]:
    """What the first stage takes beside profiles, as far as it is lacking."""
    taking = [one for one in own if number < min(one.effort.processes, replicates_wanted(header, ledger, one.case))]
    for planned in taking:
        had = {_step_of(fact) for fact in ledger.of(planned.case)}
        for step in _steps_beside(protocol, planned, number):
            if step not in had and not ledger.known(planned.case).ended:
                yield step
    lacking = [one.case for one in taking if number == 0 and _lacks_memory(protocol, one, ledger)]
    for start in range(0, len(lacking), MEMORY_CASES):
        yield TimingStep("memory", tuple(lacking[start : start + MEMORY_CASES]))
    if panels:
        so_far = crosscheck(header, ledger, own[0].case.baseline)
        if so_far.left and number not in so_far.numbers:
            yield TimingStep("crosscheck", so_far.cases or tuple(max(panels, key=partial(_weight, ledger))), number)


def _weight(ledger: Ledger, panel: Sequence[Case]) -> tuple[bool, float, int]:
    """How soon pairs tell of a panel what its parts come to: the more they add, the fewer pairs it takes."""
    known = [ledger.known(case) for case in panel]
    return not any(one.apart for one in known), sum(fmean(one.overheads) for one in known if one.overheads), len(panel)


def _steps_beside(protocol: Protocol, planned: PlannedCase, number: int) -> Iterator[TimingStep]:
    """Pairs and latencies of each replicate."""
    case, effort = planned.case, planned.effort
    if pair_rounds(effort, number):
        yield TimingStep("pairs", (case,), number)
    for threads in protocol.threads:
        asked = case.is_baseline or bool(effort.deadline) or (number == 0 and (effort.alone or len(protocol.threads) > 1))
        if (threads != 1 or not effort.rounds) and asked:
            yield TimingStep("latency", (case,), number, threads)


def _lacks_memory(protocol: Protocol, planned: PlannedCase, ledger: Ledger) -> bool:
    """Whether a case's peak of memory is still to be measured: where the runtime gives back what it took, and on the CPU."""
    case, wanted = planned.case, planned.effort.memory
    if ledger.known(case).ended or ledger.known(case).memory is not None:
        return False
    built = [ledger.known(one).built for one in (case, case.baseline)]
    peaks = {one.figure("activation_peak") for one in built if one is not None}
    asked = wanted is True or (wanted == "changed" and (case.is_baseline or len(peaks) > 1))
    on_cpu = device_of(case.runtime, protocol.provider) == CPU
    return asked and on_cpu and bool(told(parse_spec(case.runtime).name, "memory"))


def _step_of(fact: AnyFact) -> TimingStep | None:
    """The step that a fact of one case is of."""
    match fact:
        case PairsFact() if not fact.together:
            return TimingStep("pairs", (fact.case,), fact.number)
        case LatencyFact():
            return TimingStep("latency", (fact.case,), fact.number, fact.threads)
        case FailedFact():
            return TimingStep(fact.step, (fact.case,), fact.number)  # type: ignore[arg-type]
    return None


def failed(step: TimingStep, case: Case, failure: CaseFailure) -> FailedFact:
    """The fact that a step failed for a case, a cross-check for its baseline."""
    return FailedFact(
        case=case.baseline if step.kind == "crosscheck" else case,
        step=step.kind,
        number=step.number,
        stage=failure.stage,
        kind=type(failure).__name__,
        message=failure.reason,
        status=failure.status,
    )


def _repeat(plan: Plan, own: Sequence[PlannedCase], header: RunHeader, ledger: Ledger, number: int) -> Iterator[TimingStep]:
    """The A/A repeat of this pass, of the variant that was repeated before, or of the one of median overhead.

    It stands among the same cases as the variant itself did in this pass.
    """
    baseline = next(planned for planned in own if planned.case.is_baseline)
    replicates = len(ledger.known(baseline.case).replicates)
    if number >= min(baseline.effort.processes, replicates) or not repeats_wanted(header, ledger, baseline.case):
        return
    variant = repeated_variant(header, ledger, baseline.case) or _median_variant(header, ledger, baseline.case)
    if variant is None or number in {fact.number for fact in ledger.known(variant).repeats}:
        return
    panel = next((f.panel for f in ledger.known(variant).replicates if f.number == number), "")
    beside = [
        planned.case
        for planned in plan.cases
        if panel and planned.case != variant and any(fact.panel == panel for fact in ledger.known(planned.case).replicates)
    ]
    yield TimingStep("repeat", (variant, *beside), number)


def _median_variant(header: RunHeader, ledger: Ledger, baseline: Case) -> Case | None:
    found = [
        (sum(overheads) / len(overheads), case)
        for case in variants_of(header, baseline)
        if (overheads := ledger.known(case).overheads)
    ]
    return sorted(found, key=lambda one: one[0])[(len(found) - 1) // 2][1] if found else None
