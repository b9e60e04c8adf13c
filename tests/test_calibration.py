"""The calibration experiments: their scripts start, and what is committed is as large and as good as it is said to be."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean, stdev

import pytest
from scipy.stats import binomtest

from attnbench.measure.crosscheck import paired_overhead
from attnbench.report.verdicts import systematic_points
from attnbench.statistics import difference_interval, signed_rank_interval

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "calibration"
SCRIPTS = sorted(
    path
    for path in (ROOT / "benchmarks" / "calibration").glob("*.py")
    if "experiment(" in path.read_text() and path.stem != "lab"
)


def raw(name: str):
    return json.loads((RESULTS / f"{name}.json").read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_experiment_starts_and_has_its_result_with_the_machines_load(script):
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=True)
    assert "--quick" in done.stdout
    page = (RESULTS / f"{script.stem}.md").read_text()
    assert "load average" in page
    assert "onnxruntime" in page
    assert "|" in page
    assert raw(script.stem)


def test_these_are_the_experiments():
    assert [path.stem for path in SCRIPTS] == ["aa_attributed", "aa_paired", "injection", "linearity", "peers", "wall"]


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


def test_the_systematic_part_holds_for_every_long_reference():
    for name, found in raw("wall").items():
        clock, attributed = signed_rank_interval(found["cpu"]), fmean(found["attributed"])
        slack = systematic_points(100 * attributed) / 100
        assert clock.low - slack <= attributed <= clock.high + slack, name
    assert raw("wall")["96x160 encoder.layer3=cbam_npu"]["pairs"][0] >= 600
    assert raw("wall")["96x160 decoder.fusion=se_npu"]["pairs"][0] >= 600


def test_the_readmes_comparison_is_the_committed_one():
    readme = (ROOT / "README.md").read_text()
    rows = [line.strip("|").split("|") for line in (RESULTS / "peers.md").read_text().splitlines() if line.startswith("| ")]
    head = [cell.strip() for cell in rows[0]]
    for row in rows[1:]:
        cells = dict(zip(head, (cell.strip() for cell in row), strict=True))
        line = next(line for line in readme.splitlines() if line.startswith(f"| {cells['way']} "))
        for name in ("answers (%)", "error, root mean square (points)", "seconds an answer", "wrong sign"):
            assert f" {cells[name]} " in line


def test_the_readmes_figures_of_precision_are_the_committed_ones():
    readme = (ROOT / "README.md").read_text()
    pairs = sum(found["pairs"][0] for found in raw("wall").values())
    assert f"{pairs:,.0f} interleaved pairs" in readme
    spreads = [
        100 * stdev(fmean(replicates) for both in series for replicates in both)
        for series in raw("aa_attributed")["384x640"].values()
    ]
    assert f"{min(spreads):.3f} to {max(spreads):.3f} points" in readme
    centres = [100 * signed_rank_interval(found["cpu"]).value for found in raw("wall").values()]
    assert f"from {min(centres):.1f} to {max(centres):.1f} %" in readme
    apart = [
        abs(100 * fmean(found["attributed"]) - centre) for found, centre in zip(raw("wall").values(), centres, strict=True)
    ]
    assert sorted(apart)[-2] <= 0.2
    assert max(apart) <= 0.5
