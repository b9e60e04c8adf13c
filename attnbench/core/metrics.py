"""The one table of metrics: what each quantity is called, measured in, compared, claimed, gated, shown and drawn by.

A new metric is one row of ``METRICS``. Everything else is derived from the table: the columns of cases.csv (``columns``),
what a study may claim, what ``compare --fail-on`` may name, the series of the formats, units and scales in tables.

A stored measurement carries unit, direction and exactness itself, so that old files stay readable whatever stands here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from attnbench.core.records import FP32, INT8, Measurement
from attnbench.core.statistics import Estimate

BASELINE_TIME, CORE, RUNS = "the baseline's time", "a core's time", "all runs"
"""What shares are shares of."""

Part = Literal["value", "low", "high", "delta", "delta_pct", "of_baseline", "samples", "note", "derived", "fact"]


@dataclass(frozen=True)
class Column:
    """A column of cases.csv, its unit in its name, and what it holds in words.

    ``part`` says what of the metric: its *value*, the *low* and *high* end of its interval, its *delta* to the baseline's,
    *delta_pct* in % of that; the figure *of_baseline*; the number of *samples*; its *note*. A *derived* number and a *fact*
    are the row's (``judge.rows``), by the column's name. ``claim`` is what a claimed figure is called; without it no claim
    may be about the column. ``whole`` are whole numbers.
    """

    name: str
    text: str
    part: Part = "value"
    claim: str = ""
    whole: bool = False

    @property
    def is_text(self) -> bool:
        """Whether it holds words and no numbers."""
        return self.part in ("fact", "note") and not self.whole


@dataclass(frozen=True)
class Metric:
    """One quantity. ``unit`` is a base unit: ``1`` (counts and ratios), ``B`` or ``s``.

    ``share_of`` is the whole that a share is taken of: it is shown in %, its changes in percentage points. ``summary_of`` is
    the metric of whose samples it is another statistic. ``per`` is what follows an ``@`` in stored names. ``gate`` allows it
    in ``--fail-on``, by ``alias``, too. ``series`` makes it a series of the formats that other tools read. ``drawn`` is the
    scale of its axis; a metric without one is not drawn. The first of its ``columns`` is the value's.
    """

    name: str
    unit: Literal["1", "B", "s"] = "1"
    better: Literal["lower", "higher", "neither"] = "lower"
    exact: bool = False
    label: str = ""
    share_of: str = ""
    summary_of: str = ""
    per: Literal["", "threads", "target"] = ""
    gate: bool = False
    alias: str = ""
    series: bool = False
    drawn: Literal["", "linear", "log"] = ""
    columns: tuple[Column, ...] = ()

    @property
    def scale(self) -> float:
        """What a value in base units is multiplied by for a reader: shares are shown in %, times in ms."""
        return 100.0 if self.share_of else 1e3 if self.unit == "s" else 1.0

    @property
    def shown_unit(self) -> str:
        """The unit that ``scale`` makes."""
        return "%" if self.share_of else "ms" if self.unit == "s" else self.unit


_TABLE = (
    Metric("overhead", label="overhead", share_of=BASELINE_TIME, gate=True, series=True, drawn="linear", columns=(
        Column("overhead_pct", "attributed overhead in % of the baseline's time, 1 thread", claim="% time"),
        Column("overhead_pct_low", "lower end of its 95 % interval over processes", "low"),
        Column("overhead_pct_high", "upper end", "high"),
        Column("overhead_ms", "attributed overhead times the baseline's median latency", "derived", claim="ms"),
        Column("replicates", "fresh processes that the overhead rests on", "samples", whole=True),
        Column("stopped", "why there are no more: the wanted precision was reached, or the budget ended", "note"),
        Column("claim_pct", "claimed overhead in %", "derived"),
        Column("overhead_error_pct",
               "standard uncertainty of repetition, over processes and, as far as the machine was known, over runs; points",
               "derived"),
        Column("overhead_degrees", "degrees of freedom that it rests on", "derived"),
        Column("overhead_expanded_pct",
               "expanded uncertainty U (k = 2) in points: repetition, the systematic part, and the clock that bounded it",
               "derived"),
        Column("critical_value_pct", "overhead above which one with this scatter is told from 0, in points", "derived"),
        Column("detection_limit_pct", "overhead that is told from 0 in 95 % of measurements, in points", "derived"),
    )),
    Metric("latency", "s", label="latency median", per="threads", gate=True, series=True, drawn="linear", columns=(
        Column("latency_median_ms", "median of unprofiled runs at 1 thread"),
    )),
    Metric("latency_p90", "s", label="latency p90", summary_of="latency", per="threads", series=True, columns=(
        Column("latency_p90_ms", "90th percentile of the same runs"),
    )),
    Metric("latency_p99", "s", label="latency p99", summary_of="latency", per="threads", columns=(
        Column("latency_p99_ms", "99th percentile of the same runs, where there are 100 or more"),
    )),
    Metric("within_deadline", better="higher", label="within the deadline", share_of=RUNS, columns=(
        Column("within_deadline_pct", "share of the same runs that ended within the study's deadline"),
    )),
    Metric("params", exact=True, label="params", gate=True, series=True, drawn="log", columns=(
        Column("params", "parameters", claim="params", whole=True),
        Column("params_delta", "parameters beyond the baseline's", "delta", claim="params added", whole=True),
        Column("params_delta_pct", "the same, in % of the baseline's", "delta_pct", claim="% params"),
    )),
    Metric("macs", exact=True, label="MACs", gate=True, series=True, drawn="log", columns=(
        Column("macs", "multiply-accumulates of convolutions and matrix products", claim="MACs", whole=True),
        Column("macs_delta", "MACs beyond the baseline's", "delta", claim="MACs added", whole=True),
        Column("macs_delta_pct", "the same, in %", "delta_pct", claim="% MACs"),
    )),
    Metric("flops", exact=True, label="FLOPs", gate=True, columns=(
        Column("flops", "twice the MACs", claim="FLOPs", whole=True),
        Column("flops_delta", "FLOPs beyond the baseline's", "delta", whole=True),
    )),
    Metric("elementwise_ops", exact=True, label="element operations", gate=True, drawn="log", columns=(
        Column("elementwise_ops", "element operations", whole=True),
        Column("elementwise_ops_delta", "element operations beyond the baseline's", "delta", whole=True),
        Column("elementwise_ops_delta_pct", "element operations beyond the baseline's, in %", "delta_pct"),
    )),
    Metric("bytes_moved", "B", exact=True, label="bytes moved", gate=True, drawn="log", columns=(
        Column("bytes_moved", "bytes read and written node by node", whole=True),
        Column("bytes_moved_delta", "bytes read and written node by node beyond the baseline's", "delta", whole=True),
        Column("bytes_moved_delta_pct", "bytes moved beyond the baseline's, in %", "delta_pct"),
    )),
    Metric("activation_peak", "B", exact=True, label="activation peak", gate=True, alias="memory", series=True, drawn="log",
        columns=(
        Column("activation_peak_bytes", "largest sum of live activations on the graph", claim="live activations",
               whole=True),
        Column("activation_peak_delta_bytes", "the same beyond the baseline's", "delta", whole=True),
        Column("activation_peak_delta_pct", "activation peak beyond the baseline's, in %", "delta_pct"),
    )),
    Metric("largest_activation", "B", exact=True, label="largest activation", gate=True, columns=(
        Column("largest_activation_bytes", "largest single activation", claim="largest activation", whole=True),
    )),
    Metric("memory_peak", "B", label="memory peak", series=True, drawn="log", columns=(
        Column("memory_peak_bytes", "measured peak of one inference, beyond what the session keeps", whole=True),
        Column("memory_peak_delta_bytes", "the same beyond the baseline's", "delta", whole=True),
        Column("memory_note", "what the measured peak consists of where it is not the static one", "note"),
    )),
    Metric("weights", "B", exact=True, label="weights", gate=True, series=True, drawn="log", columns=(
        Column("weight_bytes", "weights in the graph", whole=True),
        Column("weight_bytes_delta", "weight bytes beyond the baseline's", "delta", whole=True),
        Column("weight_bytes_delta_pct", "the same, in %", "delta_pct"),
    )),
    Metric("npu_islands", exact=True, label="NPU islands", per="target", gate=True, columns=(
        Column("npu_islands", "connected parts of the graph that would run on the NPU, unknown ops taken for elsewhere",
               whole=True),
        Column("npu_islands_added", "the same beyond the baseline's", "delta", whole=True),
    )),
    Metric("npu_crossings", exact=True, label="NPU crossings", per="target", gate=True, columns=(
        Column("npu_crossings", "tensors that are made on the NPU and read elsewhere, or the other way round", whole=True),
        Column("npu_crossings_added", "the same beyond the baseline's", "delta", whole=True),
    )),
    Metric("macs_fvcore", exact=True, label="MACs by fvcore", gate=True, columns=(
        Column("macs_fvcore", "MACs by the second counter", whole=True),
    )),
    Metric("paired", label="paired overhead", share_of=BASELINE_TIME, columns=(
        Column("paired_pct", "cross-check: interleaved pairs, thread CPU time, Hodges-Lehmann"),
        Column("paired_pct_low", "lower end of its exact 95 % signed-rank interval", "low"),
        Column("paired_pct_high", "upper end", "high"),
    )),
    Metric("paired_wall", label="paired overhead, wall clock", share_of=BASELINE_TIME, columns=(
        Column("paired_wall_pct", "the pairs by wall clock"),
    )),
    Metric("paired_cpu", label="paired overhead, CPU time", share_of=BASELINE_TIME),
    Metric("panel_sum", better="neither", label="sum of a panel's overheads", share_of=BASELINE_TIME),
    Metric("panel_paired", better="neither", label="a panel on the clock", share_of=BASELINE_TIME),
    Metric("aa_repeat", better="neither", label="A/A repeat", share_of=BASELINE_TIME),
    Metric("floor_overhead", label="critical value", share_of=BASELINE_TIME, columns=(
        Column("floor_overhead_pct",
               "critical value of one variant that was measured twice, in percentage points", "of_baseline"),
    )),
    Metric("floor_difference", label="critical difference", share_of=BASELINE_TIME, columns=(
        Column("floor_difference_pct", "critical difference between its two measurements, in percentage points",
               "of_baseline"),
    )),
    Metric("profiling_cost", "s", better="neither", label="profiling cost"),
    Metric("core_share", better="higher", label="core share", share_of=CORE, columns=(
        Column("core_share_pct", "least share of its core that a replicate had; the rest went to other processes"),
    )),
    Metric("memory_session_peak", "B", label="memory peak of the session", drawn="log", columns=(
        Column("memory_session_peak_bytes", "measured peak of creating the session: weights, their packing, the graph",
               whole=True),
    )),
    Metric("activation_peak_runtime", "B", label="activation peak on the runtime's graph", columns=(
        Column("activation_peak_runtime_bytes", "largest sum of live activations on the runtime's own optimised graph",
               whole=True),
    )),
    Metric("aligned", better="higher", label="aligned", share_of=BASELINE_TIME, columns=(
        Column("aligned_pct", "share of the baseline's time that both graphs share"),
    )),
    Metric("int8_float_ops", exact=True, label="ops that stayed float", gate=True, columns=(
        Column("int8_float_ops", "nodes of the runtime's graph that compute on floats in an int8 case", whole=True),
        Column("int8_float_ops_added", "the same beyond the int8 baseline's", "delta", whole=True),
        Column("int8_float_ops_named", "which ops these are", "note"),
    )),
    Metric("int8_conversions", exact=True, label="int8 conversions", gate=True, columns=(
        Column("int8_conversions", "nodes of the runtime's graph that convert between int8 and floats", whole=True),
        Column("int8_conversions_added", "the same beyond the int8 baseline's", "delta", whole=True),
    )),
    Metric("int8_parity_error", label="int8 parity error", columns=(
        Column("int8_parity_error",
               "root mean square by which the optimised run differs from the Q/DQ graph as it stands, of the output's"),
    )),
    Metric("int8_parity_tolerance", better="neither", label="int8 parity tolerance", columns=(
        Column("int8_parity_tolerance",
               "what it was held to: the root of 12 times what the Q/DQ graph differs from the float graph by"),
    )),
    Metric("sqnr", better="higher", label="SQNR", columns=(
        Column("sqnr_db", "signal to quantisation noise at the modules' outputs, on the images it was calibrated with; dB"),
    )),
    Metric("parity_error", label="parity error", columns=(
        Column("parity_max_abs_error", "largest difference of ONNX from torch among the host and its modules"),
    )),
    Metric("parity_tolerance", better="neither", exact=True, label="parity tolerance", columns=(
        Column("parity_tolerance", "what it was held to"),
    )),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _TABLE}

SHARES = tuple(metric.name for metric in _TABLE if metric.share_of)
"""Metrics that are shares of a whole: shown in %, and compared in percentage points."""

SERIES = tuple(metric.name for metric in _TABLE if metric.series)
"""Metrics that become series of other tools, in the order in which they are written."""

GATEABLE = tuple(metric.name for metric in _TABLE if metric.gate)
"""Metrics that ``--fail-on`` may name."""

NOT_OF = {
    INT8: ("bytes_moved", "activation_peak", "largest_activation"),
    FP32: ("int8_float_ops", "int8_conversions"),
}
"""By number type the metrics that its cases have none of: what int8's tensors come to, a Q/DQ graph does not say."""

ALIASES = {metric.alias: metric.name for metric in _TABLE if metric.alias}
"""Shorter names for some of them."""


def measurement(
    metric: str, value: float | Estimate | None, samples: Sequence[float] = (), note: str = "", suffix: str = ""
) -> Measurement:
    """A measurement of a known metric; an estimate brings its interval. ``suffix`` tells repetitions apart."""
    known, name = METRICS[metric], f"{metric}{suffix}"
    how = known.unit, known.better, known.exact
    if isinstance(value, Estimate):
        return Measurement(name, value.value, *how, value.low, value.high, tuple(samples), note)
    return Measurement(name, value, *how, samples=tuple(samples), note=note)
