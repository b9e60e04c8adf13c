"""A case's record from its facts: a pure function, and the only way to a record. It measures and changes nothing.

What a case still lacks follows from the same facts (``replicates_wanted``, ``repeats_wanted``): the scheduler asks here.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import cast

from attnbench.core.metrics import measurement
from attnbench.core.protocol import Effort
from attnbench.core.quantities import parse_precision
from attnbench.core.records import Case, Failure, Measurement, Record, Run, RunHeader, Status
from attnbench.core.statistics import Estimate, noise_floor
from attnbench.core.variance import Moderated, moderated
from attnbench.runs.crosscheck import crosscheck
from attnbench.runs.facts import AnyFact, BuiltFact, FailedFact
from attnbench.runs.figures import (
    LATENCIES,
    MEMORY,
    PAIRED,
    PANELS,
    NodeSums,
    latency_figures,
    memory_figures,
    paired_figures,
)
from attnbench.runs.ledger import CaseFacts, Ledger
from attnbench.runs.screen import SCREENED, decides
from attnbench.runs.uncertainty import means, run_to_run_of
from attnbench.runtimes import CPU, device_of


def fold(header: RunHeader, ledger: Ledger, metrics: frozenset[str] | None = None) -> Run:
    """The run that the facts of a file come to, records in the order of the header's cases; see ``summarise``."""
    order = {case: index for index, case in enumerate(header.cases)}
    cases = sorted(ledger.cases(), key=lambda case: order.get(case, len(order)))
    return Run(header, tuple(summarise(header, ledger, case, metrics) for case in cases))


def summarise(header: RunHeader, ledger: Ledger, case: Case, metrics: frozenset[str] | None = None) -> Record:
    """The record of one case. A baseline's has the noise floor, from one of its variants that was measured twice.

    With some ``metrics``, by their names without ``@``, it has these and the exact ones, and not where the time went.
    """

    def wants(names: Collection[str]) -> bool:
        return metrics is None or not metrics.isdisjoint(names)

    facts, effort = ledger.known(case), header.effort_of(case)
    measured: list[Measurement] = [*(facts.built.measurements if facts.built else ())]
    if facts.replicates:
        measured += _profiled(facts, effort, mean_of(header, ledger, case), is_baseline=case.is_baseline)
    if wants(PAIRED):
        measured += paired_figures(facts.pairs, device_of(case.runtime, header.protocol.get("provider", CPU)))
    if wants(LATENCIES):
        measured += latency_figures(facts.pairs, facts.latencies, effort.deadline)
    if facts.memory is not None and wants(MEMORY):
        measured += memory_figures(facts.memory)
    pending = max(int(facts.tried_again), replicates_wanted(header, ledger, case) - len(facts.replicates))
    if case.is_baseline and facts.replicates:
        measured += crosscheck(header, ledger, case).measurements() if wants(PANELS) else []
        measured += _floor(header, ledger, case, repeated_variant(header, ledger, case))
        pending += 0 if facts.ended else repeats_wanted(header, ledger, case)
    if metrics is not None:
        measured = [one for one in measured if one.exact or one.metric.partition("@")[0] in metrics]
    built = facts.built or BuiltFact(case=case)
    return Record(
        case=case,
        status=_status(facts),
        measurements=tuple(measured),
        findings=built.findings,
        nodes=NodeSums(fact.nodes for fact in facts.replicates).averages,
        checks=built.checks,
        uncounted=built.uncounted,
        failure=_failure(facts),
        notes=(*built.notes, *_notes(facts, ledger.set_aside(case))),
        seconds={} if metrics is not None else _seconds(ledger.of(case)),
        pending=pending,
        sources=built.hashes,
    )


def untried(facts: Iterable[AnyFact], *, everything: bool = False) -> Iterator[AnyFact]:
    """The facts that a resumed sweep goes by: without what it tries again, which may be ``everything`` that failed."""
    listed = list(facts)
    ledger = Ledger(listed)
    for fact in listed:
        failed = isinstance(fact, FailedFact) and not fact.aside
        again = failed and (everything or ledger.known(fact.case).tried_again)
        if not again and not (everything and isinstance(fact, BuiltFact) and fact.skip):
            yield fact


