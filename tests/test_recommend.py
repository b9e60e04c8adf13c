"""Recommendations from runs whose figures are known: what falls out and why, what dominates what, and what is said of it."""

import csv
import io
import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from conftest import FIGURES as BASE
from conftest import HEAVY, case, finding, loaded_by, measurements
from msgspec import structs

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.quantities import Quantity
from attnbench.core.records import BASELINE, Case, Failure, Measurement, Record
from attnbench.judge.recommend import BUDGET, FIGURE, TARGET, Requirements, recommend
from attnbench.judge.recommend.pareto import ParetoPoint, dominates, doubts, pareto_front, told_apart
from attnbench.judge.recommend.requirements import read_latency, read_metrics, read_overhead
from attnbench.report.recommendation import COLUMNS, answer, fell_out, ranking

FLOOR = 0.05


def variant(name, pct, half=0.01, *, params=10, memory=0, level="supported", op="Mul", **more):
    """A measured variant: overhead in % with the half width of its interval, None for no interval."""
    ends = {} if half is None else {"low": (pct - half) / 100, "high": (pct + half) / 100}
    figures = {**BASE, "params": 1000 + params, "activation_peak": 8000 + memory, "latency": 0.1}
    overhead = Measurement("overhead", pct / 100, samples=(pct / 100,) * 3, **ends)
    findings = (finding(op, level, f"@encoder.layer3@0.{name}@/node_{op}", **more.pop("said", {})),)
    return Record(case(name), "ok", (*measurements(**figures), overhead), findings, **more)


@pytest.fixture
def make(make):
    return partial(make, floor=FLOOR)


def names(found):
    return [one.case.variant for one in found]


def at_two_sizes(run):
    small = tuple(replace(r, case=structs.replace(r.case, size="192x320")) for r in run.records)
    return replace(run, records=(*run.records, *small))


def by_name(found):
    return {one.case.variant: one for one in (*found.left, *found.fallen)}


OVERHEAD = Quantity("2", "%")


# --- what falls out


@pytest.mark.parametrize(
    ("level", "left"),
    [
        ("supported", True), ("constrained", True), ("efficiency", True),
        ("refused", False), ("fallback", False), ("unknown", False),
    ],
)  # fmt: skip
def test_the_target_decides_by_what_the_variant_adds(make, level, left):
    found = recommend(make(variant("a", 1.0, level=level)), Requirements(("aimotive",)))
    assert bool(found.left) is left
    if not left:
        (reason,) = found.fallen[0].reasons
        assert reason.kind == TARGET
        assert "Mul" in reason.text


def test_unknown_stays_only_when_asked_and_is_then_remarked(make):
    run = make(variant("a", 1.0, level="unknown"), variant("b", 1.0, level="refused"))
    found = by_name(recommend(run, Requirements(("aimotive",))))
    assert "unknown is not supported (--allow-unknown keeps it)" in found["a"].reasons[0].text
    kept = recommend(run, Requirements(("aimotive",), allow_unknown=True))
    assert (names(kept.left), names(kept.fallen)) == (["a"], ["b"])
    assert "Mul unknown to aimotive: kept by --allow-unknown, may still not run" in kept.left[0].remarks
    assert "ok, ok with constraint or unknown" in kept.notes[0]


def test_a_refusal_names_ops_device_and_substitute(make):
    one = variant("a", 1.0, level="refused", op="Reshape", said={"substitute": "se_npu"})
    two = variant("b", 1.0, level="fallback", op="Softmax", said={"device": "the CPU"})
    found = by_name(recommend(make(one, two), Requirements()))
    assert found["a"].reasons[0].text == "aimotive refuses Reshape; substitute: se_npu"
    assert found["b"].reasons[0].text == "aimotive leaves Softmax to the CPU"


def test_without_a_target_all_of_the_runs_must_accept_and_it_says_so(make):
    one, two = variant("a", 1.0), variant("b", 1.0)
    other = replace(finding("Mul", "refused", "@encoder.layer3@0.b@/node_mul"), target="other")
    fine = replace(other, level="supported")
    checked = (replace(own, findings=(*own.findings, more)) for own, more in ((one, fine), (two, other)))
    run = make(*checked, targets=("aimotive", "other"))
    found = recommend(run, Requirements())
    assert (names(found.left), names(found.fallen)) == (["a"], ["b"])
    assert "aimotive and other must say" in found.notes[0]
    assert "no target was named: these are all that the run was checked against" in found.notes[0]
    assert list(ranking(found).column("NPU")) == ["aimotive: ok; other: ok"]
    alone = recommend(run, Requirements(("aimotive",)))
    assert names(alone.left) == ["a", "b"]
    assert "no target was named" not in alone.notes[0]


