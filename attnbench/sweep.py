"""Cases to records: build, judge, time, append. One case at a time; a failure is a row, and the sweep goes on.

Three kinds of process take part. This one plans, waits and writes; it loads neither torch nor onnxruntime. The *builder*
holds torch and keeps exported parts; when it crashes or hangs it is replaced. Each *timing* process is fresh and lives for
one measurement; nothing of ours runs beside it.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import pandas as pd

from attnbench import environment
from attnbench.builder import Builder
from attnbench.errors import CaseFailure, CaseSkipped, InputError
from attnbench.measure.attribution import Profile, attribute
from attnbench.measure.crosscheck import paired_overhead
from attnbench.measure.process import time_in_process
from attnbench.metrics import measurement
from attnbench.records import Built, Case, Failure, Measurement, NodeShare, Record, Run, RunHeader, Settings
from attnbench.statistics import quantile
from attnbench.store import RUN_FILE, SCHEMA, find_unfinished, load_run, open_run
from attnbench.study import Plan, PlannedCase
from attnbench.units import seconds_text


class Observer(Protocol):
    """Told what happens, for a progress bar or a log."""

    def started(self, folder: Path, total: int, done: int) -> None:
        """The run is open; so many cases in all, so many of them recorded earlier."""

    def stage(self, case: Case, stage: str) -> None:
        """A case entered a stage."""

    def recorded(self, record: Record, weight: float) -> None:
        """A record was stored; the weight says how much work it was among all."""


def run_plan(plan: Plan, results: Path, out: Path | None, observer: Observer) -> tuple[Run, Path]:
    """Run what a plan still lacks and return the run and its folder.

    Without ``out``, an unfinished run of the same study, settings, machine and software below ``results`` is continued,
    or a new folder ``<study>-<time>`` is made.
    """
    header = make_header(plan)
    folder = out or find_unfinished(results, plan.name, header.study["fingerprint"]) or _new_folder(results, plan.name)
    done = _recorded(folder, header)
    with open_run(folder, header) as writer, tempfile.TemporaryDirectory(prefix="attnbench-") as scratch:
        observer.started(folder, len(plan.cases), len(done))
        waiting = [planned for planned in plan.cases if planned.case not in done]
        if waiting:
            with Builder(Path(scratch), plan.targets) as builder:
                builder.preflight(waiting)
                bench = Bench(builder, observer, {planned.case: planned for planned in plan.cases})
                for planned in waiting:
                    record = bench.record(planned)
                    writer.append(record.to_json())
                    observer.recorded(record, weight(planned.settings))
    return load_run(folder), folder


def make_header(plan: Plan) -> RunHeader:
    """What was asked, where and with what; its fingerprint is the same only for a run that may be continued."""
    machine, software = environment.machine(), environment.software()
    asked = {
        "study": plan.document,
        "cases": [[asdict(planned.case), asdict(planned.host), asdict(planned.settings)] for planned in plan.cases],
        "machine": machine["id"],
        "software": software["id"],
    }
    fingerprint = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
    return RunHeader(
        schema=SCHEMA,
        attnbench=environment.version("attnbench"),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        study={**plan.document, "fingerprint": fingerprint},
        settings=asdict(plan.settings),
        machine=machine,
        software=software,
        cases=tuple(planned.case for planned in plan.cases),
    )


def weight(settings: Settings) -> float:
    """How many runs of a network a case takes, with process starts and building counted as so many more."""
    return runs(settings) + 4 * settings.processes + 12


def runs(settings: Settings) -> int:
    """How many runs of a network a case takes."""
    return settings.processes * (settings.warmup + settings.repeat) + 2 * (settings.warmup + settings.rounds)


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
                job = _job({"kind": "latency", "model": built.path, "repeat": 3, "threads": 1}, planned.settings)
                macs = next(m.value for m in built.measurements if m.metric == "macs")
                speeds[baseline] = median(time_in_process(job, planned.settings.timeout_seconds)["wall"]), macs or 1.0
            run_seconds, macs = speeds[baseline]
            ratio = 1 + builder.added_macs(planned) / macs
            seconds = runs(planned.settings) * run_seconds * ratio + _fixed_seconds(planned.settings)
            whole += seconds
            rows.append({"case": planned.case.label, "runs": runs(planned.settings), "about": seconds_text(seconds)})
    rows.append({"case": "all", "runs": sum(row["runs"] for row in rows), "about": seconds_text(whole)})
    return pd.DataFrame(rows)


def _fixed_seconds(settings: Settings) -> float:
    """Building and process starts, as seen on a small machine: 1.5 s a case and 0.5 s a process."""
    return 1.5 + 0.5 * (settings.processes + 1)


class Bench:
    """Measures cases, keeping the baseline that a group of variants shares."""

    def __init__(self, builder: Builder, observer: Observer, planned: Mapping[Case, PlannedCase]) -> None:
        self.builder = builder
        self.observer = observer
        self.planned = planned
        self.baseline_case: Case | None = None
        self.baseline: tuple[Built, list[Profile]] | Failure | None = None

    def record(self, planned: PlannedCase) -> Record:
        """The record of a case, whatever comes of it."""
        case, clock = planned.case, Clock()
        built: Built | None = None
        try:
            if not case.is_baseline:
                self._ensure_baseline(case.baseline)
            self.observer.stage(case, "build")
            built = self.builder.build(planned)
            clock.add(built.seconds)
            if built.skip:
                raise CaseSkipped("memory", built.skip)
            measured, nodes = self._measure(planned, built, clock)
        except CaseFailure as failure:
            return self._failed(case, failure, built, clock)
        return _record(case, built, measured, nodes, clock)

    def _ensure_baseline(self, case: Case) -> None:
        if self.baseline_case != case:
            self.baseline_case, self.baseline = case, None
            planned = self.planned[case]
            try:
                built = self.builder.build(planned)
                if built.skip:
                    raise CaseSkipped("memory", built.skip)
                self.baseline = (built, self._profiles(built.path, planned.settings, Clock()))
            except CaseFailure as failure:
                self.baseline = Failure(failure.stage, type(failure).__name__, failure.reason)
        if isinstance(self.baseline, Failure):
            raise CaseFailure("baseline", f"the baseline failed at {self.baseline.stage}: {self.baseline.message}")

    def _measure(
        self, planned: PlannedCase, built: Built, clock: "Clock"
    ) -> tuple[list[Measurement], tuple[NodeShare, ...]]:
        case, settings = planned.case, planned.settings
        self.observer.stage(case, "profile")
        profiles = self._profiles(built.path, settings, clock)
        nodes: tuple[NodeShare, ...] = ()
        if case.is_baseline:
            self.baseline_case, self.baseline = case, (built, profiles)
            found = self._latency(built.path, settings, 1, clock)
        else:
            found, nodes = self._overhead(planned, built, profiles, clock)
        for threads in settings.threads:
            if threads != 1:
                self.observer.stage(case, f"latency at {threads} threads")
                found += self._latency(built.path, settings, threads, clock)
        return found, nodes

    def _overhead(
        self, planned: PlannedCase, built: Built, profiles: list[Profile], clock: "Clock"
    ) -> tuple[list[Measurement], tuple[NodeShare, ...]]:
        assert isinstance(self.baseline, tuple)  # noqa: S101  _ensure_baseline raised otherwise
        baseline, baseline_profiles = self.baseline
        attributed = attribute(baseline_profiles, profiles)
        found = [
            measurement("overhead", attributed.overhead, attributed.replicates),
            measurement("aligned", attributed.aligned),
        ]
        settings = planned.settings
        if settings.rounds:
            self.observer.stage(planned.case, "cross-check")
            job = {"kind": "pairs", "baseline": baseline.path, "variant": built.path, "rounds": settings.rounds}
            timed = clock.ort(_job(job, settings), settings.timeout_seconds)
            wall = [variant for _, variant in timed["wall"]]
            found += [
                measurement("paired", paired_overhead(timed["cpu"]), note="thread CPU time"),
                measurement("paired_wall", paired_overhead(timed["wall"])),
                *_latencies(wall, 1),
            ]
        else:
            found += self._latency(built.path, settings, 1, clock)
        return found, attributed.nodes

    def _profiles(self, path: str, settings: Settings, clock: "Clock") -> list[Profile]:
        job = _job({"kind": "profile", "model": path, "repeat": settings.repeat}, settings)
        results = [clock.ort(job, settings.timeout_seconds) for _ in range(settings.processes)]
        if not all(result["finite"] for result in results):
            raise CaseFailure("measure", "the graph's output holds NaN or infinity on normal noise")
        return [Profile.from_result(result) for result in results]

    def _latency(self, path: str, settings: Settings, threads: int, clock: "Clock") -> list[Measurement]:
        repeat = max(settings.rounds, settings.repeat)
        job = _job({"kind": "latency", "model": path, "repeat": repeat, "threads": threads}, settings)
        return _latencies(clock.ort(job, settings.timeout_seconds)["wall"], threads)

    def _failed(self, case: Case, failure: CaseFailure, built: Built | None, clock: "Clock") -> Record:
        reason = Failure(failure.stage, type(failure).__name__, failure.reason)
        if built is None:
            return Record(case, failure.status, failure=reason, seconds=clock.seconds)  # type: ignore[arg-type]
        known = _record(case, built, [], (), clock)
        return replace(known, status=failure.status, failure=reason)  # type: ignore[arg-type]


class Clock:
    """Where a case's time went."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add stages' seconds."""
        for stage, spent in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent

    def ort(self, job: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Do a timing job; its own seconds are ONNX Runtime's."""
        result = time_in_process(job, timeout)
        self.add({"ort": result["seconds"]})
        return result

    def total(self) -> dict[str, float]:
        """The stages' seconds with the case's whole, rounded to milliseconds."""
        whole = {**self.seconds, "total": time.perf_counter() - self.began}
        return {stage: round(spent, 3) for stage, spent in whole.items()}


