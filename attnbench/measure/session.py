"""The child's side: a graph in a runtime on one pinned core, and the ways of timing it.

The process is pinned before a graph is opened. Each function takes and gives plain JSON values.
"""

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from attnbench.core.errors import InputError
from attnbench.core.grammar import parse_spec
from attnbench.core.inputs import read_inputs
from attnbench.core.records import DEFAULT_RUNTIME
from attnbench.measure.optimised import edges_of, with_kinds
from attnbench.runtimes import CPU, RUNTIMES, Runtime, RuntimeSession, SessionSettings, device_of, open_graph

SMALLEST_SAMPLE = 3
CHAIN_WARMUP, CHAIN_RUNS, CHAIN_LEAST = 5, 20, 100


def pin(threads: int) -> list[int]:
    """Bind this process to as many cores as it has threads, the last ones granted to it, and return them."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    granted = sorted(os.sched_getaffinity(0))
    chosen = granted[-threads:]
    os.sched_setaffinity(0, chosen)
    return chosen


def opened(job: dict[str, Any], model: str, **how: Any) -> RuntimeSession:
    """A model in the job's runtime, by its settings; ``how`` are further ones."""
    settings = SessionSettings(provider=job.get("provider", CPU), optimization=job.get("optimization", "all"), **how)
    return open_graph(job.get("runtime", DEFAULT_RUNTIME), model, settings)


def on_cpu(job: dict[str, Any]) -> bool:
    """Whether the job's runtime computes on the CPU, whose clock then tells what other processes took."""
    return device_of(job.get("runtime", DEFAULT_RUNTIME), job.get("provider", CPU)) == CPU


def feed(session: RuntimeSession, seed: int) -> dict[str, np.ndarray]:
    """Normal noise for each input, the same for the same seed and shapes."""
    generator = np.random.default_rng(seed)
    return {one.name: generator.standard_normal(one.shape, dtype=np.float32) for one in session.inputs}


