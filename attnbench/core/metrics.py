"""The quantities a record can hold: each name's unit, better direction and whether it is exact, written once.

A stored measurement carries unit, direction and exactness itself: the reading side looks up nothing here but ``SHARES``.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from attnbench.core.records import Measurement
from attnbench.core.statistics import Estimate


class Metric(NamedTuple):
    """Unit in base units (``1`` counts and ratios, ``B`` bytes, ``s`` seconds), direction, exactness."""

    unit: str
    better: Literal["lower", "higher", "neither"]
    exact: bool


METRICS: dict[str, Metric] = {
    "params": Metric("1", "lower", exact=True),
    "macs": Metric("1", "lower", exact=True),
    "flops": Metric("1", "lower", exact=True),
    "elementwise_ops": Metric("1", "lower", exact=True),
    "bytes_moved": Metric("B", "lower", exact=True),
    "activation_peak": Metric("B", "lower", exact=True),
    "largest_activation": Metric("B", "lower", exact=True),
    "weights": Metric("B", "lower", exact=True),
    "npu_islands": Metric("1", "lower", exact=True),
    "npu_crossings": Metric("1", "lower", exact=True),
    "macs_fvcore": Metric("1", "lower", exact=True),
    "latency": Metric("s", "lower", exact=False),
    "latency_p90": Metric("s", "lower", exact=False),
    "overhead": Metric("1", "lower", exact=False),
    "paired": Metric("1", "lower", exact=False),
    "paired_wall": Metric("1", "lower", exact=False),
    "paired_cpu": Metric("1", "lower", exact=False),
    "twin": Metric("1", "neither", exact=False),
    "floor_overhead": Metric("1", "lower", exact=False),
    "floor_difference": Metric("1", "lower", exact=False),
    "profiling_cost": Metric("s", "neither", exact=False),
    "core_share": Metric("1", "higher", exact=False),
    "memory_peak": Metric("B", "lower", exact=False),
    "memory_session_peak": Metric("B", "lower", exact=False),
    "activation_peak_runtime": Metric("B", "lower", exact=False),
    "aligned": Metric("1", "higher", exact=False),
    "parity_error": Metric("1", "lower", exact=False),
    "parity_tolerance": Metric("1", "neither", exact=True),
}


SHARES = (
    "overhead", "paired", "paired_wall", "paired_cpu", "twin", "floor_overhead", "floor_difference", "core_share", "aligned",
)  # fmt: skip
"""Metrics that are shares of the baseline's time, or of another whole: shown in %, and compared in percentage points."""


def measurement(
    metric: str, value: float | Estimate | None, samples: Sequence[float] = (), note: str = "", suffix: str = ""
) -> Measurement:
    """A measurement of a known metric; an estimate brings its interval. ``suffix`` tells repetitions apart."""
    unit, better, exact = METRICS[metric]
    name = f"{metric}{suffix}"
    if isinstance(value, Estimate):
        return Measurement(name, value.value, unit, better, exact, value.low, value.high, tuple(samples), note)
    return Measurement(name, value, unit, better, exact, samples=tuple(samples), note=note)
