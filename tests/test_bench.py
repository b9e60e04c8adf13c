"""What a sweep does step by step, with the builder and the timing processes replaced by known answers."""

import json
from collections import Counter
from itertools import count, cycle

import pytest
from msgspec.structs import replace

from attnbench.core.errors import CaseFailure, InputError, UnknownName
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import Case
from attnbench.core.statistics import noise_floor
from attnbench.hosts import HostReference
from attnbench.measure import executor, machine, panels, sweep
from attnbench.measure import header as headers
from attnbench.measure.build import CaseBuilder
from attnbench.measure.builder import Built, describe_all
from attnbench.measure.observer import Silent
from attnbench.measure.schedule import MEMORY_RUNS, TimingStep, schedule, work_left
from attnbench.runs.facts import FailedFact, PairsFact, ProfileFact
from attnbench.runs.fold import fold
from attnbench.runs.ledger import Ledger
from attnbench.runs.store import RUN_FILE, finished, load_run, read_run_file
from attnbench.study.plan import Plan, PlannedCase

BASE = Case("h", "baseline", "8x8")
VARIANT = Case("h", "s=m", "8x8")
OTHER = Case("h", "s=bad", "8x8")
PROTOCOL = Protocol(warmup=1, threads=(1, 2))
EFFORT = Effort(processes=3, max_processes=3, repeat=1, rounds=6, crosscheck=0, memory=True)


class Builder:
    """Builds anything, except what it is told to fail at; counts its calls."""

    def __call__(self, *_):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def preflight(self, waiting):
        pass

    def __init__(self, failing=(), skip=""):
        self.failing, self.skip, self.calls, self.prepared = failing, skip, 0, []

    def chain(self):
        return "chain"

    def describe(self, planned):
        self.calls += 1
        if planned.case in self.failing:
            raise CaseFailure("export", "no")
        sites = () if planned.case.is_baseline else (planned.case.variant.partition("=")[0],)
        kinds = {} if planned.case.is_baseline else {"Mul": 1, "ReorderOutput": 1}
        return Built((), (), (), (), (), sites, sites, kinds, skip=self.skip, seconds={"build": 1.0})

    def prepare(self, planned):
        self.prepared.append(planned)

    def write(self, together):
        return "/nowhere/" + "+".join(planned.case.variant for planned in together)


def node(name, op):
    return {"name": name, "op": op, "inputs": "i", "outputs": "o", "parameter_bytes": 0, "kind": op}


def profiled(nodes, run, edges=(), **more):
    answer = {"nodes": nodes, "runs": [run], "edges": edges, "finite": True, "cost": 0.0, "core_share": 0.9, "seconds": 1.0}
    return {**answer, **more}


PEAKS = {"run_peak": 10_000_000, "plain_peak": 10_000_000, "session_peak": 30_000_000, "static_peak": 10_000_000,
         "in_place_peak": 10_000_000, "seconds": 1.0}  # fmt: skip


class Clockwork:
    """Timing processes with fixed answers: the added node takes 1 %, then 2 %, then 3 % of the shared one."""

    def __init__(self):
        self.broken: set[int] = set()  # by their place among all jobs, from 1
        self.jobs: list[str] = []
        self.percents = cycle((1, 2, 3))
        self.aligned = True

    def answer(self, job, timeout):
        assert timeout == EFFORT.timeout_seconds
        self.jobs.append(job["kind"])
        if len(self.jobs) in self.broken:
            raise CaseFailure("measure", "the process crashed")
        match job["kind"]:
            case "pairs":
                assert job["models"][0] == "/nowhere/baseline"
                times = [(1.0, 1.03)] * job["rounds"]
                return {"wall": [(1.0, 1.02)] * job["rounds"], "cpu": times, "seconds": 1.0}
            case "latency":
                return {"wall": [0.5, 0.6, 0.7], "seconds": 1.0}
            case "memory":
                return PEAKS
        assert job["chain"] == "chain"
        if job["model"] == "/nowhere/baseline":
            return profiled([node("c", "Conv")], [1.0])
        nodes, run, edges = [node("c" if self.aligned else "d", "Conv" if self.aligned else "Compiled")], [1.0], []
        for variant in job["model"].removeprefix("/nowhere/").split("+"):
            site, percent = variant.partition("=")[0], next(self.percents)
            edges += [(0, len(nodes)), (len(nodes), len(nodes) + 1)]
            nodes += [node(f"@{site}@0.m@/n", "Mul"), node(f"Reorder_{len(nodes)}", "ReorderOutput")]
            run += [percent / 100, 0.001]
        return profiled(nodes, run, edges)


