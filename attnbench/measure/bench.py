"""Takes one timing step and says what it saw: has graphs built, or times one in a fresh process.

Nothing of ours runs beside a timing process: the builders idle, and this process waits.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace as replace_built
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from msgspec.structs import replace

from attnbench.core.errors import CaseFailure, CaseRefused
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import Case
from attnbench.measure.attribution import Attribution, Profile, attribute_each, unlike
from attnbench.measure.builder import Builder, Built, describe_all
from attnbench.measure.executor import HERE, Executor
from attnbench.measure.machine import free_memory
from attnbench.measure.panels import panel_name
from attnbench.measure.schedule import TimingStep, crosscheck_rounds, failed, pair_rounds
from attnbench.runs.facts import AnyFact, ApartFact, BuiltFact, FailedFact, LatencyFact, MemoryFact, PairsFact, ProfileFact
from attnbench.runs.figures import TAIL
from attnbench.study.plan import Plan, PlannedCase

PEAKS = ("session_peak", "run_peak", "plain_peak", "static_peak", "in_place_peak")
"""What a memory job tells, and a fact of it says."""


class Bench:
    """Takes steps, and keeps the graphs that are still used and the baselines' profiles of the pass at hand.

    ``sources`` map each case to a hash of the sources that it runs, ``hashes`` to those of its host and modules.
    """

    def __init__(
        self,
        builders: Sequence[Builder],
        plan: Plan,
        sources: Mapping[Case, str],
        hashes: Mapping[Case, Mapping[str, str]],
        on: Executor = HERE,
    ) -> None:
        self.builders = builders
        self.protocol = plan.protocol
        self.inputs = plan.inputs
        self.planned: dict[Case, PlannedCase] = {planned.case: planned for planned in plan.cases}
        self.sources = sources
        self.hashes = hashes
        self.on = on
        self.kinds: dict[Case, Mapping[str, int]] = {}
        self.built: dict[Case, Built | CaseFailure] = {}
        self.paths: dict[tuple[Case, ...], str] = {}
        self.profiles: dict[Case, tuple[int, Profile]] = {}
        self.in_runtime = 0.0
        self._writing = Lock()
        self._takers: dict[str, Callable[[TimingStep], Iterator[AnyFact]]] = {
            "build": self._build,
            "profile": self._profile,
            "repeat": self._profile,
            "pairs": self._pairs,
            "crosscheck": self._pairs,
            "latency": self._latency,
            "memory": self._memory,
        }

    def take(self, step: TimingStep) -> Iterator[AnyFact]:
        """What the step saw, a fact or more for each of its cases, as they come; a failure is a fact, too."""
        began, self.in_runtime = time.perf_counter(), 0.0
        try:
            for fact in self._takers[step.kind](step):
                yield self._signed(fact, time.perf_counter() - began)
                began, self.in_runtime = time.perf_counter(), 0.0
        except CaseFailure as failure:
            yield self._signed(failed(step, step.case, failure), time.perf_counter() - began)

    def _signed(self, fact: AnyFact, seconds: float) -> AnyFact:
        """The fact with its sources, when it was had, and the time since the one before; several are built at a time."""
        if isinstance(fact, BuiltFact):
            seconds = sum(fact.stages.values()) / len(self.builders)
        elif isinstance(fact, FailedFact) and fact.step == "build":
            seconds = 0.0  # others were built meanwhile
        return replace(
            fact,
            sources=self.sources[fact.case],
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(seconds, 4),
            in_runtime=round(self.in_runtime, 4),
        )

    def _build(self, step: TimingStep) -> Iterator[AnyFact]:
        """What is known of the cases without a clock; of variants only where that of their baseline is."""
        baselines = [case for case in step.cases if case.is_baseline]
        variants = [case for case in step.cases if not case.is_baseline]
        for cases, after in ((baselines, variants), (variants, ())):
            able = []
            for case in cases:
                try:
                    able += [self.planned[case]] if case.is_baseline or self._sound(case.baseline) else []
                except CaseFailure as failure:
                    yield failed(step, case, failure)
            for planned, told in describe_all(self.builders, able, [self.planned[case] for case in after]):
                found = self.built[planned.case] = self._there(told)
                yield self._built(step, planned.case, found)

    def _built(self, step: TimingStep, case: Case, found: Built | CaseFailure) -> AnyFact:
        if isinstance(found, CaseFailure):
            return failed(step, case, found)
        return BuiltFact(
            case=case,
            measurements=found.measurements,
            findings=found.findings,
            checks=found.checks,
            uncounted=found.uncounted,
            notes=found.notes,
            regions=found.regions,
            skip=found.skip,
            stages=found.seconds,
            hashes=self.hashes[case],
        )

    def _sound(self, baseline: Case) -> Built:
        """What is known of a baseline without a clock. Raises ``CaseFailure`` at stage ``baseline`` where it failed."""
        found = self._description(baseline)
        if isinstance(found, CaseFailure):
            kind = CaseFailure if isinstance(found, CaseRefused) else type(found)
            raise kind("baseline", f"the baseline failed at {found.stage}: {found.reason}") from found
        if found.skip:
            raise CaseFailure("baseline", f"the baseline failed at memory: {found.skip}")
        return found

    def _description(self, case: Case) -> Built | CaseFailure:
        """What is known of a case without a clock, from this sweep or, where another one built it, from the cache."""
        if case not in self.built:
            try:
                self.built[case] = self._there(self.builders[0].describe(self.planned[case]))
            except CaseFailure as failure:
                self.built[case] = failure
        return self.built[case]

    def _profile(self, step: TimingStep) -> Iterator[AnyFact]:
        if step.case.is_baseline:
            profile = self._baseline_profile(step.case, step.number)
            yield ProfileFact(case=step.case, number=step.number, core_share=profile.core_share, cost=profile.cost)
            return
        baseline = self._baseline_profile(step.case.baseline, step.number)
        panel = panel_name(step.cases, step.number) if len(step.cases) > 1 else ""
        try:
            profile = self._profiled(step.cases)
            built = {case: one for case in step.cases if isinstance(one := self._description(case), Built)}
            owners = {site: case for case, one in built.items() for site in one.sites}
            alone = {case: self._alone(case, one, baseline) for case, one in built.items()} if panel else {}
            found = attribute_each(baseline, profile, owners, alone)
        except CaseFailure as failure:
            if not panel or step.kind == "repeat":
                raise
            for case in step.cases:
                yield ApartFact(case=case, panel=panel, why=f"its panel failed at {failure.stage}: {failure.reason}")
            return
        for case in step.cases[:1] if step.kind == "repeat" else step.cases:
            why = unlike(found[case], alone[case]) if case in alone else ""
            if why and step.kind != "repeat":
                yield ApartFact(case=case, panel=panel, why=why)
            else:
                yield self._replicate(step, case, panel, profile, found[case])

    @staticmethod
    def _replicate(step: TimingStep, case: Case, panel: str, profile: Profile, found: Attribution) -> ProfileFact:
        return ProfileFact(
            case=case,
            number=step.number,
            core_share=profile.core_share,
            cost=profile.cost,
            overhead=found.overhead,
            aligned=found.aligned,
            reason=found.reason,
            nodes=tuple((n.node, n.op, n.site, n.kind, n.seconds, n.share) for n in found.nodes),
            panel=panel,
            repeat=step.kind == "repeat",
        )

    def _alone(self, case: Case, built: Built, baseline: Profile) -> Mapping[str, int]:
        """The kinds of nodes that the runtime's graph has more of by a case alone, or fewer, there where it is timed.

        Another machine's runtime makes another graph of it: there it is run once to see which.
        """
        if self.on is HERE:
            return built.kinds
        if case not in self.kinds:
            job = {"kind": "profile", "model": self.graph((case,)), "repeat": 1}
            more = Counter(node["kind"] for node in self.timed(job, (case,))["nodes"])
            more.subtract(node.kind for node in baseline.nodes)
            self.kinds[case] = {kind: number for kind, number in sorted(more.items()) if number}
        return self.kinds[case]

    def _there(self, found: Built | CaseFailure) -> Built | CaseFailure:
        """What is known of a case, with what the machine that it is timed on has no memory for."""
        if isinstance(found, CaseFailure):
            return found
        return replace_built(found, skip=found.skip or self.on.skip(found.need))

    def _baseline_profile(self, case: Case, number: int) -> Profile:
        """A baseline's profile, one a pass, so that both profiles of a replicate lie close in time; a failure stays."""
        self._sound(case)
        known = self.profiles.get(case)
        if known is None or known[0] != number:
            try:
                known = self.profiles[case] = number, self._profiled((case,))
            except CaseFailure as failure:
                self.built[case] = failure
                raise
        return known[1]

    def _profiled(self, cases: tuple[Case, ...]) -> Profile:
        """A graph's profile from a fresh process. Raises ``CaseFailure``."""
        job = {"kind": "profile", "model": self.graph(cases), "chain": self.builders[0].chain()}
        result = self.timed(job, cases, repeat=max(self._effort(case).repeat for case in cases))
        if len(cases) > 1:
            Path(self.paths.pop(cases)).unlink(missing_ok=True)
        if not result["finite"]:
            raise CaseFailure("measure", "the graph's output holds NaN or infinity on normal noise")
        return Profile.from_result(result)

    def graph(self, cases: tuple[Case, ...]) -> str:
        """The path of a graph with these cases in it. Raises ``CaseFailure``."""
        with self._writing:
            if cases not in self.paths:
                self.paths[cases] = self.builders[0].write([self.planned[case] for case in cases])
            return self.paths[cases]

    def _pairs(self, step: TimingStep) -> Iterator[AnyFact]:
        """Pairs of the baseline and a case, or of the baseline and a panel for the cross-check."""
        baseline, checks = step.case.baseline, step.kind == "crosscheck"
        if not step.case.is_baseline:
            self._sound(baseline)
        models = [self.graph((baseline,)), self.graph(step.cases)]
        effort = self._effort(baseline if checks else step.case)
        rounds = (crosscheck_rounds if checks else pair_rounds)(effort, step.number)
        times = self.timed({"kind": "pairs", "models": models, "number": step.number}, step.cases, rounds=rounds)
        wall, cpu = (tuple(map(tuple, times[clock])) for clock in ("wall", "cpu"))
        together = tuple(case.variant for case in step.cases) if checks else ()
        case = baseline if checks else step.case
        yield PairsFact(case=case, number=step.number, together=together, wall=wall, cpu=cpu)

    def _latency(self, step: TimingStep) -> Iterator[AnyFact]:
        effort = self._effort(step.case)
        job = {"kind": "latency", "model": self.graph(step.cases), "threads": step.threads}
        tail = -(-TAIL // effort.processes) if effort.deadline else 0
        wall = self.timed(job, step.cases, repeat=max(effort.rounds, effort.repeat, tail))["wall"]
        yield LatencyFact(case=step.case, number=step.number, threads=step.threads, wall=tuple(wall))

    def _memory(self, step: TimingStep) -> Iterator[AnyFact]:
        """Peaks of memory, of several cases at a time: no clock counts, and each process knows its own.

        Where the kernel does not let a process reset its own high-water mark, the reason.
        """
        most = max(1, *(one.need for case in step.cases if isinstance(one := self._description(case), Built)))
        at_a_time = min(self.on.at_a_time, len(step.cases), max(1, free_memory() // most))

        def peaks(case: Case) -> MemoryFact:
            try:
                job = {"kind": "memory", "model": self.graph((case,)), "threads": at_a_time}
                result = self.timed(job, (case,))
            except CaseFailure as failure:
                return MemoryFact(case=case, missing=failure.reason)
            return MemoryFact(case=case, **{name: result[name] for name in PEAKS})

        with ThreadPoolExecutor(at_a_time) as pool:
            yield from pool.map(peaks, step.cases)

    def _effort(self, case: Case) -> Effort:
        return self.planned[case].effort

    def timed(self, job: dict[str, Any], cases: tuple[Case, ...], **more: int) -> dict[str, Any]:
        """Do a timing job; its own seconds are the runtime's."""
        effort = self._effort(cases[0])
        asked = {**job, **more, "runtime": cases[0].runtime, "inputs": self.inputs}
        result = self.on.time(timing_job(asked, self.protocol, effort), effort.timeout_seconds)
        self.in_runtime += result["seconds"]
        return result


def timing_job(job: dict[str, Any], protocol: Protocol, effort: Effort) -> dict[str, Any]:
    """A job for a timing process, with the settings that every kind of job takes."""
    common = {name: getattr(protocol, name) for name in ("warmup", "seed", "provider", "optimization")}
    return {**job, **common, "step_seconds": effort.step_seconds}
