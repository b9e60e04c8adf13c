"""The calibration experiments: their scripts start, and what is committed is as large and as good as it is said to be."""

import importlib
import json
import re
import runpy
from collections import Counter
from itertools import product
from pathlib import Path
from statistics import fmean, median, stdev

import pytest
from conftest import minutes_of
from scipy.stats import binomtest

from attnbench.core.statistics import difference_interval, signed_rank_interval
from attnbench.judge.compare import compare
from attnbench.judge.compare.notes import COUNTED
from attnbench.judge.rows import rows_of
from attnbench.judge.verdicts import REFERENCE_POINTS, systematic_points
from attnbench.measure.int8 import A_STEP
from attnbench.measure.learned import REFERENCE
from attnbench.modules import MODULES
from attnbench.report.markdown import TERMS
from attnbench.report.trust import pooled
from attnbench.runs.figures import paired_overhead
from attnbench.runs.store import load_run

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "calibration"
PAGES = [path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]
PROSE = "\n".join(PAGES)
"""The README and `docs/`, which say what was found."""


def said(pattern: str) -> set[tuple[str, ...]]:
    """What the pages say, wherever they say it: the groups of the pattern, over line ends."""
    found = {match.groups() for match in re.finditer(pattern, " ".join(PROSE.split()))}
    assert found, pattern
    return found


SCRIPTS = sorted(
    path
    for path in (ROOT / "benchmarks" / "calibration").glob("*.py")
    if "experiment(" in path.read_text() and path.stem != "lab"
)