def replicates_wanted(header: RunHeader, ledger: Ledger, case: Case) -> int:
    """How many replicates a case needs in all, as far as its first stage tells, within the budget; 0 once it has ended."""
    return cast("int", ledger.cached(("wanted", case), lambda: _wanted(header, ledger, case)))


def _wanted(header: RunHeader, ledger: Ledger, case: Case) -> int:
    facts, effort = ledger.known(case), header.effort_of(case)
    if facts.ended:
        return 0
    samples = facts.overheads
    if effort.screen and not case.is_baseline and not decides(header, ledger, case):
        return min(SCREENED, effort.processes)
    if case.is_baseline or len(samples) < max(2, effort.processes):
        return effort.processes
    mean = mean_of(header, ledger, case)
    needed = mean.needed(_wanted_half_width(samples, effort)) if mean else 0
    return max(effort.processes, min(effort.max_processes, needed))


def mean_of(header: RunHeader, ledger: Ledger, case: Case) -> Moderated | None:
    """A variant's mean overhead by the variance model; ``None`` of fewer than two replicates."""
    if case.is_baseline:
        return None

    def compute() -> dict[Case, Moderated]:
        return means(header, {one: ledger.known(one).overheads for one in variants_of(header, case.baseline)})

    known: dict[Case, Moderated] = ledger.cached(("means", case.baseline), compute)
    if case in known:
        return known[case]
    return moderated(ledger.known(case).overheads, header.effort_of(case).processes, between=run_to_run_of(header))


def replicates(header: RunHeader, ledger: Ledger, cases: Iterable[Case]) -> tuple[int, int]:
    """How many replicates of some cases are had, and how many are wanted in all as far as is known."""
    had = {case: len(ledger.known(case).replicates) for case in cases}
    return sum(had.values()), sum(max(had[case], replicates_wanted(header, ledger, case)) for case in had)


def repeats_wanted(header: RunHeader, ledger: Ledger, baseline: Case) -> int:
    """How many A/A repeats are still to come for a baseline: as many as it has replicates, of one of its variants."""
    processes = header.effort_of(baseline).processes
    repeated = repeated_variant(header, ledger, baseline)
    if repeated is not None:
        facts = ledger.known(repeated)
        ended = facts.repeat_failed is not None or any(fact.reason for fact in facts.repeats)
        return 0 if ended else max(0, processes - len(facts.repeats))
    return processes if any(_may_be_repeated(ledger, case) for case in variants_of(header, baseline)) else 0


def variants_of(header: RunHeader, baseline: Case) -> Sequence[Case]:
    """The cases whose overhead is counted from this baseline."""
    return header.variants.get(baseline, ())


def repeated_variant(header: RunHeader, ledger: Ledger, baseline: Case) -> Case | None:
    """The variant that is measured twice: the one with the most repeats, of equals the one with the larger floor."""

    def told() -> Case | None:
        known = ((case, ledger.known(case)) for case in variants_of(header, baseline))
        found = [(len(facts.repeats), _floors(facts), case) for case, facts in known if facts.repeats or facts.repeat_failed]
        return max(found, key=lambda one: one[:2])[2] if found else None

    return cast("Case | None", ledger.cached(("repeated", baseline), told))


def _may_be_repeated(ledger: Ledger, case: Case) -> bool:
    """Whether a variant has an overhead, or may still get one."""
    facts = ledger.known(case)
    return bool(facts.overheads) or not (facts.ended or facts.replicates)


def _wanted_half_width(replicates: Sequence[float], effort: Effort) -> float:
    """How narrow the overhead's interval is asked to be, by the first stage of its replicates."""
    return parse_precision(effort.precision).half_width(fmean(replicates[: effort.processes]))


def _status(facts: CaseFacts) -> Status:
    if facts.built is not None and facts.built.skip:
        return "skipped"
    return "ok" if facts.failed is None or facts.replicates else facts.failed.status


def _failure(facts: CaseFacts) -> Failure | None:
    if facts.built is not None and facts.built.skip:
        return Failure("memory", "CaseSkipped", facts.built.skip)
    failed = facts.failed
    return None if failed is None or facts.replicates else Failure(failed.stage, failed.kind, failed.message)


