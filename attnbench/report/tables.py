"""The tables of a report, as DataFrames of text: what to show, from the cases table and the records."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from attnbench.errors import InputError
from attnbench.grammar import parse_variant
from attnbench.naming import inserted_module, plain_name
from attnbench.records import Record, Run
from attnbench.report.verdicts import Judged, judge
from attnbench.units import MISSING, bytes_text, count, fixed, scaled, significant, with_interval

Row = Mapping[str, Any]

CLAIM_UNITS = {
    "overhead_pct": "% time",
    "overhead_ms": "ms",
    "macs_delta_pct": "% MACs",
    "params_delta_pct": "% params",
    "activation_peak_bytes": "live activations",
    "largest_activation_bytes": "largest activation",
    "npu_verdict": "NPU",
}
"""How a claim's metric is named beside its figure."""


def baselines(frame: pd.DataFrame) -> pd.DataFrame:
    """The hosts as they are: one row a host and size."""
    return pd.DataFrame(
        {
            "host": row["host"],
            "size": row["size"],
            "params (M)": scaled(_value(row, "params"), 1e6, 3),
            "MACs (G)": scaled(_value(row, "macs"), 1e9, 3),
            "activation peak (MB)": scaled(_value(row, "activation_peak_bytes"), 1e6, 1),
            "weights (MB)": scaled(_value(row, "weight_bytes"), 1e6, 1),
            "latency median (ms)": fixed(_value(row, "latency_median_ms"), 1),
            "p90 (ms)": fixed(_value(row, "latency_p90_ms"), 1),
            "status": _status(row),
            "NPU, whole graph": row["npu_verdict_graph"] or MISSING,
        }
        for row in _rows(frame)
        if row["variant"] == "baseline"
    )


