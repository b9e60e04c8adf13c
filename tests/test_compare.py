"""Comparisons of runs whose figures are known: each verdict, each cause, what fails, and how often chance is taken for change."""

import csv
import io
import json
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from conftest import BASELINE, HEAVY, case, finding, loaded_by, measurements, with_settings
from conftest import FIGURES as BASE
from msgspec import structs
from scipy.stats import ttest_ind

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.metrics import METRICS as MEASURED
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import Failure, Level, Measurement, Record
from attnbench.core.statistics import difference_interval, two_stage_mean
from attnbench.judge.compare import compare, parse
from attnbench.judge.compare.exact import HARM, NPU, NPU_OPS
from attnbench.judge.compare.gates import DEFAULT, LEVELS, LOST, METRICS
from attnbench.judge.compare.match import PROTOCOL_FIELDS
from attnbench.judge.compare.noisy import AMONG, BLUNT, SHOWN, UNRESOLVED, ReplicateSeries, holm, judged, verdict_of
from attnbench.judge.compare.rows import ComparisonRow
from attnbench.judge.verdicts import VERDICTS
from attnbench.report.comparison import COLUMNS, answer, sections
from attnbench.runs.reference import BASELINE_FILE
from attnbench.runs.store import RUN_FILE, load_run
from attnbench.study.plan import plan

ROOT = Path(__file__).parent.parent
HASHES = {"resnetsan01": "h0", "se_npu": "m0"}
PATTERN = (-1.0, 0.5, 1.0, -0.5, 0.0)
"""Five replicates about their mean, in units of their scatter (standard deviation 0.79)."""


def replicates(pct, scatter=0.05, number=5):
    """Replicates of an overhead given in %, as ratios."""
    return tuple((pct + scatter * PATTERN[i % 5]) / 100 for i in range(number))


def overhead(samples):
    return Measurement("overhead", fmean(samples) if samples else None, samples=tuple(samples))


