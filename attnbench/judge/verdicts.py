"""What figures and findings come to, in short words, each with its rule: two clocks' agreement, a target's verdict.

Claims are judged in ``claims``, comparisons in ``compare``.
"""

import math
from collections.abc import Iterable

from attnbench.core.records import Finding, Record

SYSTEMATIC_RELATIVE = 0.10
SYSTEMATIC_POINTS = 0.15
"""Share and percentage points by which attribution may be off beside its interval: changed caches
that no inserted node shows. Repetition does not shrink it. A bound from long runs against the clock, whose results stand in
``results/calibration/wall.md``: 62 of 62 references lie within it, which shows that 95 % do at least, at 95 %."""

CROWDED_RELATIVE = 0.8
"""Share by which an overhead may be off, for each share of its core that a replicate did not have: beside neighbours that
took 38 % of it, runs read 29 % lower to 36 % higher (``results/calibration/neighbour.md``)."""

REFERENCE_POINTS = 0.10
"""Standard uncertainty of the clock that attribution was held against: the standard deviation, from one pass over those
references to the next, of what the two differ by on average."""

VERDICTS = ("refused", "fallback", "unknown", "ok with constraint", "ok")
"""What a target can say of a graph, the worst first."""

CROWDED = 0.95
"""Share of a core below which a case was not alone on it."""


def systematic_points(overhead_pct: float, core_share_pct: float | None = None) -> float:
    """The uncertainty of an attributed overhead that repetition does not shrink, in percentage points.

    It is larger where the case was not alone on its core.
    """
    missing = 0.0 if core_share_pct is None or core_share_pct >= 100 * CROWDED else 1 - core_share_pct / 100
    return SYSTEMATIC_POINTS + (SYSTEMATIC_RELATIVE + CROWDED_RELATIVE * missing) * abs(overhead_pct)


def systematic_error(overhead_pct: float, core_share_pct: float | None = None) -> float:
    """The same as a standard uncertainty: the bound over the root of 3, with the clock's own that it was found by.

    Source: *Guide to the expression of uncertainty in measurement* (GUM, JCGM 100:2008), 4.3.7: of a bound, nothing more is
    known than that values lie within it.
    """
    return math.hypot(systematic_points(overhead_pct, core_share_pct) / math.sqrt(3), REFERENCE_POINTS)


def expanded_uncertainty(overhead_pct: float, error_points: float, core_share_pct: float | None = None) -> float:
    """U with k = 2, in points: how far from the figure what a long run against the clock would say is expected to lie.

    ``error_points`` is the standard uncertainty of repetition. Source: GUM, 6.2.
    """
    return 2 * math.hypot(error_points, systematic_error(overhead_pct, core_share_pct))


def agreement(overhead_pct: float | None, low: float | None, high: float | None) -> str:
    """``agree`` where the attributed figure lies in the paired interval widened by the systematic part, else ``disagree``.

    ``too blunt`` where neither nothing nor twice the figure would have disagreed. Empty where either is missing: fewer than
    six pairs have no 95 % interval.
    """
    if overhead_pct is None or low is None or high is None:
        return ""
    slack = systematic_points(overhead_pct)
    if not low - slack <= overhead_pct <= high + slack:
        return "disagree"
    return "too blunt" if (high - low) / 2 + slack >= abs(overhead_pct) else "agree"


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
