"""From raw times and bytes to a record's measurements, and from measurements to what is still to be measured."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Any

from attnbench.core.metrics import measurement
from attnbench.core.quantities import parse_precision
from attnbench.core.records import Measurement, NodeShare, Record, Settings
from attnbench.core.statistics import noise_floor, quantile, replicates_needed, two_stage_interval
from attnbench.core.units import bytes_text
from attnbench.measure.attribution import Attribution, Profile
from attnbench.measure.crosscheck import paired_overhead

MEMORY_EXPLAINED = 2_000_000
"""Bytes by which measured and static memory may differ without a word."""

UNKNOWN_MEMORY = 500_000
"""Bytes below which a part of such a difference is not named."""


def replicates_of(record: Record | None) -> int:
    """How many replicates a record rests on: each left its share of the core."""
    return len(_samples(record, "core_share"))


def replicates_wanted(record: Record, settings: Settings) -> int:
    """How many replicates a variant's overhead needs in all, as far as its first stage tells, within the budget."""
    found = record.get("overhead")
    if found is None or found.value is None or len(found.samples) < max(2, settings.processes):
        return settings.processes
    needed = replicates_needed(found.samples[: settings.processes], _wanted_half_width(found.samples, settings))
    return min(max(settings.processes, settings.max_processes), needed)


def _wanted_half_width(replicates: Sequence[float], settings: Settings) -> float:
    """How narrow the overhead's interval is asked to be, told from the first stage of its replicates."""
    return parse_precision(settings.precision).half_width(fmean(replicates[: settings.processes]))


def steps_left(record: Record, settings: Settings) -> int:
    """Replicates and checks that a record still lacks; a baseline's are its copy's and the twin's of one variant."""
    if record.status != "ok":
        return 0
    if record.case.is_baseline:
        return max(0, settings.processes - replicates_of(record)) + twins_wanted(record, settings)
    return max(0, replicates_wanted(record, settings) - replicates_of(record))


def twins_wanted(record: Record, settings: Settings) -> int:
    """How many figures of the twin a baseline's record still lacks; none where the twin could not be had."""
    twin = record.get("twin")
    if twin is None:
        return settings.processes
    return 0 if twin.value is None else max(0, settings.processes - len(twin.samples))


def attributed(replicate: Attribution, earlier: Record | None, settings: Settings) -> list[Measurement]:
    """The overhead with one more replicate; no figure, but the reason, where one of them could not be attributed."""
    aligned = appended(earlier, "aligned", replicate.aligned)
    samples = appended(earlier, "overhead", replicate.overhead)
    known = earlier.get("overhead") if earlier else None
    note = known.note if known is not None and known.value is None else f"not attributed: {replicate.reason}"
    whole = (known is None or known.value is not None) and not replicate.reason
    overhead = _overhead(samples, settings) if whole else measurement("overhead", None, samples, note)
    return [overhead, measurement("aligned", min(aligned), aligned)]


def core_share(earlier: Record | None, profile: Profile) -> Measurement:
    """The least share of its core that any replicate had; the rest of the time went to other processes."""
    shares = appended(earlier, "core_share", profile.core_share)
    return measurement("core_share", min(shares), shares)


def profiling_cost(earlier: Record | None, profile: Profile) -> Measurement:
    """By how much a profile overstates a node, median over replicates; taken off already."""
    costs = appended(earlier, "profiling_cost", profile.cost)
    return measurement("profiling_cost", median(costs), costs, note="seconds a node, taken off each")


def _overhead(replicates: Sequence[float], settings: Settings) -> Measurement:
    """An overhead over its replicates, and why there are no more of them."""
    found = two_stage_interval(replicates, settings.processes)
    note = f"{len(replicates)} replicates"
    if found.low is not None and found.high is not None and len(replicates) >= settings.processes:
        reached = (found.high - found.low) / 2 <= _wanted_half_width(replicates, settings) * (1 + 1e-9)
        note = f"{'precision reached' if reached else 'budget ended'} after {note}"
    return measurement("overhead", found, replicates, note)