@pytest.fixture
def clockwork(monkeypatch):
    made = Clockwork()
    monkeypatch.setattr(executor, "time_in_process", made.answer)
    return made


def plan_of(*cases, effort=EFFORT, protocol=PROTOCOL, efforts=None):
    planned = tuple(PlannedCase(c, HostReference(c.host), (efforts or {}).get(c, effort)) for c in cases)
    return Plan("p", planned, ("t",), protocol, effort, {"name": "p"})


PAIR = plan_of(BASE, VARIANT)


@pytest.fixture
def go(clockwork, monkeypatch, tmp_path):
    """Runs a plan with a builder that answers at once; with ``steps``, so many of them."""

    def run(plan=PAIR, builder=None, observer=None, out=tmp_path / "out", **more):
        monkeypatch.setattr(sweep, "Builder", builder or Builder())
        return sweep.run_plan(plan, tmp_path, out, observer or Silent(), **more)[0]

    return run


class Stop(Silent):
    """Interrupts a sweep after so many replicates."""

    def __init__(self, after):
        self.left = count(1)
        self.after = after

    def recorded(self, record, work):
        if next(self.left) == self.after:
            raise KeyboardInterrupt


def after(go, replicates, **more):
    """The records after so many replicates, A/A repeats among them."""
    with pytest.raises(KeyboardInterrupt):
        go(observer=Stop(replicates), **more)


def test_replicates_gather_in_one_record(go, clockwork, tmp_path):
    for number, left in ((2, 2), (5, 1), (8, 0)):  # two replicates and an A/A repeat a pass
        after(go, number, out=tmp_path / str(number))
        base, record = load_run(tmp_path / str(number)).records
        assert record.pending == left
        assert len(base.get("core_share").samples) == len(record.get("core_share").samples) == 3 - left
        assert base.pending > left, "the A/A repeat is still to come"
        clockwork.percents = cycle((1, 2, 3))
    base, record = go().records
    assert [fact.overhead for fact in profiles(tmp_path, VARIANT)] == pytest.approx([0.011, 0.031, 0.021])
    assert record.get("overhead").samples == pytest.approx((0.011, 0.031, 0.021))
    assert record.value("overhead") == pytest.approx(0.021)
    assert record.get("overhead").note == "budget ended after 3 replicates"
    assert sum(share.share for share in record.nodes) == pytest.approx(0.021)
    assert {(share.op, share.kind) for share in record.nodes} == {("Mul", "added"), ("ReorderOutput", "layout")}
    assert len(record.get("paired").samples) == EFFORT.rounds, "spread over the replicates"
    assert record.value("paired") == pytest.approx(0.03)
    assert record.value("paired_wall") == pytest.approx(0.02)
    assert record.value("latency") == pytest.approx(1.02)
    assert record.value("latency@2") == pytest.approx(0.6)
    assert record.value("core_share") == pytest.approx(0.9)
    assert record.value("memory_peak") == 10_000_000
    assert len(base.get("paired").samples) == EFFORT.rounds, "against its own copy"
    assert len(base.get("latency@2").samples) == 9
    assert base.value("profiling_cost") == 0
    assert record.seconds["build"] == 1.0, "a case is built once"
    assert record.seconds["ort"] >= 8


