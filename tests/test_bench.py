"""How replicates join into one record, with the builder and the timing processes replaced by known answers."""

from dataclasses import replace
from itertools import count, cycle

import pytest

from attnbench.core.errors import CaseFailure, UnknownName
from attnbench.core.records import Built, Case, Settings
from attnbench.core.statistics import noise_floor
from attnbench.hosts import HostReference
from attnbench.measure import bench as benches
from attnbench.measure import sweep
from attnbench.measure.observer import Silent
from attnbench.measure.twin import measure_twin
from attnbench.runs.fold import replicates_of
from attnbench.runs.store import finished
from attnbench.study.plan import Plan, PlannedCase

BASE = Case("h", "baseline", "8x8")
VARIANT = Case("h", "s=m", "8x8")
SETTINGS = Settings(processes=3, max_processes=3, warmup=1, repeat=1, rounds=6, threads=(1, 2))


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

    def chain(self):
        return "chain"

    def build(self, planned):
        self.calls += 1
        if planned.case in self.failing:
            raise CaseFailure("export", "no")
        return Built(planned.case.variant, (), (), (), (), (), self.skip, {"build": 1.0})


def node(name, op):
    return {"name": name, "op": op, "inputs": "i", "outputs": "o", "parameter_bytes": 0}


def profiled(nodes, run, **more):
    return {"nodes": nodes, "runs": [run], "finite": True, "cost": 0.0, "core_share": 0.9, "seconds": 1.0, **more}


PEAKS = {"run_peak": 10_000_000, "plain_peak": 10_000_000, "session_peak": 30_000_000, "static_peak": 10_000_000,
         "in_place_peak": 10_000_000, "seconds": 1.0}  # fmt: skip


class Clockwork:
    """Timing processes with fixed answers: the added node takes 1 %, then 2 %, then 3 % of the shared one."""

    def __init__(self):
        self.broken: set[int] = set()
        self.jobs: list[str] = []
        self.percents = cycle((1, 2, 3))
        self.aligned = True

    def answer(self, job, timeout):
        assert timeout == SETTINGS.timeout_seconds
        self.jobs.append(job["kind"])
        if len(self.jobs) in self.broken:
            raise CaseFailure("measure", "the process crashed")
        match job["kind"]:
            case "pairs":
                assert job["models"][0] == "baseline"
                times = [(1.0, 1.03)] * job["rounds"]
                return {"wall": [(1.0, 1.02)] * job["rounds"], "cpu": times, "seconds": 1.0}
            case "latency":
                return {"wall": [0.5, 0.6, 0.7], "seconds": 1.0}
            case "memory":
                return PEAKS
        assert job["chain"] == "chain"
        if job["model"] == "baseline":
            return profiled([node("c", "Conv")], [1.0])
        shared = node("c" if self.aligned else "d", "Conv" if self.aligned else "Compiled")
        reorder = node(f"Reorder_{len(self.jobs)}", "ReorderOutput")
        return profiled([shared, node("@s@0.m@/n", "Mul"), reorder], [1.0, next(self.percents) / 100, 0.001])


@pytest.fixture
def clockwork(monkeypatch):
    made = Clockwork()
    monkeypatch.setattr(benches, "time_in_process", made.answer)
    return made


def planned(case):
    return PlannedCase(case, HostReference("h"), SETTINGS)


def bench(builder):
    return benches.Bench(builder, {case: planned(case) for case in (BASE, VARIANT)})


def test_replicates_gather_in_one_record(clockwork):
    work, record, base = bench(Builder()), None, None
    for left in (2, 1, 0):
        work.begin_pass()
        base = work.replicate(planned(BASE), base)
        record = work.replicate(planned(VARIANT), record)
        assert record.pending == left
        assert base.pending == left + 3, "the twin is still to come"
        assert replicates_of(record) == replicates_of(base) == 3 - left
    assert record.get("overhead").samples == pytest.approx((0.011, 0.021, 0.031))
    assert record.value("overhead") == pytest.approx(0.021)
    assert record.get("overhead").note == "budget ended after 3 replicates"
    assert sum(share.share for share in record.nodes) == pytest.approx(0.021)
    assert {(share.op, share.kind) for share in record.nodes} == {("Mul", "added"), ("ReorderOutput", "layout")}
    assert len(record.get("paired").samples) == SETTINGS.rounds, "spread over the replicates"
    assert record.value("paired") == pytest.approx(0.03)
    assert record.value("paired_wall") == pytest.approx(0.02)
    assert record.value("latency") == pytest.approx(1.02)
    assert record.value("latency@2") == pytest.approx(0.6)
    assert record.value("core_share") == pytest.approx(0.9)
    assert record.value("memory_peak") == 10_000_000
    assert len(base.get("paired").samples) == SETTINGS.rounds, "against its own copy"
    assert len(base.get("latency@2").samples) == 9
    assert clockwork.jobs.count("memory") == 2
    assert record.seconds["build"] == 1.0, "a case is built once"


