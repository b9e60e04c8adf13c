"""A run as a table: one row a case and target, the columns of cases.csv, units in their names.

Everything relative is made here, from the records alone: differences to the baseline, agreement, verdicts. Missing values
stay missing. Columns come in the order of ``COLUMNS``; new ones are added at the end.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from attnbench.core.records import Record, Run
from attnbench.core.units import percent
from attnbench.judge.verdicts import agreement, judge, npu_verdict

COLUMNS = {
    "host": "host with its options",
    "variant": "modules by place; baseline is the host alone",
    "size": "input height x width in pixels",
    "batch": "batch size",
    "status": "ok, refused (the module cannot stand there), skipped (not run on purpose) or failed",
    "reason": "why a case is not ok: stage and message",
    "params": "parameters",
    "params_delta": "parameters beyond the baseline's",
    "params_delta_pct": "the same, in % of the baseline's",
    "macs": "multiply-accumulates of convolutions and matrix products",
    "macs_delta": "MACs beyond the baseline's",
    "macs_delta_pct": "the same, in %",
    "flops": "twice the MACs",
    "flops_delta": "FLOPs beyond the baseline's",
    "elementwise_ops_delta": "element operations beyond the baseline's",
    "bytes_moved_delta": "bytes read and written node by node beyond the baseline's",
    "uncounted_ops": "ops that no counter knows, by name",
    "activation_peak_bytes": "largest sum of live activations on the graph",
    "activation_peak_delta_bytes": "the same beyond the baseline's",
    "weight_bytes": "weights in the graph",
    "latency_median_ms": "median of unprofiled runs at 1 thread",
    "latency_p90_ms": "90th percentile of the same runs",
    "overhead_pct": "attributed overhead in % of the baseline's time, 1 thread",
    "overhead_pct_low": "lower end of its 95 % interval over processes",
    "overhead_pct_high": "upper end",
    "overhead_ms": "attributed overhead times the baseline's median latency",
    "paired_pct": "cross-check: interleaved pairs, thread CPU time, Hodges-Lehmann",
    "paired_pct_low": "lower end of its exact 95 % signed-rank interval",
    "paired_pct_high": "upper end",
    "agreement": "whether the attributed figure lies in the paired interval, widened by the systematic part",
    "target": "NPU profile",
    "npu_verdict": "on the nodes that the variant adds; on the whole graph for the baseline",
    "npu_refused_added": "refused nodes that the variant adds",
    "claim_pct": "claimed overhead in %",
    "claim_verdict": "confirmed, refuted or not resolvable",
    "parity_max_abs_error": "largest difference of ONNX from torch among the host and its modules",
    "parity_tolerance": "what it was held to",
    "macs_fvcore": "MACs by the second counter",
    "elementwise_ops": "element operations",
    "bytes_moved": "bytes read and written node by node",
    "largest_activation_bytes": "largest single activation",
    "paired_wall_pct": "the pairs by wall clock",
    "aligned_pct": "share of the baseline's time that both graphs share",
    "npu_unknown_added": "nodes the variant adds that the profile does not list",
    "npu_verdict_graph": "verdict on the whole graph",
    "notes": "what else a reader should know",
    "elementwise_ops_delta_pct": "element operations beyond the baseline's, in %",
    "bytes_moved_delta_pct": "bytes moved beyond the baseline's, in %",
    "activation_peak_delta_pct": "activation peak beyond the baseline's, in %",
    "weight_bytes_delta": "weight bytes beyond the baseline's",
    "weight_bytes_delta_pct": "the same, in %",
    "replicates": "fresh processes that the overhead rests on",
    "stopped": "why there are no more: the wanted precision was reached, or the budget ended",
    "floor_overhead_pct": "smallest overhead that this run resolves, in percentage points: one variant measured twice",
    "floor_difference_pct": "smallest difference between two overheads that it resolves, in percentage points",
    "core_share_pct": "least share of its core that a replicate had; the rest went to other processes",
    "memory_peak_bytes": "measured peak of one inference, beyond what the session keeps",
    "memory_peak_delta_bytes": "the same beyond the baseline's",
    "memory_session_peak_bytes": "measured peak of creating the session: weights, their packing, the graph",
    "activation_peak_runtime_bytes": "largest sum of live activations on the runtime's own optimised graph",
    "memory_note": "what the measured peak consists of where it is not the static one",
    "npu_nodes_added": "nodes that the variant adds",
    "npu_islands": "connected parts of the graph that would run on the NPU, unknown ops taken for elsewhere",
    "npu_islands_added": "the same beyond the baseline's",
    "npu_crossings": "tensors that are made on the NPU and read elsewhere, or the other way round",
    "npu_crossings_added": "the same beyond the baseline's",
}
"""Every column and what it holds; ``latency_median_ms_threads_N`` and its p90 follow where N threads were asked for."""

_EXACT = {
    "params": "params",
    "macs": "macs",
    "flops": "flops",
    "elementwise_ops": "elementwise_ops",
    "bytes_moved": "bytes_moved",
    "activation_peak_bytes": "activation_peak",
    "largest_activation_bytes": "largest_activation",
    "weight_bytes": "weights",
    "macs_fvcore": "macs_fvcore",
}
_DELTAS = {
    "params_delta": "params",
    "macs_delta": "macs",
    "flops_delta": "flops",
    "elementwise_ops_delta": "elementwise_ops",
    "bytes_moved_delta": "bytes_moved",
    "activation_peak_delta_bytes": "activation_peak",
    "weight_bytes_delta": "weights",
}

_DELTAS_PCT = {
    "params_delta_pct": "params",
    "macs_delta_pct": "macs",
    "elementwise_ops_delta_pct": "elementwise_ops",
    "bytes_moved_delta_pct": "bytes_moved",
    "activation_peak_delta_pct": "activation_peak",
    "weight_bytes_delta_pct": "weights",
}


_WHOLE = (
    "batch",
    "npu_refused_added",
    "npu_unknown_added",
    "replicates",
    "memory_peak_bytes",
    "memory_peak_delta_bytes",
    "memory_session_peak_bytes",
    "activation_peak_runtime_bytes",
    "npu_nodes_added",
    "npu_islands",
    "npu_islands_added",
    "npu_crossings",
    "npu_crossings_added",
)


def to_frame(run: Run) -> pd.DataFrame:
    """The run as a DataFrame with the columns of cases.csv, counts as nullable integers."""
    baselines = {record.case: record for record in run.records if record.case.is_baseline}
    rows = [
        row_of(record, baselines.get(record.case.baseline), target, run.header.study)
        for record in run.records
        for target in run.header.study.get("targets", [""]) or [""]
    ]
    extra = sorted({key for row in rows for key in row if key not in COLUMNS})
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *extra])
    whole = [*_EXACT, *_DELTAS, *_WHOLE]
    return frame.astype(dict.fromkeys(whole, "Int64"))


def row_of(record: Record, baseline: Record | None, target: str, study: Mapping[str, Any]) -> dict[str, Any]:
    """One row: what the record holds, and what it is beside its baseline."""
    case = record.case
    row: dict[str, Any] = {
        "host": case.host,
        "variant": case.variant,
        "size": case.size,
        "batch": case.batch,
        "status": record.status,
        "reason": f"{record.failure.stage}: {record.failure.message}" if record.failure else "",
        "uncounted_ops": " ".join(record.uncounted),
        "target": target,
        "notes": "; ".join(record.notes),
        **{column: _whole(record.value(metric)) for column, metric in _EXACT.items()},
        **{column: _difference(record, baseline, metric) for column, metric in _DELTAS.items()},
        **{column: _relative(record, baseline, metric) for column, metric in _DELTAS_PCT.items()},
        "parity_max_abs_error": record.value("parity_error"),
        "parity_tolerance": record.value("parity_tolerance"),
    }
    row |= _timing(record, baseline)
    row |= _floors(record, baseline)
    row |= _memory(record, baseline)
    row |= _npu(record, baseline, target)
    row |= _claim(row, study)
    return row


def _timing(record: Record, baseline: Record | None) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for measurement in record.measurements:
        name, _, threads = measurement.metric.partition("@")
        if name in ("latency", "latency_p90") and measurement.value is not None:
            column = "latency_median_ms" if name == "latency" else "latency_p90_ms"
            row[f"{column}_threads_{threads}" if threads else column] = 1e3 * measurement.value
    for column, metric in (("overhead_pct", "overhead"), ("paired_pct", "paired")):
        found = record.get(metric)
        for suffix, value in (("", "value"), ("_low", "low"), ("_high", "high")):
            row[f"{column}{suffix}"] = percent(getattr(found, value)) if found else None
    row["paired_wall_pct"] = percent(record.value("paired_wall"))
    row["aligned_pct"] = percent(record.value("aligned"))
    whole = baseline.value("latency") if baseline else None
    overhead = record.value("overhead")
    row["overhead_ms"] = 1e3 * overhead * whole if overhead is not None and whole is not None else None
    row["agreement"] = agreement(row["overhead_pct"], row["paired_pct_low"], row["paired_pct_high"])
    return row


def _floors(record: Record, baseline: Record | None) -> dict[str, Any]:
    overhead = record.get("overhead")
    return {
        "replicates": len(overhead.samples) if overhead else None,
        "stopped": overhead.note if overhead else None,
        "floor_overhead_pct": percent(baseline.value("floor_overhead")) if baseline else None,
        "floor_difference_pct": percent(baseline.value("floor_difference")) if baseline else None,
        "core_share_pct": percent(record.value("core_share")),
    }


def _memory(record: Record, baseline: Record | None) -> dict[str, Any]:
    peak = record.get("memory_peak")
    return {
        "memory_peak_bytes": _whole(record.value("memory_peak")),
        "memory_peak_delta_bytes": _difference(record, baseline, "memory_peak"),
        "memory_session_peak_bytes": _whole(record.value("memory_session_peak")),
        "activation_peak_runtime_bytes": _whole(record.value("activation_peak_runtime")),
        "memory_note": peak.note if peak else None,
    }


def _npu(record: Record, baseline: Record | None, target: str) -> dict[str, Any]:
    findings = [finding for finding in record.findings if finding.target == target]
    if not findings:
        return {}
    added = [finding for finding in findings if finding.inserted]
    hosts = [finding for finding in baseline.findings if finding.target == target] if baseline else []
    return {
        "npu_verdict": npu_verdict(findings if record.case.is_baseline else added),
        "npu_verdict_graph": npu_verdict([*hosts, *added]) if hosts else None,
        "npu_refused_added": sum(finding.level in ("refused", "fallback") for finding in added),
        "npu_unknown_added": sum(finding.level == "unknown" for finding in added),
        "npu_nodes_added": len(added),
        **{f"npu_{name}": _whole(record.value(f"npu_{name}@{target}")) for name in ("islands", "crossings")},
        **{f"npu_{name}_added": _difference(record, baseline, f"npu_{name}@{target}") for name in ("islands", "crossings")},
    }


def _claim(row: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, Any]:
    for case in study.get("cases", []):
        if case["variant"] == row["variant"] and case.get("host", row["host"]) == row["host"]:
            for claim in case["claims"]:
                if claim["metric"] == "overhead_pct":
                    return {"claim_pct": claim["value"], "claim_verdict": judge(claim, row).verdict}
    return {}


def _difference(record: Record, baseline: Record | None, metric: str) -> int | None:
    value, whole = record.value(metric), baseline.value(metric) if baseline else None
    return None if value is None or whole is None else int(value) - int(whole)


def _relative(record: Record, baseline: Record | None, metric: str) -> float | None:
    difference, whole = _difference(record, baseline, metric), baseline.value(metric) if baseline else None
    return None if difference is None or not whole else 100 * difference / whole


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
