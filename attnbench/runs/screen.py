"""Where more replicates decide something, once all cases of a host and size have been screened with a few.

A choice is made along the front: the variants that no other one beats at as few parameters. A claim is decided near its
value. Everything else keeps the wide interval of its screening, which its row says.
"""

from statistics import fmean

from attnbench.core.records import Case, RunHeader
from attnbench.runs.ledger import CaseFacts, Ledger

SCREENED = 2
"""Replicates that every case gets."""

NEAR = 1.25
"""A variant is near the front, or an overhead near a claimed one, within this factor."""


def decides(header: RunHeader, ledger: Ledger, case: Case) -> bool:
    """Whether more replicates of a screened case may change a decision. Before all its peers are screened, none may."""
    return case in ledger.cached(("decides", case.baseline), lambda: _deciding(header, ledger, case.baseline))


def _deciding(header: RunHeader, ledger: Ledger, baseline: Case) -> set[Case]:
    peers = {case: ledger.known(case) for case in header.variants.get(baseline, ())}
    if any(not one.ended and len(one.replicates) < SCREENED for one in peers.values()):
        return set()
    figures = {case: fmean(one.overheads[:SCREENED]) for case, one in peers.items() if one.overheads}
    found, lowest = set(), float("inf")
    for case in sorted(figures, key=lambda one: (_params(peers[one]), figures[one])):
        near_claim = any(value / NEAR <= 100 * figures[case] <= value * NEAR for value in _claimed(header, case))
        if near_claim or figures[case] <= NEAR * lowest:
            found.add(case)
        lowest = min(lowest, max(0.0, figures[case]))
    return found


def _params(facts: CaseFacts) -> float:
    return facts.built.figure("params") if facts.built else 0.0


def _claimed(header: RunHeader, case: Case) -> list[float]:
    """The overheads in % that the study claims of a variant."""
    asked = (one for one in header.study.get("cases", ()) if one["variant"] == case.variant)
    return [float(c["value"]) for one in asked for c in one.get("claims", ()) if c["metric"] == "overhead_pct"]
