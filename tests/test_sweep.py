"""Whole sweeps on a small host: every kind of outcome, resuming, killing, and the user's own parts."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import SHORT, USER_CODE, keep_exports

from attnbench import load_run, run_study
from attnbench.core.errors import InputError
from attnbench.judge.compare import compare
from attnbench.measure.estimate import estimate
from attnbench.report.frame import COLUMNS
from attnbench.runs.store import RUN_FILE
from attnbench.study.plan import plan

FAST = {"processes": 2, "max_processes": 2, "warmup": 1, "repeat": 3, "rounds": 6, "crosscheck": 0}


def study(user_file, modules, places=("body",), **more):
    host = {"spec": f"{user_file}:build", "sites": {"stem": "stem", "body": "body.1"}}
    modules = [m if m.islower() else f"{user_file}:{m}" for m in modules]
    return {
        "name": "small",
        "hosts": [host],
        "sizes": ["32x48"],
        "matrix": [{"modules": modules, "places": list(places)}],
        "settings": {"memory": False},
        **more,
    }


EVERY_OUTCOME = (
    "se_npu", "eca", "self_attention", "cbam[reduction=32]", "Gate", "Shrinks", "Raises", "Wrong", "Crashes",
)  # fmt: skip


def run_every_outcome(user_file, out):
    """A study in which each module ends in another way."""
    hangs = {"variant": f"body='{user_file}:Hangs'", "settings": {"timeout_seconds": 3}}
    two = {"variant": "stem=axial_conv+se_npu,body=coord", "settings": {"memory": True}}
    asked = study(user_file, EVERY_OUTCOME, case=[two, hangs])
    return run_study(asked, out=out, threads=(1, 2), **FAST)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One sweep with every outcome, shared by the tests that read it."""
    folder = tmp_path_factory.mktemp("sweep")
    user_file = folder / "mine.py"
    user_file.write_text(USER_CODE)
    return run_every_outcome(user_file, folder / "out"), user_file, folder


def row(finished, variant):
    frame = finished[0].to_frame()
    found = frame[frame["variant"].str.endswith(variant)]
    assert len(found) == 1
    return found.iloc[0]


def record(finished, variant):
    return next(each for each in finished[0].records if each.case.variant.endswith(variant))


def test_the_table_has_the_documented_columns_and_a_row_a_case(finished):
    frame = finished[0].to_frame()
    assert list(frame.columns)[: len(COLUMNS)] == list(COLUMNS)
    assert len(frame) == 12
    assert load_run(finished[2] / "out").to_frame().equals(frame)


def test_a_measured_case_has_all_its_figures(finished):
    base, found = row(finished, "baseline"), row(finished, "=se_npu")
    assert base["status"] == found["status"] == "ok"
    assert found["params_delta"] == 2 * 16 * 8
    assert found["macs_delta"] == 2 * 16 * 8
    assert found["flops"] == 2 * found["macs"]
    assert found["macs_fvcore"] == found["macs"]
    assert found["overhead_pct_low"] <= found["overhead_pct"] <= found["overhead_pct_high"]
    assert sum(node.share for node in record(finished, "=se_npu").nodes) == pytest.approx(found["overhead_pct"] / 100)
    assert found["paired_pct_low"] <= found["paired_pct_high"]
    assert found["agreement"] in ("agree", "disagree", "too blunt")
    assert found["latency_median_ms"] > 0
    assert found["latency_median_ms_threads_2"] > 0
    assert found["overhead_ms"] == pytest.approx(found["overhead_pct"] / 100 * base["latency_median_ms"])
    assert found["parity_max_abs_error"] < found["parity_tolerance"]
    assert found["npu_verdict"] == "ok"
    assert found["npu_refused_added"] == 0
    assert found["uncounted_ops"] == ""


def test_modules_at_several_places_add_up(finished):
    found = row(finished, "stem=axial_conv+se_npu,body=coord")
    assert found["status"] == "ok"
    assert found["params_delta"] == 38 * 16 + 256 + (3 * 16 * 8 + 24 + 32)
    nodes = record(finished, found["variant"]).nodes
    assert {node.site for node in nodes} == {"stem", "body"}
    assert record(finished, found["variant"]).value("memory_peak") > 0
    assert sum(node.share for node in nodes) == pytest.approx(found["overhead_pct"] / 100)


