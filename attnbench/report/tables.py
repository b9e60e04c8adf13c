"""The tables of a report, as DataFrames of text: what to show, from the cases table and the records."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from attnbench.core.grammar import parse_variant
from attnbench.core.naming import display_name, inserted_module, plain_name
from attnbench.core.records import Check, Record, Run
from attnbench.core.units import MISSING, count, fixed, scaled, significant, with_interval

Row = Mapping[str, Any]


def baselines(frame: pd.DataFrame) -> pd.DataFrame:
    """The hosts as they are: one row a host and size."""
    return pd.DataFrame(
        {
            "host": row["host"],
            "size": row["size"],
            "params (M)": scaled(number(row, "params"), 1e6, 3),
            "MACs (G)": scaled(number(row, "macs"), 1e9, 3),
            "activation peak (MB)": scaled(number(row, "activation_peak_bytes"), 1e6, 1),
            "measured (MB)": scaled(number(row, "memory_peak_bytes"), 1e6, 1),
            "weights (MB)": scaled(number(row, "weight_bytes"), 1e6, 1),
            "latency median (ms)": fixed(number(row, "latency_median_ms"), 1),
            "p90 (ms)": fixed(number(row, "latency_p90_ms"), 1),
            "status": row["status"],
            "NPU, whole graph": row["npu_verdict_graph"] or MISSING,
        }
        for row in rows_of(frame)
        if row["variant"] == "baseline"
    )


def matrix(run: Run, frame: pd.DataFrame, host: str, size: str) -> pd.DataFrame:
    """Places against modules, each cell the overhead in % with its interval, or why there is none."""
    return _crossed(run, frame, (host, size), overhead_text)


def npu_matrix(run: Run, frame: pd.DataFrame, host: str, size: str) -> pd.DataFrame:
    """Places against modules, each cell the target's verdict and the number of refused nodes that the module adds."""
    return _crossed(run, frame, (host, size), npu_text)


def _crossed(run: Run, frame: pd.DataFrame, where: tuple[str, str], text: Callable[[Row], str]) -> pd.DataFrame:
    """Variants of one assignment as a table of places and modules, in the order of the study's own matrices."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows_of(frame):
        assignments = parse_variant(row["variant"]).assignments
        if (row["host"], row["size"]) == where and len(assignments) == 1:
            place, module = "+".join(assignments[0].places), "+".join(map(str, assignments[0].modules))
            cells.setdefault(place, {})[module] = text(row)
    tables = run.header.study.get("matrix", [])
    places = _in_order(cells, [place for table in tables for place in _listed(table.get("places"))])
    modules = _in_order(
        dict.fromkeys(module for row in cells.values() for module in row),
        [module for table in tables for module in _listed(table.get("modules"))],
    )
    return pd.DataFrame([{"place": p, **{m: cells[p].get(m, MISSING) for m in modules}} for p in places])


def _in_order(found: Iterable[str], first: list[str]) -> list[str]:
    """What was found, that which the study lists first in its order, the rest as it came."""
    rank = {name: index for index, name in enumerate(dict.fromkeys(first))}
    return sorted(found, key=lambda name: rank.get(name, len(rank)))


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def checklist(run: Run) -> pd.DataFrame:
    """The deployment checklist, one row a case."""
    return pd.DataFrame(
        {"case": record.case.label, **{check.name: _check_text(check) for check in record.checks}}
        for record in run.records
        if record.checks
    )


def checks(record: Record) -> pd.DataFrame:
    """The deployment checklist of one case, a row a check."""
    return pd.DataFrame({"check": check.name, "passed": _check_text(check)} for check in record.checks)


def _check_text(check: Check) -> str:
    if check.passed is None:
        return check.detail
    return "yes" if check.passed else f"no: {check.detail}"


def failures(frame: pd.DataFrame) -> pd.DataFrame:
    """Cases without figures, and why."""
    return pd.DataFrame(
        {**where(frame, row), "variant": row["variant"], "status": row["status"], "reason": row["reason"]}
        for row in rows_of(frame)
        if row["status"] != "ok"
    )


def explanation(record: Record) -> pd.DataFrame:
    """The nodes an overhead consists of, the largest first."""
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


def ingredients(run: Run) -> pd.DataFrame:
    """What the overheads of the study's own cases are made of: points by op, layout changes together, the largest first."""
    named = {case["variant"] for case in run.header.study.get("cases", [])}
    return pd.DataFrame(
        {"case": record.case.label, "overhead in points of %, by op": _by_op(record)}
        for record in run.records
        if record.nodes and (record.case.variant in named or not named)
    )