def variant(
    name="a", pct=1.0, *, samples=None, scatter=0.05, figures=None, findings=None, latency=None, core_share=None, **more
):
    """A measured variant: an overhead in %, exact figures beside those of ``BASE``, findings of its own."""
    found = [
        *measurements(**{**BASE, **(figures or {})}),
        overhead(replicates(pct, scatter) if samples is None else samples),
    ]
    if latency is not None:
        found.append(Measurement("latency", sorted(latency)[len(latency) // 2], "s", samples=tuple(latency)))
    found += [] if core_share is None else [Measurement("core_share", core_share)]
    own = (ours("Mul", "supported"),) if findings is None else findings
    return Record(case(name), "ok", tuple(found), own, **{"sources": HASHES, **more})


def ours(op, level="supported", node="n", **more):
    return finding(op, level, f"@encoder.layer3@0.a@/{node}", **more)


def row(found, metric="overhead", name="a"):
    (one,) = (r for r in found.rows if r.metric == metric and r.case.variant == name)
    return one


# --- exact figures


@pytest.mark.parametrize("metric", sorted(BASE))
@pytest.mark.parametrize(
    ("change", "verdict", "why"), [(0, "same", "equal"), (1, "worse", "exact: more"), (-1, "better", "exact: less")]
)
def test_exact_figures_compare_by_equality_even_across_machines(make, metric, change, verdict, why):
    changed = variant(figures={metric: BASE[metric] + change})
    found = row(compare(make(variant()), make(changed, machine="other")), metric)
    assert (found.verdict, found.why, found.delta) == (verdict, why, change)
    assert (found.before, found.after) == (BASE[metric], BASE[metric] + change)


def test_of_some_exact_figures_more_is_better_and_of_some_neither_is(make):
    def with_(value, better):
        one = variant()
        return make(replace(one, measurements=(*one.measurements, Measurement("mark", value, better=better, exact=True))))

    assert row(compare(with_(1, "higher"), with_(2, "higher")), "mark").verdict == "better"
    assert row(compare(with_(2, "higher"), with_(1, "higher")), "mark").verdict == "worse"
    assert not [r for r in compare(with_(1, "neither"), with_(2, "neither")).rows if r.metric == "mark"]


def test_an_exact_figure_that_only_one_run_holds_is_incomparable_and_one_that_neither_could_count_is_not_there(make):
    one = variant()
    fvcore = Measurement("macs_fvcore", None, exact=True)
    counted = replace(one, measurements=(*one.measurements, replace(fvcore, value=5)))
    uncounted = replace(one, measurements=(*one.measurements, fvcore))
    for before, after, side in ((one, counted, "BASE"), (counted, uncounted, "NEW"), (counted, one, "NEW")):
        found = row(compare(make(before), make(after)), "macs_fvcore")
        assert (found.verdict, found.why) == ("incomparable", f"not counted in {side}")
    assert not [r for r in compare(make(uncounted), make(uncounted)).rows if r.metric == "macs_fvcore"]


# --- NPU verdicts


@pytest.mark.parametrize(
    ("before", "after", "verdicts", "words"),
    [
        ("supported", "supported", ("same", "same"), ("ok", "ok")),
        ("supported", "constrained", ("worse", "worse"), ("ok", "ok with constraint")),
        ("supported", "unknown", ("worse", "worse"), ("ok", "unknown")),
        ("unknown", "fallback", ("worse", "worse"), ("unknown", "fallback")),
        ("fallback", "refused", ("worse", "worse"), ("fallback", "refused")),
        ("refused", "supported", ("better", "better"), ("refused", "ok")),
        ("constrained", "efficiency", ("same", "worse"), ("ok with constraint", "ok with constraint")),
    ],
)
def test_what_a_target_says_is_compared_by_its_verdict_and_by_its_findings(make, before, after, verdicts, words):
    runs = [make(variant(findings=(ours("Mul", level), ours("Conv", "supported")))) for level in (before, after)]
    found = compare(*runs)
    one, two = row(found, "npu@aimotive"), row(found, "npu_ops@aimotive")
    assert (one.verdict, two.verdict) == verdicts
    assert (one.before, one.after) == words
    assert two.why == ("equal" if before == after else f"more: 1 Mul {after} (mul); fewer: 1 Mul {before} (mul)")


def test_findings_are_a_multiset_of_op_level_and_rule(make):
    one = make(variant(findings=(ours("Mul", node="x"), ours("Add", node="y"))))
    renamed = make(variant(findings=(ours("Add", node="p"), ours("Mul", node="q"))))
    other = make(variant(findings=(ours("Mul", node="x"), ours("Sub", node="y"))))
    ruled = make(variant(findings=(ours("Mul", node="x"), ours("Add", node="y", rule="wide-add"))))
    more = make(variant(findings=(ours("Mul", "refused", "x"), ours("Mul", "refused", "z"))))
    fewer = make(variant(findings=(ours("Mul", "refused", "x"), ours("Mul", "supported", "z"))))
    assert row(compare(one, renamed), "npu_ops@aimotive").why == "equal"
    told = "equal in levels: more: 1 Sub supported (sub); fewer: 1 Add supported (add)"
    assert row(compare(one, other), "npu_ops@aimotive").why == told
    assert "wide-add" in row(compare(one, ruled), "npu_ops@aimotive").why
    found = compare(fewer, more)
    assert (row(found, "npu@aimotive").verdict, row(found, "npu_ops@aimotive").verdict) == ("same", "worse")
    assert row(found, "npu_ops@aimotive").before == "1 refused, 1 supported"


def test_nodes_are_counted_and_the_hosts_own_do_not_count_for_a_variant(make):
    host = finding("Conv", "refused")
    one = make(variant(findings=(ours("Mul"),)))
    two = make(variant(findings=(ours("Mul"), ours("Add"), host)))
    found = compare(one, two)
    assert (row(found, "nodes").before, row(found, "nodes").after, row(found, "nodes").verdict) == (1, 2, "worse")
    assert row(found, "npu@aimotive").verdict == "same"
    assert row(found, "nodes", "baseline").verdict == "same"


def test_a_target_that_only_one_run_was_checked_against_is_incomparable(make):
    both = (ours("Mul"), replace(ours("Mul", "refused"), target="other"))
    one, two = make(variant()), make(variant(findings=both), targets=("aimotive", "other"))
    for runs, side in (((one, two), "BASE"), ((two, one), "NEW")):
        found = row(compare(*runs), "npu@other")
        assert (found.verdict, found.why) == ("incomparable", f"{side} was not checked against other")


def test_levels_and_names_are_those_of_the_rest_of_the_package():
    assert set(HARM) == set(Level.__args__) - {"supported"}
    assert VERDICTS[:3] == LEVELS
    exact = {name for name, metric in MEASURED.items() if metric.exact and metric.better != "neither"}
    assert set(METRICS) == exact | {"overhead", "latency", "memory", "nodes", NPU}
    assert NPU_OPS not in METRICS


# --- overheads


@pytest.mark.parametrize(
    ("after", "scatter", "verdict", "why"),
    [
        (1.0, 0.05, "same", "the very same replicates"),
        (1.01, 0.05, "same", "a change of the threshold is excluded"),
        (1.5, 0.05, "same", "a change of the threshold is excluded; a smaller one is told from noise"),
        (2.5, 0.05, "worse", "told from noise (p < 0.0001, Holm over 1) and reaches the threshold"),
        (1.97, 0.05, "worse", "told from noise"),
        (-0.5, 0.05, "better", "told from noise"),
        (0.03, 0.05, "better", "told from noise"),
        (1.6, 1.0, "unresolved", UNRESOLVED),
        (1.01, 2.0, "unresolved", UNRESOLVED),
        (9.0, 1.0, "worse", "told from noise"),
    ],
)  # fmt: skip
def test_an_overhead_changes_by_interval_and_threshold(make, after, scatter, verdict, why):
    found = row(compare(make(variant(pct=1.0, scatter=scatter)), make(variant(pct=after, scatter=scatter))))
    assert found.verdict == verdict
    assert found.why.startswith(why)
    assert found.delta == pytest.approx((after - 1) / 100)
    assert found.low <= found.delta <= found.high


@pytest.mark.parametrize("first", [4, 9])
def test_the_interval_and_the_chance_are_welchs_by_the_first_stages(make, first):
    one, two = replicates(1.0, 0.1), replicates(1.4, 0.3, number=9)
    settings = {"processes": first}
    found = row(compare(make(variant(samples=one), settings=settings), make(variant(samples=two), settings=settings)))
    expected = difference_interval(one, two, first=(first, first))
    assert (found.delta, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    if first == 9:
        assert found.p == pytest.approx(ttest_ind(one, two, equal_var=False).pvalue)
    assert found.adjusted == found.p


def test_replicates_without_scatter_are_told_apart_or_equal():
    chance = lambda one, two: two_stage_mean(two, 9).less(two_stage_mean(one, 9)).chance  # noqa: E731
    assert chance((1.0, 1.0), (1.0, 1.0, 1.0)) == 1.0
    assert chance((1.0, 1.0), (2.0, 2.0)) == 0.0


@pytest.mark.parametrize("where", ["base", "new"])
def test_the_noise_floor_of_either_run_widens_the_interval(make, where):
    floors = {"base": (1.2, None), "new": (None, 1.2)}[where]
    one, two = make(variant(pct=1.0), floor=floors[0]), make(variant(pct=2.1), floor=floors[1])
    found = row(compare(one, two))
    assert (found.low, found.high) == pytest.approx((-0.001, 0.023))
    assert (found.verdict, found.why) == ("unresolved", BLUNT)
    narrow = row(compare(make(variant(pct=1.0), floor=0.01), make(variant(pct=2.1), floor=0.02)))
    assert narrow.high - narrow.low < 0.003
    assert narrow.verdict == "worse"


def test_holms_correction_by_hand():
    # ordered 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 make 0.02, 0.03, 0.06, 0.04, and none below its forerunner
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_family_is_all_overheads_that_compare_and_a_lone_change_is_harder_to_tell_among_many(make):
    def runs(number):
        others = [variant(f"o{i}", 1.0, scatter=0.2) for i in range(number)]
        return make(variant(pct=1.0, scatter=0.3), *others), make(variant(pct=1.9, scatter=0.3), *others)

    alone, among = row(compare(*runs(0))), row(compare(*runs(400)))
    assert alone.verdict == "worse"
    assert among.adjusted == pytest.approx(401 * among.p)
    series = ReplicateSeries(alone, replicates(1.0, 0.3), replicates(1.9, 0.3), 0.01)
    same = ReplicateSeries(alone, replicates(1.0, 0.2), replicates(1.0, 0.2), 0.01)
    assert judged([series])[0].p == pytest.approx(alone.p)
    lone = judged([series, *[same] * 400])[0]
    assert (lone.verdict, lone.why) == ("unresolved", AMONG)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ((0.01,), (0.01,), "fewer than two replicates in BASE; fewer than two replicates in NEW"),
        ((0.01, 0.02), (0.01,), "fewer than two replicates in NEW"),
        ((), (0.01, 0.02), "not attributed in BASE"),
    ],
)
def test_an_overhead_without_replicates_is_incomparable(make, before, after, why):
    found = row(compare(make(variant(samples=before)), make(variant(samples=after))))
    assert (found.verdict, found.why, found.p) == ("incomparable", why, None)


def test_an_overhead_that_one_run_did_not_measure_is_incomparable(make):
    bare = replace(variant(), measurements=measurements(**BASE))
    assert row(compare(make(bare), make(variant()))).why == "not measured in BASE"
    assert not [r for r in compare(make(bare), make(bare)).rows if r.metric == "overhead"]


@pytest.mark.parametrize(
    ("low", "high", "adjusted", "verdict"),
    [
        (0.1, 1.0, 0.05, "worse"),
        (0.1, 0.99, 0.01, "same"),
        (-0.1, 1.1, 0.01, "unresolved"),
        (0.1, 1.1, 0.06, "unresolved"),
        (-1.0, -0.1, 0.05, "better"),
        (-0.99, -0.1, 0.01, "same"),
        (-0.99, 0.99, 1.0, "same"),
        (-1.0, 0.5, 1.0, "unresolved"),
        (-2.0, 2.0, 0.01, "unresolved"),
    ],
)
def test_the_rule_at_its_edges(low, high, adjusted, verdict):
    assert verdict_of(low, high, adjusted, 1.0) == verdict


# --- how often chance is taken for change, and change for chance


def outcomes(seed, families, cases, *, number, scatter, change):
    """Verdicts on the first case of families of cases, whose true change in points is given; and families with any alarm."""
    chance, verdicts, alarms = random.Random(seed), Counter(), 0

    def drawn(mean):
        return [chance.gauss(mean, scatter) / 100 for _ in range(number)]

    for _ in range(families):
        rows = [ComparisonRow(case(str(number)), "overhead", None, "") for number in range(cases)]
        series = [ReplicateSeries(one, drawn(2.0), drawn(2.0 + change * (one is rows[0])), 0.01) for one in rows]
        found = [one.verdict for one in judged(series)]
        verdicts[found[0]] += 1
        alarms += any(one in ("worse", "better") for one in found)
    return {verdict: n / families for verdict, n in verdicts.items()}, alarms / families


@pytest.mark.parametrize(("number", "seed"), [(3, 11), (5, 12)])
def test_equal_runs_raise_no_alarm_where_replicates_scatter_by_a_fifth_of_the_threshold(number, seed):
    verdicts, alarms = outcomes(seed, 30, 89, number=number, scatter=0.2, change=0.0)
    assert alarms == 0
    assert set(verdicts) <= {"same", "unresolved"}


@pytest.mark.parametrize(("cases", "families"), [(1, 1500), (20, 200)])
def test_equal_runs_raise_an_alarm_in_one_comparison_of_twenty_at_most_however_wide_the_noise_is(cases, families):
    assert outcomes(13, families, cases, number=5, scatter=2.0, change=0.0)[1] <= 0.06


@pytest.mark.parametrize(
    ("cases", "families", "number"), [(1, 1000, 3), (1, 1000, 5), (20, 400, 5), (89, 120, 5), (20, 200, 10)]
)
def test_a_true_change_of_the_threshold_is_found_nineteen_times_of_twenty(cases, families, number):
    verdicts, _ = outcomes(3, families, cases, number=number, scatter=0.1, change=1.0)
    assert verdicts["worse"] >= 0.95
    assert verdicts.get("better", 0) == 0


def test_a_change_that_many_cases_and_few_replicates_hide_is_hardly_ever_called_the_same_and_half_is_no_alarm():
    verdicts, _ = outcomes(19, 60, 89, number=3, scatter=0.1, change=1.0)
    assert 0.2 < verdicts["worse"] < 0.7
    assert verdicts.get("same", 0) <= 0.05
    assert outcomes(23, 500, 1, number=5, scatter=0.1, change=0.5)[0] == {"same": 1.0}


def test_what_was_really_measured_twice_raises_no_alarm():
    raw = json.loads((ROOT / "results" / "calibration" / "aa_attributed.json").read_text())
    for series in raw.values():
        pairs = [both for found in series.values() for both in found]
        rows = judged([ReplicateSeries(ComparisonRow(BASELINE, "overhead", None, ""), *both, 0.01) for both in pairs])
        assert not [one for one in rows if one.verdict in ("worse", "better")]
        assert sum(one.verdict == "same" for one in rows) > 0.95 * len(rows)


# --- what compares at all


UNLIKE = {
    "warmup": 9, "provider": "xnnpack", "optimization": "none", "seed": 3, "canonical": False, "inputs": "mine abc",
    "calibration": "images",
}  # fmt: skip
"""Another value of each field of the protocol that must be alike."""


def test_each_field_of_the_protocol_must_be_alike_but_the_thread_counts():
    assert set(UNLIKE) == set(PROTOCOL_FIELDS) == set(Protocol.__struct_fields__) - {"threads"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"machine": "n"}, "measured on another machine (id m, n)"),
        ({"machine": None}, "measured on another machine (id m, unknown)"),
        ({"software": {"protocol": 2}}, "measured with another protocol (version 1, 2)"),
        (
            {"settings": {"provider": "xnnpack", "seed": 1}},
            "measured with another protocol (provider cpu, xnnpack; seed 0, 1)",
        ),
        *(
            ({"settings": {name: value}}, f"measured with another protocol ({name} {getattr(Protocol(), name)}, {value})")
            for name, value in UNLIKE.items()
        ),
    ],
)
def test_overheads_of_unlike_runs_are_incomparable_and_say_why(make, change, reason):
    found = compare(make(variant()), make(variant(pct=9.0), **change))
    assert (row(found).verdict, row(found).why) == ("incomparable", reason)
    assert (row(found).before, row(found).after) == pytest.approx((0.01, 0.09))
    assert row(found, "params").verdict == "same"


