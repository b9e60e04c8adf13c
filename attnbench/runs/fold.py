"""A case's record from its facts: a pure function, and the only way to a record. It measures and changes nothing.

What a case still lacks follows from the same facts (``replicates_wanted``, ``repeats_wanted``): the scheduler asks here.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from attnbench.core.metrics import measurement
from attnbench.core.quantities import parse_precision
from attnbench.core.records import Case, Effort, Failure, Measurement, NodeShare, Record, Run, RunHeader, Status
from attnbench.core.statistics import (
    Estimate,
    blocks,
    noise_floor,
    quantile,
    replicates_needed,
    signed_rank_interval,
    two_stage_interval,
)
from attnbench.core.units import bytes_text
from attnbench.runs.facts import (
    AnyFact,
    BuiltFact,
    FailedFact,
    LatencyFact,
    Ledger,
    MemoryFact,
    PairsFact,
    ProfileFact,
)

MEMORY_EXPLAINED = 2_000_000
"""Bytes by which measured and static memory may differ without a word."""

UNKNOWN_MEMORY = 500_000
"""Bytes below which a part of such a difference is not named."""


@dataclass(frozen=True)
class CaseFacts:
    """The facts of one case that count, by what they are of. ``failed`` is the failure that ended the case."""

    built: BuiltFact | None
    replicates: tuple[ProfileFact, ...]
    repeats: tuple[ProfileFact, ...]
    pairs: tuple[PairsFact, ...]
    latencies: tuple[LatencyFact, ...]
    memory: MemoryFact | None
    failed: FailedFact | None
    repeat_failed: FailedFact | None

    @classmethod
    def of(cls, facts: Iterable[AnyFact]) -> "CaseFacts":
        """Sort the facts of one case. The last built and memory facts count."""
        found = list(facts)
        profiles = [fact for fact in found if isinstance(fact, ProfileFact)]
        failures = [fact for fact in found if isinstance(fact, FailedFact)]
        return cls(
            built=next((fact for fact in reversed(found) if isinstance(fact, BuiltFact)), None),
            replicates=tuple(fact for fact in profiles if not fact.repeat),
            repeats=tuple(fact for fact in profiles if fact.repeat),
            pairs=tuple(fact for fact in found if isinstance(fact, PairsFact)),
            latencies=tuple(fact for fact in found if isinstance(fact, LatencyFact)),
            memory=next((fact for fact in reversed(found) if isinstance(fact, MemoryFact)), None),
            failed=next((fact for fact in failures if not fact.repeat), None),
            repeat_failed=next((fact for fact in failures if fact.repeat), None),
        )

    @property
    def ended(self) -> bool:
        """Whether nothing more will be measured: it failed, or must not be run."""
        return self.failed is not None or bool(self.built and self.built.skip)

    @property
    def overheads(self) -> tuple[float, ...]:
        """The overhead of each replicate, where all of them could be attributed; else nothing."""
        found = [fact.overhead for fact in self.replicates if not fact.reason and fact.overhead is not None]
        return tuple(found) if len(found) == len(self.replicates) else ()


def fold(header: RunHeader, ledger: Ledger) -> Run:
    """The run that the facts of a file come to, records in the order of the header's cases."""
    order = {case: index for index, case in enumerate(header.cases)}
    cases = sorted(ledger.cases(), key=lambda case: order.get(case, len(order)))
    return Run(header, tuple(summarise(header, ledger, case) for case in cases))


def summarise(header: RunHeader, ledger: Ledger, case: Case) -> Record:
    """The record of one case. A baseline's has the noise floor, from one of its variants that was measured twice."""
    facts, effort = CaseFacts.of(ledger.of(case)), header.effort_of(case)
    measured: list[Measurement] = [*(facts.built.measurements if facts.built else ())]
    if facts.replicates:
        measured += _profiled(facts, effort, is_baseline=case.is_baseline)
    measured += _clocked(facts, provider=header.protocol.get("provider", "cpu"))
    if facts.memory is not None:
        measured += memory_figures(facts.memory)
    pending = 0 if facts.ended else max(0, replicates_wanted(facts, effort, case) - len(facts.replicates))
    if case.is_baseline and facts.replicates:
        repeated = repeated_variant(header, ledger, case)
        measured += _floor(header, ledger, case, repeated)
        pending += 0 if facts.ended else repeats_wanted(header, ledger, case)
    built = facts.built or BuiltFact(case=case)
    return Record(
        case=case,
        status=_status(facts),
        measurements=tuple(measured),
        findings=built.findings,
        nodes=_averaged([fact.shares for fact in facts.replicates]),
        checks=built.checks,
        uncounted=built.uncounted,
        failure=_failure(facts),
        notes=(*built.notes, *_notes(facts, ledger.set_aside(case))),
        seconds=_seconds(ledger.of(case)),
        pending=pending,
        sources=built.hashes,
    )