def test_the_npu_verdict_is_on_what_the_variant_adds(finished):
    assert row(finished, "=eca")["npu_verdict"] == "refused"
    assert row(finished, "=eca")["npu_refused_added"] == 3
    assert row(finished, "=self_attention")["npu_verdict"] == "refused"
    assert row(finished, "baseline")["npu_refused_added"] == 0


@pytest.mark.parametrize(
    ("module", "status", "reason"),
    [
        ("cbam[reduction=32]", "refused", r"build: cbam\[reduction=32\] at 16x16x24: needs at least 32 channels"),
        (
            "Shrinks",
            "failed",
            r"build: module .*Shrinks turns \[1, 16, 16, 24\] into \[1, 16, 8, 12\]: it must keep the shape",
        ),
        ("Raises", "failed", "build: module .*Raises: ValueError: no such luck"),
        ("Wrong", "failed", "parity: module .*Wrong: ONNX differs from torch by 1, tolerance"),
        ("Crashes", "failed", "build: the building process crashed"),
        ("Hangs", "failed", "build: building did not end within 3 s and was killed"),
    ],
)
def test_what_goes_wrong_is_a_row_with_stage_and_reason(finished, module, status, reason):
    found = row(finished, module)
    assert found["status"] == status
    assert re.match(reason, found["reason"])
    assert found.isna()["overhead_pct"]


def test_the_users_own_module_is_measured(finished):
    found = row(finished, ":Gate")
    assert found["status"] == "ok"
    assert found["params_delta"] == 16


def test_a_finished_run_is_read_and_not_run_again(finished):
    stored, user_file, folder = finished
    before = (folder / "out" / RUN_FILE).read_bytes()
    again = run_every_outcome(user_file, folder / "out")
    assert again.run == stored.run
    assert (folder / "out" / RUN_FILE).read_bytes() == before


def test_a_folder_of_another_run_is_not_touched(finished):
    _, user_file, folder = finished
    with pytest.raises(InputError, match="holds a run of another study"):
        run_study(study(user_file, ["se"]), out=folder / "out", **FAST)


@pytest.fixture(scope="module")
def command_line():
    """A sweep of three cases as a command line, whose graphs are in the cache: a process of it needs no torch."""
    modules, place = ("se_npu", "eca"), "layer2.0.end"
    cases = [{"variant": f"{place}={module}"} for module in modules]
    keep_exports(plan({"hosts": ["resnet_cifar"], "sizes": ["32x32"], "case": cases}))
    small = "--processes 2 --max-processes 2 --no-memory --warmup 1 --repeat 3 --rounds 0 --crosscheck 0".split()
    asked = ["--host", "resnet_cifar", *(flag for one in modules for flag in ("--module", one)), "--place", place]

    def line(out, *more):
        return [sys.executable, "-c", SHORT, "sweep", *asked, "--size", "32x32", "--out", str(out), *small, *more]

    return line


def children_of(pid: int) -> list[int]:
    """The processes below one."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def gone(pids: list[int], within: float = 30.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not [pid for pid in pids if alive(pid)]:
            return True
        time.sleep(0.2)
    return False


def alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_for(condition, child) -> None:
    """Wait until something holds that a sweep brings about."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.05)


def killed_with(line, out, facts: int) -> list[int]:
    """Begin a sweep, and kill it as soon as so many facts are stored: the processes that were below it."""
    child = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    stored = out / RUN_FILE
    wait_for(lambda: stored.exists() and stored.read_bytes().count(b"\n") > facts, child)
    children = children_of(child.pid)
    child.kill()
    child.communicate()
    return children


def assert_goes_on(before, after):
    """What was measured of a case before is the first part of what is known of it after."""
    for metric in ("overhead", "latency"):
        if known := before.get(metric):
            assert after.get(metric).samples[: len(known.samples)] == known.samples