def test_machines_that_neither_run_names_are_not_taken_for_one(make):
    assert "id unknown, unknown" in row(compare(make(variant(), machine=None), make(variant(pct=9.0), machine=None))).why


@pytest.mark.parametrize("name", [*Effort.__struct_fields__, "threads"])
def test_effort_may_differ_and_so_may_the_thread_counts(make, name):
    assert row(compare(make(variant()), make(variant(), settings={name: 77}))).verdict == "same"


@pytest.mark.parametrize("own", [{"optimization": "none"}, {"seed": 3}, {"warmup": 9, "processes": 7}])
def test_no_case_is_measured_otherwise_than_the_baseline_it_is_counted_from(own):
    """Its overhead would be a difference of protocols, which the stored run could not show."""
    data = {"sizes": ["96x160"], "case": [{"variant": "encoder.layer3=se_npu", "settings": own}]}
    with pytest.raises(InputError, match=f"{next(iter(own))} is the same for all cases, or their figures would not compare"):
        plan(data)


def test_the_settings_of_an_older_run_file_are_split_and_compared_by_field(make, store, command):
    paths = []
    for number, seed in enumerate((0, 3)):
        run = make(variant(pct=1.0 + 3 * number))
        path = store(run, str(number))
        header, *records = (path / RUN_FILE).read_text().splitlines()
        written = json.loads(header)
        settings = {**written.pop("protocol"), **written.pop("effort"), "seed": seed, "repeat": 3 + number}
        lines = [json.dumps({**written, "schema": 1, "settings": settings}), *records]
        (path / RUN_FILE).write_text("".join(f"{line}\n" for line in lines))
        paths.append(path)
    code, out, _ = command("compare", *paths, "--all")
    assert code == 3
    assert "measured with another protocol (seed 0, 3)" in out