def profiles(tmp_path, case, repeat=False):
    facts = read_run_file(tmp_path / "out").facts
    return [f for f in facts if isinstance(f, ProfileFact) and f.case == case and f.repeat == repeat]


@pytest.mark.parametrize(
    ("precision", "most", "number", "note"),
    [
        ("5", 9, 3, "precision reached after 3 replicates"),
        ("1.5", 9, 9, "precision reached after 9 replicates"),
        ("100%", 9, 5, "precision reached after 5 replicates"),
        ("0.1", 7, 7, "budget ended after 7 replicates"),
    ],
)
def test_replicates_go_on_until_the_precision_or_the_budget_ends(go, clockwork, precision, most, number, note):
    clockwork.repeated = 0.02
    record = go(plan_of(BASE, VARIANT, effort=replace(EFFORT, precision=precision, max_processes=most))).records[1]
    assert len(record.get("overhead").samples) == number
    assert record.get("overhead").note == note
    assert len(record.get("paired").samples) == EFFORT.rounds, "pairs are no part of the second stage"


def test_a_finished_run_gets_more_replicates_of_the_cases_that_are_asked_for(go, clockwork):
    clockwork.percents = count(1)  # no two replicates are alike
    third = Case("h", "t=m", "8x8")
    run = plan_of(BASE, VARIANT, third, effort=replace(EFFORT, screen=True, processes=3))
    first = go(run)
    second = go(run, more={VARIANT: 4})
    numbers = [len(one.get("overhead").samples) for one in second.records[1:]]
    assert numbers == [len(first.records[1].get("overhead").samples) + 4, len(first.records[2].get("overhead").samples)]
    assert second.header == first.header, "what was asked of the study stays"
    assert second.records[1].get("overhead").samples[:2] == first.records[1].get("overhead").samples[:2]
    assert finished(second)
    assert go(run) == second, "no more is asked for"


def test_a_replicate_has_a_baselines_profile_of_its_own_pass(go, clockwork):
    more = replace(EFFORT, precision="0.1", max_processes=5)
    base, record = go(plan_of(BASE, VARIANT, efforts={VARIANT: more})).records
    assert len(base.get("core_share").samples) == 3
    assert len(record.get("overhead").samples) == 5
    of_baseline = clockwork.jobs.count("profile") - 5 - 3
    assert of_baseline == 5, "one a pass, also where the baseline itself needs none"


def test_a_variant_that_the_runtime_compiles_anew_has_no_attributed_figure(go, clockwork, tmp_path):
    clockwork.aligned = False
    after(go, 4)
    record = load_run(tmp_path / "out").records[1]
    assert record.status == "ok"
    assert record.value("overhead") is None
    assert record.get("overhead").note == "not attributed: the two graphs share no node"
    assert record.value("aligned") == 0
    assert record.get("paired").samples
    assert record.pending == 1, "the pairs go on"


def test_of_the_panels_the_one_that_adds_most_is_held_against_the_clock(go, clockwork, monkeypatch, tmp_path):
    monkeypatch.setattr(panels, "TINY", 0)
    monkeypatch.setattr(panels, "SMALL", 0)
    cases = [Case("h", f"{site}=m{number}", "8x8") for site in "ab" for number in (1, 2)]
    go(plan_of(BASE, *cases, effort=replace(EFFORT, rounds=0, crosscheck=3, memory=False)))
    facts = read_run_file(tmp_path / "out").facts
    added = Counter()
    for fact in facts:
        if isinstance(fact, ProfileFact) and fact.panel and fact.number == 0 and not fact.repeat:
            added[fact.panel] += fact.overhead
    assert len(set(added.values())) == 2
    (most, _), _ = added.most_common()
    together = {fact.together for fact in facts if isinstance(fact, PairsFact)}
    assert [set(one) for one in together] == [{f.case.variant for f in facts if getattr(f, "panel", "") == most}]


