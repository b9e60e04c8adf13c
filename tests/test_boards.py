"""Steps that are done elsewhere: over ssh on a board, and by a command of the user's.

The board is this machine behind a fake ``ssh`` on the path that runs what it is given with another home and fewer cores, so
that these tests run everywhere; one goes through a real sshd where there is one.
"""

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attnbench.core.errors import CaseFailure
from attnbench.measure import agent, machine, ssh
from attnbench.measure.executor import BoardLost, executor
from attnbench.runs.facts import FailedFact, ProfileFact
from attnbench.runs.store import load_run, read_run_file

FAKE = """#!/bin/sh
# An ssh to this machine: options, "--", a host, and a command for its shell. What it does beside that stands in files.
while [ "$1" != "--" ]; do echo "$1" >> "$FAKE/options"; shift; done
shift
echo "$1 $2" >> "$FAKE/calls"
[ "$1" = nowhere ] && { echo "ssh: Could not resolve hostname nowhere" >&2; exit 255; }
call=$(wc -l < "$FAKE/calls")
cut=$(cat "$FAKE/cut" 2>/dev/null || echo 0) dead=$(cat "$FAKE/dead" 2>/dev/null || echo 999)
if [ $call -eq $cut ]; then head -c 1000 > "$FAKE/half"; echo "client_loop: send disconnect: Broken pipe" >&2; exit 255; fi
[ $call -ge $dead ] && { echo "ssh: connect to host $1 port 22: No route to host" >&2; exit 255; }
echo "Welcome to the board"
HOME="$FAKE/home" XDG_CACHE_HOME= ATTNBENCH_LOCK="$FAKE/lock" PYTHONPATH= exec $PIN sh -c "$2"
"""


class FakeBoard:
    """This machine as a board, and what befalls the connections to it: they are counted from now on, the next one is 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def calls(self) -> list[str]:
        """The host and the command of every connection so far."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def files(self) -> list[Path]:
        """What was sent to it and is kept there."""
        return list((self.folder / "home" / ".cache" / "attnbench-board" / "files").iterdir())

    def breaks_off(self, connection: int) -> None:
        """One connection is lost while it sends."""
        (self.folder / "cut").write_text(f"{len(self.calls) + connection}")

    def answers_no_more(self, connection: int = 1) -> None:
        """No connection is made from this one on."""
        (self.folder / "dead").write_text(f"{len(self.calls) + connection}")

    def answers_again(self) -> None:
        (self.folder / "dead").unlink()


@pytest.fixture
def board(tmp_path, monkeypatch):
    folder = tmp_path / "board"
    (folder / "home").mkdir(parents=True)
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    script.write_text(FAKE)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("PIN", "taskset -c 0" if shutil.which("taskset") else "")
    monkeypatch.setattr(ssh, "WAITS", (0.0, 0.0))
    return FakeBoard(folder)


BOARD = f"ssh:me@board:{sys.executable}"
SHORT = ("--processes", 1, "--max-processes", 1, "--repeat", 3, "--warmup", 1, "--crosscheck", 0, "--quiet")
TWO_IN_A_GRAPH = ("--size", "64x96", "--variant", "encoder.layer1=eca", "--variant", "encoder.layer3=se", *SHORT)
ONE = ("--host", "resnet_cifar", "--size", "32x32", "--place", "layer3", "--module", "eca", *SHORT)


def test_a_sweep_whose_first_connection_breaks_is_not_begun(refused, board, tmp_path):
    board.breaks_off(connection=1)
    said = refused("sweep", *TWO_IN_A_GRAPH, "--on", BOARD, "--out", tmp_path / "run")
    assert "no connection: client_loop: send disconnect: Broken pipe" in said
    assert len(board.calls) == 1, "it is not tried again"


