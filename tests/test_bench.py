"""How replicates join into one record, with the builder and the timing processes replaced by known answers."""

from dataclasses import replace
from itertools import count

import pytest

from attnbench import bench as benches
from attnbench import sweep
from attnbench.errors import CaseFailure
from attnbench.hosts import HostReference
from attnbench.progress import Silent
from attnbench.records import Built, Case, Settings
from attnbench.store import finished
from attnbench.study import Plan, PlannedCase
from attnbench.sweep import replicates_of

BASE = Case("h", "baseline", "8x8")
VARIANT = Case("h", "s=m", "8x8")
SETTINGS = Settings(processes=3, warmup=1, repeat=1, rounds=6, threads=(1, 2))


class Builder:
    """Builds anything, except what it is told to fail at; counts its calls."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def preflight(self, waiting):
        pass

    def __init__(self, failing=(), skip=""):
        self.failing, self.skip, self.calls = failing, skip, 0

    def build(self, planned):
        self.calls += 1
        if planned.case in self.failing:
            raise CaseFailure("export", "no")
        return Built(planned.case.variant, (), (), (), (), (), self.skip, {"build": 1.0})


def node(name, op):
    return {"name": name, "op": op, "shapes": "s", "parameter_bytes": 0}


@pytest.fixture
def clockwork(monkeypatch):
    """Timing processes with fixed answers: the added node takes 1 %, then 2 %, then 3 % of the shared one."""
    percents = count(1)
    broken: set[int] = set()
    calls = count(1)

    def answer(job, timeout):
        number = next(calls)
        if number in broken:
            raise CaseFailure("measure", "the process crashed")
        if job["kind"] == "pairs":
            return {"wall": [(1.0, 1.02)] * 6, "cpu": [(1.0, 1.03)] * 6, "seconds": 1.0}
        if job["kind"] == "latency":
            return {"wall": [0.5, 0.6, 0.7], "seconds": 1.0}
        if job["model"] == "baseline":
            return {"nodes": [node("c", "Conv")], "runs": [[1.0]], "finite": True, "seconds": 1.0}
        rows = [node("c", "Conv"), node("@s@0.m@/n", "Mul"), node(f"Reorder_{number}", "Reorder")]
        return {"nodes": rows, "runs": [[1.0, next(percents) / 100, 0.001]], "finite": True, "seconds": 1.0}

    monkeypatch.setattr(benches, "time_in_process", answer)
    return broken


def planned(case):
    return PlannedCase(case, HostReference("h"), SETTINGS)


def bench(builder):
    return benches.Bench(builder, {case: planned(case) for case in (BASE, VARIANT)})


def test_replicates_gather_in_one_record(clockwork):
    work, record, base = bench(Builder()), None, None
    for left in (2, 1, 0):
        base = work.replicate(planned(BASE), base)
        record = work.replicate(planned(VARIANT), record)
        assert record.pending == base.pending == left
        assert replicates_of(planned(VARIANT), record) == 3 - left
    assert record.get("overhead").samples == pytest.approx((0.011, 0.021, 0.031))
    assert record.value("overhead") == pytest.approx(0.021)
    assert sum(share.share for share in record.nodes) == pytest.approx(0.021)
    assert {(share.op, share.kind) for share in record.nodes} == {("Mul", "added"), ("Reorder", "layout")}
    assert record.value("paired") == pytest.approx(0.03)
    assert record.value("paired_wall") == pytest.approx(0.02)
    assert len(base.get("latency").samples) == len(base.get("latency@2").samples) == 9
    assert record.seconds["build"] == 1.0, "a case is built once"


def test_a_later_replicate_that_fails_leaves_the_earlier_ones(clockwork):
    work = bench(Builder())
    base = work.replicate(planned(BASE), None)
    first = work.replicate(planned(VARIANT), None)
    clockwork.update(range(1, 100))
    second = work.replicate(planned(VARIANT), first)
    assert second.status == "ok"
    assert second.measurements == first.measurements
    assert second.pending == first.pending - 1
    assert second.notes == ("a replicate failed at measure: the process crashed",)
    assert base.status == "ok"


def test_a_baseline_that_fails_is_tried_once_and_is_the_reason_of_its_variants(clockwork):
    builder = Builder(failing={BASE})
    work = bench(builder)
    assert work.replicate(planned(BASE), None).failure.stage == "export"
    record = work.replicate(planned(VARIANT), None)
    assert record.failure.message == "the baseline failed at export: no"
    assert (record.status, record.pending) == ("failed", 0)
    assert builder.calls == 1


def test_a_case_too_large_for_memory_is_skipped_with_its_counts(clockwork):
    record = bench(Builder(skip="needs 2 GB")).replicate(planned(BASE), None)
    assert (record.status, record.failure.message, record.pending) == ("skipped", "needs 2 GB", 0)


def test_each_case_gets_its_own_number_of_replicates_and_passes_go_round(clockwork, monkeypatch, tmp_path):
    once, other = Case("h", "s=once", "8x8"), Case("h", "s=bad", "8x8")
    asked = {BASE: 3, once: 1, VARIANT: 3, other: 3}
    cases = tuple(PlannedCase(c, HostReference("h"), replace(SETTINGS, processes=n)) for c, n in asked.items())
    plan = Plan("p", cases, ("t",), SETTINGS, {"name": "p"})
    monkeypatch.setattr(sweep, "Builder", lambda folder, targets: Builder(failing={other}))
    order = []

    class Watch(Silent):
        def at(self, case, replicate):
            order.append((case.variant, replicate))

        def recorded(self, record, work):
            self.work = getattr(self, "work", 0) + work

    watch = Watch()
    run, _ = sweep.run_plan(plan, tmp_path, tmp_path / "out", watch)
    assert order == [
        ("baseline", 1), ("s=once", 1), ("s=m", 1), ("s=bad", 1), ("baseline", 2), ("s=m", 2), ("baseline", 3), ("s=m", 3),
    ]  # fmt: skip
    assert {r.case: len(r.get("overhead").samples) for r in run.records if r.get("overhead")} == {once: 1, VARIANT: 3}
    assert finished(run)
    assert watch.work == sweep.total_work(plan)
    again, _ = sweep.run_plan(plan, tmp_path, tmp_path / "out", Watch())
    assert again == run
    assert len(order) == 8, "a finished run is not measured again"


def test_a_run_that_stopped_between_passes_goes_on_where_it_was(clockwork, monkeypatch, tmp_path):
    plan = Plan("p", (planned(BASE), planned(VARIANT)), ("t",), SETTINGS, {"name": "p"})
    monkeypatch.setattr(sweep, "Builder", lambda folder, targets: Builder())

    class Stop(Silent):
        def recorded(self, record, work):
            if record.case == VARIANT and record.pending == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run_plan(plan, tmp_path, None, Stop())
    run, folder = sweep.run_plan(plan, tmp_path, None, Silent())
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert finished(run)
    assert len(run.records[1].get("overhead").samples) == 3
    assert len(run.records[0].get("latency").samples) == 9


def test_the_work_of_a_plan_is_that_of_its_replicates():
    plan = Plan("p", (planned(BASE), planned(VARIANT)), (), SETTINGS)
    assert sweep.total_work(plan) == 2 * (2 * 7 + 10 + 3 * 6)
