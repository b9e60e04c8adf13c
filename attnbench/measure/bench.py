"""One replicate of one case: build it if it is not built yet, profile it in a fresh process, join what is recorded.

The replicates of a case are spread over the length of a sweep (see ``sweep``): a machine's state drifts over minutes, and
memory-bound modules gain or lose against compute-bound convolutions with it. Replicates taken in a row would share one
state, and their interval would promise more than another run keeps.

Nothing of ours runs beside a timing process: the builder idles, and this process waits.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from attnbench.core.errors import CaseFailure, CaseSkipped
from attnbench.core.metrics import measurement
from attnbench.core.records import Built, Case, Failure, Measurement, NodeShare, Record, Settings
from attnbench.measure.attribution import Profile, attribute
from attnbench.measure.builder import Builder
from attnbench.measure.timing import time_in_process
from attnbench.runs import fold as figures
from attnbench.study.plan import PlannedCase

Found = tuple[list[Measurement], tuple[NodeShare, ...]]


class Clock:
    """Where a case's time went, over all its replicates."""

    def __init__(self, earlier: Record | None) -> None:
        self.began = time.perf_counter()
        self.seconds = dict(earlier.seconds) if earlier else {}

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add stages' seconds."""
        for stage, spent in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent

    def ort(self, job: dict[str, Any], settings: Settings) -> dict[str, Any]:
        """Do a timing job; its own seconds are ONNX Runtime's."""
        result = time_in_process(timing_job(job, settings), settings.timeout_seconds)
        self.add({"ort": result["seconds"]})
        return result

    def total(self) -> dict[str, float]:
        """The stages' seconds with the case's whole, rounded to milliseconds."""
        whole = self.seconds.get("total", 0.0) + time.perf_counter() - self.began
        return {stage: round(spent, 3) for stage, spent in {**self.seconds, "total": whole}.items()}


