"""What the facts of clocks, memory and nodes come to: measurements, and each node's part over all replicates."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

from attnbench.core.metrics import measurement
from attnbench.core.records import Measurement, NodeShare
from attnbench.core.statistics import Estimate, blocks, quantile, signed_rank_interval
from attnbench.core.units import bytes_text
from attnbench.runs.facts import LatencyFact, MemoryFact, PairsFact

MEMORY_EXPLAINED = 2_000_000
"""Bytes by which measured and static memory may differ without a word."""

UNKNOWN_MEMORY = 500_000
"""Bytes below which a part of such a difference is not named."""


def clock_figures(pairs: Sequence[PairsFact], latencies: Sequence[LatencyFact], provider: str) -> Iterator[Measurement]:
    """The pairs of all replicates, and absolute latencies at each number of threads; these alone without a provider."""
    if pairs and provider:
        clocks = {"paired": "cpu", "paired_wall": "wall"} if provider == "cpu" else {"paired": "wall", "paired_cpu": "cpu"}
        for metric, clock in clocks.items():
            ratios = [after / before for fact in pairs for before, after in getattr(fact, clock)]
            name = "thread CPU time" if clock == "cpu" else "wall clock"
            note = f"{name}; samples are variant over baseline, a pair each"
            yield measurement(metric, paired_overhead(ratios), ratios, note)
    times: dict[int, list[float]] = {}
    timed: list[PairsFact | LatencyFact] = [*pairs, *latencies]
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


def average_nodes(replicates: Sequence[Sequence[NodeShare]]) -> tuple[NodeShare, ...]:
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
