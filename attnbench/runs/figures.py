"""What the facts of clocks, memory and nodes come to: measurements, and each node's part over all replicates."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from statistics import median

from attnbench.core.metrics import measurement
from attnbench.core.quantities import parse_deadline
from attnbench.core.records import Measurement, NodeShare
from attnbench.core.statistics import Estimate, blocks, quantile, replicate_interval, signed_rank_interval, unlike_groups
from attnbench.core.units import bytes_text
from attnbench.runs.facts import LatencyFact, MemoryFact, NodeRow, PairsFact
from attnbench.runtimes import CPU

MEMORY_EXPLAINED = 2_000_000
"""Bytes by which measured and static memory may differ without a word."""

TAIL = 100
"""Runs from which on a 99th percentile is told."""

UNKNOWN_MEMORY = 500_000
"""Bytes below which a part of such a difference is not named."""


PAIRED = ("paired", "paired_wall", "paired_cpu")
LATENCIES = ("latency", "latency_p90", "latency_p99", "within_deadline")
MEMORY = ("memory_peak", "memory_session_peak", "activation_peak_runtime")
PANELS = ("panel_sum", "panel_paired")
"""What pairs, plain runs, memory and panels come to, by the metrics' names without ``@``."""


def paired_figures(pairs: Sequence[PairsFact], device: str) -> Iterator[Measurement]:
    """The pairs of all replicates, by both clocks."""
    if pairs:
        clocks = {"paired": "cpu", "paired_wall": "wall"} if device == CPU else {"paired": "wall", "paired_cpu": "cpu"}
        for metric, clock in clocks.items():
            ratios = pair_ratios(pairs, clock)
            name = "thread CPU time" if clock == "cpu" else "wall clock"
            note = f"{name}; samples are variant over baseline, a pair each"
            yield measurement(metric, paired_overhead(*ratios), list(chain.from_iterable(ratios)), note)


def latency_figures(
    pairs: Sequence[PairsFact], latencies: Sequence[LatencyFact], deadline: str = ""
) -> Iterator[Measurement]:
    """Absolute latencies at each number of threads.

    A 99th percentile of fewer than ``TAIL`` runs would be the slowest of them by another name.
    """
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
        if len(wall) >= TAIL:
            yield measurement("latency_p99", quantile(wall, 0.99), (), f"{note}, {len(wall)} runs", suffix)
        if deadline and threads == 1:
            within = sum(seconds <= parse_deadline(deadline) for seconds in wall) / len(wall)
            yield measurement("within_deadline", within, (), f"of {len(wall)} runs within {deadline}")


def pair_ratios(pairs: Iterable[PairsFact], clock: str) -> list[list[float]]:
    """Variant over baseline on the ``cpu`` or ``wall`` clock: of each process its pairs."""
    return [[after / before for before, after in getattr(fact, clock)] for fact in pairs if getattr(fact, clock)]


def paired_overhead(*processes: Sequence[float]) -> Estimate:
    """Relative overhead from the ratios of pairs, those of each process together.

    It is the Hodges-Lehmann centre of their logs with the exact signed-rank interval. From 40 pairs on the unit is a block
    of neighbouring pairs, because the noise of neighbours is correlated. Where processes differ by more than their pairs do,
    the unit is the process, with Student's interval of their medians.
    """
    logs = [[math.log(ratio) for ratio in own] for own in processes]
    if unlike_groups(logs):
        return replicate_interval([median(own) for own in logs]).map(math.expm1)
    return signed_rank_interval(blocks(list(chain.from_iterable(logs)))).map(math.expm1)


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


class NodeSums:
    """Node shares over replicates; a node that one of them lacks counts as 0 there, so that sums stay sums.

    Nodes are the same by what tells them apart in any process: our own names, and the place in the row for what the runtime
    names.
    """

    def __init__(self, replicates: Iterable[Sequence[NodeRow]] = ()) -> None:
        self._sums: dict[tuple[object, int], tuple[NodeRow, list[float]]] = {}
        self._number = 0
        for nodes in replicates:
            self.add(nodes)

    def add(self, nodes: Sequence[NodeRow]) -> None:
        """One more replicate."""
        self._number += 1
        seen: dict[object, int] = {}
        for row in nodes:
            node, op, site, kind, seconds, share = row
            stem = node if kind == "added" else (kind, op, site)
            number = seen[stem] = seen.get(stem, -1) + 1
            _, sums = self._sums.setdefault((stem, number), (row, [0.0, 0.0]))
            sums[0] += seconds
            sums[1] += share

    @property
    def averages(self) -> tuple[NodeShare, ...]:
        """Each node with its mean seconds and share, in the order in which they were first seen."""
        number, found = self._number, self._sums.values()
        return tuple(NodeShare(*first[:4], sums[0] / number, sums[1] / number) for first, sums in found)  # type: ignore[arg-type]
