"""Shared pieces: a small host of the user's own, a run made by hand, and the command line called in-process."""

import gc
import json
import multiprocessing
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from msgspec.structs import asdict

from attnbench.cli import answer
from attnbench.core.errors import CaseFailure
from attnbench.core.protocol import Effort, Protocol, split_settings
from attnbench.core.records import Case, Check, Failure, Finding, Measurement, NodeShare, Record, Run, RunHeader
from attnbench.core.scratch import scratch
from attnbench.measure import builder, executor, timing
from attnbench.report.charts import drawing
from attnbench.runs.store import open_run
from attnbench.study.plan import Plan

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""As many processes as cores run tests: threads of one would take the other's."""

BUNDLE = drawing.bundle

USER_CODE = '''
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.ReLU())
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, image):
        return self.head(self.body(torch.relu(self.stem(image))))


def build(width: int = 16):
    return Net(width)


class Gate(nn.Module):
    def __init__(self, channels, scale: float = 1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.full((1, channels, 1, 1), float(scale)))

    def forward(self, x):
        return x * torch.sigmoid(self.scale)


class Shrinks(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x[:, :, ::2, ::2]


class Crashes(nn.Module):
    def __init__(self, channels):
        super().__init__()
        import os
        os.kill(os.getpid(), 11)


class Hangs(nn.Module):
    def __init__(self, channels):
        super().__init__()
        import time
        time.sleep(3600)


class Raises(nn.Module):
    def __init__(self, channels):
        raise ValueError("no such luck")


class Wrong(nn.Module):
    """Gives one thing when traced by the exporter and another when run."""

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x + 1 if torch.compiler.is_exporting() else x


not_callable = 3


def not_a_module(channels):
    return "text"
'''


SHORT = "from attnbench.cli import answer, main; answer.WRITTEN = ('md', 'csv'); main()"
"""The command for ``python -c``, without a page, which takes seconds."""


def pytest_collection_modifyitems(items):
    """The slow ones come first: one that began last would be waited for."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish():
    """What is loaded by now stays: the collector of garbage takes a third of a second to look through it, and need not."""
    gc.collect()
    gc.freeze()


def time_in_fork(job, timeout):
    """A timing job in a new process that need not load the runtime; what memory takes needs settings that are there first."""
    from attnbench.measure.session import run_job

    if job["kind"] == "memory":
        return timing.time_in_process(job, timeout)
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as pool, builder._without_main():
        try:
            return json.loads(json.dumps(pool.submit(run_job, job, {}).result(timeout)))
        except Exception as error:
            raise CaseFailure("measure", f"{job['kind']} process failed: {error}") from error


@pytest.fixture(autouse=True, scope="session")
def _own_lock_cache_and_temporary_folder(tmp_path_factory):
    """Each process measures under a lock of its own: nothing here is timed in earnest. All keep exports in one new cache.

    What a process that is killed leaves behind lies below pytest's own folder. No disk is waited for.

    The building and timing processes that one test process starts are forks of one that has loaded torch, its exporter and
    the runtime. No sweep draws a page, and none is live, which takes seconds: ``test_page`` does both.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setattr(tempfile, "tempdir", None)
        patch.setattr(os, "fsync", lambda _: None)
        patch.setenv("ATTNBENCH_LOCK", str(tmp_path_factory.mktemp("lock") / "lock"))
        patch.setenv("ATTNBENCH_CACHE", str(shared / "attnbench-cache"))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(Path(__file__).parent)])))
        patch.setattr(builder, "START", "forkserver")
        patch.setattr(executor, "time_in_process", time_in_fork)
        patch.setattr(answer, "WRITTEN", ("md", "csv"))
        patch.setattr(drawing, "bundle", lambda: "")
        multiprocessing.set_forkserver_preload(["preloaded"])
        yield


def keep_exports(asked: Plan) -> None:
    """Has all that a plan needs exported here, for the tests' cache: a process that sweeps it needs no torch."""
    from attnbench.measure.build import CaseBuilder

    with scratch() as folder:
        built = CaseBuilder(asked.protocol, folder)
        for planned in asked.cases:
            built.describe(planned.case, planned.host, asked.targets)


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    """A file with a host and modules, good and bad."""
    path = tmp_path / "mine.py"
    path.write_text(USER_CODE)
    return path