def appended(record: Record | None, metric: str, value: float) -> tuple[float, ...]:
    """The samples of a record's metric with one more."""
    return (*_samples(record, metric), value)


def _samples(record: Record | None, metric: str) -> tuple[float, ...]:
    """The samples of a record's metric so far."""
    found = record.get(metric) if record else None
    return found.samples if found else ()


def latencies(wall: Sequence[float], earlier: Record | None, threads: int) -> list[Measurement]:
    """Median and 90th percentile of wall times, with those of earlier replicates."""
    suffix = "" if threads == 1 else f"@{threads}"
    note = f"{threads} thread{'s' if threads != 1 else ''}, unprofiled"
    pooled = [*_samples(earlier, f"latency{suffix}"), *wall]
    return [
        measurement("latency", median(pooled), pooled, note, suffix),
        measurement("latency_p90", quantile(pooled, 0.9), (), note, suffix),
    ]


def paired(times: Mapping[str, Sequence[Sequence[float]]], earlier: Record | None, provider: str) -> list[Measurement]:
    """The pairs of all replicates so far; the thread's CPU time counts where the work is the thread's."""
    clocks = {"paired": "cpu", "paired_wall": "wall"} if provider == "cpu" else {"paired": "wall", "paired_cpu": "cpu"}
    found = []
    for metric, clock in clocks.items():
        ratios = [*_samples(earlier, metric), *(after / before for before, after in times[clock])]
        note = f"{'thread CPU time' if clock == 'cpu' else 'wall clock'}; samples are variant over baseline, a pair each"
        found.append(measurement(metric, paired_overhead(ratios), ratios, note))
    return found


def floors(one: Sequence[float], two: Sequence[float]) -> list[Measurement]:
    """What attribution resolves on this machine, from one variant measured twice; none of it below two replicates each."""
    if min(len(one), len(two)) < 2:
        return []
    overhead, difference = noise_floor(one, two)
    return [measurement("floor_overhead", overhead), measurement("floor_difference", difference)]


def memory(result: Mapping[str, Any]) -> list[Measurement]:
    """The memory process's figures; where the measured peak is not the static one, why."""
    static = result["static_peak"]
    return [
        measurement("memory_peak", result["run_peak"], (), "" if static is None else memory_note(result)),
        measurement("memory_session_peak", result["session_peak"]),
        measurement("activation_peak_runtime", static),
    ]


def memory_note(result: Mapping[str, Any]) -> str:
    """Where the measured peak of an inference differs from the static one, what the difference consists of."""
    if abs(result["run_peak"] - result["static_peak"]) <= MEMORY_EXPLAINED:
        return ""
    parts = {
        "ops that work in place": result["in_place_peak"] - result["static_peak"],
        "buffers that the runtime keeps for reuse": result["run_peak"] - result["plain_peak"],
        "unknown (scratch memory of kernels?)": result["plain_peak"] - result["in_place_peak"],
    }
    named = [f"{part} {_signed(size)}" for part, size in parts.items() if abs(size) >= UNKNOWN_MEMORY]
    return f"static {bytes_text(result['static_peak'])}: {', '.join(named)}"


def averaged(old: Sequence[NodeShare], new: Sequence[NodeShare], number: int) -> tuple[NodeShare, ...]:
    """Node shares with one more replicate; a node that one of the two lacks counts as 0 there, so that sums stay sums."""
    one, two, weight = _keyed(old), _keyed(new), 1 / number
    joined = []
    for key in dict.fromkeys((*one, *two)):
        node = one.get(key) or two[key]
        before, after = one.get(key), two.get(key)
        seconds = (1 - weight) * (before.seconds if before else 0.0) + weight * (after.seconds if after else 0.0)
        share = (1 - weight) * (before.share if before else 0.0) + weight * (after.share if after else 0.0)
        joined.append(replace(node, seconds=seconds, share=share))
    return tuple(joined)


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


def _signed(size: float) -> str:
    return f"{'+' if size >= 0 else '−'}{bytes_text(abs(size))}"
