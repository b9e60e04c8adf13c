"""One replicate of one case: build it if it is not built yet, profile it in a fresh process, join what is recorded.

The replicates of a case are spread over the length of a sweep (see ``sweep``): a machine's state drifts over minutes, and
memory-bound modules gain or lose against compute-bound convolutions with it. Replicates taken in a row would share one
state, and their interval would promise more than another run keeps.

Nothing of ours runs beside a timing process: the builder idles, and this process waits.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from attnbench.builder import Builder
from attnbench.errors import CaseFailure, CaseSkipped
from attnbench.measure.attribution import Profile, attribute
from attnbench.measure.crosscheck import paired_overhead
from attnbench.measure.process import time_in_process
from attnbench.metrics import measurement
from attnbench.records import Built, Case, Failure, Measurement, NodeShare, Record, Settings
from attnbench.statistics import quantile, replicate_interval
from attnbench.study import PlannedCase


class Bench:
    """Measures cases, keeping the built graphs and the baselines' profiles."""

    def __init__(self, builder: Builder, planned: Mapping[Case, PlannedCase]) -> None:
        self.builder = builder
        self.planned = planned
        self.built: dict[Case, Built] = {}
        self.failed: dict[Case, CaseFailure] = {}
        self.profiles: dict[Case, list[Profile]] = {}

    def replicate(self, planned: PlannedCase, earlier: Record | None) -> Record:
        """The case's record with one more replicate, or with the reason why there is none."""
        clock = Clock(earlier)
        try:
            if not planned.case.is_baseline:
                self._baseline_profiles(planned.case.baseline, clock)
            built = self._build(planned, clock)
            if built.skip:
                raise CaseSkipped("memory", built.skip)
            step = self._baseline if planned.case.is_baseline else self._variant
            measured, nodes = step(planned, built, earlier, clock)
        except CaseFailure as failure:
            return self._without(planned.case, failure, earlier, clock)
        left = (earlier.pending if earlier else planned.settings.processes) - 1
        return _record(planned.case, built, (*built.measurements, *measured), nodes, clock, left)

    def _build(self, planned: PlannedCase, clock: "Clock") -> Built:
        if planned.case in self.failed:
            raise self.failed[planned.case]
        if planned.case not in self.built:
            try:
                self.built[planned.case] = self.builder.build(planned)
            except CaseFailure as failure:
                self.failed[planned.case] = failure
                raise
            clock.add(self.built[planned.case].seconds)
        return self.built[planned.case]

    def _baseline_profiles(self, case: Case, clock: "Clock") -> list[Profile]:
        """The baseline's profiles so far; one is made where a continued run has none yet."""
        planned = self.planned[case]
        try:
            built = self._build(planned, clock)
            if built.skip:
                raise CaseSkipped("memory", built.skip)
            if not self.profiles.get(case):
                self.profiles[case] = [self._profile(built, planned.settings, clock)]
        except CaseFailure as failure:
            self.failed[case] = failure
            raise CaseFailure("baseline", f"the baseline failed at {failure.stage}: {failure.reason}") from failure
        return self.profiles[case]

    def _baseline(
        self, planned: PlannedCase, built: Built, earlier: Record | None, clock: "Clock"
    ) -> tuple[tuple[Measurement, ...], tuple[NodeShare, ...]]:
        try:
            self.profiles.setdefault(planned.case, []).append(self._profile(built, planned.settings, clock))
        except CaseFailure as failure:
            self.failed[planned.case] = failure
            raise
        counts = sorted({1, *planned.settings.threads})
        found = [self._latency(built, planned.settings, threads, earlier, clock) for threads in counts]
        return tuple(m for latencies in found for m in latencies), ()

    def _variant(
        self, planned: PlannedCase, built: Built, earlier: Record | None, clock: "Clock"
    ) -> tuple[tuple[Measurement, ...], tuple[NodeShare, ...]]:
        settings = planned.settings
        profile = self._profile(built, settings, clock)
        attributed = attribute(self.profiles[planned.case.baseline], [profile])
        known = earlier.get("overhead") if earlier else None
        replicates = (*(known.samples if known else ()), *attributed.replicates)
        found = (
            measurement("overhead", replicate_interval(replicates), replicates, note="samples are replicates"),
            measurement("aligned", attributed.aligned),
        )
        nodes = attributed.nodes if earlier is None else _averaged(earlier.nodes, attributed.nodes, len(replicates))
        if earlier is None:
            return (*found, *self._once(planned, built, clock)), nodes
        kept = tuple(m for m in earlier.measurements if m.metric.startswith(("paired", "latency")))
        return (*found, *kept), nodes

    def _once(self, planned: PlannedCase, built: Built, clock: "Clock") -> list[Measurement]:
        """What a variant has measured with its first replicate: the cross-check and the absolute latencies."""
        settings = planned.settings
        found: list[Measurement] = []
        if settings.rounds:
            baseline = self.built[planned.case.baseline]
            job = {"kind": "pairs", "baseline": baseline.path, "variant": built.path, "rounds": settings.rounds}
            timed = clock.ort(timing_job(job, settings), settings.timeout_seconds)
            found += [
                _paired("paired", timed["cpu"], "thread CPU time"),
                _paired("paired_wall", timed["wall"], "wall clock"),
            ]
            found += _latencies([variant for _, variant in timed["wall"]], 1)
        else:
            found += self._latency(built, settings, 1, None, clock)
        for threads in settings.threads:
            if threads != 1:
                found += self._latency(built, settings, threads, None, clock)
        return found

    def _profile(self, built: Built, settings: Settings, clock: "Clock") -> Profile:
        job = timing_job({"kind": "profile", "model": built.path, "repeat": settings.repeat}, settings)
        result = clock.ort(job, settings.timeout_seconds)
        if not result["finite"]:
            raise CaseFailure("measure", "the graph's output holds NaN or infinity on normal noise")
        return Profile.from_result(result)

    def _latency(
        self, built: Built, settings: Settings, threads: int, earlier: Record | None, clock: "Clock"
    ) -> list[Measurement]:
        repeat = max(settings.rounds, settings.repeat)
        job = timing_job({"kind": "latency", "model": built.path, "repeat": repeat, "threads": threads}, settings)
        wall = clock.ort(job, settings.timeout_seconds)["wall"]
        known = earlier.get("latency" if threads == 1 else f"latency@{threads}") if earlier else None
        return _latencies([*(known.samples if known else ()), *wall], threads)

    def _without(self, case: Case, failure: CaseFailure, earlier: Record | None, clock: "Clock") -> Record:
        """The record of a case that failed; a later replicate that fails leaves the earlier ones as they are."""
        if earlier is not None:
            note = f"a replicate failed at {failure.stage}: {failure.reason}"
            return replace(earlier, notes=(*earlier.notes, note), pending=earlier.pending - 1, seconds=clock.total())
        reason = Failure(failure.stage, type(failure).__name__, failure.reason)
        status: Any = failure.status
        built = self.built.get(case)
        if built is None:
            return Record(case, status, failure=reason, seconds=clock.total())
        return replace(_record(case, built, built.measurements, (), clock, 0), status=status, failure=reason)