def test_a_run_without_targets_says_that_none_has_a_say(make):
    found = recommend(make(variant("a", 1.0), targets=()), Requirements())
    assert names(found.left) == ["a"]
    assert "the run was checked against no NPU target" in found.notes[0]
    with pytest.raises(UnknownName, match="none is known"):
        recommend(make(variant("a", 1.0), targets=()), Requirements(("aimotive",)))


def test_a_target_that_gave_no_verdict_does_not_accept(make):
    found = recommend(make(variant("a", 1.0), targets=("aimotive", "other")), Requirements(("other",)))
    assert found.fallen[0].reasons[0] == (TARGET, "the run holds no verdict of other")


def test_what_the_host_itself_is_on_the_target_is_said(make):
    run = make(variant("a", 1.0))
    assert not any("alone, without any module" in note for note in recommend(run, Requirements()).notes)
    base = replace(run.records[0], findings=(finding("Resize", "unknown"),))
    found = recommend(replace(run, records=(base, *run.records[1:])), Requirements())
    (note,) = (note for note in found.notes if "without any module" in note)
    assert note.startswith("resnetsan01 at 384x640 alone, without any module, is 'unknown' on aimotive")


@pytest.mark.parametrize(
    ("pct", "half", "left", "remark"),
    [
        (1.0, 0.1, True, ""),
        (1.8, 0.1, True, "within the budget of 2 % by less than attribution may be off (±0.33 points)"),
        (1.9, 0.2, True, "budget of 2 % within its interval"),
        (2.1, 0.2, True, "budget of 2 % within its interval"),
        (2.2, 0.1, False, "2.20 [2.10, 2.30] % added, budget 2 %, by less than attribution may be off (±0.37 points)"),
        (3.0, 0.1, False, "3.00 [2.90, 3.10] % added, budget 2 %"),
        (2.0, None, True, "no interval: too few replicates"),
        (2.5, None, False, "2.50 % added, budget 2 %"),
    ],
)
def test_a_budget_is_held_against_the_lower_end_of_the_interval(make, pct, half, left, remark):
    found = recommend(make(variant("a", pct, half)), Requirements(max_overhead=OVERHEAD))
    assert bool(found.left) is left
    if left:
        assert remark in ("", *found.left[0].remarks)
        assert bool(remark) is bool(found.left[0].remarks)
    else:
        assert found.fallen[0].reasons[0].kind == BUDGET
        assert found.fallen[0].reasons[0].text.startswith(remark)


def test_the_latency_budget_is_on_added_milliseconds(make):
    run = make(variant("a", 1.0, 0.1), variant("b", 2.0, 0.1))  # of a baseline of 100 ms: 1 ms and 2 ms
    found = recommend(run, Requirements(max_latency=Quantity("1.5", "ms")))
    assert (names(found.left), names(found.fallen)) == (["a"], ["b"])
    assert found.fallen[0].reasons[0].text.startswith("2.00 [1.90, 2.10] ms added, budget 1.5 ms")
    assert "at most 1.5 ms added" in found.notes[0]
    assert list(fell_out(found).column("beyond the budget")) == ["+0.40 ms"]


def test_without_the_baselines_latency_there_is_no_figure_in_ms(make):
    run = make(variant("a", 1.0))
    base = replace(run.records[0], measurements=measurements(**BASE))
    found = recommend(replace(run, records=(base, *run.records[1:])), Requirements(max_latency=Quantity("5", "ms")))
    why = "its overhead in ms is not known: the run holds no latency of the baseline"
    assert found.fallen[0].reasons[0] == (FIGURE, why)


def test_what_has_no_figure_falls_out_with_the_runs_own_reason(make):
    none = Measurement("overhead", None, note="not attributed: 3% of the baseline's time has a counterpart")
    plain, later = variant("apart", 1.0), case("later")
    run = make(
        Record(case("bad"), "failed", failure=Failure("export", "CaseFailure", "it broke")),
        Record(case("never"), "refused", failure=Failure("module", "CaseRefused", "needs an even height")),
        replace(plain, measurements=plain.measured((none,))),
        variant("good", 1.0),
        planned=(later,),
    )
    found = recommend(run, Requirements(("aimotive",)))
    assert names(found.left) == ["good"]
    assert {one.case.variant: one.reasons for one in found.fallen} == {
        "bad": ((FIGURE, "failed: export: it broke"),),
        "never": ((FIGURE, "refused: module: needs an even height"),),
        "apart": ((FIGURE, "not attributed: 3% of the baseline's time has a counterpart"),),
        "later": ((FIGURE, "not measured yet: the sweep was interrupted, and the same command goes on"),),
    }