def test_a_setting_that_an_old_run_does_not_name_had_its_default(make):
    old = make(variant())
    left = {name: value for name, value in old.header.settings.items() if name != "provider"}
    old = replace(old, header=with_settings(old.header, left))
    assert row(compare(old, make(variant()))).verdict == "same"
    assert "provider cpu, xnnpack" in row(compare(old, make(variant(), settings={"provider": "xnnpack"}))).why


def test_across_machines_overheads_compare_when_asked_with_what_that_assumes_and_latencies_never(make):
    times = [0.1] * 10
    one, two = make(variant(latency=times)), make(variant(pct=4.0, latency=times), machine="n")
    found = compare(one, two, across_machines=True)
    assert row(found).verdict == "worse"
    assert "machine: id m → n" in [cause.text for cause in row(found).causes]
    assert any(note.startswith("Overheads are compared across machines, as asked. That assumes") for note in found.notes)
    latency = row(found, "latency")
    assert (latency.verdict, latency.why) == ("incomparable", "measured on another machine (id m, n)")
    assert not any("across machines" in note for note in compare(one, one, across_machines=True).notes)
    unlike = make(variant(), machine="n", software={"protocol": 2})
    assert "protocol" in row(compare(one, unlike, across_machines=True)).why


# --- latencies


def test_a_latency_is_told_and_not_judged_unless_asked(make):
    one, two = make(variant(latency=[0.1] * 5)), make(variant(latency=[0.5] * 5))
    found = row(compare(one, two), "latency")
    assert (found.verdict, found.why, found.delta) == (None, SHOWN, pytest.approx(0.4))
    assert compare(one, two).exit_code == 0
    asked = compare(one, two, parse(["latency:5%"]))
    assert row(asked, "latency").verdict == "worse"
    assert asked.exit_code == 1


def test_a_latency_that_is_asked_for_is_judged_by_the_medians_of_its_processes(make):
    def times(slow):  # five processes of four runs each; an outlier in each does no harm
        return [x * slow for level in (0.100, 0.101, 0.099, 0.100, 0.102) for x in (level, level, level, 9.0)]

    gates = parse(["latency:5%"])
    for slow, verdict in ((1.0, "same"), (1.01, "same"), (1.05, "worse"), (0.9, "better")):
        found = row(compare(make(variant(latency=times(1.0))), make(variant(latency=times(slow))), gates), "latency")
        assert found.verdict == verdict
    one = make(variant(latency=times(1.0)), settings={"processes": 1})
    assert row(compare(one, one, gates), "latency").why == "fewer than two replicates"


def test_latencies_at_other_thread_counts_are_told_only(make):
    one = variant(latency=[0.1] * 5)
    two = replace(one, measurements=(*one.measurements, Measurement("latency@2", 0.05, "s", samples=(0.05,) * 5)))
    found = compare(make(two), make(two), parse(["latency:5%"]))
    assert row(found, "latency@2").verdict is None
    assert row(found, "latency").verdict == "same"


# --- cases


def failed(name="a", status="failed"):
    return Record(case(name), status, failure=Failure("export", "CaseFailure", "it broke"), sources=HASHES)


@pytest.mark.parametrize(
    ("before", "after", "verdict", "why"),
    [
        (variant(), failed(), "worse", "failed at export: it broke"),
        (variant(), failed(status="refused"), "worse", "refused at export: it broke"),
        (failed(), variant(), "better", "was failed at export: it broke"),
        (failed(status="refused"), variant(), "better", "was refused at export: it broke"),
        (failed(status="refused"), failed(status="refused"), "same", "refused in both"),
        (failed(), failed(), "incomparable", "failed in both"),
        (failed(), failed(status="refused"), "incomparable", "failed in BASE, refused in NEW"),
        (variant(), replace(variant(), status="skipped"), "incomparable", "ok in BASE, skipped in NEW"),
        (failed(status="skipped"), failed(status="skipped"), "same", "skipped in both"),
    ],
)
def test_what_became_of_a_case(make, before, after, verdict, why):
    found = row(compare(make(before), make(after)), "case")
    assert (found.verdict, found.why) == (verdict, why)
    assert (found.fails == (LOST,)) is (verdict == "worse")


def test_a_case_with_its_figures_in_both_has_no_row_of_its_own_and_a_failed_one_no_others(make):
    assert not [r for r in compare(make(variant()), make(variant())).rows if r.metric == "case"]
    assert [r.metric for r in compare(make(variant()), make(failed())).rows if r.case.variant == "a"] == ["case"]


def test_a_skipped_case_keeps_its_exact_figures(make):
    why = Failure("memory", "CaseSkipped", "41 GB")
    skipped = replace(variant(), status="skipped", measurements=measurements(**BASE), failure=why)
    heavier = replace(skipped, measurements=measurements(**{**BASE, "params": 1001}))
    assert row(compare(make(skipped), make(heavier)), "params").verdict == "worse"


def test_cases_are_added_and_removed_and_what_a_run_did_not_come_to_is_neither(make):
    found = compare(make(variant("a"), variant("b")), make(variant("a"), variant("c")))
    assert (row(found, "case", "b").verdict, row(found, "case", "c").verdict) == ("removed", "added")
    assert "; 1 case added, 1 case removed." in found.notes[2]
    assert [(gap.case.variant, gap.metric) for gap in found.missing] == [("b", "case")], "what is added asks nothing"
    ended = compare(make(variant("a"), variant("b")), make(variant("a"), planned=(case("b"),)))
    assert (row(ended, "case", "b").verdict, row(ended, "case", "b").why) == ("incomparable", "NEW ended before this case")
    assert "2 of 3 cases; the run is not finished" in ended.notes[1]


