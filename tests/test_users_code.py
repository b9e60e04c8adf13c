"""The user's own code doing wrong: each is a row with stage, reason and its own last line, and what others do goes on."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench import run_study
from attnbench.core.errors import MachineFailure
from attnbench.core.protocol import Protocol
from attnbench.core.records import Case
from attnbench.core.scratch import PREFIX, remove_left, scratch
from attnbench.measure.builder import Builder, CaseFailure
from attnbench.study.plan import plan

FAST = {"processes": 1, "max_processes": 1, "warmup": 1, "repeat": 3, "rounds": 0, "memory": False, "crosscheck": 0}

CODE = """
import sys, threading, time
import torch
from torch import nn

class Keeps(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x * 1.5

class Prints(Keeps):
    def __init__(self, channels):
        super().__init__(channels)
        print("printed by the user's code")

class Ends(Keeps):
    def __init__(self, channels):
        sys.exit(0)

class EndsForward(Keeps):
    def forward(self, x):
        sys.exit(0)

class Fails(Keeps):
    def forward(self, x):
        return x.reshape(3, 5)

class Nan(Keeps):
    def forward(self, x):
        return x * float("nan")

class Half(Keeps):
    def forward(self, x):
        return x.half()

class Odd(Keeps):
    def forward(self, x):
        return torch.linalg.svd(x)[0]

class Huge(Keeps):
    def __init__(self, channels):
        super().__init__(channels)
        self.kept = nn.Parameter(torch.ones(30_000_000_000))

class Leaves(Keeps):
    def __init__(self, channels):
        super().__init__(channels)
        threading.Thread(target=time.sleep, args=(3600,)).start()

def build():
    return nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 2, 1))