def priorities(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """The priority/cost matrix: the study's cases that have a priority, each claim beside what was measured."""
    shown = []
    for case, row in _claimed(run, frame):
        if "priority" not in case:
            continue
        judged = [(claim, judge(claim, row)) for claim in case["claims"]]
        shown.append(
            {
                "priority": case["priority"],
                "place": case.get("place", case["variant"].partition("=")[0]),
                "module": case.get("module", case["variant"].partition("=")[2]),
                "claimed": "; ".join(_claim_text(claim) for claim, _ in judged) or MISSING,
                "time overhead (%)": overhead_text(row),
                "params (+%)": significant(_value(row, "params_delta_pct"), 2),
                "MACs (+%)": significant(_value(row, "macs_delta_pct"), 2),
                "peak memory (+MB)": scaled(_value(row, "activation_peak_delta_bytes"), 1e6, 1),
                "latency (+ms)": fixed(_value(row, "overhead_ms"), 2),
                "NPU": _npu_text(row),
                "claim": "; ".join(_verdict_text(claim, result, len(judged)) for claim, result in judged) or MISSING,
            }
        )
    return pd.DataFrame(shown)


def claims(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """Every claim of the study, with the interval it was held against and where it was made."""
    return pd.DataFrame(
        {
            "claim": _claim_text(claim),
            "of": case["variant"],
            "measured": _judged_text(claim, result),
            "verdict": result.verdict,
            "source": claim["source"],
        }
        for case, row in _claimed(run, frame)
        for claim in case["claims"]
        for result in [judge(claim, row)]
    )


def stages(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """The experiment's stages, each on top of the one before, with what it adds in time and whether that was promised."""
    shown = []
    for case, row in _claimed(run, frame):
        if "stage" not in case:
            continue
        promised = [(c, judge(c, row)) for c in case["claims"] if c["metric"] == "overhead_ms"]
        shown.append(
            {
                "stage": case["stage"],
                "variant": case["variant"],
                "latency median (ms)": fixed(_value(row, "latency_median_ms"), 1),
                "overhead (%)": overhead_text(row),
                "overhead (ms)": fixed(_value(row, "overhead_ms"), 2),
                "activation peak (MB)": scaled(_value(row, "activation_peak_bytes"), 1e6, 1),
                "NPU": _npu_text(row),
                "promised": "; ".join(_claim_text(claim) for claim, _ in promised) or MISSING,
                "verdict": "; ".join(result.verdict for _, result in promised) or MISSING,
            }
        )
    return pd.DataFrame(shown)


def matrix(frame: pd.DataFrame, host: str, size: str) -> pd.DataFrame:
    """Modules against places, each cell the overhead in % with its interval, or why there is none."""
    cells: dict[str, dict[str, str]] = {}
    places: list[str] = []
    for row in _rows(frame):
        if row["host"] != host or row["size"] != size or row["variant"] == "baseline":
            continue
        assignments = parse_variant(row["variant"]).assignments
        if len(assignments) != 1:
            continue
        place, module = "+".join(assignments[0].places), "+".join(map(str, assignments[0].modules))
        cells.setdefault(module, {})[place] = overhead_text(row)
        if place not in places:
            places.append(place)
    table = pd.DataFrame(
        [{"place": place, **{module: row.get(place, MISSING) for module, row in cells.items()}} for place in places]
    )
    return table


def npu_matrix(frame: pd.DataFrame, host: str, size: str) -> pd.DataFrame:
    """Modules against places, each cell the target's verdict and the number of refused nodes that the module adds."""
    cells: dict[str, dict[str, str]] = {}
    for row in _rows(frame):
        assignments = parse_variant(row["variant"]).assignments
        if row["host"] == host and row["size"] == size and len(assignments) == 1:
            place, module = "+".join(assignments[0].places), "+".join(map(str, assignments[0].modules))
            cells.setdefault(place, {})[module] = _npu_text(row)
    modules = list(dict.fromkeys(module for row in cells.values() for module in row))
    return pd.DataFrame(
        [{"place": place, **{m: row.get(m, MISSING) for m in modules}} for place, row in cells.items()]
    )


def refused_ops(run: Run) -> pd.DataFrame:
    """Which ops of which module a target refuses or does not know, in how many cases, with the reason and its source."""
    cases: Counter[tuple[str, ...]] = Counter()
    for record in run.records:
        seen = {
            (f.target, inserted_module(f.node), f.op, f.level, f.measured, f.limit, f.reason, f.evidence, f.source)
            for f in record.findings
            if f.inserted and f.level in ("refused", "fallback", "unknown")
        }
        cases.update(seen)
    return pd.DataFrame(
        {
            "module": module,
            "op": op,
            "level": level,
            "measured": f"{measured} (limit: {limit})" if limit else MISSING,
            "reason": reason,
            "evidence": evidence or MISSING,
            "source": source,
            "cases": number,
        }
        for (_, module, op, level, measured, limit, reason, evidence, source), number in sorted(
            cases.items(), key=lambda item: (item[0][1], item[0][3], item[0][2])
        )
    )


def checklist(run: Run) -> pd.DataFrame:
    """The deployment checklist, one row a case."""
    marks = {True: "yes", False: "no", None: "not run"}
    return pd.DataFrame(
        {
            "variant": record.case.variant,
            **{c.name: marks[c.passed] + (f" ({c.detail})" if c.passed is False and c.detail else "") for c in checks},
        }
        for record in run.records
        if (checks := [_brief(check) for check in record.checks])
    )


def failures(frame: pd.DataFrame) -> pd.DataFrame:
    """Cases without figures, and why."""
    return pd.DataFrame(
        {"variant": row["variant"], "size": row["size"], "status": row["status"], "reason": row["reason"]}
        for row in _rows(frame)
        if row["status"] != "ok"
    )


def disagreements(frame: pd.DataFrame) -> pd.DataFrame:
    """Cases whose two clocks contradict each other."""
    return pd.DataFrame(
        {
            "variant": row["variant"],
            "attributed (%)": overhead_text(row),
            "paired (%)": with_interval(*(_value(row, c) for c in ("paired_pct", "paired_pct_low", "paired_pct_high"))),
        }
        for row in _rows(frame)
        if row["agreement"] == "disagree"
    )


def explanation(record: Record) -> pd.DataFrame:
    """The nodes an overhead consists of, the largest first."""
    if not record.nodes:
        raise InputError(f"{record.case.label} has no attributed nodes (status {record.status})")
    return pd.DataFrame(
        {
            "site": node.site or MISSING,
            "module": inserted_module(node.node) or MISSING,
            "node": plain_name(node.node),
            "op": node.op,
            "kind": node.kind,
            "time (ms)": fixed(1e3 * node.seconds, 3),
            "overhead (%)": fixed(100 * node.share, 3),
        }
        for node in sorted(record.nodes, key=lambda node: -abs(node.share))
    )


def cases_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One line a case, for a terminal."""
    return pd.DataFrame(
        {
            "variant": row["variant"],
            "size": row["size"],
            "status": _status(row),
            "overhead (%)": overhead_text(row),
            "(ms)": fixed(_value(row, "overhead_ms"), 2),
            "params (+)": count(_value(row, "params_delta")),
            "MACs (+M)": scaled(_value(row, "macs_delta"), 1e6, 2),
            "peak (+MB)": scaled(_value(row, "activation_peak_delta_bytes"), 1e6, 1),
            "latency (ms)": fixed(_value(row, "latency_median_ms"), 1),
            "NPU": _npu_text(row),
            "clocks": row["agreement"] or MISSING,
        }
        for row in _rows(frame)
    )


def overhead_text(row: Row) -> str:
    """An overhead with its interval, or the status that stands in its place."""
    if row["status"] != "ok":
        return str(row["status"])
    return with_interval(*(_value(row, column) for column in ("overhead_pct", "overhead_pct_low", "overhead_pct_high")))


def _claimed(run: Run, frame: pd.DataFrame) -> Iterator[tuple[dict[str, Any], Row]]:
    """The study's cases with their rows in the table, one for each host and size they were run at."""
    rows = list(_rows(frame))
    for case in run.header.study.get("cases", []):
        for row in rows:
            if row["variant"] == case["variant"] and case.get("host", row["host"]) == row["host"]:
                yield case, row


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in frame.to_dict("records"):
        yield {str(key): None if value is pd.NA or value != value else value for key, value in row.items()}  # noqa: PLR0124


def _value(row: Row, column: str) -> float | None:
    value = row.get(column)
    return None if value is None else float(value)


def _status(row: Row) -> str:
    return str(row["status"])


def _npu_text(row: Row) -> str:
    if not row["npu_verdict"]:
        return MISSING
    refused = int(_value(row, "npu_refused_added") or 0)
    return f"{row['npu_verdict']} ({refused} nodes)" if refused else str(row["npu_verdict"])


def _claim_text(claim: Row) -> str:
    if claim.get("text"):
        return str(claim["text"])
    sign = {"about": "about ", "below": "below "}[claim.get("relation", "about")]
    if claim["metric"] == "npu_verdict":
        return f"NPU {claim['value']}"
    return f"{sign}{_claim_value(claim['metric'], float(claim['value']))}"


def _claim_value(metric: str, value: float) -> str:
    if metric.endswith("_bytes"):
        return f"{bytes_text(value)} {CLAIM_UNITS[metric]}"
    return f"{significant(value, 2)} {CLAIM_UNITS[metric]}"


def _judged_text(claim: Row, judged: Judged) -> str:
    if judged.value is None:
        return MISSING
    if isinstance(judged.value, str):
        return judged.value
    if judged.low is None or judged.low == judged.high:
        return _claim_value(claim["metric"], judged.value)
    return f"{with_interval(judged.value, judged.low, judged.high)} {CLAIM_UNITS[claim['metric']]}"


def _verdict_text(claim: Row, judged: Judged, number: int) -> str:
    return judged.verdict if number == 1 else f"{judged.verdict} ({CLAIM_UNITS[claim['metric']]})"


def _brief(check: Any) -> Any:
    from dataclasses import replace  # noqa: PLC0415

    names = [plain_name(part.strip()) for part in check.detail.split(", ")]
    return replace(check, detail=", ".join(names))
