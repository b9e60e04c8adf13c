"""Peers: what other ways of timing make of the same question, and how long they take over it.

The question is what ``decoder.fusion=se_npu`` adds to the host at 96x160. The ways: a loop over one model and then over the
other; torch.utils.benchmark, pyperf and pytest-benchmark with their defaults; attnbench's pairs; its attribution. All use
the same session settings, one thread, and take turns for several sittings. The reference is the long paired run of
``wall.py``. Needs ``pip install pyperf pytest-benchmark``.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from lab import HOST, RESULTS, SMALL, Lab, experiment, open_lab, percent, root_mean_square, table

from attnbench.core.records import BASELINE
from attnbench.core.statistics import signed_rank_interval
from attnbench.measure.session import feed, opened
from attnbench.runs.figures import paired_overhead
from attnbench.runtimes import RuntimeSession

VARIANT = "decoder.fusion=se_npu"
SITTINGS = 6
HERE = Path(__file__).parent

Way = Callable[[Lab, tuple[str, str], int], float]
"""Of a lab, the graphs of baseline and variant and the number of the sitting: what the variant adds, as a ratio."""


def run(quick: bool) -> dict[str, Any]:
    """Every way in turn, for some sittings."""
    figures: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    with open_lab() as lab:
        paths = lab.graph(BASELINE, SMALL), lab.graph(VARIANT, SMALL)
        for number in range(2 if quick else SITTINGS):
            for name, way in WAYS.items():
                began = time.perf_counter()
                figures[name].append(way(lab, paths, number))
                seconds[name].append(time.perf_counter() - began)
    return {"figures": figures, "seconds": seconds}


def page(raw: dict[str, dict[str, list[float]]]) -> str:
    """The reference, and a row a way."""
    known = json.loads((RESULTS / "wall.json").read_text())[f"{HOST.spec} {SMALL} {VARIANT}"]
    reference = signed_rank_interval(known["cpu"])
    rows = (row(name, own, fmean(raw["seconds"][name]), reference.value) for name, own in raw["figures"].items())
    return f"Reference {percent(reference)} %, from {sum(known['pairs']):,.0f} pairs.\n\n{table(rows)}"


def row(name: str, figures: list[float], seconds: float, reference: float) -> dict[str, str]:
    """How far a way's answers are from the reference, for how many seconds."""
    error = root_mean_square(figure - reference for figure in figures)
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


def session_of(path: str) -> tuple[RuntimeSession, Any]:
    """A session and its inputs, in this process."""
    session = opened({}, path)
    return session, feed(session, 0)


def loop(path: str) -> float:
    """What most scripts do: seconds of 100 runs."""
    session, inputs = session_of(path)
    for _ in range(10):
        session.run(inputs)
    began = time.perf_counter()
    for _ in range(100):
        session.run(inputs)
    return time.perf_counter() - began


def torch_benchmark(path: str) -> float:
    """torch's Timer."""
    from torch.utils.benchmark import Timer  # noqa: PLC0415

    session, inputs = session_of(path)
    return Timer("session.run(inputs)", globals={"session": session, "inputs": inputs}).blocked_autorange().median


def pytest_benchmark(path: str) -> float:
    """pytest-benchmark's fixture."""
    command = ["-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", str(HERE / "peer_pytest.py")]
    return result_of([*command, "--benchmark-json"], PEER_MODEL=path)["stats"]["mean"]


def pyperf(path: str) -> float:
    """pyperf's runner: twenty processes with three values each."""
    runs = result_of([str(HERE / "peer_pyperf.py"), path, "--copy-env", "-o"])["runs"]
    return fmean(value for one in runs for value in one.get("values", ()))


def result_of(command: list[str], **environment: str) -> dict[str, Any]:
    """The one benchmark in the JSON file that a Python command writes, to the path that is its last argument."""
    with tempfile.TemporaryDirectory() as folder:
        result, variables = Path(folder, "result.json"), {**os.environ, **environment}
        subprocess.run([sys.executable, *command, str(result)], check=True, capture_output=True, env=variables, cwd=folder)
        return json.loads(result.read_text())["benchmarks"][0]


def one_after_the_other(time_of: Callable[[str], float]) -> Way:
    """What is added by a way that times one model and then the other."""

    def added(_lab: Lab, paths: tuple[str, str], _number: int) -> float:
        before, after = map(time_of, paths)
        return after / before - 1

    return added


def paired(lab: Lab, _paths: tuple[str, str], number: int) -> float:
    """The cross-check of a sweep."""
    ratios = [ratio for index in range(5) for ratio in lab.ratios(VARIANT, SMALL, 4, 5 * number + index)]
    return paired_overhead(ratios).value


def attributed(lab: Lab, _paths: tuple[str, str], _number: int) -> float:
    """The figure of a sweep."""
    return fmean(lab.replicate(VARIANT, SMALL, lab.baseline(SMALL)).overhead for _ in range(5))


WAYS = {
    "loop: 100 runs of one, then of the other, mean": one_after_the_other(loop),
    "torch.utils.benchmark, blocked_autorange, median": one_after_the_other(torch_benchmark),
    "pytest-benchmark, mean": one_after_the_other(pytest_benchmark),
    "pyperf, mean": one_after_the_other(pyperf),
    "attnbench, 20 pairs of 5 processes": paired,
    "attnbench, attributed over 5 processes": attributed,
}

if __name__ == "__main__":
    experiment("Peers: the same question to other ways of timing", run, page)
