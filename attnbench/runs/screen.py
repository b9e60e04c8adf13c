"""Where more replicates decide something, once all cases of a host and size have been screened with a few.

A choice is made along the front: the variants that no other one beats at as few parameters. A claim is decided near its
value. Everything else keeps the wide interval of its screening, which its row says.
"""

from statistics import fmean

from attnbench.core.records import Case, RunHeader
from attnbench.runs.facts import CaseFacts, Ledger

SCREENED = 2
"""Replicates that every case gets."""

NEAR = 1.25
"""A variant is near the front, or an overhead near a claimed one, within this factor."""


def decides(header: RunHeader, ledger: Ledger, case: Case) -> bool:
    """Whether more replicates of a screened case may change a decision. Before all its peers are screened, none may."""
    own = ledger.known(case)
    if len(own.overheads) < SCREENED:
        return False
    peers = [ledger.known(one) for one in header.cases if not one.is_baseline and one.baseline == case.baseline]
    if any(not one.ended and len(one.replicates) < SCREENED for one in peers):
        return False
    overhead, params = _overhead(own), _params(own)
    beaten = any(
        one.overheads and _params(one) <= params and NEAR * max(0.0, _overhead(one)) < overhead
        for one in peers
        if one is not own
    )
    return not beaten or any(value / NEAR <= 100 * overhead <= value * NEAR for value in _claimed(header, case))


def _overhead(facts: CaseFacts) -> float:
    return fmean(facts.overheads[:SCREENED])


def _params(facts: CaseFacts) -> float:
    measured = facts.built.measurements if facts.built else ()
    return next((m.value or 0.0 for m in measured if m.metric == "params"), 0.0)


def _claimed(header: RunHeader, case: Case) -> list[float]:
    """The overheads in % that the study claims of a variant."""
    asked = (one for one in header.study.get("cases", ()) if one["variant"] == case.variant)
    return [float(c["value"]) for one in asked for c in one.get("claims", ()) if c["metric"] == "overhead_pct"]