@pytest.mark.parametrize(
    ("precision", "most", "number", "note"),
    [
        ("5", 9, 3, "precision reached after 3 replicates"),
        ("1.5", 9, 9, "precision reached after 9 replicates"),
        ("100%", 9, 5, "precision reached after 5 replicates"),
        ("0.1", 7, 7, "budget ended after 7 replicates"),
    ],
)
def test_replicates_go_on_until_the_precision_or_the_budget_ends(clockwork, precision, most, number, note):
    settings = replace(SETTINGS, precision=precision, max_processes=most)
    asked = {case: replace(planned(case), settings=settings) for case in (BASE, VARIANT)}
    work, record = benches.Bench(Builder(), asked), None
    while record is None or record.pending:
        work.begin_pass()
        record = work.replicate(asked[VARIANT], record)
    assert len(record.get("overhead").samples) == number
    assert record.get("overhead").note == note
    assert len(record.get("paired").samples) == SETTINGS.rounds, "pairs are no part of the second stage"


def test_a_replicate_has_a_baselines_profile_of_its_own_pass(clockwork):
    work = bench(Builder())
    work.begin_pass()
    base = work.replicate(planned(BASE), None)
    record = work.replicate(planned(VARIANT), None)
    before = clockwork.jobs.count("profile")
    work.begin_pass()
    work.replicate(planned(VARIANT), record)
    assert clockwork.jobs.count("profile") == before + 2
    assert base.value("profiling_cost") == 0


def test_a_variant_that_the_runtime_compiles_anew_has_no_attributed_figure(clockwork):
    clockwork.aligned = False
    record = bench(Builder()).replicate(planned(VARIANT), None)
    assert record.status == "ok"
    assert record.value("overhead") is None
    assert record.get("overhead").note == "not attributed: the two graphs share no node"
    assert record.value("aligned") == 0
    assert record.value("paired") is None or record.get("paired").samples
    assert record.pending == 2, "the pairs go on"


def test_a_provider_of_its_own_is_timed_by_the_wall_and_its_memory_left_alone(clockwork):
    settings = replace(SETTINGS, provider="cuda")
    asked = {case: replace(planned(case), settings=settings) for case in (BASE, VARIANT)}
    record = benches.Bench(Builder(), asked).replicate(asked[VARIANT], None)
    assert "memory" not in clockwork.jobs
    assert "wall clock" in record.get("paired").note
    assert "CPU time" in record.get("paired_cpu").note


def test_memory_that_cannot_be_measured_is_a_reason_and_no_failure(clockwork):
    clockwork.broken.add(5)
    record = bench(Builder()).replicate(planned(VARIANT), None)
    assert clockwork.jobs == ["profile", "profile", "pairs", "latency", "memory"]
    assert record.status == "ok"
    assert record.value("memory_peak") is None
    assert record.get("memory_peak").note == "not measured: the process crashed"


def test_a_later_replicate_that_fails_leaves_the_earlier_ones(clockwork):
    work = bench(Builder())
    base = work.replicate(planned(BASE), None)
    first = work.replicate(planned(VARIANT), None)
    clockwork.broken.update(range(1, 100))
    second = work.replicate(planned(VARIANT), first)
    assert second.status == "ok"
    assert second.measurements == first.measurements
    assert second.pending == 0
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


def passes(clockwork, number):
    """A bench and its records after so many passes."""
    work, records = bench(Builder()), {}
    for _ in range(number):
        work.begin_pass()
        for case in (BASE, VARIANT):
            records[case] = work.replicate(planned(case), records.get(case))
        records[BASE] = measure_twin(work, planned(BASE), records) or records[BASE]
    return work, records


def test_the_twin_gives_the_floors_once_it_has_as_many_replicates(clockwork):
    _, records = passes(clockwork, 2)
    assert records[BASE].get("floor_difference") is None
    _, records = passes(clockwork, 3)
    base = records[BASE]
    assert base.get("twin").note == VARIANT.variant
    assert len(base.get("twin").samples) == 3
    assert base.pending == 0
    own, twin = records[VARIANT].get("overhead").samples, base.get("twin").samples
    assert (base.value("floor_overhead"), base.value("floor_difference")) == pytest.approx(noise_floor(own, twin))


def test_there_is_one_figure_of_the_twin_a_pass(clockwork):
    work, records = passes(clockwork, 1)
    assert measure_twin(work, planned(BASE), records) is None


