"""One case to one record: build, judge, time. A failure at any stage is a record with the stage and the reason.

Nothing of ours runs beside a timing process: the builder idles, and this process waits.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from attnbench.builder import Builder
from attnbench.errors import CaseFailure, CaseSkipped
from attnbench.measure.attribution import Profile, attribute
from attnbench.measure.crosscheck import paired_overhead
from attnbench.measure.process import time_in_process
from attnbench.metrics import measurement
from attnbench.records import Built, Case, Failure, Measurement, NodeShare, Record, Settings
from attnbench.statistics import quantile
from attnbench.study import PlannedCase


class Observer(Protocol):
    """Told what happens, for a progress bar or a log."""

    def started(self, folder: Path, total: int, done: int) -> None:
        """The run is open; so many cases in all, so many of them recorded earlier."""

    def stage(self, case: Case, stage: str) -> None:
        """A case entered a stage."""

    def recorded(self, record: Record, weight: float) -> None:
        """A record was stored; the weight says how much work it was among all."""


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
            timed = clock.ort(timing_job(job, settings), settings.timeout_seconds)
            wall = [variant for _, variant in timed["wall"]]
            found += [
                _paired("paired", timed["cpu"], "thread CPU time"),
                _paired("paired_wall", timed["wall"], "wall clock"),
                *_latencies(wall, 1),
            ]
        else:
            found += self._latency(built.path, settings, 1, clock)
        return found, attributed.nodes

    def _profiles(self, path: str, settings: Settings, clock: "Clock") -> list[Profile]:
        job = timing_job({"kind": "profile", "model": path, "repeat": settings.repeat}, settings)
        results = [clock.ort(job, settings.timeout_seconds) for _ in range(settings.processes)]
        if not all(result["finite"] for result in results):
            raise CaseFailure("measure", "the graph's output holds NaN or infinity on normal noise")
        return [Profile.from_result(result) for result in results]

    def _latency(self, path: str, settings: Settings, threads: int, clock: "Clock") -> list[Measurement]:
        repeat = max(settings.rounds, settings.repeat)
        job = timing_job({"kind": "latency", "model": path, "repeat": repeat, "threads": threads}, settings)
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


def _record(case: Case, built: Built, measured: list[Measurement], nodes: tuple[NodeShare, ...], clock: Clock) -> Record:
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


def timing_job(job: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A job for a timing process, with the settings that every kind of job takes."""
    return {**job, "warmup": settings.warmup, "seed": settings.seed, "step_seconds": settings.step_seconds}


def _paired(metric: str, rounds: list[tuple[float, float]], clock: str) -> Measurement:
    ratios = [variant / baseline for baseline, variant in rounds]
    return measurement(metric, paired_overhead(rounds), ratios, f"{clock}; samples are variant over baseline, a round each")


def _latencies(wall: list[float], threads: int) -> list[Measurement]:
    suffix = "" if threads == 1 else f"@{threads}"
    note = f"{threads} thread{'s' if threads != 1 else ''}, unprofiled"
    return [
        measurement("latency", median(wall), wall, note, suffix),
        measurement("latency_p90", quantile(wall, 0.9), (), note, suffix),
    ]