def test_the_first_reason_decides_and_all_are_listed(make):
    skipped = Record(
        case("skipped"), "skipped", findings=variant("x", 1, level="refused").findings,
        failure=Failure("memory", "CaseSkipped", "needs 41 GB"),
    )  # fmt: skip
    run = make(variant("both", 9.0, level="refused"), skipped, variant("near", 2.5), variant("far", 5.0))
    found = recommend(run, Requirements(("aimotive",), OVERHEAD, Quantity("1", "ms")))
    kinds = {one.case.variant: [reason.kind for reason in one.reasons] for one in found.fallen}
    assert kinds == {
        "near": [BUDGET, BUDGET], "far": [BUDGET, BUDGET], "both": [TARGET, BUDGET, BUDGET], "skipped": [TARGET, FIGURE],
    }  # fmt: skip
    assert list(kinds) == ["near", "far", "both", "skipped"]  # what is nearest to the budget comes first
    assert "4 fell out (2 for the NPU target, 2 over budget)" in found.notes[1]
    table = {row["variant"]: row for row in fell_out(found).records()}
    assert table["both"]["why"] == "NPU target: aimotive refuses Mul"
    assert table["both"]["also"].count("over budget") == 2
    assert table["near"]["beyond the budget"] == "+0.49 points; +1.5 ms"
    assert table["skipped"]["beyond the budget"] == "–"


def test_how_far_from_the_budget_counts_from_the_nearer_end(make):
    run = make(*(variant(name, pct, 0.2, level="refused") for name, pct in (("in", 1.0), ("on", 2.1), ("over", 3.0))))
    table = fell_out(recommend(run, Requirements(max_overhead=OVERHEAD))).records()
    found = {row["variant"]: row["beyond the budget"] for row in table}
    assert [found[name] for name in ("in", "on", "over")] == ["−0.80 points", "within its interval", "+0.80 points"]


def test_weak_figures_are_remarked(make):
    crowded = variant("a", 1.0)
    run = make(
        replace(crowded, measurements=crowded.measured((Measurement("core_share", 0.6),))),
        replace(variant("b", 1.0), pending=2),
        replace(crowded, case=case("c"), measurements=crowded.measured((Measurement("paired", 0.05, low=0.04, high=0.06),))),
    )
    remarks = {one.case.variant: one.remarks for one in recommend(run, Requirements()).left}
    assert "measured with 60 % of a core" in remarks["a"]
    assert "replicates still to come" in remarks["b"]
    assert "its two clocks disagree" in remarks["c"]


# --- what dominates what


def point(name, overhead, half=0.1, exact=(0.0,)):
    return ParetoPoint(name, exact, overhead, *((None, None) if half is None else (overhead - half, overhead + half)))


@pytest.mark.parametrize(
    ("one", "other", "floor", "expected"),
    [
        (point("a", 1.0), point("b", 1.1), 0.0, False),  # the intervals overlap
        (point("a", 1.0), point("b", 1.3), 0.0, True),
        (point("a", 1.0), point("b", 1.3), 0.5, False),  # apart, but by less than the run resolves
        (point("a", 1.3), point("b", 1.0), 0.0, False),
        (point("a", 1.0, None), point("b", 9.0), 0.0, False),  # no interval
        (point("a", 1.0), point("b", 9.0, None), 0.0, False),
    ],
)
def test_overheads_are_told_apart_beyond_interval_and_floor(one, other, floor, expected):
    assert told_apart(one, other, floor) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (point("a", 1.0), point("b", 1.05), False),  # the same in the rest, and noise must not decide
        (point("a", 1.05), point("b", 1.0), False),
        (point("a", 1.0), point("b", 2.0), True),
        (point("a", 1.0, exact=(1.0,)), point("b", 2.0, exact=(0.0,)), False),  # a trade
        (point("a", 1.03, exact=(0.0,)), point("b", 1.0, exact=(1.0,)), True),  # within the floor is no worse
        (point("a", 1.1, exact=(0.0,)), point("b", 1.0, exact=(1.0,)), False),  # beyond it, b may be the cheaper one
        (point("a", 2.0, 1.5, exact=(0.0,)), point("b", 1.0, 0.01, exact=(1.0,)), False),  # a wide interval is no merit
        (point("a", 1.0, exact=(0.0, 1.0)), point("b", 1.0, exact=(1.0, 0.0)), False),
        (point("a", 1.0, exact=(0.0, 1.0)), point("b", 1.0, exact=(1.0, 1.0)), True),
    ],
)
def test_dominance_is_at_least_as_good_in_all_and_surely_better_in_something(one, other, expected):
    assert dominates(one, other, FLOOR) is expected