def _notes(facts: CaseFacts, set_aside: int) -> Iterator[str]:
    if facts.failed is not None and facts.replicates:
        yield f"a replicate failed at {facts.failed.stage}: {facts.failed.message}"
    if facts.apart:
        alone = sum(not fact.panel for fact in facts.replicates)
        yield f"{alone} of {len(facts.replicates)} replicates in a graph of its own: {facts.apart[0].why}"
    if facts.crosscheck_failed is not None:
        yield f"the cross-check failed at {facts.crosscheck_failed.stage}: {facts.crosscheck_failed.message}"
    if set_aside:
        yield f"{set_aside} earlier replicate{'s' * (set_aside > 1)} of other sources set aside"


def _profiled(facts: CaseFacts, effort: Effort, mean: Moderated | None, *, is_baseline: bool) -> Iterator[Measurement]:
    """Overhead, alignment, and what the profiles say of themselves."""
    shares = [fact.core_share for fact in facts.replicates]
    if is_baseline:
        costs = [fact.cost for fact in facts.replicates]
        yield measurement("core_share", min(shares), shares)
        yield measurement("profiling_cost", median(costs), costs, note="seconds a node, taken off each")
        return
    samples = [fact.overhead or 0.0 for fact in facts.replicates]
    reason = next((fact.reason for fact in facts.replicates if fact.reason), "")
    if reason:
        yield measurement("overhead", None, samples, f"not attributed: {reason}")
    else:
        yield _overhead(samples, effort, mean)
    aligned = [fact.aligned or 0.0 for fact in facts.replicates]
    yield measurement("aligned", min(aligned), aligned)
    yield measurement("core_share", min(shares), shares)


def _overhead(replicates: Sequence[float], effort: Effort, mean: Moderated | None) -> Measurement:
    """An overhead over its replicates, and why there are no more of them: these shrink its interval within the run."""
    note = f"{len(replicates)} replicates"
    if mean is None:
        return measurement("overhead", Estimate(fmean(replicates), None, None), replicates, note)
    if len(replicates) >= effort.processes:
        reached = mean.needed(_wanted_half_width(replicates, effort)) <= len(replicates)
        note = f"{'precision reached' if reached else 'budget ended'} after {note}"
    return measurement("overhead", mean.whole.interval(), replicates, note)


def _floor(header: RunHeader, ledger: Ledger, baseline: Case, repeated: Case | None) -> list[Measurement]:
    """What attribution resolves on this machine, from one variant measured twice; why there is none, where there is none."""
    if repeated is None:
        waiting = repeats_wanted(header, ledger, baseline)
        return [] if waiting else [measurement("aa_repeat", None, note="no variant has an overhead")]
    facts = ledger.known(repeated)
    if facts.repeat_failed is not None:
        failed = facts.repeat_failed
        return [measurement("aa_repeat", None, note=f"the A/A repeat failed at {failed.stage}: {failed.message}")]
    if reason := next((fact.reason for fact in facts.repeats if fact.reason), ""):
        return [measurement("aa_repeat", None, note=f"not attributed: {reason}")]
    samples = [fact.overhead or 0.0 for fact in facts.repeats]
    found = [measurement("aa_repeat", fmean(samples), samples, note=repeated.variant)]
    if len(samples) >= header.effort_of(baseline).processes and (floors := _floors(facts)):
        found += [measurement("floor_overhead", floors[1]), measurement("floor_difference", floors[0])]
    return found


def _floors(facts: CaseFacts) -> tuple[float, ...]:
    """The smallest difference and the smallest overhead that two measurements of one variant tell; of two at least."""
    repeats = [fact.overhead or 0.0 for fact in facts.repeats]
    own = facts.overheads[: len(repeats)]
    return tuple(reversed(noise_floor(own, repeats))) if min(len(own), len(repeats)) >= 2 else ()


def _seconds(facts: Iterable[AnyFact]) -> Mapping[str, float]:
    """Where a case's time on the clock went: building, checking, in the runtime, and in all.

    Several processes build at a time, each by its own clock.
    """
    spent: dict[str, float] = {}
    for fact in facts:
        own = fact.stages if isinstance(fact, BuiltFact) else {}
        at_a_time = max(1.0, sum(own.values()) / fact.seconds) if fact.seconds else 1.0
        stages = {stage: seconds / at_a_time for stage, seconds in own.items()}
        for stage, seconds in {**stages, "ort": fact.in_runtime, "total": fact.seconds}.items():
            spent[stage] = spent.get(stage, 0.0) + seconds
    return {stage: round(seconds, 3) for stage, seconds in spent.items()}
