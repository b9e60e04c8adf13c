"""What figures and findings come to, in short words, each with its rule: two clocks' agreement, a target's verdict.

Claims are judged in ``claims``, comparisons in ``compare``.
"""

from collections.abc import Iterable

from attnbench.core.records import Finding, Record

SYSTEMATIC_RELATIVE = 0.10
SYSTEMATIC_POINTS = 0.15
"""Share and percentage points by which attribution may be off beside its interval: changed caches
that no inserted node shows. Repetition does not shrink it. A bound from long runs against the clock, whose results stand in
``results/calibration/wall.md``."""

VERDICTS = ("refused", "fallback", "unknown", "ok with constraint", "ok")
"""What a target can say of a graph, the worst first."""

CROWDED = 0.95
"""Share of a core below which a case was not alone on it."""


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


def npu_verdict(findings: Iterable[Finding]) -> str:
    """What findings add up to: ``refused``, ``fallback``, ``unknown``, ``ok with constraint`` or ``ok``."""
    levels = {finding.level for finding in findings}
    for worst in VERDICTS[:3]:
        if worst in levels:
            return worst
    return "ok with constraint" if levels & {"constrained", "efficiency"} else "ok"


def own_findings(record: Record) -> dict[str, list[Finding]]:
    """By target the findings on a variant's own nodes, which may be none; on all nodes for the host alone."""
    found: dict[str, list[Finding]] = {}
    for finding in record.findings:
        own = found.setdefault(finding.target, [])
        if finding.inserted or record.case.is_baseline:
            own.append(finding)
    return found