def test_rows_come_in_the_order_of_the_new_run(make):
    found = compare(make(variant("b"), variant("gone"), variant("a")), make(variant("a"), variant("b")))
    assert list(dict.fromkeys(r.case.variant for r in found.rows)) == ["baseline", "a", "b", "gone"]


def test_figures_of_another_version_of_the_runtime_are_not_compared_unasked(make):
    base, new = make(variant()), make(variant(pct=4.0, figures={"params": 1001}), software={"onnxruntime": "2"})
    found = row(compare(base, new), "overhead")
    assert (found.verdict, found.why) == ("incomparable", "run by another onnxruntime (1, 2)")
    assert row(compare(base, new), "params").verdict == "worse", "what is read off the graph does not ask what runs it"
    assert row(compare(base, new, across_runtimes=True), "overhead").verdict == "worse"


def test_a_case_of_another_runtime_is_another_case(make):
    one = make(variant())
    two = make(replace(variant(), case=structs.replace(variant().case, runtime="openvino")))
    assert {(r.case.runtime, r.verdict) for r in compare(one, two).rows if r.metric == "case" and not r.case.is_baseline} == {
        ("onnxruntime", "removed"), ("openvino", "added"),
    }  # fmt: skip


# --- causes


def causes(found, metric="overhead"):
    return [cause.text for cause in row(found, metric).causes]


@pytest.mark.parametrize(
    ("software", "of_overhead", "of_params"),
    [
        ({}, ["unexplained"], ["unexplained"]),
        ({"opset": 19}, ["exporter: opset 18 → 19"], ["unexplained"]),
        ({"exporter": "f", "canonical_pass": 2}, ["exporter: e → f, canonical pass 1 → 2"], ["unexplained"]),
        ({"onnxruntime": "2"}, ["onnxruntime: 1 → 2"], ["unexplained"]),
        ({"torch": "3"}, ["torch: 2 → 3"], ["torch: 2 → 3"]),
        ({"attnbench": "0.2"}, ["unexplained"], ["unexplained"]),  # BASE does not say its own
        ({"opset": 19, "onnxruntime": "2"}, ["exporter: opset 18 → 19", "onnxruntime: 1 → 2"], ["unexplained"]),
    ],
)
def test_the_cause_is_what_differs_and_can_move_the_figure(make, software, of_overhead, of_params):
    base, new = make(variant()), make(variant(pct=4.0, figures={"params": 1001}), software=software)
    found = compare(base, new, across_runtimes=True)
    assert causes(found) == of_overhead
    assert causes(found, "params") == of_params
    assert not any(r.causes for r in compare(make(variant()), make(variant(), software=software)).rows)


OLD_MODULE = {"sources": {**HASHES, "se_npu": "old"}}


@pytest.mark.parametrize(
    ("before", "header", "metrics", "named"),
    [
        (
            {},  # the exporter moves what is read off the graph, and the runtime does not
            {"software": {"opset": 19, "canonical_pass": 2, "onnxruntime": "2", "torch": "3"}},
            ("macs", "npu@aimotive", "npu_ops@aimotive"),
            ["exporter: opset 18 → 19, canonical pass 1 → 2", "torch: 2 → 3"],
        ),
        (OLD_MODULE, {"software": {"onnxruntime": "2"}}, ("params",), ["code: se_npu"]),
        (OLD_MODULE, {"software": {"onnxruntime": "2"}}, ("overhead",), ["code: se_npu", "onnxruntime: 1 → 2"]),
        ({"sources": {**HASHES, "resnetsan01": "old"}}, {}, ("overhead", "params"), ["code: resnetsan01"]),
        ({"sources": {}}, {}, ("overhead", "npu@aimotive"), ["unexplained: no hashes of the sources are kept"]),
        ({}, {}, ("npu@aimotive",), ["rules: aimotive"]),  # what is left where the graph is the same
        ({}, {"settings": {"canonical": False}}, ("macs",), ["protocol: canonical True → False"]),
        ({"core_share": 0.8}, {}, ("overhead",), ["machine: BASE had 80 % of its core"]),
    ],
)
def test_causes_come_with_the_most_direct_first(make, before, header, metrics, named):
    after = variant(pct=4.0, figures={"params": 1, "macs": 7}, findings=(ours("Mul", "refused"),))
    found = compare(make(variant(**before)), make(after, **header), across_runtimes=True)
    assert [causes(found, metric) for metric in metrics] == [named] * len(metrics)


def test_a_run_that_was_not_alone_is_said_to_be_even_where_nothing_changed(make):
    found = compare(make(variant()), make(variant(core_share=0.59)))
    (note,) = (note for note in found.notes if "not alone" in note)
    assert note.startswith(
        "NEW was not alone: in 1 case other processes left a timing process as little as 59 % of its core"
    )
    assert not any("not alone" in note for note in compare(make(variant()), make(variant())).notes)


@pytest.mark.parametrize(
    ("number", "factor", "said"),
    [(12, 1.2, "1.20"), (12, 1 / 1.2, "0.83"), (12, 1.03, ""), (9, 1.2, ""), (12, 0.0, "")],
)
def test_that_all_overheads_moved_together_is_said_once_they_are_enough(make, number, factor, said):
    amounts = [1 + place / 10 for place in range(number)]

    def run(times, latency):
        host = Record(case("baseline"), "ok", (Measurement("latency", latency, "s"),), sources=HASHES)
        return make(host, *(variant(f"s{place}=m", times * pct) for place, pct in enumerate(amounts)))

    found = [note for note in compare(run(1, 0.1), run(factor, 0.12)).notes if "throughout" in note]
    assert len(found) == bool(said)
    for note in found:
        assert note.startswith(
            f"Overheads of NEW are {said} times those of BASE throughout (median of 12 cases, 95 % interval"
        )
        assert "networks without modules take 1.20 times as long. No module does that" in note


def test_modules_that_moved_apart_are_no_common_shift(make):
    def run(*figures):
        return make(*(variant(f"s{place}=m", pct) for place, pct in enumerate(figures)))

    one, two = run(*[1.0] * 12), run(*[1.5] * 6, *[0.7] * 6)
    assert not any("throughout" in note for note in compare(one, two).notes)


# --- what fails