@pytest.mark.slow
def test_a_killed_sweep_loses_the_case_at_hand_and_goes_on_with_the_same_command(command_line, tmp_path):
    out = tmp_path / "out"
    line = command_line(out)

    children = killed_with(line, out, facts=6)  # three cases are described, and measuring has begun
    assert children
    assert gone(children), "no process of ours outlives the sweep"
    kept = load_run(out).records

    done = subprocess.run(line, capture_output=True, text=True, check=True)
    run = load_run(out)

    finished = sum(not record.pending for record in kept)
    assert ("3 cases" + (f", {finished} of them finished before" if finished else "")) in done.stderr
    assert [(record.status, record.pending) for record in run.records] == [("ok", 0)] * 3
    assert [len(record.get("overhead").samples) for record in run.records[1:]] == [2, 2], [r.notes for r in run.records]
    assert any(record.get("latency") or record.get("overhead") for record in kept)
    for before in kept:
        assert_goes_on(before, run.run.record(before.case))
    assert (out / "report.md").exists()
    assert (out / "cases.csv").read_text().count("\n") == 1 + 3
    assert "layer2.0.end=eca" in done.stdout


def test_a_wrong_name_in_the_users_file_is_known_before_anything_is_measured(user_file, tmp_path):
    with pytest.raises(InputError, match="unknown module in .*mine.py 'Gat': did you mean 'Gate'"):
        run_study(study(user_file, ["Gat"]), out=tmp_path / "out", **FAST)
    host = {"spec": f"{user_file}:bild", "sites": {"a": "stem"}}
    with pytest.raises(InputError, match="unknown host in .* 'bild': did you mean 'build'"):
        run_study({"hosts": [host], "case": [{"variant": "a=se"}], "sizes": ["32x32"]}, out=tmp_path / "other", **FAST)


def test_a_baseline_that_fails_is_the_reason_of_its_variants(user_file, tmp_path):
    host = {"spec": f"{user_file}:Raises[channels=3]", "sites": {"a": "head"}}
    stored = run_study({"hosts": [host], "case": [{"variant": "a=se"}], "sizes": ["32x32"]}, out=tmp_path / "out", **FAST)
    reasons = list(stored.to_frame()["reason"])
    assert re.match(
        r"build: host .*Raises\[channels=3\]: ValueError: no such luck \(mine.py:\d+: raise ValueError", reasons[0]
    )
    assert reasons[1].startswith("baseline: the baseline failed at build: host")


@pytest.mark.parametrize(
    ("spec", "sites", "module", "message"),
    [
        ("build", {"a": "head.none"}, "se", "unknown submodule of the host 'head.none': did you mean"),
        ("build[wide=3]", {"a": "head"}, "se", "takes no option wide"),
        ("build", {"a": "head"}, "{}:not_callable", "is a int: it must be a class or a function"),
        ("build", {"a": "head"}, "{}:Gate[scal=2]", "takes no option scal"),
        ("build", {"a": "head"}, "os:system", "module 'os:system' takes no argument 'channels'"),
        ("build", {"a": "head"}, "nowhere.py:Gate", "module: there is no file nowhere.py"),
    ],
)
def test_a_wrong_part_of_the_users_is_known_before_anything_is_measured(user_file, tmp_path, spec, sites, module, message):
    asked = {"hosts": [{"spec": f"{user_file}:{spec}", "sites": sites}], "sizes": ["32x32"]}
    asked["case"] = [
        {"variant": "a=se_npu"},
        {"variant": f"a='{module.format(user_file)}'" if ":" in module else f"a={module}"},
    ]
    if "[" in module:
        asked["case"][1]["variant"] = f"a={module.format(user_file)}"
    with pytest.raises(InputError, match=re.escape(message)):
        run_study(asked, out=tmp_path / "out", **FAST)
    assert not (tmp_path / "out").exists()


def test_attention_at_full_size_is_a_row_that_says_what_it_would_need(user_file, tmp_path):
    asked = study(user_file, ["self_attention"], ["stem"], sizes=["768x1280"])
    stored = run_study(asked, out=tmp_path / "out", processes=1, max_processes=1, warmup=1, repeat=1, rounds=0)
    baseline, found = (row for _, row in stored.to_frame().iterrows())
    assert (baseline["status"], found["status"]) == ("ok", "skipped")
    assert "needs" in found["reason"]
    assert "GB of live activations" in found["reason"]
    assert found["largest_activation_bytes"] == (384 * 640) ** 2 * 4
    assert found["macs_delta"] == 3 * 16 * 16 * 245760 + 2 * 16 * 245760**2
    assert found["npu_verdict"] == "refused"


