"""What the figures say of claims and of targets: short words, each with its rule.

A claim is *confirmed* where all of the measured interval lies within the band it describes, *refuted* where none of it
does, and *not resolvable* in between or where nothing was measured. The band of "about v" is v plus or minus a share of v
(a quarter unless the study says otherwise); of "below v" all under v; of "rounds to v" what v's printed digits stand for.
An attributed overhead's interval is made as wide as the run's own noise floor, if it is narrower, and widened by the
systematic part, before it is held against anything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.core.records import Finding

ABOUT = 0.25
SYSTEMATIC_RELATIVE = 0.10
SYSTEMATIC_POINTS = 0.15
"""Percentage points and share by which attribution may be off beside its interval: changed caches
that no inserted node shows. Repetition does not shrink it. A bound from long runs against the clock, whose results stand in
``results/calibration/wall.md``."""

SCALES = {"1": 1.0, "M": 1e6, "G": 1e9, "Mi": 2.0**20, "Gi": 2.0**30}
"""Units of counts. Some papers divide by powers of 1024 and write M and G all the same."""

VERDICTS = ("refused", "fallback", "unknown", "ok with constraint", "ok")
"""What a target can say of a graph, the worst first."""

CROWDED = 0.95
"""Share of a core below which a case was not alone on it."""

CONFIRMED, REFUTED, OPEN = "confirmed", "refuted", "not resolvable"


@dataclass(frozen=True)
class Judged:
    """A claim with the figure beside it: value and interval in the claim's own unit, and the verdict."""

    value: float | str | None
    low: float | None
    high: float | None
    verdict: str


def systematic_points(overhead_pct: float) -> float:
    """The uncertainty of an attributed overhead that repetition does not shrink, in percentage points."""
    return SYSTEMATIC_POINTS + SYSTEMATIC_RELATIVE * abs(overhead_pct)


def agreement(overhead_pct: float | None, low: float | None, high: float | None) -> str:
    """``agree`` where the attributed figure lies in the paired interval widened by the systematic part, else ``disagree``.

    Empty where either is missing: fewer than six pairs have no 95 % interval.
    """
    if overhead_pct is None or low is None or high is None:
        return ""
    slack = systematic_points(overhead_pct)
    return "agree" if low - slack <= overhead_pct <= high + slack else "disagree"


def judge(claim: Mapping[str, Any], row: Mapping[str, Any]) -> Judged:
    """Hold a claim against a row of the cases table; the metric is the column's name."""
    metric = claim["metric"]
    if metric == "npu_verdict":
        verdict = str(row.get(metric) or "")
        agrees = verdict.startswith(str(claim["value"]))
        return Judged(verdict, None, None, (CONFIRMED if agrees else REFUTED) if verdict else OPEN)
    value = _number(row.get(metric))
    if value is None:
        return Judged(None, None, None, OPEN)
    value /= SCALES[claim.get("unit", "1")]
    low, high = _interval(metric, value, row)
    bottom, top = band(claim)
    if bottom <= low and high <= top:
        return Judged(value, low, high, CONFIRMED)
    return Judged(value, low, high, REFUTED if high < bottom or low > top else OPEN)


def band(claim: Mapping[str, Any]) -> tuple[float, float]:
    """The values that a claim allows."""
    value, relation = float(claim["value"]), claim.get("relation", "about")
    if relation == "below":
        return float("-inf"), value
    if relation == "rounds to":
        half = 0.5 * 10.0 ** -len(str(claim["value"]).partition(".")[2]) * (1 + 1e-9)
        return value - half, value + half
    half = abs(value) * float(claim.get("tolerance", ABOUT))
    return value - half, value + half


def npu_verdict(findings: Iterable[Finding]) -> str:
    """What findings add up to: ``refused``, ``fallback``, ``unknown``, ``ok with constraint`` or ``ok``."""
    levels = {finding.level for finding in findings}
    for worst in VERDICTS[:3]:
        if worst in levels:
            return worst
    return "ok with constraint" if levels & {"constrained", "efficiency"} else "ok"


def _interval(metric: str, value: float, row: Mapping[str, Any]) -> tuple[float, float]:
    if metric not in ("overhead_pct", "overhead_ms"):
        return value, value
    overhead = _number(row.get("overhead_pct")) or 0.0
    scale = value / overhead if overhead else 1.0
    low, high = _number(row.get("overhead_pct_low")), _number(row.get("overhead_pct_high"))
    slack, floor = systematic_points(overhead), _number(row.get("floor_difference_pct")) or 0.0
    low = min(overhead - floor, overhead if low is None else low) - slack
    high = max(overhead + floor, overhead if high is None else high) + slack
    return low * scale, high * scale


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)  # noqa: PLR0124  NaN is pandas' missing value
