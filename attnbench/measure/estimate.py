"""What a sweep would take, without measuring it: ``sweep --dry-run``."""

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

from attnbench.core.errors import CaseFailure
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import Case
from attnbench.core.units import seconds_text
from attnbench.measure.bench import timing_job
from attnbench.measure.builder import Builder
from attnbench.measure.timing import time_in_process
from attnbench.study.plan import Plan, PlannedCase

SUSPICIOUS_RATIO = 3.0
"""Cases that multiply the MACs by more than this are built for an estimate, to see whether they fit into memory."""


def estimate(plan: Plan) -> list[tuple[str, str]]:
    """Each case with the time that it would take, or why it would not be run; all of them last.

    Each baseline is built and timed briefly, and modules count by their closed-form MACs.
    """
    speeds = dict[Case, tuple[float, float]]()
    rows, whole = [], 0.0
    with (
        tempfile.TemporaryDirectory(prefix="attnbench-") as scratch,
        Builder(Path(scratch), plan.targets, plan.protocol) as builder,
    ):
        builder.preflight(plan.cases)
        for planned in plan.cases:
            effort, baseline = planned.effort, planned.case.baseline
            if baseline not in speeds:
                built = builder.build(replace(planned, case=baseline))
                job = {"kind": "latency", "model": built.path, "repeat": 3, "threads": 1}
                wall = time_in_process(timing_job(job, plan.protocol, effort), effort.timeout_seconds)["wall"]
                macs = next(m.value for m in built.measurements if m.metric == "macs")
                speeds[baseline] = median(wall), macs or 1.0
            run_seconds, macs = speeds[baseline]
            ratio = 1 + builder.added_macs(planned) / macs
            why = _not_run(builder, planned) if ratio > SUSPICIOUS_RATIO else ""
            seconds = _runs(plan.protocol, effort) * run_seconds * ratio + _fixed_seconds(effort)
            whole += 0 if why else seconds
            rows.append((planned.case.label, why or seconds_text(seconds)))
    return [*rows, (f"all {len(rows)}", seconds_text(whole))]


def _runs(protocol: Protocol, effort: Effort) -> float:
    """How many runs of a network a case takes at least: replicates, pairs, memory."""
    paired = 2 * (effort.processes * protocol.warmup + effort.rounds) if effort.rounds else 0
    return effort.processes * (protocol.warmup + effort.repeat) + paired + 4 * effort.memory


def _not_run(builder: Builder, planned: PlannedCase) -> str:
    """Why a case will not be run: it cannot stand there, fails to build or does not fit; empty for one that will be."""
    try:
        skip = builder.build(planned).skip
    except CaseFailure as failure:
        return f"{failure.status}: {failure.reason}"
    return f"skipped: {skip}" if skip else ""


def _fixed_seconds(effort: Effort) -> float:
    """Building and process starts, as seen on a small machine: 1.5 s a case, 0.5 s a process, twice that for memory."""
    return 1.5 + 0.5 * effort.processes * (2 if effort.rounds else 1) + effort.memory
