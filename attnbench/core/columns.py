"""The columns of cases.csv, in their order, and which of them a study may claim something of. Made from ``core.metrics``."""

from attnbench.core.metrics import METRICS, Column, Metric

FACTS = (
    Column("host", "host with its options", "fact"),
    Column("variant", "modules by place; baseline is the host alone", "fact"),
    Column("size", "input height x width in pixels", "fact"),
    Column("batch", "batch size", "fact", whole=True),
    Column("runtime", "what ran it", "fact"),
    Column("status", "ok, refused (the module cannot stand there), skipped (not run on purpose) or failed", "fact"),
    Column("reason", "why a case is not ok: stage and message", "fact"),
    Column("uncounted_ops", "ops that no counter knows, by name", "fact"),
    Column(
        "agreement",
        "agree, disagree, or too blunt: the paired interval, widened by the systematic part, excludes nothing",
        "fact",
    ),
    Column("target", "NPU profile", "fact"),
    Column("npu_verdict", "on the nodes that the variant adds; on the whole graph for the baseline", "fact", claim="NPU"),
    Column("npu_verdict_graph", "verdict on the whole graph", "fact"),
    Column("npu_refused_added", "refused nodes that the variant adds", "fact", whole=True),
    Column("npu_unknown_added", "nodes the variant adds that the profile does not list", "fact", whole=True),
    Column("npu_nodes_added", "nodes that the variant adds", "fact", whole=True),
    Column("dtype", "number type that the case is measured in: fp32 or int8", "fact"),
    Column("fp32_overhead_pct", "of an int8 case, the overhead of the same case in fp32", "derived"),
    Column("int8_gain", "of an int8 case, how many times faster it is than the same case in fp32", "derived"),
    Column("claim_verdict", "confirmed, refuted or not resolvable", "fact"),
    Column("notes", "what else a reader should know", "fact"),
)
"""Columns that hold no metric: what the row is about, and what is judged of it."""

FIRST = """
host variant size batch status reason params params_delta params_delta_pct macs macs_delta macs_delta_pct flops flops_delta
elementwise_ops_delta bytes_moved_delta uncounted_ops activation_peak_bytes activation_peak_delta_bytes weight_bytes
latency_median_ms latency_p90_ms overhead_pct overhead_pct_low overhead_pct_high overhead_ms paired_pct paired_pct_low
paired_pct_high agreement target npu_verdict npu_refused_added claim_pct claim_verdict parity_max_abs_error parity_tolerance
macs_fvcore elementwise_ops bytes_moved largest_activation_bytes paired_wall_pct aligned_pct npu_unknown_added
npu_verdict_graph notes elementwise_ops_delta_pct bytes_moved_delta_pct activation_peak_delta_pct weight_bytes_delta
weight_bytes_delta_pct replicates stopped floor_overhead_pct floor_difference_pct core_share_pct memory_peak_bytes
memory_peak_delta_bytes memory_session_peak_bytes activation_peak_runtime_bytes memory_note npu_nodes_added npu_islands
npu_islands_added npu_crossings npu_crossings_added
""".split()
"""The columns that have been published, in the order in which they came: programs may count them. New ones follow."""

METRIC_OF: dict[str, Metric] = {column.name: metric for metric in METRICS.values() for column in metric.columns}
"""The metric that a column shows."""

_FOUND = {column.name: column for column in (*FACTS, *(c for metric in METRICS.values() for c in metric.columns))}

COLUMNS: dict[str, Column] = {name: _FOUND[name] for name in dict.fromkeys((*FIRST, *_FOUND))}
"""Every column in its order; ``latency_median_ms_threads_N`` and its p90 follow where N threads were asked for."""

CLAIMABLE: dict[str, str] = {name: column.claim for name, column in _FOUND.items() if column.claim}
"""What a claim may be about, by the column's name, and what its figure is called."""

COUNTS = tuple(
    name for name in CLAIMABLE if name in METRIC_OF and METRIC_OF[name].unit == "1" and _FOUND[name].whole
)  # fmt: skip
"""What a claim with a unit (M, Gi...) may be about: whole numbers; everything else has its unit in its name."""