@pytest.fixture
def command(monkeypatch, capsys):
    """The command line: arguments in; exit code, standard output and standard error out."""

    def call(*arguments: object) -> tuple[int, str, str]:
        from attnbench import cli

        monkeypatch.setattr("sys.argv", ["attnbench", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        seen = capsys.readouterr()
        return code, seen.out, seen.err

    return call


IN_BASH = """
set -eo pipefail
trap 'echo "end $?" > "$TALK/asked"' EXIT
attnbench() {
    printf '%q ' "$PWD" "$@" > "$TALK/asked"
    local code
    read -r code < "$TALK/code"
    cat "$TALK/out"
    cat "$TALK/err" >&2
    return "$code"
}
"""
"""Asks the test's own process, which has all loaded, to run the command."""


@pytest.fixture
def bash(command, monkeypatch, tmp_path_factory):
    """Lines of bash as they stand, in a folder, with ``attnbench`` in this process: exit code, and all that they said."""
    talk = tmp_path_factory.mktemp("talk")
    for name in ("asked", "code"):
        os.mkfifo(talk / name)

    def ran(lines: str, folder: Path, **environment: object) -> tuple[int, str]:
        more = {name: str(value) for name, value in environment.items()}
        with (talk / "said").open("w") as said:
            shell = subprocess.Popen(["bash", "-c", IN_BASH + lines], cwd=folder, env={**os.environ, **more, "TALK": str(talk)},
                                     stdout=said, stderr=said)  # fmt: skip
            while (words := shlex.split((talk / "asked").read_text()))[0] != "end":
                monkeypatch.chdir(words[0])
                code, *told = command(*words[1:])
                for name, text in zip(("out", "err"), told, strict=True):
                    (talk / name).write_text(text)
                (talk / "code").write_text(f"{code}\n")
            return shell.wait(), (talk / "said").read_text()

    return ran


@pytest.fixture
def refused(command):
    """A command line that must end with 2 and one line on standard error; it returns that line."""

    def call(*arguments: object) -> str:
        code, out, err = command(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("attnbench: ")
        return err

    return call


HEAVY = {"torch", "onnx", "onnxruntime", "onnx_ir", "fvcore", "matplotlib"}


def loaded_by(*lines: Sequence[object], code: int = 0) -> set[str]:
    """The top-level modules in memory after command lines that each end with ``code``, in one fresh interpreter."""
    script = (
        "import sys\nfrom attnbench.cli import main\n"
        f"for line in {[list(map(str, line)) for line in lines]!r}:\n"
        "    sys.argv = ['attnbench', *line]\n"
        f"    try:\n        main()\n    except SystemExit as end:\n        assert (end.code or 0) == {code}, line\n"
        "print('\\n' + ' '.join({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


BASELINE = Case("resnetsan01", "baseline", "384x640")


def case(variant: str) -> Case:
    return Case("resnetsan01", variant, "384x640")


def finding(op: str, level: str, variant_node: str = "", **values: str) -> Finding:
    node = variant_node or f"node_{op}"
    plain = {"rule": op.lower(), "measured": "", "limit": "", "reason": f"{op} reason", "evidence": "report"}
    return Finding("aimotive", level, node=node, op=op, source="report, section 1", inserted=bool(variant_node),
                   site="encoder.layer3" if variant_node else "", **{**plain, **values})  # fmt: skip


def with_settings(header: RunHeader, settings: dict) -> RunHeader:
    """The header with these settings, each where it belongs, and no others."""
    protocol, effort = split_settings(settings)
    return replace(header, protocol=protocol, effort=effort)


def measurements(**values: float) -> tuple[Measurement, ...]:
    return tuple(Measurement(metric, value, exact=metric != "latency") for metric, value in values.items())


@pytest.fixture
def run() -> Run:
    """A run of five cases with round figures: a baseline, two that were measured, one skipped, one failed."""
    base = {"params": 1000, "macs": 1_000_000, "flops": 2_000_000, "elementwise_ops": 500, "bytes_moved": 4000,
            "activation_peak": 8000, "largest_activation": 4000, "weights": 4000}  # fmt: skip
    more = {**base, "params": 1010, "macs": 1_020_000, "flops": 2_040_000, "activation_peak": 9000}
    node = "@encoder.layer3@0.cbam_npu@/node_mul"
    records = (
        Record(BASELINE, "ok", (*measurements(**base, latency=0.1, latency_p90=0.11),), (finding("Conv", "supported"),),
               checks=(Check("no Reshape", True),)),
        Record(
            case("encoder.layer3=cbam_npu"), "ok",
            (*measurements(**more, latency=0.103, latency_p90=0.12),
             Measurement("overhead", 0.03, low=0.029, high=0.031, samples=(0.0295, 0.03, 0.0305)),
             Measurement("paired", 0.028, low=0.02, high=0.04)),
            (finding("Conv", "supported"), finding("Mul", "constrained", node)),
            (NodeShare(node, "Mul", "encoder.layer3", "added", 0.003, 0.03),),
            (Check("no Reshape", True),),
        ),
        Record(
            case("encoder.layer3=eca"), "ok",
            (*measurements(**base, latency=0.101),
             Measurement("overhead", 0.001, low=0.0009, high=0.0011),
             Measurement("paired", 0.05, low=0.04, high=0.06)),
            (finding("Transpose", "refused", "@encoder.layer3@0.eca@/node_transpose"),),
            checks=(Check("no Reshape", False, "eca/node_view at encoder.layer3"),),
        ),
        Record(case("encoder.stem=self_attention"), "skipped", measurements(**base ),
               failure=Failure("memory", "CaseSkipped", "needs 41 GB of memory")),
        Record(case("encoder.layer3=bad"), "failed", failure=Failure("export", "CaseFailure", "it | broke")),
    )  # fmt: skip
    study = {
        "name": "made", "title": "A made run", "targets": ["aimotive"], "fingerprint": "0",
        "matrix": [{"modules": ["eca", "cbam_npu"], "places": ["encoder.layer3"]}],
        "cases": [
            {"variant": "encoder.layer3=cbam_npu", "priority": 1, "place": "layer3", "module": "CBAM", "claims": [
                {"metric": "overhead_pct", "value": 3, "relation": "about", "source": "3.2"},
                {"metric": "macs_delta_pct", "value": 3, "relation": "about", "source": "3.2", "text": "~3 % MACs"}]},
            {"variant": "encoder.layer3=cbam_npu", "stage": "Stage 1", "claims": [
                {"metric": "overhead_ms", "value": 5, "relation": "below", "source": "6.1"}]},
            {"variant": "encoder.layer3=eca", "claims": [
                {"metric": "npu_verdict", "value": "ok", "relation": "about", "source": "2.6"}]},
        ],
    }  # fmt: skip
    machine = {"cpu": "a CPU", "cores": 2, "memory_bytes": 16e9, "system": "Linux", "load": 0.1, "id": "m"}
    software = {"python": "3.11", "torch": "2", "onnx": "1", "onnxruntime": "1", "exporter": "e", "opset": 18,
                "canonical_pass": 1, "id": "s", "commit": "abc"}  # fmt: skip
    cases = tuple(record.case for record in records)
    protocol = {**asdict(Protocol()), "threads": [1]}
    header = RunHeader(1, "0.1.0", "2026-01-01T00:00:00+00:00", study, protocol, asdict(Effort()), machine, software, cases)
    return Run(header, records)


FIGURES = {"params": 1000, "macs": 1_000_000, "flops": 2_000_000, "activation_peak": 8000, "weights": 4000}


@pytest.fixture
def make(run):
    """A run of a baseline of 100 ms and the records given; keywords change its header, ``floor`` is in points."""

    def made(*records, floor=None, machine="m", settings=None, software=None, planned=(), targets=("aimotive",)):
        figures = {**FIGURES, "latency": 0.1, **({"floor_difference": floor / 100} if floor else {})}
        own = (finding("Conv", "supported"),)
        every = (Record(BASELINE, "ok", measurements(**figures), own, sources={"resnetsan01": "h0"}), *records)
        header = replace(
            with_settings(run.header, {**run.header.settings, **(settings or {})}),
            study={**run.header.study, "targets": list(targets), "matrix": [], "cases": []},
            machine={**run.header.machine, "id": machine},
            software={**run.header.software, **(software or {})},
            cases=(*(record.case for record in every), *planned),
        )
        return replace(run, header=header, records=every)

    return made


@pytest.fixture
def store(tmp_path):
    """Writes a run to a folder of its own and returns that."""

    def stored(run: Run, name: str = "one") -> Path:
        folder = tmp_path / "results" / name
        with open_run(folder, run.header) as writer:
            for record in run.records:
                writer.append(record)
        return folder

    return stored


def minutes_of(path: Path) -> float:
    """How long the run in a file took, to its last fact."""
    first, *_, last = map(json.loads, path.read_text().splitlines())
    return (datetime.fromisoformat(last["at"]) - datetime.fromisoformat(first["started"])).total_seconds() / 60