def some_points(seed):
    """Points of few distinct figures, so that ties and near ties are many; some have no interval."""
    rng = random.Random(seed)
    return [
        point(str(index), rng.choice((0.5, 0.52, 0.6, 1.0, 1.04, 2.0)) + rng.random() * 0.1,
              rng.choice((None, 0.01, 0.05, 0.4)), (rng.randrange(4), rng.randrange(4)))
        for index in range(rng.randrange(1, 25))
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("floor", [0.0, FLOOR])
def test_no_member_of_the_front_is_dominated_by_another_and_each_other_is(seed, floor):
    points = some_points(seed)
    beaten = pareto_front(points, floor)
    members = [p for p in points if not beaten[p.name]]
    assert members
    assert set(beaten) == {p.name for p in points}
    for p in points:
        over = {m.name for m in members if dominates(m, p, floor)}
        assert over == set(beaten[p.name])
        if not floor:  # then it does not matter who dominates
            assert (p in members) is not any(dominates(other, p, floor) for other in points)
    shuffled = random.Random(seed).sample(points, len(points))
    assert {p.name for p in points if pareto_front(shuffled, floor)[p.name]} == {p.name for p in points if beaten[p.name]}


@pytest.mark.parametrize("seed", range(60))
def test_noise_removes_nothing(seed):
    """Whatever is off the front loses to one that is not measured dearer than the run resolves, and better for sure."""
    points = {p.name: p for p in some_points(seed)}
    for name, over in pareto_front(points.values(), FLOOR).items():
        for p in (points[other] for other in over):
            assert p.overhead <= points[name].overhead + FLOOR
            assert p.exact != points[name].exact or told_apart(p, points[name], FLOOR)


def test_a_chain_of_small_steps_does_not_remove_the_cheapest():
    chain = [point("a", 1.08, exact=(0.0,)), point("b", 1.04, exact=(1.0,)), point("c", 1.0, exact=(2.0,))]
    assert pareto_front(chain, FLOOR) == {"a": (), "b": ("a",), "c": ()}


def test_a_member_that_noise_may_keep_is_named():
    points = [point("a", 1.0, exact=(1.0,)), point("b", 1.1, exact=(0.0,)), point("c", 3.0, exact=(0.0,))]
    assert doubts(points, FLOOR) == {"a": ("b",), "b": (), "c": ()}
    same = [point("a", 1.0), point("b", 1.05)]
    assert doubts(same, FLOOR) == {"a": ("b",), "b": ("a",)}


# --- ranking


def test_without_accuracy_the_front_is_of_cost_alone_and_it_says_so(make):
    run = make(
        variant("cheap", 0.5, params=100), variant("small", 1.0, params=10), variant("bad", 1.5, params=200),
        variant("heavy", 1.0, params=50, memory=5000), variant("light", 1.2, params=10, memory=-100),
    )  # fmt: skip
    found = recommend(run, Requirements())
    assert [(one.rank, one.case.variant, one.on_front) for one in found.left] == [
        (1, "cheap", True), (2, "small", True), (3, "light", True), (4, "heavy", False), (5, "bad", False),
    ]  # fmt: skip
    assert by_name(found)["bad"].dominated_by == ("cheap", "small", "light")
    assert list(ranking(found).column("Pareto front"))[-1] == "no: dominated by cheap and 2 more"
    assert any(note.startswith("No accuracy was given: the Pareto front is of cost alone") for note in found.notes)
    assert any("not what is worth its cost" in note for note in found.notes)
    assert any("by more than this run's floor (0.050 points)" in note for note in found.notes)


def test_overheads_that_cannot_be_told_apart_do_not_decide(make):
    found = recommend(make(variant("a", 1.0, 0.1), variant("b", 1.1, 0.1)), Requirements())
    assert all(one.on_front for one in found.left)
    assert "overhead not told apart from that of b, which is no worse in the rest" in found.left[0].remarks
    apart = recommend(make(variant("a", 1.0, 0.1), variant("b", 1.3, 0.1)), Requirements())
    assert [one.on_front for one in apart.left] == [True, False]
    coarse = recommend(make(variant("a", 1.0, 0.1), variant("b", 1.3, 0.1), floor=0.4), Requirements())
    assert all(one.on_front for one in coarse.left)


def test_a_run_without_a_floor_goes_by_its_intervals(make):
    found = recommend(make(variant("a", 1.0), variant("b", 1.3), floor=None), Requirements())
    assert [one.on_front for one in found.left] == [True, False]
    assert any("where their intervals do not overlap." in note for note in found.notes)


def test_hosts_and_sizes_are_ranked_apart_and_can_be_chosen(make):
    both = at_two_sizes(make(variant("a", 1.0), variant("b", 2.0)))
    found = recommend(both, Requirements())
    assert [(one.case.size, one.rank, one.case.variant) for one in found.left] == [
        ("384x640", 1, "a"), ("384x640", 2, "b"), ("192x320", 1, "a"), ("192x320", 2, "b"),
    ]  # fmt: skip
    assert list(ranking(found).columns)[:3] == ["rank", "size", "variant"]
    assert [one.case.size for one in recommend(both, Requirements(size="192x320")).left] == ["192x320"] * 2
    with pytest.raises(UnknownName, match="unknown size of this run '192x321': did you mean '192x320'"):
        recommend(both, Requirements(size="192x321"))
    with pytest.raises(UnknownName, match="did you mean 'resnetsan01'"):
        recommend(both, Requirements(host="resnetsan"))


# --- accuracy


@pytest.fixture
def accuracy(tmp_path):
    def written(text: str | bytes) -> Path:
        path = tmp_path / "metrics.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


IOU = {"mIoU": "higher"}


def test_with_accuracy_the_front_weighs_it_against_overhead(make, accuracy):
    run = make(variant("a", 0.5), variant("b", 1.0), variant("c", 1.5), variant("d", 1.0, params=1))
    path = accuracy("variant,mIoU,note\na,71.0,x\nb,72.5,y\nc,72.0,z\n")
    found = recommend(run, Requirements(accuracy=path, metrics=IOU))
    assert [(one.case.variant, one.on_front, one.dominated_by) for one in found.left] == [
        ("a", True, ()), ("b", True, ()), ("c", False, ("b",)), ("d", False, ()),
    ]  # fmt: skip
    assert "no accuracy given" in by_name(found)["d"].remarks
    assert list(ranking(found).column("mIoU")) == ["71.00", "72.50", "72.00", "–"]
    assert any("No accuracy given for 1 of those left: they stay out of the Pareto front" in note for note in found.notes)
    assert any("no line for the baseline" in note for note in found.notes)
    none = recommend(run, Requirements(max_overhead=Quantity("0.1", "%"), accuracy=path, metrics=IOU))
    assert list(fell_out(none).column("mIoU")) == ["71.00", "72.50", "–", "72.00"]


def test_a_metric_of_which_less_is_better_turns_round(make, accuracy):
    run = make(variant("a", 1.0), variant("b", 2.0))
    path = accuracy("variant,mIoU,abs_rel\na,70,0.10\nb,70,0.20\n")
    for better, members in (("lower", {"a"}), ("higher", {"a", "b"})):
        found = recommend(run, Requirements(accuracy=path, metrics={**IOU, "abs_rel": better}))
        assert {one.case.variant for one in found.left if one.on_front} == members


def test_parameters_do_not_decide_beside_accuracy(make, accuracy):
    run = make(variant("a", 1.0, params=1_000_000), variant("b", 2.0, params=1))
    found = recommend(run, Requirements(accuracy=accuracy("variant,mIoU\na,72\nb,71\n"), metrics=IOU))
    assert [one.on_front for one in found.left] == [True, False]


def test_what_is_no_better_than_the_baseline_is_dominated_by_it(make, accuracy):
    run = make(variant("a", 0.5), variant("b", 1.0))
    found = recommend(run, Requirements(accuracy=accuracy("variant,mIoU\nbaseline,71\na,70.5\nb,71.5\n"), metrics=IOU))
    assert [(one.case.variant, one.dominated_by) for one in found.left] == [("b", ()), ("a", ("baseline",))]
    assert any(note.startswith("The baseline (mIoU 71.00) takes part") for note in found.notes)
    none = recommend(run, Requirements(accuracy=accuracy("variant,mIoU\nbaseline,73\na,70.5\nb,71.5\n"), metrics=IOU))
    assert not any(one.on_front for one in none.left)
    assert any("add nothing" in note for note in none.notes)


def test_columns_tell_cases_apart(make, accuracy):
    both = at_two_sizes(make(variant("a", 1.0), variant("b", 2.0)))
    path = accuracy("size,variant,mIoU\n384x640,a,70\n192x320,a,60\n192x320,b,65\n")
    found = recommend(both, Requirements(accuracy=path, metrics=IOU))
    assert [(one.case.size, one.case.variant, one.metrics.get("mIoU")) for one in found.left] == [
        ("384x640", "a", 70), ("384x640", "b", None), ("192x320", "a", 60), ("192x320", "b", 65),
    ]  # fmt: skip
    plain = accuracy("variant,mIoU\na,70\n")
    with pytest.raises(InputError, match="line 2, column 'variant': 'a' stands for 2 cases of the run: add a column size"):
        recommend(both, Requirements(accuracy=plain, metrics=IOU))
    assert recommend(both, Requirements(accuracy=plain, metrics=IOU, size="192x320")).left[0].metrics == {"mIoU": 70}


BAD_FILES = [
    ("", IOU, "metrics.csv: is empty"),
    ("\n\n", IOU, "metrics.csv: is empty"),
    ("variant;mIoU\na;71\n", IOU, "line 1 names no column 'variant'"),
    ("mIoU\n71\n", IOU, "line 1 names no column 'variant'"),
    ("variant\na\n", {}, "line 1 names no metric"),
    ("variant,mIoU,mIoU\na,1,2\n", IOU, "line 1, column 'mIoU' stands there twice"),
    ("variant,mIoU\na,71\n", {"mIou": "higher"}, "line 1: unknown metric column 'mIou': did you mean 'mIoU'"),
    ("variant,mIoU\na,71\n", {}, "say which way is better: --metric mIoU:higher or --metric mIoU:lower"),
    (
        "variant,mIoU,d1\na,71,2\n",
        {},
        "say which of mIoU, d1 decide and which way is better, each like --metric mIoU:higher",
    ),
    (
        "variant,mIoU\nencoder.aa,71\n",
        IOU,
        "line 2, column 'variant': unknown variant in the run 'encoder.aa': did you mean",
    ),
    ("variant,mIoU\nencoder.a,71\n\nencoder.a,72\n", IOU, "line 4, column 'variant': 'encoder.a' stands in line 2 already"),
    ("variant,mIoU\nencoder.a,71 %\n", IOU, "line 2, column 'mIoU': '71 %' is no number"),
    ("variant,mIoU\nencoder.a,nan\n", IOU, "line 2, column 'mIoU': 'nan' is no number"),
    ("variant,mIoU\nencoder.a,\n", IOU, "line 2, column 'mIoU': is empty"),
    ("variant,mIoU\nencoder.a,1,2\n", IOU, "line 2 has 3 cells, and line 1 names 2 columns"),
    ("variant,mIoU\nencoder.a\n", IOU, "line 2 has 1 cells"),
    (
        "host,variant,mIoU\nresnet,encoder.a,1\n",
        IOU,
        "line 2, column 'host': unknown host in the run 'resnet': did you mean",
    ),
    ("size,variant,mIoU\n384x641,encoder.a,1\n", IOU, "line 2, column 'size': unknown size in the run '384x641'"),
    ('variant,mIoU\n"encoder.a,71\n', IOU, "is not CSV"),
    (b"variant,mIoU\n\xff\xfe,71\n", IOU, "is not text in UTF-8"),
]


@pytest.mark.parametrize(("text", "metrics", "message"), BAD_FILES, ids=[message for *_, message in BAD_FILES])
def test_a_bad_file_is_one_line_that_names_line_and_column(make, accuracy, text, metrics, message):
    with pytest.raises(InputError) as caught:
        recommend(make(variant("encoder.a", 1.0)), Requirements(accuracy=accuracy(text), metrics=metrics))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_spreadsheets_csv_reads_too(make, accuracy):
    path = accuracy(b'\xef\xbb\xbfvariant, mIoU\r\n"a=x,b=y",71.5\r\n')
    found = recommend(make(variant("a=x,b=y", 1.0)), Requirements(accuracy=path, metrics=IOU))
    assert found.left[0].metrics == {"mIoU": 71.5}


# --- published gains


def elsewhere(record, host: str, place: str):
    return replace(record, case=structs.replace(record.case, host=host, variant=place))


@pytest.fixture
def imagenet(make):
    """A run of ResNet-50 with three modules of which gains are published and one of which none is."""
    costs = {"se": 1.0, "cbam": 3.0, "gc": 2.0, "eca": 0.5}
    run = make(*(variant(name, pct) for name, pct in costs.items()))
    named = {name: f"residual-branch={name}" for name in costs} | {"baseline": "baseline"}
    records = tuple(elsewhere(record, "resnet50", named[record.case.variant]) for record in run.records)
    return replace(run, header=replace(run.header, cases=tuple(r.case for r in records)), records=records)


def test_published_gains_are_bars_and_only_a_whole_bar_decides(imagenet):
    found = recommend(imagenet, Requirements(published=True))
    assert [(one.case.variant, one.on_front, one.dominated_by) for one in found.left] == [
        ("residual-branch=se", True, ()), ("residual-branch=cbam", True, ()),
        ("residual-branch=gc", False, ("baseline",)), ("residual-branch=eca", False, ()),
    ]  # fmt: skip
    se, cbam, gc, eca = found.left
    assert (len(se.gains.gains), len(cbam.gains.gains), len(gc.gains.gains), eca.gains) == (8, 3, 1, None)
    assert eca.remarks[0] == "no evidence: nothing is published of it"
    notes = " ".join(found.notes)
    assert "ImageNet, not your task: 12 figures of PytorchInsight, DCANet, SRM, mmpretrain, timm, imgclsmob" in notes
    assert "Nothing is published of 1 of those left" in notes
    assert "Published, and not measured here: SK in ResNet-50 (SK as PytorchInsight changes it)" in notes
    assert "SE in MnasNet 1.0 (a run on `mnasnet`)" in notes
    table = ranking(found)
    assert list(table.column("ImageNet gain (points)")) == ["+0.58 [−1.02, 1.48]", "+1.58 [1.24, 2.12]", "−1.00", "–"]
    assert table.column("figures, sources")[1] == "3 of PytorchInsight, DCANet, imgclsmob"


def test_a_bar_is_drawn_on_one_scale(imagenet):
    table = ranking(recommend(imagenet, Requirements(published=True)))
    se, cbam, gc, none = table.column("−1.0 to +2.1")
    assert {len(bar) for bar in (se, cbam, gc)} == {25}
    assert (se[0], cbam[-1]) == ("━", "━")
    assert cbam.index("│") < cbam.index("━")
    assert gc.startswith("●·")
    assert none == "–"


def test_published_gains_are_told_to_programs(command, store, imagenet, make):
    folder = store(imagenet)
    _, text, _ = command("recommend", folder, "--accuracy", "published", "-f", "csv")
    rows = {row["variant"]: row for row in csv.DictReader(io.StringIO(text))}
    told = rows["residual-branch=cbam"]
    assert float(told["published_gain_low"]) == pytest.approx(1.242)
    assert (told["published_figures"], told["published_sources"]) == ("3", "PytorchInsight; DCANet; imgclsmob")
    assert rows["residual-branch=eca"]["published_gain"] == ""
    _, text, _ = command("recommend", folder, "--accuracy", "published", "-f", "json")
    answer = json.loads(text)
    (gain,) = next(one["published"] for one in answer["left"] if one["variant"] == "residual-branch=gc")
    assert (gain["source"], gain["baseline"], gain["top1"], gain["gain"]) == ("DCANet", 75.9, 74.9, -1.0)
    other = store(make(variant("a", 0.5)), "other")
    code, _, error = command("recommend", other, "--accuracy", "published")
    assert code == 2
    assert "nothing is published of this run's hosts and variants: attnbench sweep imagenet" in error


# --- words of the command line


@pytest.mark.parametrize(
    ("read", "unit", "texts"),
    [
        (read_overhead, "%", {"2%": 2.0, "0.5 %": 0.5, "0%": 0.0}),
        (read_latency, "ms", {"5ms": 5.0, "0.5 s": 500.0, "300us": 0.3, "300µs": 0.3, "300μs": 0.3}),
    ],
)
def test_a_share_and_a_time_are_read(read, unit, texts):
    assert {text: read(text).to(unit) for text in texts} == pytest.approx(texts)


@pytest.mark.parametrize(
    ("read", "text", "example"),
    [
        *(
            (read_overhead, text, "2% or 0.5%")
            for text in ("2", "", "%", "-1%", "2e1%", "two%", "2%%", "1,5%", "2ms", "inf%", "٢%")
        ),
        *(
            (read_latency, text, "5ms, 0.5s or 300us")
            for text in ("5", "", "ms", "-5ms", "5 min", "5m", "5%", "5 ms 3", "1,5ms")
        ),
    ],
)
def test_what_is_neither_is_said_in_one_line(read, text, example):
    with pytest.raises(InputError, match=f"write it like {example}"):
        read(text)


def test_metrics_are_read_with_their_direction():
    assert read_metrics(["mIoU:higher", "a:b : lower"]) == {"mIoU": "higher", "a:b": "lower"}
    for text in ("mIoU", "mIoU:up", "mIoU:", ":higher", ""):
        with pytest.raises(InputError, match="write .+:higher or .+:lower"):
            read_metrics([text])
    with pytest.raises(InputError, match="names 'a' twice"):
        read_metrics(["a:higher", "a:lower"])


# --- the command


@pytest.fixture
def stored(make, store):
    return store(make(variant("a", 0.5), variant("b", 1.0), variant("c", 5.0), variant("d", 1.0, level="refused")))


def test_the_command_shows_what_is_left_and_what_fell_out(command, stored):
    code, out, err = command("recommend", stored, "--target", "aimotive", "--max-overhead", "2%")
    assert (code, err) == (0, "")
    assert out.index("Left, ranked") < out.index("Fell out") < out.index("Asked: aimotive must say ok")
    head = "Of 4 variants: 2 left, 1 of them on the Pareto front; 2 fell out (1 for the NPU target, 1 over budget)."
    assert out.startswith(head)
    assert "no: dominated by a" in out
    assert command("recommend", "latest", "--results", stored.parent)[0] == 0


def test_exit_code_one_says_that_nothing_is_left(command, stored):
    code, out, _ = command("recommend", stored, "--max-overhead", "0.1%")
    assert code == 1
    assert "nothing left; 4 fell out" in out
    assert "Left, ranked" not in out
    assert "+0.39 points" in out


def test_a_run_of_a_baseline_alone_leaves_nothing(command, make, store):
    for format_ in ("table", "csv", "json"):
        code, out, err = command("recommend", store(make()), "--format", format_)
        assert (code, err) == (1, "")
        assert out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "aimotiv"], "unknown target of this run 'aimotiv': did you mean 'aimotive'"),
        (["--max-overhead", "2"], "write it like 2%"),
        (["--max-latency", "5"], "write it like 5ms"),
        (["--metric", "mIoU:higher"], "--metric needs --accuracy"),
        (["--metric", "mIoU:higher", "--accuracy", "published"], "--metric needs --accuracy: name the CSV file"),
        (["--accuracy", "nowhere.csv", "--metric", "mIoU"], "write mIoU:higher or mIoU:lower"),
        (["--accuracy", "nowhere.csv", "--metric", "mIoU:higher"], "nowhere.csv: cannot be read: No such file"),
        (["--accuracy", "/tmp", "--metric", "mIoU:higher"], "/tmp: cannot be read: Is a directory"),
        (["--size", "1x1"], "unknown size of this run '1x1'"),
        (["--host", "x"], "unknown host of this run 'x'"),
        (["-o", "/nowhere/x.md"], "cannot write /nowhere/x.md"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_two(refused, stored, arguments, message):
    assert message in refused("recommend", stored, *arguments)
    assert "there is no run file nowhere" in refused("recommend", "nowhere")


def test_csv_holds_every_variant_unrounded(command, stored, tmp_path, accuracy):
    path = accuracy("variant,mIoU\na,71.123456\n")
    code, _, _ = command(
        "recommend", stored, "--max-overhead", "2%", "--accuracy", path, "--metric", "mIoU:higher",
        "-f", "csv", "-o", tmp_path / "out.csv",
    )  # fmt: skip
    assert code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert list(rows[0]) == [*COLUMNS, "metric_mIoU"]
    assert [(row["variant"], row["outcome"], row["rank"], row["decided_by"]) for row in rows] == [
        ("a", "left", "1", ""), ("b", "left", "2", ""), ("c", "fell out", "", "over budget"), ("d", "fell out", "", "NPU target"),
    ]  # fmt: skip
    assert rows[0]["metric_mIoU"] == "71.123456"
    ends = [float(rows[2][f"beyond_budget_points_{end}"]) for end in ("low", "high")]
    assert ends == pytest.approx([2.99, 3.01])
    assert rows[0]["params_delta"] == "10"


def test_json_holds_the_question_the_notes_and_every_variant(command, stored):
    code, out, _ = command("recommend", stored, "--max-overhead", "2%", "--format", "json")
    assert code == 0
    answer = json.loads(out)
    assert answer["schema"] == 1
    assert (answer["asked"]["targets"], answer["asked"]["max_overhead_pct"]) == (["aimotive"], 2.0)
    assert answer["notes"][0].startswith("Asked: ")
    assert [(one["variant"], one["on_front"], one["dominated_by"]) for one in answer["left"]] == [
        ("a", True, []), ("b", False, ["a"]),
    ]  # fmt: skip
    first = answer["fell_out"][0]
    assert (first["why"], first["rank"]) == ("5.000 [4.990, 5.010] % added, budget 2 %", None)


def test_a_file_gets_markdown(command, stored, tmp_path):
    command("recommend", stored, "--max-overhead", "2%", "-o", tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text()
    assert text.startswith("# Recommendation\n\nOf ")
    assert "## Left, ranked" in text
    assert "## Fell out" in text


def test_every_column_is_explained(make):
    assert all(COLUMNS.values())
    assert answer(recommend(make(), Requirements())).csv().strip() == ",".join(COLUMNS)


def test_it_loads_no_torch_no_onnx_and_no_runtime(stored):
    lines = [("recommend", stored, "--format", name) for name in ("table", "csv", "json")]
    assert not loaded_by(*lines) & {*HEAVY, "scipy"}


def test_the_chart_of_published_gains_has_a_bar_a_pair_with_its_number(imagenet):
    from attnbench.report.charts.gains import gains

    spec = gains(recommend(imagenet, Requirements(published=True)), Case("resnet50", BASELINE, "384x640"))
    assert "ImageNet, not your task" in spec["title"]["text"]
    points = {point["label"]: point for point in spec["data"]["values"]}
    assert set(points) == {"se (6)", "cbam (3)", "gc (1)"}
    assert (points["se (6)"]["gain_low"], points["se (6)"]["gain_high"]) == pytest.approx((-1.016, 1.48))
    assert points["cbam (3)"]["overhead_pct"] == pytest.approx(3.0)