@pytest.mark.parametrize(
    ("entry", "changes", "fails"),
    [
        ("overhead:1%", {"pct": 2.5}, True),
        ("overhead:1%", {"pct": 1.6}, False),
        ("overhead:0.5%", {"pct": 1.6}, True),
        ("overhead:2%", {"pct": 2.5}, False),
        ("params:0", {"figures": {"params": 1001}}, True),
        ("params:0", {"figures": {"params": 999}}, False),
        ("params:1", {"figures": {"params": 1001}}, False),
        ("params:0.1%", {"figures": {"params": 1001}}, False),
        ("params:0.1%", {"figures": {"params": 1002}}, True),
        ("macs:0", {"figures": {"params": 1001}}, False),
        ("memory:5%", {"figures": {"activation_peak": 8400}}, False),
        ("memory:5%", {"figures": {"activation_peak": 8401}}, True),
        ("activation_peak:400", {"figures": {"activation_peak": 8401}}, True),
        ("nodes:0", {"findings": (ours("Mul"), ours("Add"))}, True),
        ("npu:refused", {"findings": (ours("Mul", "refused"),)}, True),
        ("npu:refused", {"findings": (ours("Mul", "fallback"),)}, False),
        ("npu:fallback", {"findings": (ours("Mul", "fallback"),)}, True),
        ("npu:fallback", {"findings": (ours("Mul", "refused"),)}, True),
        ("npu:unknown", {"findings": (ours("Mul", "unknown"),)}, True),
        ("npu:unknown", {"findings": (ours("Mul", "constrained"),)}, False),
        ("none", {"pct": 9.0, "figures": {"params": 1001}}, False),
        ("elementwise_ops:50%", {"figures": {"elementwise_ops": 1}}, True),  # from nothing any rise is above a share
    ],
)
def test_each_form_of_an_entry(make, entry, changes, fails):
    before = variant(figures={"elementwise_ops": 0})
    found = compare(make(before), make(variant(**{"figures": {"elementwise_ops": 0}, **changes})), parse([entry]))
    assert {failed for one in found.regressions for failed in one.fails} == ({entry} if fails else set())
    assert found.exit_code == (1 if fails else 0)


def test_a_verdict_that_was_as_bad_before_is_no_regression(make):
    bad, worse = (variant(findings=tuple(ours(op, "refused") for op in ops)) for ops in (("Mul",), ("Mul", "Add")))
    for after in (bad, worse):
        assert compare(make(bad), make(after), parse(["npu:unknown"])).exit_code == 0


def test_entries_may_be_repeated_and_given_one_by_one(make):
    gates = parse(["overhead:2%, overhead:0.5%", "params:0"])
    assert gates.text == "overhead:2%,overhead:0.5%,params:0"
    assert gates.smallest("overhead", 0.01) == 0.005
    found = compare(make(variant()), make(variant(pct=1.6)), gates)
    assert row(found).fails == ("overhead:0.5%",)
    assert found.threshold == 0.005
    assert parse(["params:0", "params:0"]).text == "params:0"


def test_the_default_is_what_it_is_said_to_be(make):
    assert parse([]).text == DEFAULT == "overhead:1%:10%,params:0,macs:0,memory:5%,npu:refused"
    figures = {"params": 1001, "macs": 1_000_001, "activation_peak": 9000, "weights": 9999}
    found = compare(make(variant()), make(variant(pct=3.0, figures=figures, findings=(ours("Mul", "refused"),))))
    assert [entry for one in found.regressions for entry in one.fails] == [
        "params:0", "macs:0", "memory:5%", "npu:refused", "overhead:1%:10%",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("overhed:1%", "unknown metric of --fail-on 'overhed': did you mean 'overhead'?"),
        ("parms:0", "did you mean 'params'?"),
        ("params", "--fail-on 'params' has no threshold: write params:0 or params:5%"),
        ("overhead", "--fail-on 'overhead' has no threshold: write overhead:1%"),
        (
            "overhead:1",
            "--fail-on 'overhead:1' has no threshold that is a share of the baseline's latency: write overhead:1%",
        ),
        ("latency:3ms", "has no threshold that is a share of what it was: write latency:5%"),
        ("params:-1", "has no threshold that is a number or a share of what it was: write params:0 or params:5%"),
        ("overhead:0%", "--fail-on 'overhead:0%' asks for what noise never grants"),
        ("npu:refusd", "unknown NPU verdict of --fail-on 'refusd': did you mean 'refused'?"),
        ("npu:ok", "known: fallback, refused, unknown"),
        ("npu", "--fail-on 'npu' has no threshold: write npu:refused"),
        ("", "--fail-on '' names no metric: write it like overhead:1%:10%,params:0"),
        ("params:0,,macs:0", "--fail-on '' names no metric"),
        (":5", "--fail-on ':5' names no metric"),
        ("overhead:1%:2", "after the second colon stands a share of the overhead itself: write overhead:1%:10%"),
        ("overhead:1%:", "after the second colon stands a share of the overhead itself"),
        ("overhead::5%", "has no threshold that is a share of the baseline's latency: write overhead:1%"),
        ("memory:5%:5%", "has no threshold that is a number or a share of what it was"),
        ("none,params:0", "unknown metric of --fail-on 'none'"),
    ],
)
def test_what_cannot_be_read_is_one_line(text, message):
    with pytest.raises(InputError) as caught:
        parse([text])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UnknownName) is ("unknown" in str(caught.value))


# --- exit codes: never a silent pass


def test_nothing_compared_is_no_pass(make):
    nothing = compare(make(variant("a")), replace(make(), header=make(variant("b")).header, records=(variant("b"),)))
    assert nothing.exit_code == 3
    assert "Nothing could be compared: the reasons stand below." in nothing.notes


def test_a_metric_that_is_failed_on_and_compared_in_no_case_is_no_pass(make):
    one, two = make(variant()), make(variant(), machine="n")
    found = compare(one, two)
    assert (found.exit_code, found.not_compared) == (3, ("overhead",))
    assert any(note.startswith("Of overhead, which --fail-on names, nothing") for note in found.notes)
    assert compare(one, two, parse(["params:0,macs:0"])).exit_code == 0
    assert compare(one, two, across_machines=True).exit_code == 0
    regressed = compare(one, make(variant(figures={"params": 1001}), machine="n"))  # counts more
    assert (regressed.exit_code, regressed.not_compared) == (1, ("overhead",))
    unresolved = compare(make(variant(scatter=3.0)), make(variant(pct=1.1, scatter=3.0)))
    assert (unresolved.exit_code, unresolved.not_compared) == (4, ())


def test_what_neither_run_holds_is_missed_only_where_it_was_asked_for(make):
    bare = make(variant(findings=()), targets=())
    bare = replace(bare, records=tuple(replace(record, findings=()) for record in bare.records))
    assert compare(bare, bare).exit_code == 0
    assert compare(bare, bare, parse(["npu:refused"])).not_compared == ("npu",)
    assert compare(bare, bare, parse(["memory:1%", "weights:0"])).exit_code == 0
    assert compare(bare, bare, parse(["npu_islands:0"])).exit_code == 3