@pytest.mark.slow
def test_a_sweep_on_a_board_loses_a_step_with_its_connection_and_goes_on_once_the_board_is_back(
    command, refused, board, tmp_path
):
    out = tmp_path / "run"
    sweep = ("sweep", *TWO_IN_A_GRAPH, "--no-memory", "--on", BOARD, "--out", out)

    board.breaks_off(connection=5)
    board.answers_no_more(connection=9)
    said = refused(*sweep)
    stored, facts = (out / "run.jsonl").read_text(), read_run_file(out).facts
    assert "does not answer any more (ssh: connect to host me@board port 22: No route to host)" in said
    assert any(isinstance(fact, ProfileFact) for fact in facts), "what was taken is kept"
    assert not any(isinstance(fact, FailedFact) for fact in facts), "a lost connection is no failure of a case"

    board.answers_again()
    code, _, err = command(*sweep)
    assert (code, err) == (0, "")
    assert (out / "run.jsonl").read_text().startswith(stored), "nothing is measured anew"

    baseline, *others = load_run(out).records
    assert [record.status for record in (baseline, *others)] == ["ok"] * 3
    assert all(record.get("overhead").value > 0 for record in others)
    assert_header_is_of_the_board(read_run_file(out).header)
    assert len(panels_of(read_run_file(out).facts)) == 1, "both cases in one graph"
    assert [path.stat().st_size > 1_000_000 for path in board.files].count(True) == 1, "the host's weights go there once"
    assert_connections_are_plain(board)


def assert_header_is_of_the_board(header):
    assert header.machine["reached"] == "ssh"
    assert header.machine["cores"] == (1 if shutil.which("taskset") else machine.granted_cores())
    assert header.software["onnxruntime"] == machine.software()["onnxruntime"]


def panels_of(facts) -> set[str]:
    return {fact.panel for fact in facts if isinstance(fact, ProfileFact) and fact.panel and not fact.repeat}


def assert_connections_are_plain(board):
    """The user's own settings hold, and a shell there reads one command."""
    options = (board.folder / "options").read_text()
    assert "BatchMode=yes" in options
    assert "StrictHostKeyChecking" not in options
    assert all(" -c " in call for call in board.calls)


def test_what_connections_and_boards_do_wrong(board, tmp_path, refused):
    there = executor(BOARD)
    model = tmp_path / "m.onnx"
    model.write_bytes(b"no model")
    job = {"kind": "latency", "model": str(model), "threads": 1, "repeat": 1, "warmup": 1, "seed": 0, "step_seconds": 1}
    with pytest.raises(CaseFailure, match="latency process failed: .*INVALID_PROTOBUF|latency process failed: .*Protobuf"):
        there.time(job, 60)
    board.breaks_off(connection=1)
    assert there.time({"kind": "devices", "runtime": "onnxruntime"}, 60)["devices"]
    for path in board.files:
        path.unlink()
    with pytest.raises(CaseFailure):
        there.time(job, 60)  # it is told what is lacking, and sends it anew
    assert len(board.files) == 1
    with pytest.raises(CaseFailure, match="did not end within 0 s"):
        there.time({"kind": "devices", "runtime": "onnxruntime"}, 0.01)
    board.answers_no_more()
    with pytest.raises(
        BoardLost, match=r"board me@board does not answer any more \(ssh: connect .*No route to host\): what was"
    ):
        there.time(job, 60)
    board.answers_again()
    there.told = {**there.told, "machine": {**there.told["machine"], "id": "another"}}
    with pytest.raises(BoardLost, match="is another machine"):
        there.meet()


