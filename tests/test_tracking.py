"""Histories of made runs: what is read, how it is ordered and parted, which steps are found and which noise is none."""

import csv
import hashlib
import io
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from conftest import HEAVY, finding, loaded_by, with_settings
from msgspec.structs import asdict

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import Case, Failure, Measurement, NodeShare, Record, RunHeader
from attnbench.core.statistics import replicate_interval
from attnbench.judge.track import track
from attnbench.judge.track.gate import NEWEST, read_limit
from attnbench.judge.track.steps import FEWEST, SHORTEST, find_levels, noise_of
from attnbench.report.trends import COLUMNS, sparkline
from attnbench.runs.headers import SCHEMA
from attnbench.runs.store import load_run

BEGIN = datetime(2026, 10, 1, 3, tzinfo=UTC)
HOST, SIZE = "resnetsan01", "384x640"
SCATTER = 0.1  # of replicates, in percentage points
CALIBRATION = Path(__file__).parents[1] / "results" / "calibration" / "aa_attributed.json"


def header(number=0, *, machine="m", system="Linux 6.1", software=None, settings=None, started=None, commit=None, **more):
    """The header of the run of day ``number``; its commit is an hour older."""
    when = BEGIN + timedelta(days=number)
    facts = {"cpu": f"CPU {machine}", "id": machine, "system": system}
    versions = {
        "attnbench": "0.1.0", "torch": "2.9.0", "onnx": "1.19", "onnxruntime": "1.23.0", "opset": 18, "protocol": 2,
        "commit": f"c{number:03d}" if commit is None else commit, "commit_time": (when - timedelta(hours=1)).isoformat(),
    }  # fmt: skip
    plain = RunHeader(1, "0.1.0", (started or when).isoformat(), {"name": "nightly"}, {}, {}, facts, versions)
    asked = {**asdict(Protocol()), **asdict(Effort()), **(settings or {})}
    return replace(with_settings(plain, asked), software={**versions, **(software or {})}, **more)  # fmt: skip


def overhead(replicates):
    """An overhead from its replicates in %."""
    found = replicate_interval([r / 100 for r in replicates])
    return Measurement("overhead", found.value, low=found.low, high=found.high, samples=tuple(r / 100 for r in replicates))


def record(variant, *measurements, **more):
    more.setdefault("sources", {HOST: "h1", "se_npu": "s1"})
    return Record(Case(HOST, variant, SIZE), "ok", measurements, **more)


SOME = overhead([1, 1.1, 1.2])


def write(folder, head, records, *, end="\n"):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(one.to_json(), separators=(",", ":")) for one in (head, *records)]
    (folder / "run.jsonl").write_text("\n".join(lines) + end)
    return folder / "run.jsonl"


def nightly(root, levels, seed=1, *, variants=("a",), scatter=SCATTER, heads=None, replicates=3):
    """A run a day: ``levels`` are the true overheads in %, one a run."""
    rng = np.random.default_rng(seed)
    for number, level in enumerate(levels):
        records = [record(name, overhead(level + scatter * rng.standard_normal(replicates))) for name in variants]
        write(root / f"run-{number:03d}", header(number) if heads is None else heads(number), records)
    return root


def exact(root, values, metric="params"):
    for number, value in enumerate(values):
        write(root / f"run-{number:03d}", header(number), [record("a", Measurement(metric, value, exact=True))])
    return root


def places(found):
    return [[step.at for step in trend.steps] for trend in found.trends]


# --- steps in noise: the rates


def noise(seed, series, runs, *, tails=None, uneven=False, between=0.0, lasting=0.0):
    """Figures of series of noise and their standard errors; ``between`` scatters runs beyond their replicates."""
    rng = np.random.default_rng(seed)

    def draw(shape):
        return rng.standard_normal(shape) if tails is None else rng.standard_t(tails, shape) / np.sqrt(tails / (tails - 2))

    scatter = SCATTER * (np.where(rng.random((series, runs)) < 0.2, 3, 1) if uneven else np.ones((series, runs)))
    replicates = draw((series, runs, 3)) * scatter[:, :, None]
    beyond = between * draw((series, runs))
    for at in range(1, runs):
        beyond[:, at] = lasting * beyond[:, at - 1] + np.sqrt(1 - lasting**2) * beyond[:, at]
    return replicates.mean(2) + beyond, replicates.std(2, ddof=1) / np.sqrt(3)


def steps(values, errors, family=100):
    found = noise_of(values, list(errors))
    return [level.start for level in find_levels(values, found, family).levels[1:]]