def test_a_provider_of_its_own_is_timed_by_the_wall_and_its_memory_left_alone(go, clockwork, monkeypatch):
    monkeypatch.setattr(headers, "_check_runtimes", lambda plan, there, software: None)
    record = go(plan_of(BASE, VARIANT, protocol=replace(PROTOCOL, provider="cuda"))).records[1]
    assert "memory" not in clockwork.jobs
    assert "wall clock" in record.get("paired").note
    assert "CPU time" in record.get("paired_cpu").note


def test_memory_that_cannot_be_measured_is_a_reason_and_no_failure(go, clockwork):
    clockwork.broken.add(8)
    record = go().records[1]
    assert clockwork.jobs[:8] == ["profile", "profile", *["pairs", "latency"] * 2, "memory", "memory"]
    assert record.status == "ok"
    assert record.value("memory_peak") is None
    assert record.get("memory_peak").note == "not measured: the process crashed"
    assert clockwork.jobs.count("memory") == 2, "and is not tried again"


def test_a_later_replicate_that_fails_leaves_the_earlier_ones(go, clockwork, tmp_path):
    after(go, 4)  # the baseline's second profile has been taken
    first = load_run(tmp_path / "out").records[1]
    clockwork.broken.add(
        len(clockwork.jobs) + 5
    )  # two pairs, a latency, and that profile anew, for no process outlives a stop
    base, second = go().records
    assert second.status == "ok"
    assert second.get("overhead") == first.get("overhead")
    assert second.nodes == first.nodes
    assert second.pending == 0
    assert second.notes == ("a replicate failed at measure: the process crashed",)
    assert base.status == "ok"


def test_a_baseline_that_fails_is_tried_once_and_is_the_reason_of_its_variants(go):
    builder = Builder(failing={BASE})
    base, record = go(builder=builder).records
    assert base.failure.stage == "export"
    assert record.failure.message == "the baseline failed at export: no"
    assert (record.status, record.pending) == ("failed", 0)
    assert builder.calls == 1


def test_a_case_too_large_for_memory_is_skipped_with_its_counts(go):
    record = go(plan_of(BASE), builder=Builder(skip="needs 2 GB")).records[0]
    assert (record.status, record.failure.message, record.pending) == ("skipped", "needs 2 GB", 0)


def test_the_repeat_gives_the_floors_once_it_has_as_many_replicates(go, tmp_path):
    after(go, 6)
    assert load_run(tmp_path / "out").records[0].get("floor_difference") is None
    base, variant = go().records
    assert base.get("aa_repeat").note == VARIANT.variant
    assert len(base.get("aa_repeat").samples) == 3
    assert base.pending == 0
    own, repeat = variant.get("overhead").samples, base.get("aa_repeat").samples
    assert (base.value("floor_overhead"), base.value("floor_difference")) == pytest.approx(noise_floor(own, repeat))


def test_there_is_one_repeat_a_pass(go, tmp_path):
    go()
    order = [(f.number, f.repeat) for f in read_run_file(tmp_path / "out").facts
             if isinstance(f, ProfileFact) and f.case == VARIANT]  # fmt: skip
    assert order == [(0, False), (0, True), (1, False), (1, True), (2, False), (2, True)]


def test_a_repeat_that_fails_ends_the_repeats_and_nothing_else(go, clockwork):
    clockwork.broken.add(9)  # the first pass has eight jobs before it
    base, variant = go().records
    assert base.get("aa_repeat").note == "the A/A repeat failed at measure: the process crashed"
    assert (base.pending, variant.pending) == (0, 0)
    assert len(variant.get("overhead").samples) == 3


def test_a_baseline_that_failed_is_not_tried_again_while_others_go_on(go):
    lost = Case("lost", "baseline", "8x8")
    builder = Builder(failing={lost})
    run = go(plan_of(BASE, VARIANT, lost), builder=builder)
    failed = run.record(lost)
    assert (failed.status, failed.notes, failed.measurements) == ("failed", (), ())
    assert builder.calls == 3


