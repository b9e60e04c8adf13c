"""A plan to a run: one case after the other, each record appended as soon as it is known; what is recorded is kept.

Three kinds of process take part. This one plans, waits and writes; it loads neither torch nor onnxruntime. The *builder*
holds torch and keeps exported parts; when it crashes or hangs it is replaced. Each *timing* process is fresh and lives for
one measurement; nothing of ours runs beside it.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from attnbench.core.errors import CaseFailure, InputError, UnknownName
from attnbench.core.records import Case, Record, Run, RunHeader, Settings
from attnbench.core.units import seconds_text
from attnbench.core.versions import version
from attnbench.measure.bench import Bench, timing_job
from attnbench.measure.builder import Builder
from attnbench.measure.machine import machine as machine_facts
from attnbench.measure.machine import software as software_facts
from attnbench.measure.observer import Observer
from attnbench.measure.timing import time_in_process
from attnbench.measure.twin import measure_twin
from attnbench.runs.fold import replicates_of
from attnbench.runs.store import RUN_FILE, SCHEMA, compact, find_unfinished, load_run, open_run
from attnbench.study.plan import Plan, PlannedCase


def run_plan(plan: Plan, results: Path, out: Path | None, observer: Observer) -> tuple[Run, Path]:
    """Run what a plan still lacks and return the run and its folder.

    The plan is gone through once for each replicate, so that a case's replicates lie as far apart in time as the sweep is
    long. Without ``out``, an unfinished run of the same study, settings, machine and software below ``results`` is
    continued, or a new folder ``<study>-<time>`` is made.
    """
    _check_providers(plan)
    header = make_header(plan)
    folder = out or find_unfinished(results, plan.name, header.study["fingerprint"]) or _new_folder(results, plan.name)
    records = _recorded(folder, header)
    waiting = [p for p in plan.cases if p.case not in records or records[p.case].pending]
    with open_run(folder, header) as writer, tempfile.TemporaryDirectory(prefix="attnbench-") as scratch:
        observer.started(folder, len(plan.cases), len(plan.cases) - len(waiting), work_left(plan, records))
        with Builder(Path(scratch), plan.targets) as builder:
            builder.preflight(waiting)
            bench = Bench(builder, {planned.case: planned for planned in plan.cases})
            for record in _steps(plan, bench, records, observer):
                writer.append(record.to_json())
                records[record.case] = record
                observer.recorded(record, work_left(plan, records))
    return (compact(folder) if waiting else load_run(folder)), folder


def _steps(plan: Plan, bench: Bench, records: Mapping[Case, Record], observer: Observer) -> Iterator[Record]:
    """New records of a plan, step by step, until nothing is left to do; ``records`` must keep up with them."""
    number = 0
    while any(p.case not in records or records[p.case].pending for p in plan.cases):
        bench.begin_pass()
        for planned in plan.cases:
            earlier = records.get(planned.case)
            if replicates_left(planned, earlier) and replicates_of(earlier) <= number:
                observer.at(planned.case, number + 1)
                yield bench.replicate(planned, earlier)
        for planned in plan.cases:
            if planned.case.is_baseline and (record := measure_twin(bench, planned, records)):
                yield record
        number += 1


def replicates_left(planned: PlannedCase, record: Record | None) -> int:
    """How many replicates a case still needs, as far as is known; none where it ended early."""
    if record is None:
        return planned.settings.processes
    if record.case.is_baseline and record.pending:  # some of it may be the twin's
        return max(0, planned.settings.processes - replicates_of(record))
    return record.pending


def work_left(plan: Plan, records: Mapping[Case, Record]) -> float:
    """The work that is left of a plan, in runs of a network; building and process starts count as so many more."""
    return sum(_work(planned, records.get(planned.case)) for planned in plan.cases)


def _work(planned: PlannedCase, record: Record | None) -> float:
    settings, had, left = planned.settings, replicates_of(record), replicates_left(planned, record)
    once = 10 + 8 * settings.memory if record is None else 0
    pairs = 4 + 2 * (settings.warmup + settings.rounds / settings.processes) if settings.rounds else 0
    return once + left * (settings.warmup + settings.repeat + 4) + max(0, min(left, settings.processes - had)) * pairs


def _check_providers(plan: Plan) -> None:
    """Raise ``UnknownName`` for an execution provider that the installed runtime lacks, before anything is measured."""
    asked = {planned.settings.provider for planned in plan.cases} - {"cpu"}
    if not asked:
        return
    installed = time_in_process({"kind": "providers"}, PROVIDERS_SECONDS)["providers"]
    for name in sorted(asked - set(installed)):
        hint = "another build of onnxruntime may have it"
        raise UnknownName("execution provider of the installed onnxruntime", name, installed, hint)


PROVIDERS_SECONDS = 60.0


def make_header(plan: Plan) -> RunHeader:
    """What was asked, where and with what; its fingerprint is the same only for a run that may be continued.

    The study's fingerprint is that of all its cases: shards that have it in common may be merged.
    """
    machine, software = machine_facts(), software_facts()
    ids = {"machine": machine["id"], "software": software["id"]}
    whole = plan.whole or plan.cases
    study = {
        **plan.document,
        "fingerprint": _fingerprint(plan.document, plan.cases, ids),
        "study_fingerprint": _fingerprint(plan.document, whole, ids),
    }
    if plan.shard:
        places = {planned.case: place for place, planned in enumerate(whole)}
        positions = [places[planned.case] for planned in plan.cases]
        study["shard"] = {"part": plan.shard, "positions": positions, "total": len(whole)}
    return RunHeader(
        schema=SCHEMA,
        attnbench=version("attnbench"),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        study=study,
        settings=asdict(plan.settings),
        machine=machine,
        software=software,
        cases=tuple(planned.case for planned in plan.cases),
    )


def _fingerprint(document: Mapping[str, Any], cases: Sequence[PlannedCase], ids: Mapping[str, str]) -> str:
    planned = [[asdict(planned.case), asdict(planned.host), asdict(planned.settings)] for planned in cases]
    asked = {"study": document, "cases": planned, **ids}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def runs(settings: Settings) -> float:
    """How many runs of a network a case takes at least: replicates, pairs, memory."""
    paired = 2 * (settings.processes * settings.warmup + settings.rounds) if settings.rounds else 0
    return settings.processes * (settings.warmup + settings.repeat) + paired + 4 * settings.memory


def estimate(plan: Plan) -> pd.DataFrame:
    """What a sweep would take: each baseline is built and timed briefly, and modules count by their closed-form MACs."""
    speeds: dict[Case, tuple[float, float]] = {}
    rows, whole = [], 0.0
    with tempfile.TemporaryDirectory(prefix="attnbench-") as scratch, Builder(Path(scratch), plan.targets) as builder:
        builder.preflight(plan.cases)
        for planned in plan.cases:
            baseline = planned.case.baseline
            if baseline not in speeds:
                built = builder.build(replace(planned, case=baseline))
                job = timing_job({"kind": "latency", "model": built.path, "repeat": 3, "threads": 1}, planned.settings)
                macs = next(m.value for m in built.measurements if m.metric == "macs")
                speeds[baseline] = median(time_in_process(job, planned.settings.timeout_seconds)["wall"]), macs or 1.0
            run_seconds, macs = speeds[baseline]
            ratio = 1 + builder.added_macs(planned) / macs
            why = _not_run(builder, planned) if ratio > SUSPICIOUS_RATIO else ""
            seconds = runs(planned.settings) * run_seconds * ratio + _fixed_seconds(planned.settings)
            whole += 0 if why else seconds
            rows.append({"case": planned.case.label, "about": why or seconds_text(seconds)})
    rows.append({"case": f"all {len(rows)}", "about": seconds_text(whole)})
    return pd.DataFrame(rows)


SUSPICIOUS_RATIO = 3.0
"""Cases that multiply the MACs by more than this are built for an estimate, to see whether they fit into memory."""


def _not_run(builder: Builder, planned: PlannedCase) -> str:
    """Why a case will not be run: it cannot stand there, fails to build or does not fit; empty for one that will be."""
    try:
        skip = builder.build(planned).skip
    except CaseFailure as failure:
        return f"{failure.status}: {failure.reason}"
    return f"skipped: {skip}" if skip else ""


def _fixed_seconds(settings: Settings) -> float:
    """Building and process starts, as seen on a small machine: 1.5 s a case 0.5 s a process, twice that for memory."""
    return 1.5 + 0.5 * settings.processes * (2 if settings.rounds else 1) + settings.memory


def _new_folder(results: Path, name: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return results / f"{name}-{stamp}"


def _recorded(folder: Path, header: RunHeader) -> dict[Case, Record]:
    if not (folder / RUN_FILE).exists():
        return {}
    try:
        run = load_run(folder)
    except InputError:
        if (folder / RUN_FILE).read_bytes().count(b"\n") == 0:
            return {}  # torn within the header: nothing was recorded
        raise
    if run.header.study.get("fingerprint") != header.study["fingerprint"]:
        raise InputError(
            f"{folder} holds a run of another study, other settings, another machine or other software: "
            f"choose another folder with --out"
        )
    return {record.case: record for record in run.records}