def false_steps(values, errors, family=100):
    return sum(bool(steps(one, error, family)) for one, error in zip(values, errors, strict=True))


KINDS = (
    {},
    {"uneven": True},
    {"tails": 3},
    {"between": 0.12},
    {"between": 0.12, "tails": 3},
    {"between": 0.06, "lasting": 0.5},
)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("runs", [6, 10, 60])
def test_noise_has_no_steps(kind, runs):
    """Six families of 100 series: 0.06 series are expected with a step where noise is as assumed, and none is seen."""
    assert false_steps(*noise(3, 600, runs, **kind)) <= 1


def test_a_long_history_of_noise_has_no_steps():
    assert false_steps(*noise(4, 100, 500, uneven=True)) == 0


def test_a_month_of_reports_on_noise_shows_no_step():
    """A report after each run, for a family of 100 series: that a step is shown in none of them is asked of all."""
    values, errors = noise(5, 100, 60)
    assert all(false_steps(values[:, :runs], errors[:, :runs]) == 0 for runs in range(FEWEST, 61, 3))


def test_one_series_alone_has_a_false_step_no_more_often_than_promised():
    for runs in (6, 60):
        assert false_steps(*noise(6, 1000, runs), family=1) <= 10  # 1 % are allowed


def test_figures_without_intervals_have_no_false_steps_either():
    values, _ = noise(7, 300, 60)
    assert sum(bool(steps(one, [None] * 60)) for one in values) == 0


def test_nothing_is_found_where_nothing_changed_on_a_real_machine():
    for variants in json.loads(CALIBRATION.read_text()).values():
        for pairs in variants.values():
            replicates = np.array(pairs).reshape(-1, 3)
            assert steps(replicates.mean(1), replicates.std(1, ddof=1) / np.sqrt(3), family=4) == []


@pytest.mark.parametrize(
    ("before", "after", "rate"), [(3, 3, 0.95), (10, 3, 0.99), (30, 3, 0.99), (57, 3, 0.99), (3, 30, 0.99)]
)
def test_a_step_of_one_point_is_found_with_its_third_run(before, after, rate):
    values, errors = noise(8, 200, before + after)
    values[:, before:] += 1
    assert np.mean([steps(one, error) == [before] for one, error in zip(values, errors, strict=True)]) >= rate


def test_a_step_is_found_in_runs_that_scatter_more_than_their_replicates():
    values, errors = noise(9, 200, 34, between=0.1)
    values[:, 30:] += 1
    assert np.mean([30 in steps(one, error) for one, error in zip(values, errors, strict=True)]) >= 0.97


@pytest.mark.parametrize("size", [0.5, 1.0, 100.0])
@pytest.mark.parametrize("at", [0, 1, 30, 58, 59])
def test_one_bad_run_is_no_step(at, size):
    values, errors = noise(10, 100, 60)
    values[:, at] += size
    assert false_steps(values, errors) == 0


@pytest.mark.parametrize("runs", [6, 7, 8])
def test_one_bad_run_of_few_is_no_step(runs):
    values, errors = noise(11, 200, runs)
    assert all(false_steps(values + 5 * bad, errors) == 0 for bad in np.eye(runs))


def test_two_bad_runs_are_no_step():
    values, errors = noise(12, 500, 60)
    values[:, -2:] += 5
    assert false_steps(values, errors) == 0


@pytest.mark.parametrize(("share", "runs"), [(0.05, 60), (0.05, 300), (0.2, 20), (0.2, 60), (0.2, 300)])
def test_runs_of_another_machine_under_the_same_id_are_no_step(share, runs):
    """Ten standard errors off, as many as that: by squares, a step is seen in half of such histories."""
    values, errors = noise(16, 100, runs)
    values += 10 * SCATTER / 3**0.5 * (np.random.default_rng(17).random(values.shape) < share)
    assert false_steps(values, errors, family=1) <= 2


def test_a_step_is_found_among_runs_of_another_machine():
    values, errors = noise(18, 100, 60)
    values += 10 * SCATTER / 3**0.5 * (np.random.default_rng(19).random(values.shape) < 0.2)
    values[:, 40:] += 1
    found = [steps(one, error, 1) for one, error in zip(values, errors, strict=True)]
    assert sum(any(abs(at - 40) <= 2 for at in one) for one in found) >= 90


def test_what_goes_back_after_four_runs_is_told_as_bad_runs(tmp_path):
    levels = [1.0] * 20 + [3.0] * 4 + [1.0] * 20
    (trend,) = track(nightly(tmp_path, levels)).trends
    assert not trend.steps
    assert trend.apart == set(range(20, 24))


