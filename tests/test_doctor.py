"""The doctor: its verdict on made figures, and one real visit."""

import json
import random
from dataclasses import replace

import pytest

from attnbench.core.records import Case, Failure, Measurement, Record, Run, RunHeader
from attnbench.measure import doctor
from attnbench.measure.disturbance import Disturbance
from attnbench.measure.header import make_header
from attnbench.measure.learned import REFERENCE, learned, learned_file
from attnbench.measure.machine import machine
from attnbench.runs.store import open_run
from attnbench.runs.uncertainty import run_to_run_of
from attnbench.study.plan import plan

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
        (
            0.05,
            (BAD,),
            True,
            "fit to measure: the trial told small differences, though other processes may disturb a long run",
        ),
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


@pytest.fixture
def equal_runs(run, tmp_path):
    """Writes runs of one study on this machine, whose overheads differ by as much as asked beyond their replicates."""

    def written(number, ratio, machine):
        draw, folder = random.Random(number), tmp_path / machine
        for at in range(number):
            levels = [draw.gauss(0.02, 0.001 * ratio**0.5) for _ in range(30)]
            records = [
                Record(Case("resnetsan01", f"v{place}", "96x160"), "ok", (overhead(draw, level),), sources={"v": "1"})
                for place, level in enumerate(levels)
            ]
            header = replace(run.header, started=f"2026-01-{at + 1:02}T00:00:00+00:00", machine={"id": machine})
            with open_run(folder / str(at), header) as writer:
                for record in records:
                    writer.append(record)
        return folder

    return written


def overhead(draw, level):
    samples = tuple(draw.gauss(level, 0.001) for _ in range(4))
    mean = sum(samples) / 4
    return Measurement("overhead", mean, low=mean - 0.002, high=mean + 0.002, samples=samples)


def test_what_equal_runs_differ_by_is_learned_kept_and_held_by_later_sweeps(command, equal_runs, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    here = machine()["id"]
    assert learned(here) == REFERENCE
    folder = equal_runs(20, 0.5, here)
    code, out, _ = command("doctor", "--learn", "--results", folder)
    assert code == 0
    assert "By 20 equal runs of 20 days, runs of this machine differ by" in out
    assert learned(here).ratio == pytest.approx(0.5, abs=0.15)
    assert learned(here).degrees == 19
    header = make_header(plan({**doctor.TRIAL, "name": "x"}))
    assert run_to_run_of(header) == learned(here)
    assert run_to_run_of(RunHeader.from_json(json.loads(json.dumps(header.to_json())))) == learned(here)
    learned_file(here).write_text("torn")
    assert learned(here) == REFERENCE


def test_too_few_equal_runs_teach_nothing(refused, equal_runs, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    here = machine()["id"]
    assert "5 equal runs of this machine" in refused("doctor", "--learn", "--results", equal_runs(5, 0.1, here))
    assert "0 equal runs of this machine" in refused("doctor", "--learn", "--results", equal_runs(8, 0.1, "another"))
    assert learned(here) == REFERENCE


@pytest.mark.slow
def test_a_visit_prints_what_disturbs_what_is_resolved_and_a_verdict(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = {"processes": 2, "max_processes": 2, "rounds": 6, "repeat": 3, "memory": False}
    small = {"hosts": ["resnet_cifar"], "sizes": ["32x32"], "case": [{"variant": "layer3=cbam_npu"}], "settings": settings}
    monkeypatch.setattr(doctor, "TRIAL", {**doctor.TRIAL, **small})
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
    assert "(critical value)" in out
    assert "(detection limit)" in out
    assert out.splitlines()[-1].startswith(("fit to measure", "usable", "not fit to measure"))
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"