def _record(
    case: Case, built: Built, measured: list[Measurement], nodes: tuple[NodeShare, ...], clock: Clock
) -> Record:
    return Record(
        case=case,
        status="ok",
        measurements=(*built.measurements, *measured),
        findings=built.findings,
        nodes=nodes,
        checks=built.checks,
        uncounted=built.uncounted,
        notes=built.notes,
        seconds=clock.total(),
    )


def _job(job: dict[str, Any], settings: Settings) -> dict[str, Any]:
    return {**job, "warmup": settings.warmup, "seed": settings.seed, "step_seconds": settings.step_seconds}


def _latencies(wall: list[float], threads: int) -> list[Measurement]:
    suffix = "" if threads == 1 else f"@{threads}"
    note = f"{threads} thread{'s' if threads != 1 else ''}, unprofiled"
    return [
        measurement("latency", median(wall), wall, note, suffix),
        measurement("latency_p90", quantile(wall, 0.9), (), note, suffix),
    ]


def _new_folder(results: Path, name: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return results / f"{name}-{stamp}"


def _recorded(folder: Path, header: RunHeader) -> set[Case]:
    if not (folder / RUN_FILE).exists():
        return set()
    try:
        run = load_run(folder)
    except InputError:
        if (folder / RUN_FILE).read_bytes().count(b"\n") == 0:
            return set()  # torn within the header: nothing was recorded
        raise
    if run.header.study.get("fingerprint") != header.study["fingerprint"]:
        raise InputError(
            f"{folder} holds a run of another study, other settings, another machine or other software: "
            f"choose another folder with --out"
        )
    return {record.case for record in run.records}