def test_bad_runs_do_not_hide_a_step_and_several_steps_are_found():
    values, errors = noise(13, 100, 60)
    bad = values.copy()
    bad[:, 40:] += 1
    bad[:, [5, 20, 50]] += 3
    assert all(steps(one, error) == [40] for one, error in zip(bad, errors, strict=True))
    values[:, 20:] += 1
    values[:, 35:] -= 0.5
    values[:, 50:56] += 2
    assert all(steps(one, error) == [20, 35, 50, 56] for one, error in zip(values, errors, strict=True))


def test_steps_every_few_runs_do_not_pass_for_noise():
    values, errors = noise(14, 20, 120)
    values += np.repeat(np.arange(15) % 2, 8)
    assert all(steps(one, error) == list(range(8, 120, 8)) for one, error in zip(values, errors, strict=True))


def test_the_interval_of_a_step_holds_its_size():
    held = 0
    for one, error in zip(*noise(15, 400, 40), strict=True):
        one[25:] += 1
        found = find_levels(one, noise_of(one, list(error)), 100)
        (size,) = found.steps
        held += size.low <= 1 <= size.high
    assert held >= 0.93 * 400


def test_a_run_with_a_wide_interval_counts_less():
    values = np.array([1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 1.6, 1.58, 1.62])
    sure, unsure = [0.02] * 10, [0.02] * 7 + [0.5] * 3
    assert steps(values, sure, 1) == [7]
    assert steps(values, unsure, 1) == []


def test_figures_that_repeat_themselves_step_at_a_lasting_change():
    assert steps([5.0] * 10 + [6.0] * 3, [None] * 13) == [10]
    assert steps([5.0] * 10 + [6.0] + [5.0] * 3, [None] * 14) == []
    assert steps([5.0] * 12, [0.0] * 12) == []
    assert steps([5.0] * 10 + [6.0] * 3, [0.0] * 13) == [10]


def test_without_enough_to_tell_the_noise_there_is_none():
    assert noise_of([1.0], [0.1]) is None
    assert noise_of([1.0, 2.0], [None, None]) is None
    assert noise_of([1.0, 2.0], [0.1, None]) is not None


# --- the history of a folder


def test_a_step_has_its_commit_range_and_its_size(tmp_path):
    found = track(nightly(tmp_path, [1.0] * 20 + [2.0] * 4))
    (trend,) = found.trends
    (step,) = trend.steps
    assert (step.last.run.commit, step.first.run.commit) == ("c019", "c020")
    assert step.last.run.time == BEGIN + timedelta(days=19, hours=-1)
    assert step.size.low <= 0.01 <= step.size.high
    assert step.size.high - step.size.low < 0.003
    assert step.runs == (20, 4)
    assert step.worse
    assert trend.change.low <= 0.01 <= trend.change.high


def test_a_family_of_noise_shows_no_step_and_says_what_that_rests_on(tmp_path):
    found = track(nightly(tmp_path, [1.0] * 15, variants=[f"v{n}" for n in range(20)]))
    assert not found.steps
    assert any("over all 20 series" in note and "one of 100 reports" in note for note in found.notes)


def test_a_bad_last_run_is_said_to_be_undecided(tmp_path):
    found = track(nightly(tmp_path, [1.0] * 12 + [3.0, 3.0]))
    assert not found.steps
    assert found.trends[0].undecided == 2


def test_runs_are_ordered_by_the_time_of_their_commit(tmp_path):
    """Measured backwards, the oldest commit last: the step is up all the same."""
    when = BEGIN + timedelta(days=100)
    found = track(nightly(tmp_path, [1.0] * 10 + [2.0] * 10, heads=lambda n: header(n, started=when - timedelta(hours=n))))
    assert [run.commit for run in found.archive.runs] == [f"c{n:03d}" for n in range(20)]
    assert found.steps[0].size.value > 0
    assert "Ordered by the time of the commit that each run was made from." in found.notes


@pytest.mark.parametrize("missing", ["", None, "yesterday"])
def test_without_the_time_of_a_commit_its_start_orders_and_that_is_said(tmp_path, missing):
    heads = lambda n: header(n, software={"commit_time": missing} if n % 2 else None)  # noqa: E731
    found = track(nightly(tmp_path, [1.0] * 10, heads=heads))
    assert [run.by_commit for run in found.archive.runs] == [True, False] * 5
    assert any("5 runs without one by when it started" in note for note in found.notes)