# --- what is shown


@pytest.fixture
def pair(make, store):
    """Two stored runs with something of everything between them."""
    before = make(
        variant("better", 4.0), variant("gone"), variant("noisy", scatter=3.0), variant("same"), variant("worse"),
        variant("lost"), variant("big"),
    )  # fmt: skip
    after = make(
        variant("better", 1.0), variant("new"), variant("noisy", 1.5, scatter=3.0), variant("same"), variant("worse", 4.0),
        failed("lost"), variant("big", figures={"weights": 5000}), software={"torch": "3"},
    )  # fmt: skip
    return store(before, "one"), store(after, "two")


def test_the_command_says_first_what_came_of_it_and_last_what_was_compared(command, pair):
    code, out, err = command("compare", *pair)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == f"2 regressions in 2 cases by --fail-on {DEFAULT} (the default)."
    assert lines[1] == "1 gated figure of 1 case could not be compared, which is no pass: listed below."
    assert "1 case added, 1 case removed." in lines[3]
    last = out.partition("What that rests on\n")[2].splitlines()
    assert last[0] == f"- BASE {pair[0]}: 2026-01-01T00:00:00+00:00, commit abc, on a CPU (id m), 8 of 8 cases."
    assert last[1].startswith(f"- NEW {pair[1]}: ")
    titles = ["Regressions", "Worse, and not failed on", "Better", "Not resolved", "Cases of one run alone"]
    assert [out.index(title) for title in titles] == sorted(out.index(title) for title in titles)
    assert "Every figure" not in out
    assert "+3.000 [2.904, 3.096] points" in out
    assert "torch: 2 → 3" in out
    assert "+1,000 (+25 %)" in out


def test_all_shows_every_figure(command, pair):
    _, short, _ = command("compare", *pair)
    _, out, _ = command("compare", *pair, "--all")
    table = out.partition("Every figure")[2]
    assert table
    assert len(out) > len(short)
    assert table.count("params") == 6


def test_a_run_beside_itself_is_the_same(command, pair):
    code, out, _ = command("compare", pair[0], pair[0])
    assert code == 0
    assert "0 better, 0 worse, 0 incomparable" in out
    assert "Both are the same run." in out


def test_the_committed_run_beside_itself_is_the_same(command):
    path = ROOT / "results" / "report"
    code, out, _ = command("compare", path, path, "--fail-on", "overhead:1%,params:0,npu:unknown,memory:0,latency:1%")
    assert code == 0
    assert "0 better, 0 worse, 0 incomparable" in out
    assert "No regression by --fail-on" in out


def test_bytes_and_missing_figures_are_shown_in_words(make):
    weights, peak = (Measurement(name, value, "B", exact=True) for name, value in (("weights", 4_000_000), ("peak", 0)))
    one = Record(case("a"), "ok", (weights, peak))
    two = replace(one, measurements=tuple(replace(m, value=m.value + 500_000) for m in one.measurements))
    shown = dict(sections(compare(make(one), make(two))))["Worse, and not failed on"].records()
    assert [(r["before"], r["after"], r["change"]) for r in shown] == [
        ("4.00 MB", "4.50 MB", "+500 kB (+12 %)"),
        ("0 B", "500 kB", "+500 kB"),
    ]


def test_reasons_are_grouped(make):
    three = [variant(name) for name in "abc"]
    found = compare(make(*three), make(*three, machine="n"))
    shown = dict(sections(found))["Incomparable, by reason"].records()
    assert shown == [
        {"metric": "overhead", "figures": "3", "reason": "measured on another machine (id m, n)"},
        {"metric": "latency", "figures": "1", "reason": "measured on another machine (id m, n)"},
    ]


def test_csv_holds_every_row_unrounded(command, pair, tmp_path):
    code, _, _ = command("compare", *pair, "-f", "csv", "-o", tmp_path / "out.csv")
    assert code == 1
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert list(rows[0]) == list(COLUMNS)
    (one,) = (r for r in rows if (r["variant"], r["metric"]) == ("worse", "overhead"))
    assert (one["verdict"], one["unit"], one["fails"], one["causes"]) == (
        "worse",
        "%",
        "overhead:1%:10%",
        "torch: 2 → 3",
    )
    assert (float(one["before"]), float(one["after"]), float(one["delta"])) == pytest.approx((1.0, 4.0, 3.0))
    assert float(one["delta_low"]) < 3 < float(one["delta_high"])
    assert 0 < float(one["p"]) < float(one["p_holm"])
    assert {r["verdict"] for r in rows} == {"same", "better", "worse", "added", "removed", "unresolved", ""}


def test_json_holds_runs_question_outcome_and_every_row(command, pair):
    code, out, _ = command("compare", *pair, "--format", "json", "--fail-on", "overhead:0.5%")
    answer = json.loads(out)
    assert (code, answer["exit_code"], answer["schema"]) == (1, 1, 1)
    assert (answer["fail_on"], answer["threshold_points"], answer["figures"]["worse"]) == ("overhead:0.5%", 0.5, 3)
    assert answer["base"]["machine"] == {"id": "m", "cpu": "a CPU"}
    assert answer["new"]["software"]["torch"] == "3"
    assert set(answer["rows"][0]) == set(COLUMNS)
    (told,) = (r for r in answer["rows"] if r["metric"] == "latency" and r["variant"] == "baseline")
    assert (told["verdict"], told["unit"], told["before"]) == (None, "ms", 100.0)


def test_markdown_to_the_screen_and_to_a_file(command, pair, tmp_path):
    _, out, _ = command("compare", *pair, "-f", "md")
    assert out.startswith("# Comparison\n\n")
    assert "## Regressions\n\n| variant" in out
    _, silent, _ = command("compare", *pair, "-o", tmp_path / "c.md")
    assert silent == ""
    assert (tmp_path / "c.md").read_text() == out


def test_host_size_and_batch_are_shown_where_they_tell_cases_apart(make):
    one = variant(figures={"params": 1})
    other = replace(one, case=structs.replace(one.case, size="96x160"))
    before = replace(variant(), case=other.case)
    found = compare(make(variant(), before), make(one, other))
    assert list(dict(sections(found))["Better"].columns)[:2] == ["size", "variant"]


def test_every_column_is_explained_and_empty_comparisons_render(make):
    assert all(COLUMNS.values())
    empty = replace(make(), records=(), header=replace(make().header, cases=()))
    found = compare(empty, empty)
    assert found.exit_code == 3
    assert answer(found).csv().strip() == ",".join(COLUMNS)
    assert json.loads(answer(found).json())["rows"] == []
    assert "Nothing could be compared" in answer(found, everything=True).markdown()


