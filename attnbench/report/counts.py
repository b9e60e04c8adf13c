"""The tables of a run that was counted and not timed: cases, how their counts come about, and claims on them."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from attnbench.records import Case, Run
from attnbench.report.claims import claim_text, claimed, judged_text
from attnbench.report.tables import Row, number, rows_of, where
from attnbench.report.verdicts import CONFIRMED, REFUTED, judge
from attnbench.units import MISSING, count, fixed, scaled, significant

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
    return shown.astype(dict.fromkeys(("params", "macs", "flops", "elementwise_ops"), "Int64"))


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


def claims(run: Run, frame: pd.DataFrame, defaults: Mapping[Case, int]) -> pd.DataFrame:
    """Every claim on a count with its verdict, and for a refuted one which other reading of the figure would fit.

    ``defaults`` are what fvcore answers for a case without any handles.
    """
    by_label = {case.label: value for case, value in defaults.items()}
    return pd.DataFrame(
        {
            **where(frame, row),
            "variant": case["variant"],
            "printed": claim_text(claim),
            "counted": judged_text(claim, result),
            "verdict": result.verdict,
            "why": _why(claim, row, by_label) if result.verdict == REFUTED else "",
            "source": claim["source"],
        }
        for case, row in claimed(run, frame)
        for claim in case["claims"]
        if claim["metric"] in METRICS
        for result in [judge(claim, row)]
    )


def _why(claim: Row, row: Row, defaults: Mapping[str, int]) -> str:
    """Which other reading of a printed count gives its digits, or that none does."""
    other = {"M": "Mi", "G": "Gi", "Mi": "M", "Gi": "G"}.get(claim.get("unit", "1"), "1")
    readings = {f"in {other}": (claim["metric"], row, other)}
    if claim["metric"] == "macs":
        case = Case(str(row["host"]), str(row["variant"]), str(row["size"]), int(row["batch"]))
        theirs = {**row, "macs": defaults.get(case.label)}
        readings |= {
            "as FLOPs, two a MAC": ("flops", row, claim.get("unit", "1")),
            "with the norms and pooling that fvcore counts by default": ("macs", theirs, claim.get("unit", "1")),
            f"with those, in {other}": ("macs", theirs, other),
        }
    tried = {name: judge({**claim, "metric": m, "unit": u}, r) for name, (m, r, u) in readings.items()}
    fits = [name for name, result in tried.items() if result.verdict == CONFIRMED]
    off = judge(claim, row).value
    apart = f"{fixed(100 * (float(off) / float(claim['value']) - 1), 1, sign=True)} %" if off else MISSING
    text = claim.get("text", "")
    return "; ".join(filter(None, (f"counted is {apart} off", *(f"fits {name}" for name in fits[:1]), text)))
