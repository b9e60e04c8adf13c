"""The doctor: its verdict on made figures, and one real visit."""

from dataclasses import replace

import pytest

from attnbench.core.records import Case, Failure, Measurement, Record, Run
from attnbench.measure import doctor
from attnbench.measure.disturbance import Disturbance

GOOD, BAD = Disturbance("turbo", "good", "off"), Disturbance("other processes", "bad", "0.9 cores (cc [7])", "end them")


def trial(run, floor, failure=None) -> Run:
    base = Record(
        Case("resnetsan01", "baseline", "96x160"), "ok", failure=failure,
        measurements=(
            Measurement("latency", 0.01), Measurement("paired", 0.001, low=-0.004, high=0.006),
            *((Measurement("floor_overhead", floor / 1.41 / 100), Measurement("floor_difference", floor / 100)) if floor else ()),
        ),
    )  # fmt: skip
    return replace(run, records=(base,))


@pytest.mark.parametrize(
    ("floor", "seen", "fit", "verdict"),
    [
        (0.05, (GOOD,), True, "fit to measure"),
        (0.05, (BAD,), True, "fit to measure; calmer still without other processes"),
        (0.3, (BAD,), True, "usable: other processes: end them"),
        (0.3, (GOOD,), True, "usable: take more replicates"),
        (0.9, (BAD, GOOD), False, "not fit to measure: other processes: end them"),
        (0.9, (GOOD,), False, "not fit to measure: wait until it is calmer"),
    ],
)
def test_the_verdict_says_what_to_do(run, floor, seen, fit, verdict):
    found = doctor.diagnose(trial(run, floor), seen)
    assert found.fit == fit
    assert found.verdict.startswith(verdict)
    assert found.difference == pytest.approx(floor)
    assert found.paired == pytest.approx(0.6)
    assert found.latency_ms == pytest.approx(10)


def test_a_trial_that_failed_is_the_verdict(run):
    found = doctor.diagnose(trial(run, None, Failure("measure", "CaseFailure", "no room")), (GOOD,))
    assert not found.fit
    assert found.verdict == "not fit to measure: measure: no room"


@pytest.mark.slow
def test_a_visit_prints_what_disturbs_what_is_resolved_and_a_verdict(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = {"processes": 2, "max_processes": 2, "rounds": 6, "repeat": 3, "memory": False}
    monkeypatch.setattr(doctor, "TRIAL", {**doctor.TRIAL, "settings": settings})
    code, out, _ = command("doctor")
    assert code in (0, 1)
    for name in (
        "governor",
        "turbo",
        "hyper-threads",
        "container quota",
        "other processes",
        "stolen time",
        "throttled by heat",
    ):
        assert name in out
    assert "this machine resolves overheads from" in out
    assert out.splitlines()[-1].startswith(("fit to measure", "usable", "not fit to measure"))
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"