# --- files: bad, old and torn ones


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail-on", "oberhead:1%"], "did you mean 'overhead'"),
        (["--fail-on", "params:x"], "write params:0 or params:5%"),
        (["-o", "/nowhere/x.md"], "cannot write /nowhere/x.md"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_two(refused, pair, arguments, message):
    assert message in refused("compare", *pair, *arguments)


def test_a_file_that_is_no_run_is_one_line(refused, pair, tmp_path):
    empty, text = tmp_path / "empty.jsonl", tmp_path / "text.jsonl"
    empty.write_text("")
    text.write_text("hello\n")
    for path, message in (("nowhere", "there is no run file"), (empty, "is empty"), (text, "not the header of a run")):
        assert message in refused("compare", pair[0], path)


def test_a_torn_run_is_compared_as_far_as_it_goes(command, pair):
    file = pair[1] / RUN_FILE
    file.write_bytes(file.read_bytes()[:-40])
    code, out, _ = command("compare", *pair)
    assert code == 1
    assert "the run is not finished" in out
    assert "NEW ended before this case" in out


def test_a_run_of_an_older_version_is_compared(make, store, command):
    """One without hashes, protocol, commit time, provider, machine id or the newer metrics."""
    old = make(variant(sources={}))
    few = {name: old.header.settings[name] for name in ("processes", "warmup", "repeat", "seed")}
    software = {"torch": "2", "onnxruntime": "1"}
    header = replace(with_settings(old.header, few), machine={"cpu": "a CPU"}, software=software)
    path = store(replace(old, header=header), "old")
    code, out, _ = command("compare", path, store(make(variant(figures={"params": 1001}))))
    assert code == 1
    assert "of no known commit, on a CPU (id unknown)" in out
    assert "measured on another machine (id unknown, m)" in out
    assert "unexplained: no hashes of the sources are kept" in out


def test_latest_is_the_run_that_was_written_last(command, pair):
    results = pair[0].parent
    (pair[1] / RUN_FILE).touch()
    code, out, _ = command("compare", pair[0], "latest", "--results", results)
    assert code == 1
    assert f"NEW latest ({pair[1]}): " in out


# --- the baseline


def test_a_baseline_is_a_small_file_that_names_a_run(command, pair):
    results = pair[0].parent
    code, out, _ = command("baseline", "set", pair[0], "--results", results)
    assert (code, out) == (0, f"{results / BASELINE_FILE} names one/run.jsonl of 2026-01-01T00:00:00+00:00: commit both\n")
    text = (results / BASELINE_FILE).read_text()
    assert len(text) < 400
    assert 'run = "one/run.jsonl"' in text
    assert 'commit = "abc"' in text
    assert command("compare", "baseline", pair[1], "--results", results)[0] == 1
    code, out, _ = command("compare", "baseline", "baseline", "--results", results)
    assert code == 0
    assert f"- BASE baseline ({pair[0]}): " in out
    code, out, _ = command("baseline", "show", "--results", results)
    assert code == 0
    assert out.splitlines()[0].startswith("one/run.jsonl, started 2026-01-01T00:00:00+00:00, commit abc, sha256 ")


def test_the_baseline_is_found_from_wherever_the_results_are_named(command, pair, monkeypatch):
    results = pair[0].parent
    monkeypatch.chdir(results.parent)
    assert command("baseline", "set", "results/one")[0] == 0
    monkeypatch.chdir("/")
    assert command("compare", "baseline", pair[0], "--results", results)[0] == 0


def test_the_latest_run_can_be_made_the_baseline(command, pair):
    (pair[1] / RUN_FILE).touch()
    assert "names two/run.jsonl" in command("baseline", "set", "latest", "--results", pair[0].parent)[1]


def test_an_unfinished_baseline_says_so(command, make, store):
    path = store(make(planned=(case("later"),)))
    _, out, _ = command("baseline", "set", path, "--results", path.parent)
    assert "that run is not finished" in out


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ({f"one/{RUN_FILE}": None}, "is gone: bring it back, or attnbench baseline set RUN names another"),
        ({f"one/{RUN_FILE}": "{}\n"}, "changed since it was named"),
        ({BASELINE_FILE: None}, "there is no baseline in"),
        ({BASELINE_FILE: "run = "}, "not a baseline's file"),
        ({BASELINE_FILE: 'run = "x"'}, "not a baseline's file (KeyError: 'started')"),
        ({BASELINE_FILE: 'run = 1\nstarted = ""\ncommit = ""\nsha256 = ""'}, "run is not a text"),
    ],
    ids=["gone", "changed", "none", "no TOML", "lacking", "no text"],
)
def test_a_baseline_that_is_not_what_it_was_is_one_line(command, pair, harm, message):
    results = pair[0].parent
    command("baseline", "set", pair[0], "--results", results)
    ((name, content),) = harm.items()
    (results / name).unlink() if content is None else (results / name).write_text(content)
    for arguments in (("compare", "baseline", pair[1]), ("baseline", "show")):
        code, _, err = command(*arguments, "--results", results)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


def test_a_baseline_cannot_be_set_to_what_is_no_run_or_written_nowhere(command, pair):
    assert command("baseline", "set", "nowhere", "--results", pair[0].parent)[0] == 2
    code, _, err = command("baseline", "set", pair[0], "--results", "/nowhere")
    assert (code, err) == (2, "attnbench: cannot write /nowhere/baseline.toml: No such file or directory\n")


# --- speed


def test_it_loads_no_torch_no_onnx_and_no_runtime(pair):
    lines = [("compare", *pair, "--format", name) for name in ("table", "md", "json", "csv")]
    assert not loaded_by(*lines, code=1) & HEAVY


def test_to_import_it_loads_no_scipy_and_no_pandas():
    """Only what is noisy needs a distribution, and only a table pandas."""
    script = "import sys\nimport attnbench.judge.compare\nassert not {'scipy', 'pandas', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_script_that_times_reading_makes_runs_that_compare(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import reading_speed

    word, *paths = reading_speed.compare(tmp_path, 60)
    found = compare(*map(load_run, paths))
    assert (word, found.exit_code, len({one.case for one in found.rows})) == ("compare", 0, 60)
    assert sum(one.p is not None for one in found.rows) == 58
    done = subprocess.run([sys.executable, reading_speed.__file__, "--help"], capture_output=True, text=True, check=True)
    assert "--quick" in done.stdout


def test_the_help_names_the_default(command):
    _, out, _ = command("compare", "--help")
    plain = "".join(out.replace("│", " ").split())
    assert DEFAULT in plain