"""

WRONG = {
    "Ends": r"build: module .*Ends: it ended the process: sys.exit\(0\) \(wrong.py:\d+: sys.exit\(0\)\)",
    "EndsForward": r"export: .*ended the process: sys.exit\(0\) \(wrong.py:\d+: sys.exit\(0\)\)",
    "Fails": r"export: .*\(wrong.py:\d+: return x.reshape\(3, 5\)\)",
    "Nan": r"parity: module .*Nan: what torch gives on normal noise holds NaN or infinity",
    "Half": r"build: module .*Half gives float16: it must give float, as it takes",
    "Odd": r"export: ",
    "Huge": r"build: module .*Huge: RuntimeError: .*(memory|allocate).* \(wrong.py:\d+: self.kept",
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """One sweep of all that is wrong, and of what is right beside it."""
    folder = tmp_path_factory.mktemp("users")
    path, loops, trace = folder / "wrong.py", folder / "loops.py", folder / "trace.txt"
    path.write_text(CODE)
    loops.write_text("while True:\n    pass\n")
    (folder / "raises.py").write_text("def helper():\n    raise OSError('a file\\nof two lines')\n\nhelper()\n")
    names = ("Keeps", "Prints", "Leaves", *WRONG)
    cases = [{"variant": f"body='{path}:{name}'"} for name in names]
    cases += [{"variant": f"body='{folder}/raises.py:X'"}, {"variant": f"body='{loops}:X'"}]
    host = {"spec": f"{path}:build", "sites": {"body": "1"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNBENCH_DEBUG", str(trace))
        patch.setattr("attnbench.measure.builder.PREFLIGHT_SECONDS", 3.0)
        asked = {"hosts": [host], "sizes": ["32x32"], "case": cases}
        run = run_study(asked, out=folder / "out", **FAST)
    return {record.case.variant.rpartition(":")[2].strip("'") if "raises" not in record.case.variant and "loops" not in
            record.case.variant else record.case.variant.rpartition("/")[2].strip("'"): record for record in run.records}, trace, run  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_a_users_module_does_wrong_is_its_row(swept, name):
    record = swept[0][name]
    assert record.status == "failed"
    assert re.match(WRONG[name], str(record.failure)), record.failure
    assert "\n" not in str(record.failure)


def test_what_stands_beside_it_is_measured(swept):
    assert {name: swept[0][name].status for name in ("baseline", "Keeps", "Prints", "Leaves")} == dict.fromkeys(
        ("baseline", "Keeps", "Prints", "Leaves"), "ok"
    )


def test_what_does_not_import_is_a_row_and_holds_to_the_timeout(swept):
    assert re.match(
        r"load: module .* importing .*raises.py failed: OSError: a file of two lines \(raises.py:2: raise OSError",
        str(swept[0]["raises.py:X"].failure),
    )
    assert re.match(r"load: importing .*loops.py:X: building did not end within 3 s", str(swept[0]["loops.py:X"].failure))


def test_the_whole_traceback_is_in_the_file_that_was_asked_for(swept):
    assert "Traceback" in swept[1].read_text()
    assert "return x.reshape(3, 5)" in swept[1].read_text()


def test_a_reason_of_several_lines_is_a_row_of_the_report(swept):
    rows = [line for line in swept[2].to_markdown().splitlines() if "raises.py" in line]
    assert rows
    assert all(line.endswith("|") for line in rows if line.startswith("|"))


@pytest.mark.parametrize("name", ["Ends", "EndsForward"])
def test_code_that_ends_the_process_does_not_end_a_command_with_success(command, tmp_path, name):
    (tmp_path / "wrong.py").write_text(CODE)
    module = f"{tmp_path}/wrong.py:{name}"
    code, out, err = command("check", "--module", module, "--channels", "8", "--plane", "4x4")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "it ended the process: sys.exit(0)" in err
    code, out, _ = command("count", "--module", module, "--channels", "8", "--plane", "4x4")
    assert code == 1
    assert "it ended the process: sys.exit(0)" in out


def test_what_the_users_code_prints_is_no_part_of_the_answer(command, tmp_path):
    import json

    (tmp_path / "wrong.py").write_text(CODE + "\nprint('at import')\n")
    code, out, _ = command(
        "count", "--module", f"{tmp_path}/wrong.py:Prints", "--channels", "8", "--plane", "4x4", "-f", "json"
    )
    assert code == 0
    assert json.loads(out)["cases"]


@pytest.fixture
def builder(tmp_path):
    with scratch() as folder, Builder(folder, (), Protocol()) as found:
        yield found


def test_a_builder_that_is_killed_while_it_is_idle_is_replaced(builder):
    first = builder.chain()
    builder._chain = None
    os.kill(builder._process.pid, signal.SIGKILL)
    builder._process.join()
    assert builder.chain() == first


def test_a_builder_that_is_killed_at_work_is_the_machines_doing_and_one_that_crashes_is_not(builder):
    with pytest.raises(MachineFailure, match="the building process was killed"):
        builder._ask(30, _end, signal.SIGKILL)
    with pytest.raises(CaseFailure, match="the building process crashed .SIGSEGV") as caught:
        builder._ask(30, _end, signal.SIGSEGV)
    assert not isinstance(caught.value, MachineFailure)
    assert builder.chain()


def test_a_builder_that_is_killed_while_it_imports_says_nothing_of_the_code(builder, tmp_path, monkeypatch):
    (tmp_path / "wrong.py").write_text(CODE)
    host = {"spec": f"{tmp_path}/wrong.py:build", "sites": {"body": "1"}}
    asked = plan({"hosts": [host], "sizes": ["32x32"], "case": [{"variant": "body=se_npu"}]}, overrides=FAST)
    monkeypatch.setattr("attnbench.measure.builder.load", _killed)
    assert builder.preflight(asked.cases) == {}


def _killed(spec, host):
    os.kill(os.getpid(), signal.SIGKILL)


def _end(number):
    os.kill(os.getpid(), number)


SMALL = {"hosts": ["resnet_cifar"], "sizes": ["32x32"], "case": [{"variant": "stage-ends=se_npu"}]}


def test_what_the_machine_made_fail_is_tried_again_by_the_same_command(tmp_path, monkeypatch):
    real = Builder.describe

    def killed(self, planned):
        raise MachineFailure("build", "the building process was killed (out of memory, most likely)")

    monkeypatch.setattr(Builder, "describe", killed)
    first = run_study(SMALL, out=tmp_path / "out", **FAST)
    assert [record.status for record in first.records] == ["failed", "failed"]
    assert all(record.pending for record in first.records)
    monkeypatch.setattr(Builder, "describe", real)
    again = run_study(SMALL, out=tmp_path / "out", **FAST)
    assert [record.status for record in again.records] == ["ok", "ok"]
    assert not any(record.pending or record.failure for record in again.records)


def test_a_failure_of_the_cases_own_is_final_unless_asked(tmp_path, monkeypatch):
    from attnbench.measure.observer import Silent
    from attnbench.measure.sweep import run_plan

    real = Builder.describe

    def broken(self, planned):
        raise CaseFailure("export", "no such op")

    monkeypatch.setattr(Builder, "describe", broken)
    planned = plan(SMALL, overrides=FAST)
    assert {r.status for r in run_plan(planned, tmp_path, tmp_path / "out", Silent())[0].records} == {"failed"}
    monkeypatch.setattr(Builder, "describe", real)
    assert {r.status for r in run_plan(planned, tmp_path, tmp_path / "out", Silent())[0].records} == {"failed"}
    again = run_plan(planned, tmp_path, tmp_path / "out", Silent(), retry_failed=True)[0]
    assert {r.status for r in again.records} == {"ok"}


def test_a_python_file_of_a_librarys_name_in_the_working_folder_is_nobodys_business(tmp_path, monkeypatch):
    for name in ("random.py", "numpy.py", "tempfile.py"):
        (tmp_path / name).write_text("raise RuntimeError('not meant')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("attnbench.measure.builder.START", "spawn")
    run = run_study(SMALL, out=tmp_path / "out", **FAST)
    assert [record.status for record in run.records] == ["ok", "ok"], [r.failure for r in run.records]


def test_a_study_runs_from_a_script_on_standard_input(tmp_path):
    script = (
        f"from attnbench import run_study\nrun = run_study({SMALL!r}, out='out', **{FAST!r})\n"
        "print([round(r.value('latency') or r.value('overhead'), 9) > 0 for r in run.records], [r.status for r in run.records])\n"
    )
    done = subprocess.run([sys.executable, "-"], input=script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "['ok', 'ok']" in done.stdout


def test_folders_of_killed_owners_go_with_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = f"import os, tempfile\ntempfile.tempdir = {str(tmp_path)!r}\nfrom attnbench.core.scratch import scratch\n"
    script += "with scratch() as folder:\n    (folder / 'graph').write_text('x')\n    os.kill(os.getpid(), 9)\n"
    subprocess.run([sys.executable, "-c", script], check=False)
    assert [path.name.startswith(PREFIX) for path in tmp_path.iterdir()] == [True]
    with scratch() as one, scratch() as two:
        assert sorted(tmp_path.iterdir()) == sorted([one, two]), "those in use stay"
    assert not list(tmp_path.iterdir())


def test_a_killed_owners_folder_stays_as_long_as_another_process_has_a_share_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    begin = f"import sys, tempfile; from attnbench.core.scratch import *; tempfile.tempdir = {str(tmp_path)!r}; "
    scripts = (
        "with scratch() as folder: print(folder, flush=True); input()",
        "share(Path(sys.argv[1])); print(flush=True); input()",
    )

    def begun(script, *arguments):
        return subprocess.Popen(
            [sys.executable, "-c", begin + script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    with begun(f"exec({scripts[0]!r})") as owner:
        folder = Path(owner.stdout.readline().strip())
        with begun(scripts[1], str(folder)) as other:
            other.stdout.readline()
            owner.kill()
            owner.wait()
            remove_left()
            assert folder.is_dir()
            other.communicate("\n")
    remove_left()
    assert not folder.exists()


def test_a_timing_process_ends_with_its_parent(tmp_path):
    script = (
        "import os, subprocess, sys\n"
        "code = 'import os, sys, time; from attnbench.measure.parent import end_with; end_with(int(sys.argv[1]));"
        " print(os.getpid(), flush=True); time.sleep(60)'\n"
        "child = subprocess.Popen([sys.executable, '-c', code, str(os.getpid())], stdout=subprocess.PIPE)\n"
        "print(child.stdout.readline().decode(), flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    status = Path(f"/proc/{int(done.stdout)}/status")
    deadline = 50
    while status.exists() and "zombie" not in status.read_text() and deadline:
        deadline -= 1
        subprocess.run(["sleep", "0.1"], check=True)
    assert deadline, "it outlived its parent"


def test_records_of_a_case_that_was_tried_again_are_those_of_the_last_try():
    from attnbench.runs.facts import BuiltFact, FailedFact
    from attnbench.runs.ledger import CaseFacts

    case = Case("h", "a=se", "1x1")
    failed = FailedFact(case=case, step="build", stage="build", kind="MachineFailure", message="killed")
    assert CaseFacts.of([failed]).tried_again
    assert not CaseFacts.of([failed] * 3).tried_again
    assert CaseFacts.of([failed, BuiltFact(case=case)]).failed is None
    own = FailedFact(case=case, step="build", stage="build", kind="CaseFailure", message="no")
    assert CaseFacts.of([failed, own]).failed == own
    assert not CaseFacts.of([failed, own]).tried_again