def test_times_compare_across_zones(tmp_path):
    zones = ["2026-10-01T12:00:00+02:00", "2026-10-01T11:00:00Z", "2026-10-01T06:30:00-05:00", "2026-10-01T11:45:00"]
    for number, zone in enumerate(zones):
        write(tmp_path / str(3 - number), header(number, software={"commit_time": zone}), [record("a", SOME)])
    assert [run.commit for run in track(tmp_path).archive.runs] == ["c000", "c001", "c002", "c003"]


@pytest.mark.parametrize(
    ("other", "label"),
    [
        ({"machine": "n"}, "n"),
        ({"software": {"protocol": 1}}, "protocol 1"),
        ({"software": {"onnxruntime": "2.0.0"}}, "onnxruntime 2"),
        ({"settings": {"provider": "openvino"}}, "provider openvino"),
        ({"settings": {"warmup": 7}}, "warmup 7"),
    ],
)
def test_runs_of_unlike_machines_or_settings_are_series_of_their_own(tmp_path, other, label):
    """Another machine is slower: alternating runs are two series without a step."""
    heads = lambda n: header(n, **(other if n % 2 else {}))  # noqa: E731
    found = track(nightly(tmp_path, [1.0, 3.0] * 12, heads=heads))
    assert [len(trend.series.points) for trend in found.trends] == [12, 12]
    assert not found.steps
    (note,) = (note for note in found.notes if "series of their own" in note)
    assert label in note
    assert any(label in kind for kind in found.kinds.values())


def test_settings_that_only_say_how_much_is_measured_do_not_part_runs(tmp_path):
    found = track(nightly(tmp_path, [1.0] * 8, heads=lambda n: header(n, settings={"processes": 3 + n % 2})))
    assert len(found.trends) == 1
    assert not any("series of their own" in note for note in found.notes)


def test_exact_figures_step_at_every_change(tmp_path):
    found = track(exact(tmp_path, [100, 100, 101, 101, 101, 90, 101]), ["params"])
    (trend,) = found.trends
    assert [(s.at, s.before, s.after, s.runs, s.worse) for s in trend.steps] == [
        (2, 100, 101, (2, 3), True), (5, 101, 90, (3, 1), False), (6, 90, 101, (1, 1), True),
    ]  # fmt: skip
    assert trend.change.value == 1
    assert trend.steps[0].size.low is None


def test_npu_verdicts_step_at_every_change_each_target_for_itself(tmp_path):
    levels = ["supported", "supported", "refused", "refused", "constrained"]
    for number, level in enumerate(levels):
        node = f"@encoder.layer3@0.se_npu@/{level}"
        own = finding("Mul", level, node)
        findings = (own, replace(own, target="other", level="supported"), finding("Conv", "refused"))
        base = Record(Case(HOST, "baseline", SIZE), "ok", (), (finding("Conv", "unknown"),))
        write(tmp_path / str(number), header(number), [base, record("a", findings=findings)])
    found = track(tmp_path, ["npu"])
    by_metric = {(t.series.case.variant, t.series.metric): t for t in found.trends}
    assert set(by_metric) == {("baseline", "npu@aimotive"), ("a", "npu@aimotive"), ("a", "npu@other")}
    changes = [(s.at, s.before, s.after, s.worse) for s in by_metric["a", "npu@aimotive"].steps]
    assert changes == [(2, "ok", "refused", True), (4, "refused", "ok with constraint", False)]
    assert not by_metric["a", "npu@other"].steps
    assert by_metric["baseline", "npu@aimotive"].series.points[0].figure.value == "unknown"
    alone = track(tmp_path, ["npu_verdict"], variant="a")
    assert len(alone.trends) == 2
    assert len(track(tmp_path, ["npu@other"]).trends) == 1


def test_a_metric_stands_for_all_its_targets_or_thread_counts(tmp_path):
    measured = [Measurement(name, 0.1, "s") for name in ("latency", "latency@4", "latency_p90")]
    write(tmp_path / "x", header(), [record("a", *measured)])
    assert [t.series.metric for t in track(tmp_path, ["latency"]).trends] == ["latency", "latency@4"]
    assert [t.series.metric for t in track(tmp_path, ["latency@4"]).trends] == ["latency@4"]


def test_a_case_that_failed_has_no_figure_there_and_that_is_remarked(tmp_path):
    nightly(tmp_path, [1.0] * 8)
    failed = Record(
        Case(HOST, "a", SIZE), "failed", (Measurement("params", 5, exact=True), overhead([9, 9.1, 9.2])),
        failure=Failure("export", "CaseFailure", "it broke"),
    )  # fmt: skip
    write(tmp_path / "broken", header(8), [failed])
    (trend,) = track(tmp_path).trends
    assert len(trend.series.points) == 8
    assert [run.commit for run in trend.series.lacking] == ["c008"]


