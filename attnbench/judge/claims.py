"""A claim judged by a row's figures: confirmed, refuted, or not resolvable.

A claim is *confirmed* where all of the measured interval lies within the band it describes, *refuted* where none of it
does, and *not resolvable* in between or where nothing was measured. The band of "about v" is v plus or minus a share of v
(a quarter unless the study says otherwise); of "below v" all under v; of "rounds to v" what v's printed digits stand for.
An attributed overhead's interval is made as wide as the run's own noise floor, if it is narrower, and widened by the
systematic part, before it is compared with anything.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, Protocol

from attnbench.judge.verdicts import systematic_points

ABOUT = 0.25
"""Share of a claimed value by which "about" allows another."""

SCALES = {"1": 1.0, "M": 1e6, "G": 1e9, "Mi": 2.0**20, "Gi": 2.0**30}
"""Units of counts. Some papers divide by powers of 1024 and write M and G all the same."""

ClaimVerdict = Literal["confirmed", "refuted", "not resolvable"]

CONFIRMED: Final = "confirmed"
REFUTED: Final = "refuted"
OPEN: Final = "not resolvable"

Claim = Mapping[str, Any]
"""As a run's header holds it: metric, value and source, and perhaps relation, unit, tolerance and text."""


class Figures(Protocol):
    """Figures by the name of their column; ``None`` for what is missing."""

    def get(self, column: str, /) -> Any:
        """What the column holds."""


class JudgedClaim(NamedTuple):
    """A claim with the figure beside it: value and interval in the claim's own unit, and the verdict."""

    claim: Claim
    value: float | str | None
    low: float | None
    high: float | None
    verdict: ClaimVerdict


def judge_claim(claim: Claim, figures: Figures) -> JudgedClaim:
    """Compare a claim with what was measured; its metric is the column's name."""
    metric, found = claim["metric"], figures.get(claim["metric"])
    if metric == "npu_verdict":
        agrees = str(found or "").startswith(str(claim["value"]))
        return JudgedClaim(claim, found or "", None, None, (CONFIRMED if agrees else REFUTED) if found else OPEN)
    if found is None:
        return JudgedClaim(claim, None, None, None, OPEN)
    value = float(found) / SCALES[claim.get("unit", "1")]
    return judge_interval(claim, value, *_interval(metric, value, figures))


def judge_interval(claim: Claim, value: float, low: float, high: float) -> JudgedClaim:
    """Compare a claim with a figure that lies between ``low`` and ``high``, in the claim's own unit."""
    bottom, top = band(claim)
    outside: ClaimVerdict = REFUTED if high < bottom or low > top else OPEN
    return JudgedClaim(claim, value, low, high, CONFIRMED if bottom <= low and high <= top else outside)


def band(claim: Claim) -> tuple[float, float]:
    """The values that a claim allows."""
    value, relation = float(claim["value"]), claim.get("relation", "about")
    if relation == "below":
        return float("-inf"), value
    if relation == "rounds to":
        half = 0.5 * 10.0 ** last_digit(claim) * (1 + 1e-9)
    else:
        half = abs(value) * float(claim.get("tolerance", ABOUT))
    return value - half, value + half


def last_digit(claim: Claim) -> int:
    """The power of ten of the last digit that is printed: -2 for 14.30, 2 for 2.5e3."""
    return int(Decimal(str(claim["value"])).as_tuple().exponent)


def _interval(metric: str, value: float, figures: Figures) -> tuple[float, float]:
    if metric not in ("overhead_pct", "overhead_ms"):
        return value, value
    overhead = figures.get("overhead_pct") or 0.0
    scale = value / overhead if overhead else 1.0
    low, high = figures.get("overhead_pct_low"), figures.get("overhead_pct_high")
    if low == high == 0:  # known without a clock
        return value, value
    slack, floor = systematic_points(overhead, figures.get("core_share_pct")), figures.get("floor_difference_pct") or 0.0
    low = min(overhead - floor, overhead if low is None else low) - slack
    high = max(overhead + floor, overhead if high is None else high) + slack
    return low * scale, high * scale