def given(session: RuntimeSession, job: dict[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    """What the runs are fed, one after the other, for ever: the job's own inputs in turn, or the same noise.

    Raises ``InputError`` where its inputs do not fit the graph.
    """
    if not job.get("inputs"):
        return cycle([feed(session, job["seed"])])
    if len(session.inputs) != 1:
        raise InputError(f"inputs: the graph has {len(session.inputs)} inputs, and a folder is for one")
    return cycle([{session.inputs[0].name: array} for array in read_inputs(job["inputs"], session.inputs[0].shape)])


def profile(job: dict[str, Any]) -> dict[str, Any]:
    """Times of each node in each run, after the warm-ups: nodes in executed order, and one row of seconds a run.

    ``edges`` are those of the runtime's own optimised graph, between positions in that order. ``cost`` is by how many
    seconds a profile overstates a node (see ``profiling_cost``).
    """
    cost = profiling_cost({**job, "provider": CPU}) if job.get("chain") else 0.0
    session = opened(job, job["model"], keep="profile")
    graph = session.graph()
    inputs = given(session, job)
    outputs = session.run(next(inputs))
    _repeat(lambda: session.run(next(inputs)), job["warmup"] - 1, None)
    session.warm()
    spent: list[tuple[float, float]] = []
    _repeat(lambda: spent.append(_timed(partial(session.run, next(inputs)))), job["repeat"], job["step_seconds"])
    nodes, runs = session.profiled()
    return {
        "nodes": with_kinds(nodes, graph),
        "edges": edges_of(nodes, graph),
        "runs": runs,
        "wall": fmean(seconds for seconds, _ in spent),
        "finite": all(bool(np.isfinite(output).all()) for output in outputs),
        "core_share": _core_share(spent) if on_cpu(job) else 1.0,
        "cost": cost,
    }


def profiling_cost(job: dict[str, Any]) -> float:
    """Seconds by which a profile overstates a node: what it says of a chain of near-empty nodes, less their share of a run.

    ONNX Runtime stops a node's clock after it has written the node's shapes down as text, so that each node's time holds it.
    A runtime that makes few nodes of the chain does not tell, and nothing is taken off.
    """
    plain = opened(job, job["chain"])
    inputs = feed(plain, job["seed"])
    wall: list[float] = []
    _repeat(lambda: plain.run(inputs), CHAIN_WARMUP, None)
    _repeat(lambda: wall.append(_timed(lambda: plain.run(inputs))[0]), CHAIN_RUNS, None)
    session = opened(job, job["chain"], keep="profile")
    _repeat(lambda: session.run(inputs), CHAIN_WARMUP, None)
    session.warm()
    _repeat(lambda: session.run(inputs), CHAIN_RUNS, None)
    nodes, runs = session.profiled()
    return float(median(fmean(run) for run in runs) - median(wall) / len(nodes)) if len(nodes) >= CHAIN_LEAST else 0.0


def pairs(job: dict[str, Any]) -> dict[str, Any]:
    """Wall and CPU seconds of two models in interleaved rounds, a row a round; which goes first is drawn each time.

    Which of the two sessions is created first changes from one process of a case (``number``) to the next: the places in
    memory that it takes are worth a tenth of a percent or two.
    """
    case = f"{job['seed']} {Path(job['models'][1]).name}"
    turn = random.Random(case).randrange(2) + job["number"]  # noqa: S311  an order, not a secret
    draw = random.Random(f"{case} {job['number']}")  # noqa: S311
    created = {side: opened(job, job["models"][side]) for side in (turn % 2, 1 - turn % 2)}
    sessions = [created[side] for side in (0, 1)]
    inputs = given(sessions[0], job)
    wall: list[tuple[float, float]] = []
    cpu: list[tuple[float, float]] = []

    def one_round() -> None:
        own = next(inputs)
        seen = {side: _timed(partial(sessions[side].run, own)) for side in draw.sample((0, 1), 2)}
        wall.append((seen[0][0], seen[1][0]))
        cpu.append((seen[0][1], seen[1][1]))

    _repeat(one_round, job["warmup"], None)  # warmed up in turn: the last one to be warmed up by itself would win round 1
    wall.clear()
    cpu.clear()
    _repeat(one_round, job["rounds"], job["step_seconds"])
    return {"wall": wall, "cpu": cpu}


def latency(job: dict[str, Any]) -> dict[str, Any]:
    """Wall seconds of plain runs at a number of threads."""
    session = opened(job, job["model"], threads=job["threads"])
    inputs = given(session, job)
    _repeat(lambda: session.run(next(inputs)), job["warmup"], None)
    wall: list[float] = []
    _repeat(lambda: wall.append(_timed(partial(session.run, next(inputs)))[0]), job["repeat"], job["step_seconds"])
    return {"wall": wall}


def devices(job: dict[str, Any]) -> dict[str, Any]:
    """What the job's runtime can compute on in this installation: of ONNX Runtime the execution providers."""
    return {"devices": _runtime(job).devices()}


def _runtime(job: dict[str, Any]) -> Runtime:
    """The job's runtime; it is imported now."""
    found: Runtime = RUNTIMES.load(parse_spec(job.get("runtime", DEFAULT_RUNTIME)).name)
    return found


def _core_share(spent: list[tuple[float, float]]) -> float:
    """The part of the wall time that this thread had its core, at most 1: what is missing went to other processes."""
    wall = sum(seconds for seconds, _ in spent)
    return min(1.0, sum(seconds for _, seconds in spent) / wall) if wall else 1.0


Job = Callable[[dict[str, Any]], dict[str, Any]]
JOBS: dict[str, Job] = {"profile": profile, "pairs": pairs, "latency": latency, "devices": devices}


def run_job(job: dict[str, Any], more: Mapping[str, Job]) -> dict[str, Any]:
    """Pin, do one job, of a kind from here or of ``more``, and say on which cores it was done and how long it took."""
    _runtime(job)
    cores = pin(job.get("threads", 1))
    started = time.perf_counter()
    result = {**JOBS, **more}[job["kind"]](job)
    return {**result, "cores": cores, "seconds": time.perf_counter() - started}


def _repeat(action: Callable[[], Any], times: int, limit: float | None) -> None:
    """Do it so many times, or until the limit in seconds has passed and the smallest sample is had."""
    started = time.perf_counter()
    for done in range(times):
        if limit is not None and done >= SMALLEST_SAMPLE and time.perf_counter() - started > limit:
            return
        action()


def _timed(action: Callable[[], Any]) -> tuple[float, float]:
    cpu, wall = time.thread_time(), time.perf_counter()
    action()
    return time.perf_counter() - wall, time.thread_time() - cpu