def test_without_a_figure_to_repeat_there_is_no_repeat_and_nothing_waits_for_it(go, clockwork):
    clockwork.aligned = False
    base = go().records[0]
    assert base.value("aa_repeat") is None
    assert base.get("aa_repeat").note == "no variant has an overhead"
    assert base.pending == 0


class Watch(Silent):
    def __init__(self):
        self.order, self.left = [], []

    def started(self, folder, total, kept, work):
        self.left.append(work)

    def at(self, cases, replicate, kind):
        self.order += [(case.variant, replicate) for case in cases if kind == "profile"]

    def recorded(self, record, work):
        self.left.append(work)


def test_each_case_gets_its_own_number_of_replicates_and_passes_go_round(go):
    once = Case("h", "s=once", "8x8")
    plan = plan_of(BASE, once, VARIANT, OTHER, efforts={once: replace(EFFORT, processes=1, max_processes=1)})
    watch = Watch()
    run = go(plan, Builder(failing={OTHER}), watch)
    assert sorted(watch.order[:3]) == [("baseline", 1), ("s=m", 1), ("s=once", 1)]
    assert watch.order[0] == ("baseline", 1)
    assert watch.order[3:] == [("baseline", 2), ("s=m", 2), ("baseline", 3), ("s=m", 3)]
    assert {r.case: len(r.get("overhead").samples) for r in run.records if r.get("overhead")} == {once: 1, VARIANT: 3}
    assert len(run.records[0].get("aa_repeat").samples) == 3
    assert finished(run)
    assert watch.left == sorted(watch.left, reverse=True)
    assert watch.left[-1] == 0
    assert go(plan, observer=watch) == run
    assert len(watch.order) == 7, "a finished run is not measured again"


def test_a_cases_own_effort_stands_in_the_header(go, tmp_path):
    go(plan_of(BASE, VARIANT, efforts={VARIANT: replace(EFFORT, max_processes=4, precision="0.1")}))
    header = load_run(tmp_path / "out").header
    assert header.efforts == {"1": {"max_processes": 4, "precision": "0.1"}}
    assert header.effort_of(BASE) == EFFORT
    assert header.effort_of(VARIANT).max_processes == 4


def test_more_replicates_than_expected_are_more_work(go):
    watch = Watch()
    run = go(plan_of(BASE, VARIANT, effort=replace(EFFORT, precision="1.5", max_processes=9)), observer=watch)
    assert len(run.records[1].get("overhead").samples) == 9
    left = watch.left[1:]
    assert max(left[5:]) > min(left[:8])
    assert left[-1] == 0


@pytest.mark.parametrize("stop_after", range(1, 9))
def test_a_run_that_stopped_anywhere_goes_on_where_it_was(go, tmp_path, stop_after):
    after(go, stop_after, out=None)
    run = go(out=None)
    assert len(list(tmp_path.iterdir())) == 1
    assert finished(run)
    base, variant = run.records
    assert len(variant.get("overhead").samples) == len(base.get("aa_repeat").samples) == 3
    assert len(variant.get("paired").samples) == len(base.get("paired").samples) == EFFORT.rounds
    assert len(base.get("latency@2").samples) == 9
    assert base.get("floor_difference") is not None


def test_what_is_next_follows_from_the_facts_alone(go, tmp_path):
    """Cut off after any fact, the schedule asks for the step of the next one."""
    go()
    stored = read_run_file(tmp_path / "out")
    for number, fact in enumerate(stored.facts):
        step = next(schedule(PAIR, stored.header, Ledger(stored.facts[:number])))
        assert (step.case, step.kind in ("profile", "repeat")) == (fact.case, isinstance(fact, ProfileFact))
    assert list(schedule(PAIR, stored.header, Ledger(stored.facts))) == []