BY_KIND = {"layout": "layout changes", "unfused": "broken fusions", "changed": "broken fusions", "removed": "broken fusions"}
"""How parts of an overhead that are not the module's own are called together."""


def _by_op(record: Record, most: int = 6) -> str:
    points: defaultdict[str, float] = defaultdict(float)
    for node in record.nodes:
        points[BY_KIND.get(node.kind, node.op)] += 100 * node.share
    largest = sorted(points.items(), key=lambda item: -abs(item[1]))
    shown = [f"{op} {significant(share, 2)}" for op, share in largest[:most]]
    if rest := sum(share for _, share in largest[most:]):
        shown.append(f"the rest {significant(rest, 2)}")
    return ", ".join(shown)


def node_findings(record: Record) -> pd.DataFrame:
    """What each target says of each node that a variant adds (of every node, for the baseline)."""
    return pd.DataFrame(
        {
            "target": finding.target,
            "node": display_name(finding.node),
            "op": finding.op,
            "verdict": finding.level,
            "measured": finding.measured or MISSING,
            "limit": finding.limit or MISSING,
            "evidence": finding.evidence or MISSING,
            "reason": finding.reason,
            **({"substitute": finding.substitute or MISSING} if any(f.substitute for f in record.findings) else {}),
        }
        for finding in record.findings
        if finding.inserted or record.case.is_baseline
    )


def cases_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One line a case, for a terminal."""
    return pd.DataFrame(
        {
            **where(frame, row),
            "variant": row["variant"],
            "status": row["status"],
            "overhead (%)": overhead_text(row),
            "(ms)": fixed(number(row, "overhead_ms"), 2),
            "params (+)": count(number(row, "params_delta")),
            "MACs (+M)": scaled(number(row, "macs_delta"), 1e6, 2),
            "peak (+MB)": scaled(number(row, "activation_peak_delta_bytes"), 1e6, 1),
            "latency (ms)": fixed(number(row, "latency_median_ms"), 1),
            "NPU": npu_text(row),
            "clocks": row["agreement"] or MISSING,
        }
        for row in rows_of(frame)
    )


def where(frame: pd.DataFrame, row: Row) -> dict[str, str]:
    """Host and size of a row, each only where the run has several: else the baseline's table says them."""
    return {column: row[column] for column in ("host", "size") if len(set(frame[column])) > 1}


def overhead_text(row: Row) -> str:
    """An overhead with its interval, or the status that stands in its place."""
    if row["status"] != "ok":
        return str(row["status"])
    if str(row["stopped"] or "").startswith("not attributed"):
        return "not attributed"
    return interval_text(row, "overhead_pct")


def interval_text(row: Row, column: str) -> str:
    """A figure with its interval, from the column and those of its ends."""
    return with_interval(number(row, column), number(row, f"{column}_low"), number(row, f"{column}_high"))


def rows_of(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The table's rows as mappings, with None for what is missing."""
    for row in frame.to_dict("records"):
        yield {str(key): None if value is pd.NA or value != value else value for key, value in row.items()}  # noqa: PLR0124


def number(row: Row, column: str) -> float | None:
    """A cell as a number, or None."""
    value = row.get(column)
    return None if value is None else float(value)


def npu_text(row: Row) -> str:
    """The NPU verdict on what a variant adds, with the number of refused nodes."""
    if not row["npu_verdict"]:
        return MISSING
    refused = int(number(row, "npu_refused_added") or 0)
    return f"{row['npu_verdict']} ({refused} nodes)" if refused else str(row["npu_verdict"])
