"""The tables of a run that was counted and not timed: cases, how their counts come about, and claims on them."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from attnbench.core.records import Case, Run
from attnbench.core.units import MISSING, count, scaled, significant
from attnbench.judge.verdicts import CONFIRMED, REFUTED, Judged, judge
from attnbench.report.claims import claim_text, claimed, judged_text
from attnbench.report.tables import Row, number, rows_of, where

COLUMNS = (
    "host", "variant", "size", "batch", "status", "reason", "params", "params_delta", "params_delta_pct", "macs",
    "macs_delta", "macs_delta_pct", "flops", "flops_delta", "uncounted_ops", "notes",
)  # fmt: skip
"""Those columns of cases.csv that a count fills."""

METRICS = ("params", "params_delta", "macs", "macs_delta", "flops")
"""What a claim can say of a count."""


def cases(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a case for a reader: whole numbers, and what a variant adds in %."""
    return pd.DataFrame(
        {
            "host": row["host"],
            "size": row["size"],
            "variant": row["variant"],
            "params": count(number(row, "params")),
            "params (+%)": _added(row, "params_delta_pct"),
            "MACs (M)": scaled(number(row, "macs"), 1e6, 3),
            "FLOPs (M)": scaled(number(row, "flops"), 1e6, 3),
            "MACs (+%)": _added(row, "macs_delta_pct"),
            **({"uncounted ops": row["uncounted_ops"] or MISSING} if any(frame["uncounted_ops"]) else {}),
            **({"notes": row["notes"] or row["reason"] or MISSING} if any(frame["notes"]) or any(frame["reason"]) else {}),
        }
        for row in rows_of(frame)
    )


def derivation(derived: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """How counts come about, a row an op of a layer: the shapes it reads and writes, and what that comes to."""
    shown = pd.DataFrame([dict(row) for row in derived])
    return shown.astype({name: "Int64" for name in ("params", "macs", "flops", "elementwise_ops") if name in shown})


def readable(derived: pd.DataFrame) -> pd.DataFrame:
    """A derivation for a reader: the case in one column, whole numbers with separators, nothing for what is not there."""
    numbers = ("params", "macs", "elementwise_ops")
    rows = derived.to_dict("records")
    return pd.DataFrame(
        {
            "case": f"{row['host']} {row['size']} {row['variant']}",
            **{name: row[name] for name in ("part", "layer", "op", "inputs", "output")},
            **{name: "" if pd.isna(row[name]) else count(row[name]) for name in numbers},
        }
        for row in rows
    )


def _added(row: Row, column: str) -> str:
    return MISSING if row["variant"] == "baseline" else significant(number(row, column), 3)


def claims(run: Run, frame: pd.DataFrame, readings: Mapping[Case, Mapping[str, int]]) -> pd.DataFrame:
    """Every claim on a count with its verdict, and for a refuted one which other reading of the figure would fit.

    ``readings`` are what other counters take for a case's MACs, by the counter.
    """
    by_label = {case.label: values for case, values in readings.items()}
    return pd.DataFrame(
        {
            **where(frame, row),
            "variant": case["variant"],
            "printed": claim_text(claim),
            "counted": judged_text(claim, result),
            "verdict": result.verdict,
            "why": _why(claim, row, by_label.get(_label(row), {})) if result.verdict == REFUTED else "",
            "source": claim["source"],
        }
        for case, row in claimed(run, frame)
        for claim in case["claims"]
        if claim["metric"] in METRICS
        for result in [judge(claim, row)]
    )


def _label(row: Row) -> str:
    return Case(str(row["host"]), str(row["variant"]), str(row["size"]), int(row["batch"])).label


def _why(claim: Row, row: Row, readings: Mapping[str, int]) -> str:
    """Which other reading of a printed count gives its digits, or how near the nearest comes."""
    metric, unit = claim["metric"], claim.get("unit", "1")
    other = {"M": "Mi", "G": "Gi", "Mi": "M", "Gi": "G"}.get(unit, "1")
    tried = {f"in {other}": judge({**claim, "unit": other}, row)}
    if metric == "macs":
        tried["as FLOPs, two a MAC"] = judge({**claim, "metric": "flops"}, row)
        for name, value in readings.items():
            tried[name] = judge(claim, {**row, "macs": value})
            tried[f"{name}, in {other}"] = judge({**claim, "unit": other}, {**row, "macs": value})
    fits = [name for name, result in tried.items() if result.verdict == CONFIRMED]
    told = [f"counted is {_apart(claim, judge(claim, row))} off"]
    if fits:
        told.append(f"fits {fits[0]}")
    elif metric == "macs":
        name = min(tried, key=lambda name: abs(float(tried[name].value or 0) - float(claim["value"])))
        told.append(f"fits no other reading; nearest {name} ({_apart(claim, tried[name])})")
    return "; ".join(filter(None, (*told, claim.get("text", ""))))


def _apart(claim: Row, judged: Judged) -> str:
    return f"{significant(100 * (float(judged.value or 0) / float(claim['value']) - 1), 2, sign=True)} %"
