"""The tables of a run that was counted and not timed: cases, how their counts come about, and claims on them."""

from collections.abc import Iterable, Mapping
from typing import Any

from attnbench.core.columns import COUNTS
from attnbench.core.records import Case, Run
from attnbench.core.units import MISSING, count, scaled, significant
from attnbench.judge.claims import CONFIRMED, REFUTED, Claim, JudgedClaim, judge_claim
from attnbench.judge.rows import Row, asked_claims, rows_of
from attnbench.report.claims import claim_text, judged_text
from attnbench.report.table import WHERE, Table, places

COLUMNS = (
    "host", "variant", "size", "batch", "status", "reason", "params", "params_delta", "params_delta_pct", "macs",
    "macs_delta", "macs_delta_pct", "flops", "flops_delta", "uncounted_ops", "notes",
)  # fmt: skip
"""Those columns of cases.csv that a count fills."""

NOTED = ("notes", "reason")
"""Columns of which the first that holds words is shown."""


def cases(run: Run) -> Table:
    """One row a case for a reader: whole numbers, and what a variant adds in %."""
    rows = rows_of(run)
    uncounted, noted = (any(row.text(name) for row in rows for name in names) for names in (("uncounted_ops",), NOTED))
    return Table.of(
        {
            "host": row.case.host,
            "size": row.case.size,
            "variant": row.case.variant,
            "params": count(row.number("params")),
            "params (+%)": _added(row, "params_delta_pct"),
            "MACs (M)": scaled(row.number("macs"), 1e6, 3),
            "FLOPs (M)": scaled(row.number("flops"), 1e6, 3),
            "MACs (+%)": _added(row, "macs_delta_pct"),
            **_told(row, uncounted=uncounted, noted=noted),
        }
        for row in rows
    ).keyed(*WHERE, minor=("FLOPs (M)", "notes"))


def modules(run: Run) -> Table:
    """One row a module without a host: what it comes to at one plane, channels x height x width."""
    rows = rows_of(run)
    uncounted, noted = (any(row.text(name) for row in rows for name in names) for names in (("uncounted_ops",), NOTED))
    return Table.of(
        {
            "module": row.case.variant,
            "plane": row.case.size,
            "params": count(row.number("params")),
            "MACs (M)": scaled(row.number("macs"), 1e6, 3),
            "FLOPs (M)": scaled(row.number("flops"), 1e6, 3),
            **_told(row, uncounted=uncounted, noted=noted),
        }
        for row in rows
    )


def _told(row: Row, *, uncounted: bool, noted: bool) -> dict[str, str]:
    return {
        **({"uncounted ops": row.text("uncounted_ops") or MISSING} if uncounted else {}),
        **({"notes": next(filter(None, map(row.text, NOTED)), MISSING)} if noted else {}),
    }


def derivation(derived: Iterable[Mapping[str, Any]]) -> Table:
    """How counts come about, a row an op of a layer: the shapes it reads and writes, and what that comes to."""
    return Table.of(
        {
            "case": f"{row['host']} {row['size']} {row['variant']}".strip(),
            **{name: row[name] for name in ("part", "layer", "op", "inputs", "output")},
            **{name: "" if row[name] is None else count(row[name]) for name in ("params", "macs", "elementwise_ops")},
        }
        for row in derived
    ).keyed("case", "part", "layer", "op")


def _added(row: Row, column: str) -> str:
    return MISSING if row.case.is_baseline else significant(row.number(column), 3)


def claims(run: Run, readings: Mapping[Case, Mapping[str, int]]) -> Table:
    """Every claim on a count with its verdict, and for a refuted one which other reading of the figure would fit.

    ``readings`` are what other counters take for a case's MACs, by the counter.
    """
    where = places(record.case for record in run.records)
    return Table.of(
        {
            **where(row.case),
            "variant": case["variant"],
            "printed": claim_text(claim),
            "counted": judged_text(result, row),
            "verdict": result.verdict,
            "why": _why(result, row, readings.get(row.case, {})) if result.verdict == REFUTED else "",
            "source": claim["source"],
        }
        for case, row, claim in asked_claims(run)
        if claim["metric"] in COUNTS
        for result in [judge_claim(claim, row)]
    ).keyed(*WHERE, "printed", minor=("source",))


def _why(refuted: JudgedClaim, row: Row, readings: Mapping[str, int]) -> str:
    """Which other reading of a printed count gives its digits, or how near the nearest comes."""
    claim = refuted.claim
    other: Claim = {**claim, "unit": {"M": "Mi", "G": "Gi", "Mi": "M", "Gi": "G"}.get(claim.get("unit", "1"), "1")}
    tried = {f"in {other['unit']}": judge_claim(other, row)}
    if claim["metric"] in ("macs", "flops"):
        twin, words = {"macs": ("flops", "as FLOPs, two a MAC"), "flops": ("macs", "as MACs")}[claim["metric"]]
        for unit, one in (("", claim), (f", in {other['unit']}", other)):
            tried[f"{words}{unit}"] = judge_claim({**one, "metric": twin}, row)
        for name, value in readings.items():
            for unit, one in (("", claim), (f", in {other['unit']}", other)):
                tried[f"{name}{unit}"] = judge_claim({**one, "metric": "macs"}, {"macs": value})
    fits = [name for name, result in tried.items() if result.verdict == CONFIRMED]
    parts = [f"counted is {_apart(refuted)} off"]
    if fits:
        parts.append(f"fits {fits[0]}")
    elif claim["metric"] in ("macs", "flops"):
        name = min(tried, key=lambda name: abs(float(tried[name].value or 0) - float(claim["value"])))
        parts.append(f"fits no other reading; nearest {name} ({_apart(tried[name])})")
    return "; ".join(filter(None, (*parts, claim.get("text", ""))))


def _apart(judged: JudgedClaim) -> str:
    """How far a figure is from the claimed one, in % of that, or in its own unit from a claimed 0."""
    value, claimed, unit = float(judged.value or 0), float(judged.claim["value"]), judged.claim.get("unit", "1")
    if not claimed:
        return f"{significant(value, 2, sign=True)}{'' if unit == '1' else f' {unit}'}"
    return f"{significant(100 * (value / claimed - 1), 2, sign=True)} %"