class Bench:
    """Measures cases, keeping the built graphs, and the baselines' profiles of the pass at hand."""

    def __init__(self, builder: Builder, planned: Mapping[Case, PlannedCase]) -> None:
        self.builder = builder
        self.planned = planned
        self.built: dict[Case, Built] = {}
        self.failed: dict[Case, CaseFailure] = {}
        self.profiles: dict[Case, Profile] = {}

    def begin_pass(self) -> None:
        """From here on a baseline's profile is a new one: a replicate's two profiles lie close in time."""
        self.profiles.clear()

    def replicate(self, planned: PlannedCase, earlier: Record | None) -> Record:
        """The case's record with one more replicate, or with the reason why there is none."""
        clock = Clock(earlier)
        try:
            if not planned.case.is_baseline:
                self.baseline_profile(planned.case.baseline, clock)
            built = self.build(planned, clock)
            if built.skip:
                raise CaseSkipped("memory", built.skip)
            step = self._baseline if planned.case.is_baseline else self._variant
            found, nodes = step(planned, built, earlier, clock)
            if figures.replicates_of(earlier) < planned.settings.processes:
                found += self._clocked(planned, built, earlier, clock)
            if earlier is None:
                found += self._memory(built, planned.settings, clock)
        except CaseFailure as failure:
            return self._without(planned, failure, earlier, clock)
        return self.joined(planned, replace(earlier or _record(planned.case, built), nodes=nodes), found, clock)

    def joined(self, planned: PlannedCase, record: Record, found: Sequence[Measurement], clock: Clock) -> Record:
        """A record with new measurements, and with what it lacks now."""
        joined = replace(record, measurements=record.measured(found), seconds=clock.total())
        return replace(joined, pending=figures.steps_left(joined, planned.settings))

    def build(self, planned: PlannedCase, clock: Clock) -> Built:
        """The case's graph, built once; a failure to build it is raised each time. Raises ``CaseFailure``."""
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

    def baseline_profile(self, case: Case, clock: Clock) -> Profile:
        """The baseline's profile of this pass, for its variants. Raises ``CaseFailure`` at stage ``baseline``."""
        try:
            return self._own_profile(self.planned[case], clock)
        except CaseFailure as failure:
            raise CaseFailure("baseline", f"the baseline failed at {failure.stage}: {failure.reason}") from failure

    def _own_profile(self, planned: PlannedCase, clock: Clock) -> Profile:
        """A baseline's profile, made once a pass; a failure is remembered."""
        try:
            built = self.build(planned, clock)
            if built.skip:
                raise CaseSkipped("memory", built.skip)
            if planned.case not in self.profiles:
                self.profiles[planned.case] = self.profile(built, planned.settings, clock)
        except CaseFailure as failure:
            self.failed[planned.case] = failure
            raise
        return self.profiles[planned.case]

    def profile(self, built: Built, settings: Settings, clock: Clock) -> Profile:
        """A graph's profile from a fresh process. Raises ``CaseFailure``."""
        job = {"kind": "profile", "model": built.path, "repeat": settings.repeat, "chain": self.builder.chain()}
        result = clock.ort(job, settings)
        if not result["finite"]:
            raise CaseFailure("measure", "the graph's output holds NaN or infinity on normal noise")
        return Profile.from_result(result)

    def _baseline(self, planned: PlannedCase, built: Built, earlier: Record | None, clock: Clock) -> Found:  # noqa: ARG002
        profile = self._own_profile(planned, clock)
        return [figures.core_share(earlier, profile), figures.profiling_cost(earlier, profile)], ()

    def _variant(self, planned: PlannedCase, built: Built, earlier: Record | None, clock: Clock) -> Found:
        profile = self.profile(built, planned.settings, clock)
        replicate = attribute(self.baseline_profile(planned.case.baseline, clock), profile)
        found = [*figures.attributed(replicate, earlier, planned.settings), figures.core_share(earlier, profile)]
        if earlier is None:
            return found, replicate.nodes
        return found, figures.averaged(earlier.nodes, replicate.nodes, figures.replicates_of(earlier) + 1)

    def _clocked(self, planned: PlannedCase, built: Built, earlier: Record | None, clock: Clock) -> list[Measurement]:
        """Unprofiled runs: the replicate's part of the pairs, of a baseline with its own copy; and latencies."""
        settings, found = planned.settings, []
        share = -(-settings.rounds // settings.processes)
        rounds = min(share, settings.rounds - share * figures.replicates_of(earlier))
        if rounds > 0:
            baseline = self.build(self.planned[planned.case.baseline], clock)
            job = {"kind": "pairs", "models": [baseline.path, built.path], "rounds": rounds}
            times = clock.ort({**job, "number": figures.replicates_of(earlier)}, settings)
            found += figures.paired(times, earlier, settings.provider)
            found += figures.latencies([after for _, after in times["wall"]], earlier, 1)
        for threads in settings.threads:
            if threads != 1 or not settings.rounds:
                found += self._latency(built, settings, threads, earlier, clock)
        return found

    def _latency(
        self, built: Built, settings: Settings, threads: int, earlier: Record | None, clock: Clock
    ) -> Sequence[Measurement]:
        """Plain runs at a number of threads, with the first replicate of a variant and with each of a baseline."""
        if earlier is not None and not earlier.case.is_baseline:
            return []
        repeat = max(settings.rounds, settings.repeat)
        job = {"kind": "latency", "model": built.path, "repeat": repeat, "threads": threads}
        return figures.latencies(clock.ort(job, settings)["wall"], earlier, threads)

    def _memory(self, built: Built, settings: Settings, clock: Clock) -> list[Measurement]:
        """Peaks of memory, where they are asked for and lie in this process's own: a provider may keep tensors elsewhere.

        Where the kernel does not let a process reset its own high-water mark, the reason stands in the figure's place.
        """
        if not settings.memory or settings.provider != "cpu":
            return []
        try:
            return figures.memory(clock.ort({"kind": "memory", "model": built.path}, settings))
        except CaseFailure as failure:
            return [measurement("memory_peak", None, note=f"not measured: {failure.reason}")]

    def _without(self, planned: PlannedCase, failure: CaseFailure, earlier: Record | None, clock: Clock) -> Record:
        """A failed case's record; a later replicate that fails leaves the earlier ones as they are, and ends them."""
        if earlier is not None:
            note = f"a replicate failed at {failure.stage}: {failure.reason}"
            return replace(earlier, notes=(*earlier.notes, note), pending=0, seconds=clock.total())
        reason = Failure(failure.stage, type(failure).__name__, failure.reason)
        status: Any = failure.status
        built = self.built.get(planned.case)
        record = Record(planned.case, status) if built is None else _record(planned.case, built)
        return replace(record, status=status, failure=reason, seconds=clock.total())


def timing_job(job: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A job for a timing process, with the settings that every kind of job takes."""
    common = ("warmup", "seed", "step_seconds", "provider", "optimization")
    return {**job, **{name: getattr(settings, name) for name in common}}


def _record(case: Case, built: Built) -> Record:
    """What is known of a built case without a clock."""
    return Record(
        case=case,
        status="ok",
        measurements=built.measurements,
        findings=built.findings,
        checks=built.checks,
        uncounted=built.uncounted,
        notes=built.notes,
        sources=built.sources,
    )