class Clock:
    """Where a case's time went, over all its replicates."""

    def __init__(self, earlier: Record | None) -> None:
        self.began = time.perf_counter()
        self.seconds = dict(earlier.seconds) if earlier else {}

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
        whole = self.seconds.get("total", 0.0) + time.perf_counter() - self.began
        return {stage: round(spent, 3) for stage, spent in {**self.seconds, "total": whole}.items()}


def timing_job(job: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A job for a timing process, with the settings that every kind of job takes."""
    return {**job, "warmup": settings.warmup, "seed": settings.seed, "step_seconds": settings.step_seconds}


def _record(
    case: Case,
    built: Built,
    measured: tuple[Measurement, ...],
    nodes: tuple[NodeShare, ...],
    clock: Clock,
    pending: int,
) -> Record:
    return Record(
        case=case,
        status="ok",
        measurements=measured,
        findings=built.findings,
        nodes=nodes,
        checks=built.checks,
        uncounted=built.uncounted,
        notes=built.notes,
        seconds=clock.total(),
        pending=pending,
    )


def _averaged(old: tuple[NodeShare, ...], new: tuple[NodeShare, ...], number: int) -> tuple[NodeShare, ...]:
    """Node shares with one more replicate; a node that one of the two lacks counts as 0 there, so that sums stay sums."""
    one, two, weight = _keyed(old), _keyed(new), 1 / number
    averaged = []
    for key in dict.fromkeys((*one, *two)):
        node = one.get(key) or two[key]
        before, after = one.get(key), two.get(key)
        seconds = (1 - weight) * (before.seconds if before else 0.0) + weight * (after.seconds if after else 0.0)
        share = (1 - weight) * (before.share if before else 0.0) + weight * (after.share if after else 0.0)
        averaged.append(replace(node, seconds=seconds, share=share))
    return tuple(averaged)


def _keyed(nodes: tuple[NodeShare, ...]) -> dict[tuple[str, ...], NodeShare]:
    """Nodes by what tells them apart in any process: our own names, and the place in the row for what the runtime names."""
    keyed: dict[tuple[str, ...], NodeShare] = {}
    for node in nodes:
        stem = (node.node,) if node.kind == "added" else (node.kind, node.op, node.site)
        number = 0
        while (*stem, str(number)) in keyed:
            number += 1
        keyed[(*stem, str(number))] = node
    return keyed


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
