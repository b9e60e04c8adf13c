"""The child's side: one ONNX Runtime session on one pinned core, and the ways of timing it.

Settings follow what a calm, repeatable run needs: sequential execution, all optimisations, no spinning threads, the
process pinned before the session exists. Each function takes and gives plain JSON values.
"""

import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import onnxruntime as ort

from attnbench.measure.optimised import edges_of, optimised_graph, with_kinds, write_optimised

SMALLEST_SAMPLE = 3
CHAIN_WARMUP, CHAIN_RUNS = 5, 20


def pin(threads: int) -> list[int]:
    """Bind this process to as many cores as it has threads, the last ones granted to it, and return them."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    granted = sorted(os.sched_getaffinity(0))
    chosen = granted[-threads:]
    os.sched_setaffinity(0, chosen)
    return chosen


OPTIMIZATION = {
    "all": "ORT_ENABLE_ALL",
    "layout": "ORT_ENABLE_LAYOUT",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "none": "ORT_DISABLE_ALL",
}
CPU = "CPUExecutionProvider"
THREAD_OPTION = {"XnnpackExecutionProvider": "intra_op_num_threads", "OpenVINOExecutionProvider": "num_of_threads"}
"""How a provider with threads of its own is told their number."""


def session_options(job: dict[str, Any], threads: int = 1) -> ort.SessionOptions:
    """The protocol's settings for a session: sequential, no spinning, the job's level of optimisation."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, OPTIMIZATION[job.get("optimization", "all")])
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def open_session(job: dict[str, Any], model: str, options: ort.SessionOptions) -> ort.InferenceSession:
    """A session of the job's execution provider. Raises ``RuntimeError`` where the provider gave way to another."""
    wanted = provider_name(job.get("provider", "cpu"), ort.get_available_providers())
    own = {THREAD_OPTION[wanted]: str(options.intra_op_num_threads)} if wanted in THREAD_OPTION else {}
    chosen: list[Any] = [(wanted, own)] if wanted == CPU else [(wanted, own), CPU]
    session = ort.InferenceSession(model, options, providers=chosen)
    if session.get_providers()[0] != wanted:
        raise RuntimeError(f"{wanted} did not start and gave way to {session.get_providers()[0]}")
    return session


def provider_name(name: str, available: list[str]) -> str:
    """The installed provider that a short name means: ``cpu`` for ``CPUExecutionProvider``."""
    found = [full for full in available if full.removesuffix("ExecutionProvider").lower() == name]
    if not found:
        raise RuntimeError(f"execution provider '{name}' is not installed")
    return found[0]


def feed(session: ort.InferenceSession, seed: int) -> dict[str, np.ndarray]:
    """Normal noise for each input, the same for the same seed and shapes."""
    generator = np.random.default_rng(seed)
    return {i.name: generator.standard_normal(i.shape, dtype=np.float32) for i in session.get_inputs()}


def profile(job: dict[str, Any]) -> dict[str, Any]:
    """Times of each node in each run, after the warm-ups: nodes in executed order, and one row of seconds a run.

    ``edges`` are those of the runtime's own optimised graph, between positions in that order. ``cost`` is by how many
    seconds a profile overstates a node (see ``profiling_cost``).
    """
    cost = profiling_cost({**job, "provider": "cpu"}) if job.get("chain") else 0.0
    plain = job.get("provider", "cpu") == "cpu"  # other providers compile parts of a graph, which cannot be written down
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder, "optimised.onnx") if plain else None
        session, events_of = _profiled(job, job["model"], optimised)
        graph = optimised_graph(optimised) if optimised else []
    inputs = feed(session, job["seed"])
    outputs = session.run(None, inputs)
    _repeat(lambda: session.run(None, inputs), job["warmup"] - 1, None)
    spent: list[tuple[float, float]] = []
    _repeat(lambda: spent.append(_timed(lambda: session.run(None, inputs))), job["repeat"], job["step_seconds"])
    nodes, runs = runs_of(events_of())
    return {
        "nodes": with_kinds(nodes, graph),
        "edges": edges_of(nodes, graph),
        "runs": runs[job["warmup"] :],
        "finite": all(bool(np.isfinite(output).all()) for output in outputs),
        "core_share": _core_share(spent) if plain else 1.0,
        "cost": cost,
    }


def profiling_cost(job: dict[str, Any]) -> float:
    """Seconds by which a profile overstates a node: what it says of a chain of near-empty nodes, less their share of a run.

    The runtime stops a node's clock after it has written the node's shapes down as text, so that each node's time holds it.
    """
    plain = open_session(job, job["chain"], session_options(job))
    inputs = feed(plain, job["seed"])
    wall: list[float] = []
    _repeat(lambda: plain.run(None, inputs), CHAIN_WARMUP, None)
    _repeat(lambda: wall.append(_timed(lambda: plain.run(None, inputs))[0]), CHAIN_RUNS, None)
    session, events_of = _profiled(job, job["chain"])
    _repeat(lambda: session.run(None, inputs), CHAIN_WARMUP + CHAIN_RUNS, None)
    _, runs = runs_of(events_of())
    return float(median(fmean(run) for run in runs[CHAIN_WARMUP:]) - median(wall) / len(runs[0]))