def test_an_estimate_says_how_each_case_would_be_measured_and_which_will_not_be():
    variants = ("encoder.layer4=mobilevit", "encoder.layer3=se_npu", "encoder.stem=self_attention")
    asked = plan({"sizes": ["64x96"], "case": [{"variant": variant} for variant in variants]}, quick=True)
    *rows, (everything, whole) = estimate(asked)
    about = {case.rpartition(" ")[2]: text for case, text in rows}
    assert about["baseline"] == about["encoder.stem=self_attention"] == "in a graph of its own", "a heavy one"
    assert about["encoder.layer3=se_npu"] == "in a graph with others"
    refused = about["encoder.layer4=mobilevit"]
    assert refused.startswith("refused: build: mobilevit at 512x2x3: needs height and width divisible by")
    assert everything == "all 4"
    assert whole.endswith("at least")


def started_sweep(line, lock):
    """A sweep that cannot end by itself soon, once its run file is there and its processes are at work.

    It takes Ctrl-C even where the suite itself was started in the background, where shells have it ignored.
    """
    many = ("--processes", "50", "--max-processes", "50")
    child = subprocess.Popen(
        [*line, *many], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "ATTNBENCH_LOCK": str(lock)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip
    out = Path(line[line.index("--out") + 1])
    wait_for(lambda: (out / RUN_FILE).exists() and children_of(child.pid), child)
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_or_terminated_sweep_says_how_to_go_on_and_leaves_nothing_behind(command_line, tmp_path, number):
    child = started_sweep(command_line(tmp_path / "out"), tmp_path / "lock")
    time.sleep(1)
    children = children_of(child.pid)
    child.send_signal(number)
    try:
        _, stderr = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130
    assert "the same command goes on from there" in stderr
    assert "Traceback" not in stderr
    assert "semaphore" not in stderr
    assert "resource_tracker" not in stderr
    assert gone(children)


@pytest.mark.slow
def test_two_sweeps_on_one_machine_do_not_time_each_others_work(command_line, tmp_path):
    first = started_sweep(command_line(tmp_path / "one"), tmp_path / "lock")
    environment = {**os.environ, "ATTNBENCH_LOCK": str(tmp_path / "lock")}
    line = command_line(tmp_path / "two", "--processes", "1", "--max-processes", "1")
    try:
        refused = subprocess.run([*line, "--no-wait"], capture_output=True, text=True, env=environment, check=False)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        assert f"this machine is being measured on by process {first.pid} (sweep of {tmp_path / 'one'})" in refused.stderr
        assert not (tmp_path / "two").exists()
        second = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL, env=environment)
        assert f"waiting: this machine is being measured on by process {first.pid}" in second.stderr.readline()
        assert not (tmp_path / "two").exists()
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    _, stderr = second.communicate(timeout=120)
    assert second.returncode == 0, stderr
    assert [record.status for record in load_run(tmp_path / "two").records] == ["ok"] * 3


def test_a_module_without_a_node_costs_exactly_nothing_and_is_not_timed(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(f"{USER_CODE}\n\nclass Nothing(nn.Module):\n    def __init__(self, channels): super().__init__()\n"
                    "    def forward(self, x): return x\n")  # fmt: skip
    run = run_study(study(file, ["Nothing"], case=[{"variant": f"stem={file}:Nothing,body={file}:Nothing"}]),
                    out=tmp_path / "out", **FAST)  # fmt: skip
    for found in run.records[1:]:
        overhead = found.get("overhead")
        assert (overhead.value, overhead.low, overhead.high, overhead.exact) == (0, 0, 0, True)
        assert (found.status, found.pending, found.notes) == ("ok", 0, (overhead.note,))
        assert "ort" not in found.seconds or found.seconds["ort"] == 0
    assert run.to_frame()["overhead_ms"].tolist()[1:] == [0, 0]
    same = [row for row in compare(run.run, run.run).rows if row.metric == "overhead"]
    assert [row.verdict for row in same] == ["same", "same"]