def test_facts_are_appended_and_never_changed(go, tmp_path):
    after(go, 3)
    before = (tmp_path / "out" / RUN_FILE).read_bytes()
    go()
    assert (tmp_path / "out" / RUN_FILE).read_bytes().startswith(before)
    stored = read_run_file(tmp_path / "out")
    assert fold(stored.header, Ledger(stored.facts)) == load_run(tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / RUN_FILE).read_text().splitlines()]
    assert lines[0]["schema"] == 2
    assert {line["fact"] for line in lines[1:]} == {"built", "profile", "pairs", "latency", "memory"}
    assert all(line["sources"] and line["at"] for line in lines[1:])


def test_replicates_of_other_sources_are_set_aside_and_the_run_says_so(go, tmp_path, monkeypatch):
    after(go, 5)
    old = [fact.overhead for fact in profiles(tmp_path, VARIANT)]
    assert len(old) == 2
    own = sweep.hashes_of
    changed = {VARIANT: {"h": "h1", "m": "another"}}
    monkeypatch.setattr(sweep, "hashes_of", lambda planned: changed.get(planned.case) or own(planned))
    base, record = go().records
    assert len(record.get("overhead").samples) == 3
    assert record.notes == ("2 earlier replicates of other sources set aside",)
    assert record.get("overhead").samples == tuple(f.overhead for f in profiles(tmp_path, VARIANT)[2:])
    assert record.sources == {"h": "h1", "m": "another"}
    assert base.notes == ()
    assert len(base.get("core_share").samples) == 3, "the baseline's sources are what they were"
    assert load_run(tmp_path / "out").records[1] == record, "a reader sees the same"


def test_a_provider_that_is_not_installed_is_one_line_before_anything_is_measured(tmp_path):
    plan = plan_of(BASE, protocol=replace(PROTOCOL, provider="xnnpak"))
    with pytest.raises(UnknownName, match="unknown execution provider of the installed onnxruntime 'xnnpak'"):
        sweep.run_plan(plan, tmp_path, None, Silent())
    assert not list(tmp_path.iterdir())


def test_more_threads_than_cores_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "granted_cores", lambda: 2)
    with pytest.raises(InputError, match="threads 8: this process may use 2 cores"):
        sweep.run_plan(plan_of(BASE, protocol=replace(PROTOCOL, threads=(1, 8))), tmp_path, None, Silent())
    assert not list(tmp_path.iterdir())


def test_the_work_of_a_plan_is_that_of_its_replicates():
    header = headers.make_header(PAIR)
    profiles, repeats = 2 * 3 * (1 + 1 + 4), 3 * (1 + 1 + 4)
    assert work_left(PAIR, header, Ledger()) == profiles + repeats + 2 * 2 * EFFORT.rounds + 2 * MEMORY_RUNS


def test_a_failure_ends_a_case_of_the_schedule():
    header, ledger = headers.make_header(PAIR), Ledger()
    ledger.add(FailedFact(case=BASE, step="build", stage="export", kind="CaseFailure", message="no"))
    assert next(schedule(PAIR, header, ledger)) == TimingStep("build", (VARIANT,))


def test_a_builder_with_nothing_to_describe_prepares_what_comes_after():
    builders = [Builder(), Builder(failing=[VARIANT])]
    base, *after = plan_of(BASE, VARIANT, OTHER).cases
    described = describe_all(builders, [base], after)
    assert [(planned, type(told)) for planned, told in described] == [(base, Built)]
    (idle,) = [one for one in builders if not one.calls]
    assert idle.prepared == after[: len(idle.prepared)]
    assert list(describe_all(builders, [])) == []


def test_what_was_prepared_is_what_describing_asks_for(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNBENCH_CACHE", str(tmp_path))
    case, reference = Case("resnet18", "layer1.0.branch=se,layer2=coord", "64x64"), HostReference("resnet18")
    CaseBuilder(Protocol(), tmp_path).prepare(case)
    monkeypatch.setattr(CaseBuilder, "_exported_module", lambda *_: pytest.fail("it is exported again"))
    assert CaseBuilder(Protocol(), tmp_path).describe(case, reference, ()).sites == ("layer1.0.branch", "layer2.1.end")
