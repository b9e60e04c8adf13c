"""Whole sweeps on a small host: every kind of outcome, resuming, killing, and the user's own parts."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attnbench import load_run, run_study
from attnbench.core.errors import InputError
from attnbench.core.records import Case
from attnbench.report.frame import COLUMNS
from attnbench.runs.store import RUN_FILE

FAST = {"processes": 2, "max_processes": 2, "warmup": 1, "repeat": 3, "rounds": 6}


def study(user_file, modules, places=("body",), **more):
    host = {"spec": f"{user_file}:build", "sites": {"stem": "stem", "body": "body.1"}}
    modules = [m if m.islower() else f"{user_file}:{m}" for m in modules]
    return {
        "name": "small",
        "hosts": [host],
        "sizes": ["32x48"],
        "matrix": [{"modules": modules, "places": list(places)}],
        **more,
    }


EVERY_OUTCOME = (
    "se_npu", "eca", "self_attention", "cbam[reduction=32]", "Gate", "Shrinks", "Raises", "Wrong", "Crashes",
)  # fmt: skip


def run_every_outcome(user_file, out):
    """A study in which each module ends in another way; the time-out is far above what a slow machine builds in."""
    hangs = {"variant": f"body='{user_file}:Hangs'", "settings": {"timeout_seconds": 15}}
    asked = study(user_file, EVERY_OUTCOME, case=[{"variant": "stem=axial_conv+se_npu,body=coord"}, hangs])
    return run_study(asked, out=out, threads=(1, 2), **FAST)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One sweep with every outcome, shared by the tests that read it."""
    from conftest import USER_CODE

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
        ("Hangs", "failed", "build: building did not end within 15 s and was killed"),
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


def command_line(user_file, out, *more):
    host = ["--host", f"{user_file}:build", "--site", "body.1=body"]
    small = ["--processes", "2", "--max-processes", "2", "--no-memory", "--warmup", "1", "--repeat", "3", "--rounds", "0"]
    modules = [flag for module in ("se_npu", "eca", "coord") for flag in ("--module", module)]
    return [sys.executable, "-c", "from attnbench.cli import main; main()", "sweep", *host, *modules, "--place", "body",
            "--size", "32x32", "--out", str(out), *small, *more]  # fmt: skip


def children_of(pid: int) -> list[int]:
    """The processes below one that hold torch or its helpers."""
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


def test_a_killed_sweep_loses_the_case_at_hand_and_goes_on_with_the_same_command(user_file, tmp_path):
    out = tmp_path / "out"
    child = subprocess.Popen(
        command_line(user_file, out), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    wanted, deadline = 5, time.monotonic() + 120
    while not (out / RUN_FILE).exists() or (out / RUN_FILE).read_bytes().count(b"\n") < wanted:
        assert time.monotonic() < deadline
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.05)
    builders = children_of(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert builders
    assert gone(builders), "no process of ours outlives the sweep"
    kept = load_run(out).records
    assert len(kept) >= 2
    finished_before = sum(not record.pending for record in kept)
    done = subprocess.run(command_line(user_file, out), capture_output=True, text=True, check=True)
    assert (
        f"4 cases, {finished_before} of them finished before" in done.stderr if finished_before else "4 cases" in done.stderr
    )
    run = load_run(out)
    assert [record.status for record in run.records] == ["ok"] * 4
    assert not any(record.pending for record in run.records)
    for old in kept:
        new = next(record for record in run.records if record.case == old.case)
        for metric in ("overhead", "latency"):
            if old.get(metric):
                assert new.get(metric).samples[: len(old.get(metric).samples)] == old.get(metric).samples, (
                    "nothing is measured anew"
                )
    assert [len(record.get("overhead").samples) for record in run.records[1:]] == [2] * 3, [r.notes for r in run.records]
    assert (out / "report.md").exists()
    assert (out / "cases.csv").read_text().count("\n") == 5
    assert "cbam" not in done.stdout
    assert "body=coord" in done.stdout


def test_an_interrupted_sweep_says_how_to_go_on(user_file, tmp_path):
    out = tmp_path / "out"
    many = ("--processes", "50", "--max-processes", "50")  # so that it cannot have ended before the signal
    child = subprocess.Popen(command_line(user_file, out, *many), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not (out / RUN_FILE).exists():
        time.sleep(0.05)
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "the same command goes on from there" in stderr
    assert "Traceback" not in stderr


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
        ("build", {"a": "head.none"}, "se", "site 'a': the host has no submodule 'head.none'"),
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


@pytest.mark.slow
def test_attention_at_full_size_is_a_row_that_says_what_it_would_need(tmp_path):
    asked = {"name": "big", "case": [{"variant": "decoder.upconv0=self_attention"}]}
    stored = run_study(asked, out=tmp_path / "out", processes=1, max_processes=1, warmup=1, repeat=3, rounds=0)
    frame = stored.to_frame().set_index("variant")
    found = frame.loc["decoder.upconv0=self_attention"]
    assert found["status"] == "skipped"
    assert "needs" in found["reason"]
    assert "GB of live activations" in found["reason"]
    assert found["largest_activation_bytes"] == (384 * 640) ** 2 * 4
    assert found["macs_delta"] == 3 * 16 * 16 * 245760 + 2 * 16 * 245760**2
    assert found["npu_verdict"] == "refused"
    assert frame.loc["baseline", "macs"] == 16_031_416_320
    assert Case("resnetsan01", "baseline", "384x640") in {record.case for record in stored.records}


def test_an_estimate_says_how_each_case_would_be_measured_and_which_will_not_be():
    from attnbench.measure.estimate import estimate
    from attnbench.study.plan import plan

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


def started_sweep(user_file, out, lock, *more):
    """A sweep that cannot end by itself soon, once its run file is there."""
    child = subprocess.Popen(
        command_line(user_file, out, "--processes", "50", "--max-processes", "50", *more),
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "ATTNBENCH_LOCK": str(lock)},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (out / RUN_FILE).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return child


def test_a_terminated_sweep_ends_as_an_interrupted_one_and_leaves_nothing_behind(user_file, tmp_path):
    child = started_sweep(user_file, tmp_path / "out", tmp_path / "lock")
    time.sleep(3)  # the builder is at work
    builders = children_of(child.pid)
    child.send_signal(signal.SIGTERM)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "the same command goes on from there" in stderr
    assert "Traceback" not in stderr
    assert "semaphore" not in stderr
    assert "resource_tracker" not in stderr
    assert gone(builders)


def test_two_sweeps_on_one_machine_do_not_time_each_others_work(user_file, tmp_path):
    first = started_sweep(user_file, tmp_path / "one", tmp_path / "lock")
    environment = {**os.environ, "ATTNBENCH_LOCK": str(tmp_path / "lock")}
    try:
        refused = subprocess.run(
            command_line(user_file, tmp_path / "two", "--no-wait"), capture_output=True, text=True, env=environment,
            check=False,
        )  # fmt: skip
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        assert f"this machine is being measured on by process {first.pid} (sweep of {tmp_path / 'one'})" in refused.stderr
        assert not (tmp_path / "two").exists()
        second = subprocess.Popen(
            command_line(user_file, tmp_path / "two"), stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL,
            env=environment,
        )  # fmt: skip
        assert f"waiting: this machine is being measured on by process {first.pid}" in second.stderr.readline()
        assert not (tmp_path / "two").exists()
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    _, stderr = second.communicate(timeout=120)
    assert second.returncode == 0, stderr
    assert [record.status for record in load_run(tmp_path / "two").records] == ["ok"] * 4