def _profiled(
    job: dict[str, Any], model: str, optimised: Path | None = None
) -> tuple[ort.InferenceSession, Callable[[], list[dict[str, Any]]]]:
    """A session that records each node's time, and how to have the record once all runs are done.

    The graph that it runs is written to ``optimised``: each session of the runtime numbers its own nodes anew.
    """
    folder = tempfile.TemporaryDirectory()
    options = session_options(job)
    if optimised:
        write_optimised(options, optimised)
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(folder.name, "profile"))
    session = open_session(job, model, options)

    def events() -> list[dict[str, Any]]:
        with folder:
            return json.loads(Path(session.end_profiling()).read_text())

    return session, events


def pairs(job: dict[str, Any]) -> dict[str, Any]:
    """Wall and CPU seconds of two models in interleaved rounds, a row a round; which goes first is drawn each time.

    Which of the two sessions is created first changes from one process of a case (``number``) to the next: the places in
    memory that it takes are worth a tenth of a percent or two.
    """
    case = f"{job['seed']} {Path(job['models'][1]).name}"
    turn = random.Random(case).randrange(2) + job["number"]  # noqa: S311  an order, not a secret
    draw = random.Random(f"{case} {job['number']}")  # noqa: S311
    created = {side: open_session(job, job["models"][side], session_options(job)) for side in (turn % 2, 1 - turn % 2)}
    sessions = [created[side] for side in (0, 1)]
    sides = [partial(session.run, None, feed(session, job["seed"])) for session in sessions]
    wall: list[tuple[float, float]] = []
    cpu: list[tuple[float, float]] = []

    def one_round() -> None:
        seen = {side: _timed(sides[side]) for side in draw.sample((0, 1), 2)}
        wall.append((seen[0][0], seen[1][0]))
        cpu.append((seen[0][1], seen[1][1]))

    _repeat(one_round, job["warmup"], None)  # warmed up in turn: the last one to be warmed up by itself would win round 1
    wall.clear()
    cpu.clear()
    _repeat(one_round, job["rounds"], job["step_seconds"])
    return {"wall": wall, "cpu": cpu}


def latency(job: dict[str, Any]) -> dict[str, Any]:
    """Wall seconds of plain runs at a number of threads."""
    session = open_session(job, job["model"], session_options(job, job["threads"]))
    inputs = feed(session, job["seed"])
    _repeat(lambda: session.run(None, inputs), job["warmup"], None)
    wall: list[float] = []
    _repeat(lambda: wall.append(_timed(lambda: session.run(None, inputs))[0]), job["repeat"], job["step_seconds"])
    return {"wall": wall}


def providers(job: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001  a job like the others
    """The execution providers that the installed runtime has, by their short names."""
    return {"providers": [name.removesuffix("ExecutionProvider").lower() for name in ort.get_available_providers()]}


def _core_share(spent: list[tuple[float, float]]) -> float:
    """The part of the wall time that this thread had its core, at most 1: what is missing went to other processes."""
    wall = sum(seconds for seconds, _ in spent)
    return min(1.0, sum(seconds for _, seconds in spent) / wall) if wall else 1.0


Job = Callable[[dict[str, Any]], dict[str, Any]]
JOBS: dict[str, Job] = {"profile": profile, "pairs": pairs, "latency": latency, "providers": providers}


def run_job(job: dict[str, Any], more: Mapping[str, Job]) -> dict[str, Any]:
    """Pin, do one job, of a kind from here or of ``more``, and say on which cores it was done and how long it took."""
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


def runs_of(events: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[list[float]]]:
    """Node events, in the order they ran, cut into runs: a run ends where its first node comes again."""
    kernels = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    kernels.sort(key=lambda event: event["ts"])
    if not kernels:
        raise RuntimeError("the profile holds no node")
    length = next((i for i, event in enumerate(kernels) if i and event["name"] == kernels[0]["name"]), len(kernels))
    rows = [kernels[start : start + length] for start in range(0, len(kernels), length)]
    if any([e["name"] for e in row] != [e["name"] for e in rows[0]] for row in rows):
        raise RuntimeError("the profile's runs do not hold the same nodes")
    return [_node(event) for event in rows[0]], [[event["dur"] * 1e-6 for event in row] for row in rows]


def _node(event: dict[str, Any]) -> dict[str, Any]:
    arguments = event["args"]
    return {
        "name": event["name"].removesuffix("_kernel_time"),
        "op": arguments["op_name"],
        "inputs": json.dumps(arguments.get("input_type_shape"), sort_keys=True),
        "outputs": json.dumps(arguments.get("output_type_shape"), sort_keys=True),
        "parameter_bytes": int(arguments.get("parameter_size", 0)),
    }
