"""Takes one timing step and says what it saw: builds a graph, or times it in a fresh process.

Nothing of ours runs beside a timing process: the builder idles, and this process waits.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from attnbench.core.errors import CaseFailure
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import Case
from attnbench.measure.attribution import Profile, attribute
from attnbench.measure.builder import Builder, Built
from attnbench.measure.schedule import TimingStep, pair_rounds
from attnbench.measure.timing import time_in_process
from attnbench.runs.facts import AnyFact, BuiltFact, FailedFact, LatencyFact, MemoryFact, PairsFact, ProfileFact
from attnbench.study.plan import Plan, PlannedCase


class Bench:
    """Takes steps, and keeps the built graphs and the baselines' profiles of the pass at hand.

    ``sources`` map each case to a hash of the sources that it runs, ``hashes`` to those of its host and modules.
    """

    def __init__(
        self, builder: Builder, plan: Plan, sources: Mapping[Case, str], hashes: Mapping[Case, Mapping[str, str]]
    ) -> None:
        self.builder = builder
        self.protocol = plan.protocol
        self.planned: dict[Case, PlannedCase] = {planned.case: planned for planned in plan.cases}
        self.sources = sources
        self.hashes = hashes
        self.built: dict[Case, Built] = {}
        self.failed: dict[Case, CaseFailure] = {}
        self.profiles: dict[Case, tuple[int, Profile]] = {}
        self.in_runtime = 0.0
        self._takers: dict[str, Callable[[TimingStep], AnyFact]] = {
            "build": self._build,
            "profile": self._profile,
            "repeat": self._profile,
            "pairs": self._pairs,
            "latency": self._latency,
            "memory": self._memory,
        }

    def take(self, step: TimingStep) -> AnyFact:
        """What the step saw; a failure is a fact, too."""
        began, self.in_runtime = time.perf_counter(), 0.0
        try:
            fact = self._takers[step.kind](step)
        except CaseFailure as failure:
            fact = _failed(step, failure)
        return replace(
            fact,
            sources=self.sources[step.case],
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - began, 4),
            in_runtime=round(self.in_runtime, 4),
        )

    def graph(self, case: Case) -> Built:
        """The case's graph, built once; a failure to build it is raised each time. Raises ``CaseFailure``."""
        if case in self.failed:
            raise self.failed[case]
        if case not in self.built:
            try:
                self.built[case] = self.builder.build(self.planned[case])
            except CaseFailure as failure:
                self.failed[case] = failure
                raise
        return self.built[case]

    def _build(self, step: TimingStep) -> AnyFact:
        if not step.case.is_baseline:
            self._of_baseline(step.case, self.graph)
        built = self.graph(step.case)
        return BuiltFact(
            case=step.case,
            measurements=built.measurements,
            findings=built.findings,
            checks=built.checks,
            uncounted=built.uncounted,
            notes=built.notes,
            skip=built.skip,
            stages=built.seconds,
            hashes=self.hashes[step.case],
        )

    def _profile(self, step: TimingStep) -> AnyFact:
        if step.case.is_baseline:
            profile = self._baseline_profile(step.case, step.number)
            return ProfileFact(case=step.case, number=step.number, core_share=profile.core_share, cost=profile.cost)
        baseline = self._of_baseline(step.case, lambda case: self._baseline_profile(case, step.number))
        profile = self._profiled(step.case)
        found = attribute(baseline, profile)
        return ProfileFact(
            case=step.case,
            number=step.number,
            core_share=profile.core_share,
            cost=profile.cost,
            overhead=found.overhead,
            aligned=found.aligned,
            reason=found.reason,
            nodes=tuple((n.node, n.op, n.site, n.kind, n.seconds, n.share) for n in found.nodes),
            repeat=step.kind == "repeat",
        )

    def _baseline_profile(self, case: Case, number: int) -> Profile:
        """A baseline's profile, one a pass, so that both profiles of a replicate lie close in time; a failure stays."""
        known = self.profiles.get(case)
        if known is None or known[0] != number:
            try:
                known = self.profiles[case] = number, self._profiled(case)
            except CaseFailure as failure:
                self.failed[case] = failure
                raise
        return known[1]

    def _of_baseline(self, case: Case, action: Callable[[Case], Any]) -> Any:
        """Do something for a variant's baseline. Raises ``CaseFailure`` at stage ``baseline``."""
        try:
            skip = self.graph(case.baseline).skip
            found = None if skip else action(case.baseline)
        except CaseFailure as failure:
            raise CaseFailure("baseline", f"the baseline failed at {failure.stage}: {failure.reason}") from failure
        if skip:
            raise CaseFailure("baseline", f"the baseline failed at memory: {skip}")
        return found

    def _profiled(self, case: Case) -> Profile:
        """A graph's profile from a fresh process. Raises ``CaseFailure``."""
        job = {"kind": "profile", "model": self.graph(case).path, "chain": self.builder.chain()}
        result = self._timed(job, case, repeat=self._effort(case).repeat)
        if not result["finite"]:
            raise CaseFailure("measure", "the graph's output holds NaN or infinity on normal noise")
        return Profile.from_result(result)

    def _pairs(self, step: TimingStep) -> AnyFact:
        models = [self.graph(step.case.baseline).path, self.graph(step.case).path]
        rounds = pair_rounds(self._effort(step.case), step.number)
        times = self._timed({"kind": "pairs", "models": models, "number": step.number}, step.case, rounds=rounds)
        wall, cpu = (tuple(map(tuple, times[clock])) for clock in ("wall", "cpu"))
        return PairsFact(case=step.case, number=step.number, wall=wall, cpu=cpu)

    def _latency(self, step: TimingStep) -> AnyFact:
        effort = self._effort(step.case)
        job = {"kind": "latency", "model": self.graph(step.case).path, "threads": step.threads}
        wall = self._timed(job, step.case, repeat=max(effort.rounds, effort.repeat))["wall"]
        return LatencyFact(case=step.case, number=step.number, threads=step.threads, wall=tuple(wall))

    def _memory(self, step: TimingStep) -> AnyFact:
        """Peaks of memory. Where the kernel does not let a process reset its own high-water mark, the reason."""
        try:
            result = self._timed({"kind": "memory", "model": self.graph(step.case).path}, step.case)
        except CaseFailure as failure:
            return MemoryFact(case=step.case, missing=failure.reason)
        peaks = ("session_peak", "run_peak", "plain_peak", "static_peak", "in_place_peak")
        return MemoryFact(case=step.case, **{name: result[name] for name in peaks})

    def _effort(self, case: Case) -> Effort:
        return self.planned[case].effort

    def _timed(self, job: dict[str, Any], case: Case, **more: int) -> dict[str, Any]:
        """Do a timing job; its own seconds are the runtime's."""
        effort = self._effort(case)
        result = time_in_process(timing_job({**job, **more}, self.protocol, effort), effort.timeout_seconds)
        self.in_runtime += result["seconds"]
        return result


def timing_job(job: dict[str, Any], protocol: Protocol, effort: Effort) -> dict[str, Any]:
    """A job for a timing process, with the settings that every kind of job takes."""
    common = {name: getattr(protocol, name) for name in ("warmup", "seed", "provider", "optimization")}
    return {**job, **common, "step_seconds": effort.step_seconds}


def _failed(step: TimingStep, failure: CaseFailure) -> FailedFact:
    return FailedFact(
        case=step.case,
        step=step.kind,
        number=step.number,
        stage=failure.stage,
        kind=type(failure).__name__,
        message=failure.reason,
        status=failure.status,
        repeat=step.kind == "repeat",
    )
