"""Where a screened sweep puts its replicates."""

import pytest

from attnbench.core.metrics import measurement
from attnbench.core.records import BASELINE, Case, RunHeader
from attnbench.runs.facts import BuiltFact, FailedFact, ProfileFact
from attnbench.runs.fold import replicates_wanted
from attnbench.runs.ledger import Ledger

BASE = Case("h", BASELINE, "8x8")
EFFORT = {"processes": 5, "max_processes": 5, "precision": "0.001", "screen": True}


def case(name: str) -> Case:
    return Case("h", f"s={name}", "8x8")


@pytest.fixture
def wanted():
    """How many replicates are wanted of each variant, by name: of its parameters and the overheads that it has so far, in %."""

    def asked(figures, claims=(), failed=()):
        cases = [BASE, *map(case, figures)]
        study = {"cases": [{"variant": f"s={n}", "claims": [{"metric": "overhead_pct", "value": v}]} for n, v in claims]}
        header = RunHeader(2, "", "", study, {}, EFFORT, {}, {}, tuple(cases))
        ledger = Ledger()
        for name, (params, overheads) in figures.items():
            ledger.add(BuiltFact(case=case(name), measurements=(measurement("params", params),)))
            for number, overhead in enumerate(overheads):
                fact = ProfileFact(case=case(name), number=number, core_share=1.0, overhead=overhead / 100, aligned=1.0)
                ledger.add(fact)
        for name in failed:
            ledger.add(FailedFact(case=case(name), step="build", stage="export", kind="CaseFailure", message="no"))
        return {name: replicates_wanted(header, ledger, case(name)) for name in figures}

    return asked


def test_every_case_is_screened_before_any_gets_more(wanted):
    assert wanted({"a": (1, (1, 1)), "b": (1, (5,))}) == {"a": 2, "b": 2}


def test_a_case_that_failed_holds_nobody_up(wanted):
    assert wanted({"a": (1, (1, 1.1)), "b": (1, ())}, failed=["b"]) == {"a": 5, "b": 0}


def test_more_is_taken_along_the_front_and_not_of_what_is_beaten_clearly(wanted):
    figures = {"cheap": (1, (2, 2.1)), "fast": (9, (1, 1.1)), "near": (2, (2.4, 2.5)), "beaten": (9, (4, 4.1))}
    assert wanted(figures) == {"cheap": 5, "fast": 5, "near": 5, "beaten": 2}


def test_more_is_taken_where_a_claim_hangs_on_it(wanted):
    figures = {"best": (1, (1, 1.1)), "claimed": (2, (4, 4.1)), "far from its claim": (2, (4, 4.1))}
    claims = [("claimed", 4.5), ("far from its claim", 9)]
    assert wanted(figures, claims) == {"best": 5, "claimed": 5, "far from its claim": 2}