def test_a_baseline_that_failed_is_not_tried_again_while_others_go_on(clockwork, monkeypatch, tmp_path):
    lost = Case("lost", "baseline", "8x8")
    cases = tuple(PlannedCase(c, HostReference(c.host), SETTINGS) for c in (BASE, VARIANT, lost))
    builder = Builder(failing={lost})
    monkeypatch.setattr(sweep, "Builder", lambda folder, targets: builder)
    run, _ = sweep.run_plan(Plan("p", cases, (), SETTINGS, {"name": "p"}), tmp_path, tmp_path / "out", Silent())
    failed = run.record(lost)
    assert (failed.status, failed.notes, failed.measurements) == ("failed", (), ())
    assert builder.calls == 3


def test_without_a_figure_to_repeat_there_is_no_twin_and_nothing_waits_for_it(clockwork):
    clockwork.aligned = False
    _, records = passes(clockwork, 3)
    assert records[BASE].value("twin") is None
    assert records[BASE].get("twin").note == "no variant has an overhead"
    assert records[BASE].pending == 0


def test_each_case_gets_its_own_number_of_replicates_and_passes_go_round(clockwork, monkeypatch, tmp_path):
    once, other = Case("h", "s=once", "8x8"), Case("h", "s=bad", "8x8")
    asked = {BASE: 3, once: 1, VARIANT: 3, other: 3}
    cases = tuple(
        PlannedCase(c, HostReference("h"), replace(SETTINGS, processes=n, max_processes=n)) for c, n in asked.items()
    )
    plan = Plan("p", cases, ("t",), SETTINGS, {"name": "p"})
    monkeypatch.setattr(sweep, "Builder", lambda folder, targets: Builder(failing={other}))
    order, left = [], []

    class Watch(Silent):
        def started(self, folder, total, kept, work):
            left.append(work)

        def at(self, case, replicate):
            order.append((case.variant, replicate))

        def recorded(self, record, work):
            left.append(work)

    run, _ = sweep.run_plan(plan, tmp_path, tmp_path / "out", Watch())
    assert order == [
        ("baseline", 1), ("s=once", 1), ("s=m", 1), ("s=bad", 1), ("baseline", 2), ("s=m", 2), ("baseline", 3), ("s=m", 3),
    ]  # fmt: skip
    assert {r.case: len(r.get("overhead").samples) for r in run.records if r.get("overhead")} == {once: 1, VARIANT: 3}
    assert len(run.records[0].get("twin").samples) == 3
    assert finished(run)
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    again, _ = sweep.run_plan(plan, tmp_path, tmp_path / "out", Watch())
    assert again == run
    assert len(order) == 8, "a finished run is not measured again"


def test_more_replicates_than_expected_are_more_work(clockwork, monkeypatch, tmp_path):
    settings = replace(SETTINGS, precision="1.5", max_processes=9)
    cases = tuple(PlannedCase(c, HostReference("h"), settings) for c in (BASE, VARIANT))
    monkeypatch.setattr(sweep, "Builder", lambda folder, targets: Builder())
    left = []

    class Watch(Silent):
        def recorded(self, record, work):
            left.append(work)

    run, _ = sweep.run_plan(Plan("p", cases, ("t",), settings, {"name": "p"}), tmp_path, tmp_path / "out", Watch())
    assert len(run.records[1].get("overhead").samples) == 9
    assert max(left[5:]) > min(left[:8])
    assert left[-1] == 0


@pytest.mark.parametrize("stop_after", range(1, 9))
def test_a_run_that_stopped_anywhere_goes_on_where_it_was(clockwork, monkeypatch, tmp_path, stop_after):
    plan = Plan("p", (planned(BASE), planned(VARIANT)), ("t",), SETTINGS, {"name": "p"})
    monkeypatch.setattr(sweep, "Builder", lambda folder, targets: Builder())
    seen = count(1)

    class Stop(Silent):
        def recorded(self, record, work):
            if next(seen) == stop_after:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run_plan(plan, tmp_path, None, Stop())
    run, folder = sweep.run_plan(plan, tmp_path, None, Silent())
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert finished(run)
    base, variant = run.records
    assert len(variant.get("overhead").samples) == len(base.get("twin").samples) == 3
    assert len(variant.get("paired").samples) == len(base.get("paired").samples) == SETTINGS.rounds
    assert len(base.get("latency@2").samples) == 9
    assert base.get("floor_difference") is not None


def test_a_provider_that_is_not_installed_is_one_line_before_anything_is_measured(tmp_path):
    settings = replace(SETTINGS, provider="xnnpak")
    plan = Plan("p", (PlannedCase(BASE, HostReference("h"), settings),), (), settings, {"name": "p"})
    with pytest.raises(UnknownName, match="unknown execution provider of the installed onnxruntime 'xnnpak'"):
        sweep.run_plan(plan, tmp_path, None, Silent())
    assert not list(tmp_path.iterdir())


def test_the_work_of_a_plan_is_that_of_its_replicates():
    plan = Plan("p", (planned(BASE), planned(VARIANT)), (), SETTINGS)
    assert sweep.work_left(plan, {}) == 2 * (18 + 3 * (1 + 1 + 4) + 3 * (4 + 2 * 3))