def test_a_single_run_is_a_history(tmp_path, command):
    nightly(tmp_path, [1.0])
    (trend,) = track(tmp_path).trends
    assert (trend.change, trend.steps, trend.searched) == (None, (), False)
    code, out, err = command("track", tmp_path)
    assert (code, err) == (0, "")
    assert "1 series of fewer than 6 runs: no step is looked for there" in out


# --- causes


def cause(tmp_path, before=None, after=None, *, old=None, new=None):
    """The words on a step whose sides are runs of these headers and sources."""
    for number in range(8):
        late = number >= 4
        head = header(number, **((after if late else before) or {}))
        sources = (new if late else old) or {HOST: "h1", "se_npu": "s1"}
        write(tmp_path / str(number), head, [record("a", Measurement("macs", 10 + late, exact=True), sources=sources)])
    ((step,),) = (trend.steps for trend in track(tmp_path, ["macs"]).trends)
    return step.causes


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ({"new": {HOST: "h1", "se_npu": "s2"}}, ["code: se_npu"]),
        (
            {"after": {"software": {"torch": "2.9.1", "opset": 20}}},
            ["exporter: opset 18 → 20", "torch: 2.9.0 → 2.9.1"],
        ),
        ({}, ["unexplained"]),
        (
            {"before": {"commit": "abc"}, "after": {"commit": "abc"}},
            ["unexplained", "the commit is the same on both sides: not its code"],
        ),
        (
            {"before": {"commit": "abc-dirty"}, "after": {"commit": "abc-dirty"}},
            ["unexplained", "the commit is the same on both sides, with changes that are in none"],
        ),
        ({"after": {"system": "Linux 6.2"}}, ["unexplained", "machine: system Linux 6.1 → Linux 6.2"]),
    ],
)
def test_what_differs_is_named(tmp_path, sides, said):
    assert list(cause(tmp_path, **sides)) == said


def test_a_newer_runtime_may_have_moved_an_overhead_and_other_series_with_it(tmp_path):
    heads = lambda n: header(n, software={"onnxruntime": "1.24.0"} if n >= 10 else None)  # noqa: E731
    found = track(nightly(tmp_path, [1.0] * 10 + [2.0] * 10, variants=("a", "b", "c"), heads=heads))
    assert places(found) == [[10]] * 3
    assert found.steps[0].causes == (
        "onnxruntime: 1.23.0 → 1.24.0", "3 of 3 series of overhead have a step between the same two runs",
    )  # fmt: skip


# --- junk


