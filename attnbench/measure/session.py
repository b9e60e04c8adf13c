"""The child's side: one ONNX Runtime session on one pinned core, and the three ways of running it.

Settings follow what a calm, repeatable run needs: sequential execution, all optimisations, no spinning threads, the
process pinned before the session exists. Each function takes and gives plain JSON values.
"""

import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

SMALLEST_SAMPLE = 3


def pin(threads: int) -> list[int]:
    """Bind this process to as many cores as it has threads, the last ones granted to it, and return them."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    granted = sorted(os.sched_getaffinity(0))
    chosen = granted[-threads:]
    os.sched_setaffinity(0, chosen)
    return chosen


def open_session(model: str, threads: int, profile: Path | None = None) -> ort.InferenceSession:
    """A session with the protocol's settings; with a profile prefix, it records each node's time."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def feed(session: ort.InferenceSession, seed: int) -> dict[str, np.ndarray]:
    """Normal noise for each input, the same for the same seed and shapes."""
    generator = np.random.default_rng(seed)
    return {i.name: generator.standard_normal(i.shape, dtype=np.float32) for i in session.get_inputs()}


def profile(job: dict[str, Any]) -> dict[str, Any]:
    """Times of each node in each run, after the warm-ups: nodes in executed order, and one row of seconds a run."""
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(job["model"], 1, Path(folder, "profile"))
        inputs = feed(session, job["seed"])
        outputs = session.run(None, inputs)
        _repeat(lambda: session.run(None, inputs), job["warmup"] - 1, None)
        _repeat(lambda: session.run(None, inputs), job["repeat"], job["step_seconds"])
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes, runs = _runs_of(events)
    return {"nodes": nodes, "runs": runs[job["warmup"] :], "finite": all(bool(np.isfinite(o).all()) for o in outputs)}


def pairs(job: dict[str, Any]) -> dict[str, Any]:
    """Wall and CPU seconds of (baseline, variant) in interleaved rounds, which of the two goes first drawn each time."""
    sessions = [open_session(job[side], 1) for side in ("baseline", "variant")]
    inputs = [feed(session, job["seed"]) for session in sessions]
    draw = random.Random(job["seed"])  # noqa: S311  an order of runs, not a secret
    wall: list[tuple[float, float]] = []
    cpu: list[tuple[float, float]] = []
    sides = [partial(session.run, None, data) for session, data in zip(sessions, inputs, strict=True)]
    for side in sides:
        _repeat(side, job["warmup"], None)

    def one_round() -> None:
        order = (0, 1) if draw.random() < 0.5 else (1, 0)
        seen = {number: _timed(sides[number]) for number in order}
        wall.append((seen[0][0], seen[1][0]))
        cpu.append((seen[0][1], seen[1][1]))

    _repeat(one_round, job["rounds"], job["step_seconds"])
    return {"wall": wall, "cpu": cpu}


def latency(job: dict[str, Any]) -> dict[str, Any]:
    """Wall seconds of plain runs at a number of threads."""
    session = open_session(job["model"], job["threads"])
    inputs = feed(session, job["seed"])
    _repeat(lambda: session.run(None, inputs), job["warmup"], None)
    wall: list[float] = []
    _repeat(lambda: wall.append(_timed(lambda: session.run(None, inputs))[0]), job["repeat"], job["step_seconds"])
    return {"wall": wall}


JOBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"profile": profile, "pairs": pairs, "latency": latency}


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """Pin, do one job, and say on which cores and with which settings it was done."""
    cores = pin(job.get("threads", 1))
    started = time.perf_counter()
    result = JOBS[job["kind"]](job)
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


def _runs_of(events: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[list[float]]]:
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
    shapes = json.dumps([arguments.get("input_type_shape"), arguments.get("output_type_shape")], sort_keys=True)
    return {
        "name": event["name"].removesuffix("_kernel_time"),
        "op": arguments["op_name"],
        "shapes": shapes,
        "parameter_bytes": int(arguments.get("parameter_size", 0)),
    }