def test_graphs_and_folders_of_a_job_lie_on_the_board_as_they_do_here(tmp_path):
    (tmp_path / "files").mkdir()
    for content in "abc":
        (tmp_path / "files" / content).write_text(content)
    job = {"kind": "pairs", "models": ["/x/1.onnx", "/x/2.onnx"], "inputs": "/images", "seed": 0}
    graphs = {"/x/1.onnx": {"1.onnx": "a", "w": "b"}, "/x/2.onnx": {"2.onnx": "c", "w": "b"}, "/images": {"i.npy": "c"}}
    placed = agent._placed(job, graphs, tmp_path / "files", tmp_path)
    assert [Path(path).read_text() for path in placed["models"]] == ["a", "c"]
    assert all((Path(path).parent / "w").read_text() == "b" for path in placed["models"])
    assert (Path(placed["inputs"]) / "i.npy").read_text() == "c"
    assert {**placed, "models": 0, "inputs": 0} == {**job, "models": 0, "inputs": 0}


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("ssh:", "is neither ssh:HOST"),
        ("pi", "is neither ssh:HOST"),
        ("ssh:-oProxyCommand=x", "is no host that ssh could know"),
        (
            "ssh:nowhere",
            "board nowhere: no connection: ssh: Could not resolve hostname nowhere: it must work as `ssh nowhere true`",
        ),
        ("ssh:board:/no/python", "board board: sh: 1: /no/python: not found"),
        ("cmd:./run.sh", "has no {model}"),
        ("cmd:./run.sh {model}", "has no {repeat}"),
        ("cmd:./none.sh {model} {repeat}", "there is no command ./none.sh"),
        ("cmd:./none.sh '{model}", "No closing quotation"),
    ],
)
def test_a_wrong_place_is_one_line(refused, board, on, message):
    assert message in refused("sweep", *TWO_IN_A_GRAPH, "--on", on).replace("sh: line 1", "sh: 1").replace(
        "No such file or directory", "not found"
    )


def test_packages_that_a_board_lacks_are_named_with_the_command_that_installs_them(board, monkeypatch, refused):
    monkeypatch.setattr(ssh, "NEEDED", ("onnxruntime", "no_such_package"))
    told = refused("sweep", *TWO_IN_A_GRAPH, "--on", BOARD)
    assert (
        f"{sys.executable} has no no_such_package: run there: {sys.executable} -m pip install onnxruntime no_such_package"
        in told
    )
    monkeypatch.setattr(ssh, "OLDEST", (99, 0))
    assert "99.0 is needed: name another, ssh:me@board:PYTHON" in refused("sweep", *TWO_IN_A_GRAPH, "--on", BOARD)


def test_a_step_waits_for_who_measures_on_the_board(board, monkeypatch):
    from attnbench.measure.lock import measuring

    there = executor(BOARD)
    monkeypatch.setattr(ssh, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(ssh, "WAITS", ())
    with monkeypatch.context() as patch:
        patch.setenv("ATTNBENCH_LOCK", str(board.folder / "lock"))
        with measuring("another sweep", wait=False, waiting=lambda _: None), pytest.raises(BoardLost, match="another sweep"):
            there.time({"kind": "providers"}, 60)


def test_sources_and_what_runs_there_load_no_torch(board):
    executor(BOARD)
    code = next((board.folder / "home" / ".cache" / "attnbench-board").glob("code-*"))
    script = (
        "import sys, attnbench.measure.agent, attnbench.measure.session, attnbench.measure.memory\n"
        "heavy = {'torch', 'onnxscript', 'pandas', 'scipy', 'typer'} & set(sys.modules)\nassert not heavy, heavy"
    )
    environment = {**os.environ, "PYTHONPATH": str(code)}
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=board.folder, check=True)


PAGE = (Path(__file__).parent.parent / "docs" / "boards.md").read_text()


def example(tmp_path: Path) -> str:
    """The script of the page, as a command."""
    (block,) = (one for one in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if one.startswith("# run.py"))
    (tmp_path / "run.py").write_text(block)
    return f"cmd:{sys.executable} {tmp_path / 'run.py'} {{model}} {{repeat}}"