def test_what_is_no_run_is_left_out_with_the_reason(tmp_path, command):
    nightly(tmp_path / "good", [1.0] * 10)
    good = header(20)
    write(tmp_path / "newer", replace(good, schema=99), [])
    for name, content in {
        "empty": b"", "torn": b'{"schema": 1, "attn', "list": b"[1, 2]\n", "words": b"hello\n", "deep": b"[" * 100_000 + b"\n",
        "other": b'{"schema": 1}\n', "types": json.dumps({**good.to_json(), "machine": None}).encode() + b"\n",
        "bytes": b"\xff\xfe\x00\n\x80\n",
    }.items():  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.jsonl").write_bytes(content)
    broken = write(tmp_path / "broken", header(21), [record("a", SOME)])
    broken.write_text(broken.read_text() + "{nonsense\n" + '{"case": 3}\n')
    write(tmp_path / "notime", replace(header(22, software={"commit_time": ""}), started="?"), [])
    (tmp_path / "folder" / "run.jsonl").mkdir(parents=True)
    for name in ("pipe", "link"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "empty" / "pipe")
    os.mkfifo(tmp_path / "pipe" / "run.jsonl")
    (tmp_path / "link" / "run.jsonl").symlink_to(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("not a run")
    found = track(tmp_path)
    assert len(found.archive.runs) == 10
    reasons = {Path(left.path).parent.name: left.reason for left in found.archive.left_out}
    assert reasons == {
        "newer": f"written with schema 99; this attnbench reads up to {SCHEMA}, upgrade it",
        "empty": "the file is empty",
        "torn": "torn within its first line",
        **dict.fromkeys(("list", "words", "deep", "other", "types", "bytes"), "its first line is not the header of a run"),
        "broken": "not a run to its end: line 3 is not a record: JSONDecodeError: Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1)",
        "notime": "says neither of when its commit is nor when it started",
        "pipe": "is not a file",
        "link": "is not a file",
    }
    code, out, err = command("track", tmp_path)
    assert (code, err) == (0, "")
    assert "Left out 6 files, its first line is not the header of a run" in out
    assert "Left out 1 file, written with schema 99" in out


def test_a_torn_last_line_costs_only_itself(tmp_path):
    path = write(tmp_path / "x", header(), [record("a", SOME), record("b", SOME)])
    path.write_text(path.read_text()[:-40])
    assert [trend.series.case.variant for trend in track(tmp_path).trends] == ["a"]


def test_of_a_case_that_was_recorded_several_times_the_last_record_holds(tmp_path):
    write(tmp_path / "x", header(), [record("a", SOME, pending=2), record("a", overhead([2, 2, 2.3]))])
    (trend,) = track(tmp_path).trends
    assert trend.series.points[0].figure.value == pytest.approx(0.021)


def test_a_copy_of_a_run_is_not_another_run(tmp_path):
    nightly(tmp_path / "here", [1.0] * 3)
    nightly(tmp_path / "archive" / "there", [1.0] * 3)
    found = track(tmp_path)
    assert len(found.archive.runs) == 3
    assert {left.reason.partition(" of ")[0] for left in found.archive.left_out} == {"a copy"}


def test_shards_count_in_the_run_that_they_were_merged_into(tmp_path):
    shard = write(tmp_path / "shard", header(0), [record("a", SOME)])
    mark = hashlib.sha256(shard.read_bytes()).hexdigest()
    whole = replace(header(0), study={"name": "nightly", "shards": [{"part": "1/2", "sha256": mark}]})
    write(tmp_path / "whole", whole, [record("a", SOME), record("b", SOME)])
    found = track(tmp_path)
    assert len(found.archive.runs) == 1
    assert "a shard of" in found.archive.left_out[0].reason


def test_a_run_that_holds_no_number_is_left_out(tmp_path):
    bad = json.dumps(record("a").to_json() | {"measurements": [{"metric": "overhead", "value": float("nan")}]})
    write(tmp_path / "y", header(1), [record("b", SOME)])
    path = write(tmp_path / "x", header(), [record("b", SOME)])
    path.write_text(path.read_text() + bad + "\n")
    found = track(tmp_path)
    assert [len(trend.series.points) for trend in found.trends] == [1]
    assert [
        "line 3 is not a record: ValueError: NaN is not a finite number" in one.reason for one in found.archive.left_out
    ] == [True]


def test_a_writer_with_other_spaces_and_keys_in_another_order_is_read_too(tmp_path):
    node = NodeShare("n", "Mul", "s", "added", 0.1, 0.1)
    full = record("a", SOME, findings=(finding("Mul", "supported", "@s@0.se@/m"),), nodes=(node,))
    ours = write(tmp_path / "ours", header(0), [full])
    backwards = dict(reversed(full.to_json().items()))
    for number, separators in ((1, None), (2, (",", ":"))):
        (tmp_path / str(number)).mkdir()
        lines = json.dumps(header(number).to_json()), json.dumps(backwards, separators=separators)
        (tmp_path / str(number) / "run.jsonl").write_text("\n".join(lines) + "\n")
    (trend,) = track(tmp_path).trends
    assert len({(p.figure, tuple(p.sources.items())) for p in trend.series.points}) == 1
    assert trend.series.points[0].figure.value == load_run(ours).records[0].value("overhead")


# --- the command


@pytest.fixture
def stepped(tmp_path):
    return nightly(tmp_path / "results", [1.0] * 10 + [2.1] * 4)


def test_the_command_shows_steps_and_trends(command, stepped):
    code, out, err = command("track", stepped)
    assert (code, err) == (0, "")
    assert out.index("Steps, the latest first") < out.index("Trends") < out.index("Read 14 runs")
    assert "c009 (2026-10-10 02:00)" in out
    assert "c010 (2026-10-11 02:00)" in out
    assert "10 | 4" in out
    assert "▁" in out
    assert "█" in out


def test_a_step_at_the_newest_end_fails_what_it_reaches(command, stepped):
    assert command("track", stepped, "--fail-on-step", "1%")[0] == 1
    assert command("track", stepped, "--fail-on-step", "0.5%")[0] == 1
    code, out, _ = command("track", stepped, "--fail-on-step", "2%")
    assert code == 0
    assert "no step for the worse whose interval reaches that size, among the last 5 runs" in out


def test_only_the_newest_end_fails(tmp_path):
    for after in range(SHORTEST, NEWEST + 3):
        found = track(nightly(tmp_path / str(after), [1.0] * 10 + [3.0] * after), fail_on_step="1%")
        assert len(found.failing) == (after <= NEWEST), after


def failed(variant="a", **more):
    return Record(Case(HOST, variant, SIZE), "failed", failure=Failure("export", "CaseFailure", "it broke"), **more)


@pytest.mark.parametrize(
    ("records", "planned"),
    [
        ([failed()], ()),
        ([record("a", Measurement("overhead", None, note="not attributed: too little aligned"))], ()),
        ([], (Case(HOST, "a", SIZE),)),
    ],
    ids=["failed", "not attributed", "ended before it"],
)
def test_a_figure_that_the_newest_run_lost_is_no_pass(command, tmp_path, records, planned):
    nightly(tmp_path, [1.0] * 8, variants=("a", "b"))
    write(tmp_path / "newest", header(8, cases=planned), [record("b", SOME), *records])
    code, out, _ = command("track", tmp_path, "--fail-on-step", "1%")
    assert code == 3
    assert "Of 1 series the newest run has no figure, which is no pass: resnetsan01 384x640 a overhead." in out
    assert "1 more without a figure, the newest among them" in out
    assert command("track", tmp_path)[0] == 0
    assert command("track", tmp_path, "--fail-on-step", "1%", "--variant", "b")[0] == 0
    write(tmp_path / "after", header(9), [record("a", SOME), record("b", SOME)])
    assert command("track", tmp_path, "--fail-on-step", "1%")[0] == 0


def test_a_step_is_said_before_what_was_lost_and_a_case_that_is_planned_no_more_is_not_missed(command, tmp_path):
    nightly(tmp_path, [1.0] * 10 + [3.0] * 4)
    write(tmp_path / "other", header(14), [record("b", SOME)])
    assert command("track", tmp_path, "--fail-on-step", "1%")[0] == 1
    write(tmp_path / "newest", header(15), [failed()])
    code, out, _ = command("track", tmp_path, "--fail-on-step", "1%", "-f", "json")
    assert code == 1
    assert [one["variant"] for one in json.loads(out)["lost"]] == ["a"]


def test_an_improvement_fails_nothing(tmp_path):
    found = track(nightly(tmp_path, [3.0] * 10 + [1.0] * 4), fail_on_step="1%")
    assert len(found.steps) == 1
    assert not found.failing


def test_exact_figures_and_verdicts_fail_too(tmp_path):
    assert len(track(exact(tmp_path / "more", [100, 100, 102]), ["params"], fail_on_step="1%").failing) == 1
    assert not track(exact(tmp_path / "less", [100, 100, 100.5]), ["params"], fail_on_step="1%").failing
    assert len(track(exact(tmp_path / "none", [0, 0, 1]), ["params"], fail_on_step="50%").failing) == 1


def test_what_is_measured_no_more_fails_no_more(tmp_path):
    nightly(tmp_path / "old", [1.0] * 10 + [3.0] * 3, heads=lambda n: header(n, machine="old"))
    assert track(tmp_path, fail_on_step="1%").failing
    nightly(tmp_path / "new", [1.0] * 10, heads=lambda n: header(n + 20, machine="new"))
    found = track(tmp_path, fail_on_step="1%")
    assert len(found.steps) == 1
    assert not found.failing


def test_a_seldom_measured_machine_fails_too(tmp_path):
    """Monthly runs with a step, and thirty nightly ones of another machine since: they are not its newest, but its own."""
    seldom = lambda n: header(30 * n, machine="seldom")  # noqa: E731
    nightly(tmp_path / "monthly", [1.0] * 10 + [3.0] * 3, heads=seldom)
    nightly(tmp_path / "nightly", [1.0] * 25, heads=lambda n: header(361 + n, machine="often"))
    (step,) = track(tmp_path, fail_on_step="1%").failing
    assert step.series.kind.machine == "seldom"


@pytest.mark.parametrize("text", ["1", "", "%", "-1%", "1e1%", "one%", "1,5%", "1ms", "1%%"])
def test_what_is_no_size_of_a_step_is_said_in_one_line(text):
    with pytest.raises(InputError, match="write it like 1% or 0.5%"):
        read_limit(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "overheads"], "unknown metric of these runs 'overheads': did you mean 'overhead'"),
        (["--host", "resnetsan1"], "unknown host of these runs 'resnetsan1': did you mean 'resnetsan01'"),
        (["--size", "1x1"], "unknown size of these runs '1x1'"),
        (["--variant", "b"], "unknown variant of these runs 'b'"),
        (["--metric", "npu"], "no case that was asked for has a figure of npu in these runs"),
        (["--fail-on-step", "1"], "write it like 1% or 0.5%"),
        (["-o", "/nowhere/x.md"], "cannot write /nowhere/x.md"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_two(refused, stepped, arguments, message):
    assert message in refused("track", stepped, *arguments)


def test_a_folder_without_runs_is_one_line(refused, tmp_path):
    for folder, message in (
        (tmp_path, f"there is no run below {tmp_path}: run attnbench sweep first"),
        (tmp_path / "nowhere", "is not a folder"),
        (Path(__file__), "is not a folder"),
    ):
        assert message in refused("track", folder)
    (tmp_path / "run.jsonl").write_text("junk\n")
    err = refused("track", tmp_path)
    assert "no run below" in err
    assert "its first line is not the header of a run" in err


def test_names_are_narrowed_together(stepped):
    assert len(track(stepped, host=HOST, size=SIZE, variant="a").trends) == 1
    with pytest.raises(UnknownName):
        track(stepped, variant="")


def test_csv_holds_every_point_unrounded(command, stepped, tmp_path):
    code, _, _ = command("track", stepped, "-f", "csv", "--fail-on-step", "1%", "-o", tmp_path / "out.csv")
    assert code == 1
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert list(rows[0]) == list(COLUMNS)
    assert all(COLUMNS.values())
    assert len(rows) == 14
    assert rows[0]["unit"] == "%"
    run = load_run(stepped / "run-000")
    assert float(rows[0]["value"]) == 100 * run.records[0].value("overhead")
    (step,) = (row for row in rows if row["step"])
    assert step["commit"] == "c010"
    assert float(step["step"]) == pytest.approx(1.1, abs=0.15)
    assert step["fails"] == "True"
    assert float(rows[-1]["level"]) - float(rows[0]["level"]) == pytest.approx(float(step["step"]))


def test_json_holds_the_question_the_notes_and_every_series(command, stepped):
    code, out, _ = command("track", stepped, "-f", "json", "--fail-on-step", "1%")
    assert code == 1
    answer = json.loads(out)
    assert answer["schema"] == 1
    assert answer["asked"] == {"metrics": ["overhead"], "host": None, "size": None, "variant": None, "fail_on_step_pct": 1.0}
    assert (answer["runs"], answer["failing"], answer["left_out"]) == (14, 1, [])
    (series,) = answer["series"]
    assert (series["variant"], series["unit"], len(series["points"])) == ("a", "%", 14)
    (step,) = series["steps"]
    assert (step["at"], step["runs_before"], step["runs_after"], step["worse"], step["fails"]) == (10, 10, 4, True, True)
    assert "▁" not in out


def test_exact_figures_are_whole_in_every_format(command, tmp_path):
    exact(tmp_path, [16_031_428_096, 16_031_428_096, 16_031_428_097])
    assert "16,031,428,097" in command("track", tmp_path, "--metric", "params")[1]
    assert "16031428097" in command("track", tmp_path, "--metric", "params", "-f", "csv")[1]
    assert json.loads(command("track", tmp_path, "--metric", "params", "-f", "json")[1])["series"][0]["change"] == 1


def test_markdown_goes_to_the_screen_or_a_file(command, stepped, tmp_path):
    _, out, _ = command("track", stepped, "-f", "md")
    assert out.startswith("# History\n\nOf ")
    assert "## Steps, the latest first" in out
    assert "## Trends" in out
    command("track", stepped, "-o", tmp_path / "h.md")
    assert (tmp_path / "h.md").read_text() == out


def test_the_script_that_times_reading_makes_a_history(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    import reading_speed

    word, folder = reading_speed.track(tmp_path, 40)
    found = track(Path(folder))
    assert (word, len(found.archive.runs), len(found.trends)) == ("track", 20, 3)
    assert not found.archive.left_out


def test_bars_go_from_the_least_to_the_most():
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert sparkline(["ok", "refused"]) == ""
    assert len(sparkline(range(500))) == 20


def test_it_loads_no_torch_no_onnx_and_no_runtime(tmp_path):
    nightly(tmp_path, [1.0] * 8)
    write(tmp_path / "npu", header(9), [record("a", findings=(finding("Mul", "supported", "@s@0.se@/m"),))])
    formats = [("-f", name) for name in ("table", "md", "csv", "json")]
    assert not loaded_by(*(("track", tmp_path, *more) for more in (*formats, ("--metric", "npu")))) & HEAVY