def replicates_wanted(facts: CaseFacts, effort: Effort, case: Case) -> int:
    """How many replicates a case needs in all, as far as its first stage tells, within the budget."""
    samples = facts.overheads
    if case.is_baseline or len(samples) < max(2, effort.processes):
        return effort.processes
    needed = replicates_needed(samples[: effort.processes], _wanted_half_width(samples, effort))
    return min(max(effort.processes, effort.max_processes), needed)


def repeats_wanted(header: RunHeader, ledger: Ledger, baseline: Case) -> int:
    """How many A/A repeats are still to come for a baseline: as many as it has replicates, of one of its variants."""
    processes = header.effort_of(baseline).processes
    repeated = repeated_variant(header, ledger, baseline)
    if repeated is not None:
        facts = CaseFacts.of(ledger.of(repeated))
        ended = facts.repeat_failed is not None or any(fact.reason for fact in facts.repeats)
        return 0 if ended else max(0, processes - len(facts.repeats))
    return processes if any(_may_be_repeated(ledger, case) for case in variants_of(header, baseline)) else 0


def variants_of(header: RunHeader, baseline: Case) -> list[Case]:
    """The cases whose overhead is counted from this baseline."""
    return [case for case in header.cases if not case.is_baseline and case.baseline == baseline]


def repeated_variant(header: RunHeader, ledger: Ledger, baseline: Case) -> Case | None:
    """The variant that is measured twice: the one with the most repeats, of equals the one with the larger floor."""
    found = [
        (len(facts.repeats), _floors(facts), case)
        for case in variants_of(header, baseline)
        if (facts := CaseFacts.of(ledger.of(case))).repeats or facts.repeat_failed
    ]
    return max(found, key=lambda one: one[:2])[2] if found else None


def _may_be_repeated(ledger: Ledger, case: Case) -> bool:
    """Whether a variant has an overhead, or may still get one."""
    facts = CaseFacts.of(ledger.of(case))
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
    if set_aside:
        yield f"{set_aside} earlier replicate{'s' * (set_aside > 1)} of other sources set aside"


def _profiled(facts: CaseFacts, effort: Effort, *, is_baseline: bool) -> Iterator[Measurement]:
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
        yield _overhead(samples, effort)
    aligned = [fact.aligned or 0.0 for fact in facts.replicates]
    yield measurement("aligned", min(aligned), aligned)
    yield measurement("core_share", min(shares), shares)


def _overhead(replicates: Sequence[float], effort: Effort) -> Measurement:
    """An overhead over its replicates, and why there are no more of them."""
    found = two_stage_interval(replicates, effort.processes)
    note = f"{len(replicates)} replicates"
    if found.low is not None and found.high is not None and len(replicates) >= effort.processes:
        reached = (found.high - found.low) / 2 <= _wanted_half_width(replicates, effort) * (1 + 1e-9)
        note = f"{'precision reached' if reached else 'budget ended'} after {note}"
    return measurement("overhead", found, replicates, note)


def _clocked(facts: CaseFacts, provider: str) -> Iterator[Measurement]:
    """The pairs of all replicates, and absolute latencies at each number of threads."""
    if facts.pairs:
        clocks = {"paired": "cpu", "paired_wall": "wall"} if provider == "cpu" else {"paired": "wall", "paired_cpu": "cpu"}
        for metric, clock in clocks.items():
            ratios = [after / before for fact in facts.pairs for before, after in getattr(fact, clock)]
            name = "thread CPU time" if clock == "cpu" else "wall clock"
            note = f"{name}; samples are variant over baseline, a pair each"
            yield measurement(metric, paired_overhead(ratios), ratios, note)
    times: dict[int, list[float]] = {}
    timed: list[PairsFact | LatencyFact] = [*facts.pairs, *facts.latencies]
    for fact in sorted(timed, key=lambda fact: fact.number):
        if isinstance(fact, PairsFact):
            times.setdefault(1, []).extend(after for _, after in fact.wall)
        else:
            times.setdefault(fact.threads, []).extend(fact.wall)
    for threads, wall in times.items():
        suffix = "" if threads == 1 else f"@{threads}"
        note = f"{threads} thread{'s' if threads != 1 else ''}, unprofiled"
        yield measurement("latency", median(wall), wall, note, suffix)
        yield measurement("latency_p90", quantile(wall, 0.9), (), note, suffix)