def test_the_command_of_the_page_tells_layers_and_is_attributed(command, tmp_path):
    code, _, err = command("sweep", *ONE, "--rounds", 1, "--on", example(tmp_path), "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    run = load_run(tmp_path / "run")
    assert run.header.machine["reached"] == run.header.protocol["provider"] == "cmd"
    (record,) = (one for one in run.records if not one.case.is_baseline)
    assert record.get("overhead").value > 0
    assert "added" in {node.kind for node in record.nodes}
    assert record.get("aligned").value > 0.8
    assert "a system unknown, load –" in (tmp_path / "run" / "report.md").read_text()


DEVICE = """
import json, sys
model = open(sys.argv[1], "rb").read()
print(json.dumps({"runs": [1.02 if b"@layer" in model else 1.0] * int(sys.argv[2])}))
"""


def test_a_command_that_tells_whole_runs_alone_gives_the_paired_figure(command, tmp_path):
    (tmp_path / "device.py").write_text(DEVICE)
    on = f"cmd:{sys.executable} {tmp_path / 'device.py'} {{model}} {{repeat}}"
    code, _, err = command("sweep", *ONE, "--on", on, "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    (record,) = (one for one in load_run(tmp_path / "run").records if not one.case.is_baseline)
    assert (record.get("overhead").value, record.get("overhead").note) == (
        None,
        "not attributed: no layer was timed by itself",
    )
    assert record.get("paired").value == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("print('no')", "is no JSON"),
        ("print('{\"runs\": []}')", "runs"),
        ('print(\'{"runs": [1], "layer": []}\')', "did you mean 'layers'"),
        ('print(\'{"runs": [1], "layers": [{"name": "a", "seconds": []}]}\')', "has not as many seconds as there are runs"),
        ("raise SystemExit('no device')", "failed: no device"),
        ("import time; time.sleep(9)", "did not end within 1 s"),
    ],
)
def test_what_a_command_does_wrong_is_the_cases_reason(tmp_path, script, message):
    path = tmp_path / "run.py"
    path.write_text(script)
    there = executor(f"cmd:{sys.executable} {path} {{model}} {{repeat}}")
    with pytest.raises(CaseFailure, match=message):
        there.time({"kind": "profile", "model": "m", "repeat": 1, "warmup": 1}, 1)


@pytest.mark.slow
def test_a_real_sshd_is_a_board(tmp_path, monkeypatch, command):
    """A server of its own on a free port, with keys of its own, named by the user's own configuration."""
    server = shutil.which("sshd") or next((p for p in ("/usr/sbin/sshd",) if Path(p).exists()), "")
    if not server or not shutil.which("ssh") or os.geteuid() != 0:
        pytest.skip("no OpenSSH server that may be started here (apt install openssh-server)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\n"
        f"StrictModes no\nUsePAM no\nPidFile {tmp_path}/pid\nPermitRootLogin yes\n"
        f"SetEnv XDG_CACHE_HOME={tmp_path}/there ATTNBENCH_LOCK={tmp_path}/lock\n"
    )
    (tmp_path / "config").write_text(
        f"Host pi\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {tmp_path}/user\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {tmp_path}/known\n"
    )
    wrapped = tmp_path / "bin" / "ssh"  # as ~/.ssh/config would, whose place OpenSSH takes from the password file
    wrapped.parent.mkdir()
    wrapped.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/config "$@"\n')
    wrapped.chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    running = subprocess.Popen([server, "-D", "-e", "-f", str(tmp_path / "sshd_config")], stderr=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("PATH", f"{wrapped.parent}{os.pathsep}{os.environ['PATH']}")
        for _ in range(100):
            if subprocess.run(["ssh", "pi", "true"], check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        code, _, err = command("sweep", *ONE, "--memory", "--on", f"ssh:pi:{sys.executable}", "--out", tmp_path / "run")
        assert (code, err) == (0, "")
        run = load_run(tmp_path / "run")
        assert all(record.status == "ok" and record.value("memory_peak") for record in run.records)
    finally:
        running.terminate()
        running.wait(10)