def raw(name: str):
    return json.loads((RESULTS / f"{name}.json").read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_experiment_starts_and_has_its_result_with_the_machines_load(script, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [str(script), "--help"])
    monkeypatch.syspath_prepend(script.parent)
    with pytest.raises(SystemExit, match="^0$"):
        runpy.run_path(str(script), run_name="__main__")
    assert "--quick" in capsys.readouterr().out
    page = (RESULTS / f"{script.stem}.md").read_text()
    assert "load average" in page
    assert "onnxruntime" in page
    assert "|" in page
    assert raw(script.stem)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_page_says_what_its_raw_figures_come_to(script, monkeypatch):
    monkeypatch.syspath_prepend(script.parent)
    page = importlib.import_module(script.stem).page(raw(script.stem))
    assert f"\n\n{page}\n\n" in (RESULTS / f"{script.stem}.md").read_text()


def test_these_are_the_experiments():
    assert [path.stem for path in SCRIPTS] == [
        "aa_attributed",
        "aa_paired",
        "coverage",
        "history",
        "injection",
        "linearity",
        "neighbour",
        "panels",
        "panels_int8",
        "parity_int8",
        "peers",
        "power",
        "repeats",
        "runtimes",
        "steps",
        "wall",
    ]


def misses(estimates) -> int:
    return sum(not estimate.low <= 0 <= estimate.high for estimate in estimates)


@pytest.mark.parametrize(("size", "least"), [("96x160", 200), ("384x640", 30)])
def test_differences_that_are_not_there_are_seen_in_one_comparison_of_twenty_and_no_more_as_far_as_can_be_told(size, least):
    paired = [paired_overhead(ratios) for ratios in raw("aa_paired")[size]]
    attributed = [difference_interval(*both) for series in raw("aa_attributed")[size].values() for both in series]
    for estimates in (paired, attributed):
        assert len(estimates) >= least
        assert binomtest(misses(estimates), len(estimates)).proportion_ci(method="exact").low <= 0.05


def test_attribution_scatters_by_a_tenth_of_a_point_at_full_size():
    for series in raw("aa_attributed")["384x640"].values():
        assert stdev(fmean(replicates) for both in series for replicates in both) <= 0.001


@pytest.fixture
def references(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "calibration")
    return importlib.import_module("wall").held(raw("wall"))


def test_the_systematic_part_holds_for_references_of_three_hosts_and_shows_no_more_than_is_said(references):
    assert len(references) >= 60
    assert len({one.host for one in references}) >= 3
    assert all(one.is_within for one in references)
    held = sum(one.in_expanded for one in references)
    assert held >= 0.95 * len(references)
    assert said(r"(\d+) of (\d+) long runs against the clock lie within that") == {(str(held), str(len(references)))}
    least = binomtest(len(references), len(references)).proportion_ci(0.9, method="exact").low  # one-sided, at 95 %
    assert said(r"holds for (\d+) of (\d+), which shows that it holds for (\d+) % of such cases") == {
        (*[str(len(references))] * 2, f"{100 * least:.0f}")
    }
    assert (
        f"in {len(references)} references of {len(references)}, which shows that it is in {100 * least:.0f} %"
        in TERMS["systematic"]
    )
    long = [
        one
        for one in references
        if one.size == "96x160" and one.variant in ("encoder.layer3=cbam_npu", "decoder.fusion=se_npu")
    ]
    assert [sum(one.figures["pairs"]) >= 600 for one in long] == [True, True]


def test_the_references_clock_is_as_uncertain_as_is_said(references):
    passes = zip(
        *([a - c for a, c in zip(o.figures["attributed"], o.figures["cpu"], strict=True)] for o in references), strict=True
    )
    assert 100 * stdev(map(fmean, passes)) == pytest.approx(REFERENCE_POINTS, abs=0.015)


def test_the_pages_say_what_references_come_to_when_added_up(references):
    sums = importlib.import_module("wall").ratio_of_sums

    def words(own) -> tuple[str, ...]:
        return tuple(re.findall(r"[\d.]+", sums(own)))

    everything, mobile = references, [one for one in references if one.host == "mobilenet_v2"]
    small, stem = (
        [one for one in references if at in (one.size, one.variant.split("=")[0])] for at in ("96x160", "encoder.stem")
    )
    assert said(r"attribution reads ([\d.]+) times what the clock does \(([\d.]+) to ([\d.]+)\)") == {words(everything)}
    assert said(r"([\d.]+) times for MobileNetV2, a network of 10 ms \(([\d.]+) to ([\d.]+)\)") == {words(mobile)}
    assert said(r"([\d.]+) times for ResNetSAN01 at 96x160 \(([\d.]+) to ([\d.]+)\)") == {words(small)}
    assert said(r"\(([\d.]+) times the clock, ([\d.]+) to ([\d.]+)\)") == {words(stem)}
    assert said(r"the (\d+) of the \d+ references that stand at the stem, with (\d+) to (\d+) pairs each") == {
        (str(len(stem)), *(str(end(sum(one.figures["pairs"]) for one in stem)) for end in (min, max)))
    }


def test_no_runtimes_clock_contradicts_its_nodes_and_openvino_has_no_time_between_them(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "calibration")
    experiment, found = importlib.import_module("runtimes"), raw("runtimes")
    for runtime, own in found.items():
        words = [experiment.row(runtime, variant, figures)["the two"] for variant, figures in own.items()]
        assert "disagree" not in words
        assert words.count("agree") >= 2
    (openvino,) = (own for runtime, own in found.items() if runtime.startswith("openvino"))
    further = experiment.further_node(openvino)
    assert further.low <= 0 <= further.high <= 1
    assert said(r"each further node adds (\S+) us to it \((\S+) to (\S+)\)") == {
        tuple(f"{value:.2f}" for value in (further.value, further.low, further.high))
    }
    processes = [100 * (median(ratios) - 1) for ratios in openvino["decoder.fusion=se"]["ratios"]]
    assert said(r"costs (-[\d.]+) %, and those of another (\d+\.\d)") == {(f"{min(processes):.1f}", f"{max(processes):.1f}")}


def test_the_runtimes_int8_kernels_stray_by_less_than_the_bound_in_every_module(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "calibration")
    experiment, found = importlib.import_module("parity_int8"), raw("parity_int8")["modules"]
    assert found.keys() == set(MODULES.names())
    ratios = [ratio for own in found.values() for ratio in experiment.ratios_of(own)]
    assert len(ratios) >= 300
    assert max(ratios) < A_STEP
    assert said(r"largest of (\d+) graphs, (\d\.\d+) times") == {(str(len(ratios)), f"{max(ratios):.2f}")}


def test_intervals_hold_the_mean_of_equal_runs_as_often_as_is_said(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "calibration")
    experiment, found = importlib.import_module("coverage"), raw("coverage")
    before, *_, now = [experiment.coverage(experiment.hits(found, way)) for way in found["intervals"]]
    assert 93 <= now.value <= 97
    assert before.high < 93
    assert said(r"the other equal runs in ([\d.]+) %; with the variance model it does in ([\d.]+) %") == {
        (f"{before.value:.1f}", f"{now.value:.1f}")
    }
    assert round(found["all"], 2) == REFERENCE.ratio
    assert len(found["means"]["encoder.layer3=eca"]) == 61


@pytest.mark.parametrize(("cases", "least"), [("6", 90), ("85", 75), ("1000", 25)])
def test_told_what_runs_differ_by_more_is_found_and_no_more_alarms_are_raised_than_allowed(cases, least):
    before, now, resolved, told, told_resolved = raw("power")[cases].values()
    assert 100 * told["found"] / told["comparisons"] >= least
    assert before["found"] < min(now["found"], told["found"])
    for own in (before, told, told_resolved):
        assert binomtest(own["alarms"], own["comparisons"]).proportion_ci(method="exact").low <= 0.05
        assert own["same"] / own["comparisons"] <= 0.2
    assert told["same"] / told["comparisons"] <= 0.05
    for first, after in ((now, resolved), (told, told_resolved)):
        assert first["more"] == 0 < after["more"]
        assert after["open"] < first["open"]


def test_what_the_pages_say_of_a_noisy_hour_is_what_the_two_runs_come_to():
    paths = ROOT / "results" / "report" / "run.jsonl", RESULTS / "noisy_hour.jsonl"
    found = compare(*map(load_run, paths))
    (shift,) = (note for note in found.notes if "throughout" in note)
    times, cases, low, high, network = re.match(
        r"Overheads of NEW are ([\d.]+) times .*median of (\d+) cases, .* interval ([\d.]+) to ([\d.]+)\);.* take ([\d.]+) times",
        shift,
    ).groups()
    assert said(
        r"networks without modules took ([\d.]+) times as long, and overheads read ([\d.]+) times as much throughout "
        r"\(median of (\d+) cases, ([\d.]+) to ([\d.]+)\)"
    ) == {(network, times, cases, low, high)}
    assert said(r"([\d.]+) times as much\]\(docs/measuring.md#uncertainty") == {(times,)}
    verdicts = Counter(row.verdict for row in found.rows)
    figures = sum(verdicts[one] for one in COUNTED)
    assert said(r"called (\d+) of ([\d,]+) figures worse and (\d+) not resolved") == {
        (str(verdicts["worse"]), f"{figures:,}", str(verdicts["unresolved"]))
    }
    minutes = [minutes_of(path) for path in paths]
    assert said(r"it took (\d+) minutes for (\d+)") == {tuple(f"{one:.0f}" for one in reversed(minutes))}
    assert said(r"in a noisy hour it takes (\d+), and overheads") == {(f"{minutes[1]:.0f}",)}


def test_what_the_pages_say_of_the_pairs_is_what_the_run_with_pairs_comes_to():
    rows = rows_of(load_run(ROOT / "results" / "report-avx512"))
    by_place = {found["place"]: found for found in pooled(rows).records()}
    everywhere, stem = by_place["all cases"], by_place["encoder.stem"]
    assert everywhere["attributed less paired (points)"] == "+0.22 [0.00, 0.46]"
    assert said(
        r"Over all (\d+) together attribution reads ([\d.]+) points more than the pairs \(0.00 to 0.46, p ([\d.]+)\)"
    ) == {(everywhere["cases"], "0.22", everywhere["p"])}
    assert stem["attributed less paired (points)"].startswith("+1.7")
    assert said(r"in (\d+) of (\d+), which are called \*too blunt") == {
        (str(sum(row.agreement == "too blunt" for row in rows)), everywhere["cases"])
    }


def test_the_pages_comparison_is_the_committed_one():
    rows = [line.strip("|").split("|") for line in (RESULTS / "peers.md").read_text().splitlines() if line.startswith("| ")]
    head = [cell.strip() for cell in rows[0]]
    for row in rows[1:]:
        cells = dict(zip(head, (cell.strip() for cell in row), strict=True))
        line = next(line for line in PROSE.splitlines() if line.startswith(f"| {cells['way']} "))
        for name in ("answers (%)", "error, root mean square (points)", "seconds an answer", "wrong sign"):
            assert f" {cells[name]} " in line
    errors = [
        float(dict(zip(head, map(str.strip, row), strict=True))["error, root mean square (points)"]) for row in rows[1:]
    ]
    assert said(r"attnbench errs by ([\d.]+) points") == {(f"{errors[-1]:.2f}",)}
    assert said(r"with their defaults, err by ([\d.]+) to ([\d.]+) points") == {
        (f"{min(errors[:-2]):.1f}", f"{max(errors[:-2]):.1f}")
    }


def test_the_pages_figures_of_precision_are_the_committed_ones():
    pairs = sum(sum(found["pairs"]) for found in raw("wall").values())
    assert f"{pairs:,.0f} interleaved pairs" in PROSE
    spreads = [
        100 * stdev(fmean(replicates) for both in series for replicates in both)
        for series in raw("aa_attributed")["384x640"].values()
    ]
    assert f"{min(spreads):.3f} to {max(spreads):.3f} points" in PROSE
    centres = [100 * signed_rank_interval(found["cpu"]).value for found in raw("wall").values()]
    assert f"from {min(centres):.1f} to {max(centres):.1f} %" in PROSE


@pytest.fixture
def ci(monkeypatch):
    """The reading half of the experiment on CI, and its runs as committed."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "calibration")
    judged = importlib.import_module("judged")
    return judged, judged.samples(raw("history"))


def test_the_month_of_ci_is_as_long_as_it_is_said_to_be(ci):
    _, found = ci
    assert sum(not one.slower for one in found) == 61
    assert sum(bool(one.slower) for one in found) == 20
    assert {one.slower for one in found} - {""} == set(raw("history")["truth"])
    assert len(set(raw("history")["truth"])) == 5


def test_by_the_clock_every_slower_module_is_slower_by_six_tenths_of_a_percent(ci):
    for variant, truth in raw("history")["truth"].items():
        clock = signed_rank_interval(truth["clock"])
        assert 0.0057 <= clock.value <= 0.0062, variant
        assert clock.high - clock.low <= 0.0018, variant


@pytest.mark.parametrize("base", ["FIRST", "BEFORE"])
def test_compare_raises_no_false_alarm_in_60_and_finds_at_least_18_of_20_slower_modules_by_a_gate_of_half_a_point(ci, base):
    judged, found = ci
    assert not any(one.alarm for one in judged.judged(found, getattr(judged, base), slower=False))
    equal = judged.judged(found, getattr(judged, base), slower=False, gate=judged.HALF)
    slower = judged.judged(found, getattr(judged, base), slower=True, gate=judged.HALF)
    assert len(equal) == 60
    assert len(slower) == 20
    assert not any(one.alarm for one in equal)
    assert sum(one.found for one in slower) >= 18
    assert not any(one.sought.verdict == "same" for one in slower)
    assert all(one.names_source for one in slower if one.found)


def test_every_page_has_the_committed_counts(ci):
    judged, found = ci
    page = (RESULTS / "history.md").read_text()
    for base, gate in product((judged.FIRST, judged.BEFORE), ("", judged.HALF)):
        for row in (judged.alarm_row(found, base, gate), judged.detection_row(found, base, gate)):
            assert re.search(r"\| " + r" +\| ".join(map(re.escape, row.values())) + r" +\|", page)
    alarms, detections = (row(found, judged.FIRST, judged.HALF) for row in (judged.alarm_row, judged.detection_row))
    assert said(r"(\d+) false alarms in (\d+) comparisons") == {(alarms["false alarms"], alarms["comparisons"])}
    assert said(r"found (\d+) of (\d+)") == {(detections["found"], detections["comparisons"])}


def test_beside_busy_neighbours_there_is_no_false_alarm_and_the_page_says_how_busy(ci):
    judged, _ = ci
    found = judged.samples(raw("neighbour"))
    alarms = sum(one.alarm for one in judged.judged(found, judged.FIRST, slower=False))
    assert alarms == 0
    assert said(r"no false alarm in (\d+) runs either") == {(str(len(found) - 1),)}
    shares = [record.value("core_share") for one in found[1:] for record in one.run.records]
    assert said(r"had (\d+) % of its core") == {(f"{100 * median(shares):.0f}",)}
    ratios = [
        fmean(one.run.record(record.case).value("overhead") for one in found[1:]) / record.value("overhead")
        for record in found[0].run.records
        if not record.case.is_baseline
    ]
    assert said(r"means read (\d+) % lower to (\d+) % higher") == {
        (f"{100 - 100 * min(ratios):.0f}", f"{100 * max(ratios) - 100:.0f}")
    }
    for record in found[0].run.records:
        for busy in () if record.case.is_baseline else [one.run.record(record.case) for one in found[1:]]:
            calm, share = 100 * record.value("overhead"), 100 * busy.value("core_share")
            assert abs(100 * busy.value("overhead") - calm) <= systematic_points(calm, share)


def test_track_finds_no_step_in_a_month_of_the_same_code_and_each_that_a_slower_module_makes():
    """By the page, which is what ``track`` makes of the raw figures: a test above has it made anew."""
    page = (RESULTS / "history.md").read_text()
    assert "over the 61 runs of the code as it was finds 0 steps" in page
    assert "finds the step at the right run for 5 of 5 modules" in page