def paired_overhead(ratios: Sequence[float]) -> Estimate:
    """Relative overhead from the ratios of pairs: Hodges-Lehmann of their logs with the exact signed-rank interval.

    From 40 pairs on the unit is a block of neighbouring pairs, because the noise of neighbours is correlated.
    """
    return signed_rank_interval(blocks([math.log(ratio) for ratio in ratios])).map(math.expm1)


def memory_figures(fact: MemoryFact) -> list[Measurement]:
    """The peaks of memory; where the measured peak is not the static one, why."""
    if fact.missing:
        return [measurement("memory_peak", None, note=f"not measured: {fact.missing}")]
    return [
        measurement("memory_peak", fact.run_peak, (), memory_note(fact)),
        measurement("memory_session_peak", fact.session_peak),
        measurement("activation_peak_runtime", fact.static_peak),
    ]


def memory_note(fact: MemoryFact) -> str:
    """Where the measured peak of an inference differs from the static one, what the difference consists of."""
    run, plain, static, in_place = fact.run_peak, fact.plain_peak, fact.static_peak, fact.in_place_peak
    if run is None or plain is None or static is None or in_place is None or abs(run - static) <= MEMORY_EXPLAINED:
        return ""
    parts = {
        "ops that work in place": in_place - static,
        "buffers that the runtime keeps for reuse": run - plain,
        "unknown (scratch memory of kernels?)": plain - in_place,
    }
    named = [f"{part} {_signed(size)}" for part, size in parts.items() if abs(size) >= UNKNOWN_MEMORY]
    return f"static {bytes_text(static)}: {', '.join(named)}"


def _signed(size: float) -> str:
    return f"{'+' if size >= 0 else '−'}{bytes_text(abs(size))}"


def _floor(header: RunHeader, ledger: Ledger, baseline: Case, repeated: Case | None) -> list[Measurement]:
    """What attribution resolves on this machine, from one variant measured twice; why there is none, where there is none."""
    if repeated is None:
        waiting = repeats_wanted(header, ledger, baseline)
        return [] if waiting else [measurement("aa_repeat", None, note="no variant has an overhead")]
    facts = CaseFacts.of(ledger.of(repeated))
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


def _averaged(replicates: Sequence[Sequence[NodeShare]]) -> tuple[NodeShare, ...]:
    """Node shares over all replicates; a node that one of them lacks counts as 0 there, so that sums stay sums."""
    keyed = [_keyed(nodes) for nodes in replicates]
    joined: dict[tuple[str, ...], NodeShare] = {}
    for nodes in keyed:
        for key, node in nodes.items():
            joined.setdefault(key, node)
    number = len(keyed)
    return tuple(
        replace(
            node,
            seconds=sum(nodes[key].seconds for nodes in keyed if key in nodes) / number,
            share=sum(nodes[key].share for nodes in keyed if key in nodes) / number,
        )
        for key, node in joined.items()
    )


def _keyed(nodes: Sequence[NodeShare]) -> dict[tuple[str, ...], NodeShare]:
    """Nodes by what tells them apart in any process: our own names, and the place in the row for what the runtime names."""
    keyed: dict[tuple[str, ...], NodeShare] = {}
    for node in nodes:
        stem = (node.node,) if node.kind == "added" else (node.kind, node.op, node.site)
        number = 0
        while (*stem, str(number)) in keyed:
            number += 1
        keyed[(*stem, str(number))] = node
    return keyed


def _seconds(facts: Iterable[AnyFact]) -> Mapping[str, float]:
    """Where a case's time went: building, checking, in the runtime, and in all."""
    spent: dict[str, float] = {}
    for fact in facts:
        stages = {**(fact.stages if isinstance(fact, BuiltFact) else {}), "ort": fact.in_runtime, "total": fact.seconds}
        for stage, seconds in stages.items():
            spent[stage] = spent.get(stage, 0.0) + seconds
    return {stage: round(seconds, 3) for stage, seconds in spent.items()}
