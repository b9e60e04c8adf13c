"""Peers: what other ways of timing make of the same question, and how long they take over it.

The question is what ``decoder.fusion=se_npu`` adds to the host at 96x160. The ways: a loop over one model and then over the
other; torch.utils.benchmark, pyperf and pytest-benchmark with their defaults; attnbench's pairs; its attribution. All use
the same session settings, one thread, and take turns for several sittings. The reference is the long paired run of
``wall.py``. Needs ``pip install pyperf pytest-benchmark``.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import onnxruntime as ort
from lab import RESULTS, SMALL, Lab, experiment, open_lab, percent, table

from attnbench.core.records import BASELINE
from attnbench.core.statistics import signed_rank_interval
from attnbench.measure.session import feed, open_session, session_options
from attnbench.runs.figures import paired_overhead

VARIANT = "decoder.fusion=se_npu"
SITTINGS = 6
HERE = Path(__file__).parent


def run(quick: bool) -> tuple[str, dict[str, Any]]:
    """Every way in turn, for some sittings."""
    known = json.loads((RESULTS / "wall.json").read_text())[f"{SMALL} {VARIANT}"]
    reference = signed_rank_interval(known["cpu"])
    ways = {
        "loop: 100 runs of one, then of the other, mean": loop,
        "torch.utils.benchmark, blocked_autorange, median": torch_benchmark,
        "pytest-benchmark, mean": pytest_benchmark,
        "pyperf, mean": pyperf,
        "attnbench, 20 pairs of 5 processes": paired,
        "attnbench, attributed over 5 processes": attributed,
    }
    figures: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    with open_lab() as lab:
        paths = lab.graph(BASELINE, SMALL), lab.graph(VARIANT, SMALL)
        for number in range(2 if quick else SITTINGS):
            for name, way in ways.items():
                began = time.perf_counter()
                figures[name].append(way(lab, paths, number))
                seconds[name].append(time.perf_counter() - began)
    rows = [row(name, figures[name], fmean(seconds[name]), reference.value) for name in ways]
    text = f"Reference {percent(reference)} %, from {known['pairs'][0]:.0f} pairs.\n\n{table(rows)}"
    return text, {"figures": figures, "seconds": seconds}


def row(name: str, figures: list[float], seconds: float, reference: float) -> dict[str, str]:
    """How far a way's answers are from the reference, for how many seconds."""
    error = math.sqrt(fmean((figure - reference) ** 2 for figure in figures))
    return {
        "way": name,
        "answers (%)": f"{100 * min(figures):.2f} to {100 * max(figures):.2f}",
        "mean (%)": f"{100 * fmean(figures):.3f}",
        "SD (points)": f"{100 * stdev(figures):.3f}",
        "error, root mean square (points)": f"{100 * error:.3f}",
        "seconds an answer": f"{seconds:.1f}",
        "seconds for ±0.1 points": f"{seconds * (error / 0.001) ** 2:,.0f}",
        "wrong sign": f"{sum(figure <= 0 for figure in figures)} of {len(figures)}",
    }


def session_of(path: str) -> tuple[ort.InferenceSession, Any]:
    """A session and its inputs, in this process."""
    session = open_session({"provider": "cpu"}, path, session_options({}))
    return session, feed(session, 0)


def loop(lab: Lab, paths: tuple[str, str], number: int) -> float:  # noqa: ARG001
    """What most scripts do."""
    means = []
    for path in paths:
        session, inputs = session_of(path)
        for _ in range(10):
            session.run(None, inputs)
        began = time.perf_counter()
        for _ in range(100):
            session.run(None, inputs)
        means.append(time.perf_counter() - began)
    return means[1] / means[0] - 1


def torch_benchmark(lab: Lab, paths: tuple[str, str], number: int) -> float:  # noqa: ARG001
    """torch's Timer."""
    from torch.utils.benchmark import Timer  # noqa: PLC0415

    medians = []
    for path in paths:
        session, inputs = session_of(path)
        timer = Timer("session.run(None, inputs)", globals={"session": session, "inputs": inputs})
        medians.append(timer.blocked_autorange().median)
    return medians[1] / medians[0] - 1


def pytest_benchmark(lab: Lab, paths: tuple[str, str], number: int) -> float:  # noqa: ARG001
    """pytest-benchmark's fixture."""
    means = []
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder, "result.json")
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(HERE),
                       str(HERE / "peer_pytest.py"), f"--benchmark-json={result}"]  # fmt: skip
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PEER_MODEL": path}, cwd=folder)
            means.append(json.loads(result.read_text())["benchmarks"][0]["stats"]["mean"])
    return means[1] / means[0] - 1


def pyperf(lab: Lab, paths: tuple[str, str], number: int) -> float:  # noqa: ARG001
    """pyperf's runner: twenty processes with three values each."""
    means = []
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder, "result.json")
            command = [sys.executable, str(HERE / "peer_pyperf.py"), path, "--copy-env", "-o", str(result)]
            subprocess.run(command, check=True, capture_output=True)
            runs = json.loads(result.read_text())["benchmarks"][0]["runs"]
            means.append(fmean(value for one in runs for value in one.get("values", ())))
    return means[1] / means[0] - 1


def paired(lab: Lab, paths: tuple[str, str], number: int) -> float:  # noqa: ARG001
    """The cross-check of a sweep."""
    ratios = [ratio for index in range(5) for ratio in lab.ratios(VARIANT, SMALL, 4, 5 * number + index)]
    return paired_overhead(ratios).value


def attributed(lab: Lab, paths: tuple[str, str], number: int) -> float:  # noqa: ARG001
    """The figure of a sweep."""
    return fmean(lab.replicate(VARIANT, SMALL, lab.baseline(SMALL)).overhead for _ in range(5))


if __name__ == "__main__":
    experiment("Peers: the same question to other ways of timing", run)
