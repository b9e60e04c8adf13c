"""What this machine resolves today and what disturbs it, in under a minute. Nothing on the machine is changed.

The measuring is that of a sweep: one module in the first host at a small size, measured twice, and the host beside its
copy.
"""

from dataclasses import dataclass

from attnbench.core.records import Run
from attnbench.core.scratch import scratch
from attnbench.core.units import percent
from attnbench.core.variance import critical_value, detection_limit
from attnbench.measure import machine as environment
from attnbench.measure.disturbance import Disturbance, Watch, standing
from attnbench.measure.observer import Silent
from attnbench.measure.sweep import run_plan
from attnbench.runs.uncertainty import means_of
from attnbench.study.plan import plan

TRIAL = {
    "name": "doctor",
    "hosts": ["resnetsan01"],
    "sizes": ["96x160"],
    "case": [{"variant": "encoder.layer3=cbam_npu"}],
    "settings": {"processes": 4, "max_processes": 4, "rounds": 20, "memory": False},
}
FIT, USABLE = 0.15, 0.5
"""Differences of overheads in percentage points: most modules differ by more than the first, few by more than the second."""


@dataclass(frozen=True)
class Diagnosis:
    """What was found, in percentage points; ``None`` where that could not be had, for the reason given.

    ``overhead`` is a critical value, ``detected`` the detection limit beside it, ``difference`` a critical difference.
    """

    disturbances: tuple[Disturbance, ...]
    overhead: float | None
    difference: float | None
    detected: float | None
    paired: float | None
    latency_ms: float | None
    reason: str = ""

    @property
    def fit(self) -> bool:
        """Whether overheads measured now would be worth having."""
        return self.difference is not None and self.difference <= USABLE

    @property
    def verdict(self) -> str:
        """One line: fit, usable or not fit, and what to do about it."""
        bad = [found for found in self.disturbances if found.state == "bad"]
        what = "; ".join(f"{found.name}: {found.advice}" for found in bad if found.advice)
        if self.difference is None:
            return f"not fit to measure: {self.reason}"
        if self.difference <= FIT:
            names = ", ".join(found.name for found in bad)
            told = f": the trial told small differences, though {names} may disturb a long run"
            return "fit to measure" + told * bool(bad)
        more = "take more replicates (--processes 8 --max-processes 16) or compare only what differs by more than that"
        if self.difference <= USABLE:
            return f"usable: {what or more}"
        return f"not fit to measure: {what or 'wait until it is calmer, or use another machine'}"


def examine() -> Diagnosis:
    """Measure this machine's noise floor and look at what disturbs it."""
    before = _environment()
    with scratch() as folder, Watch() as watch:
        run, _ = run_plan(plan(TRIAL), folder, folder / "run", Silent())
    return diagnose(run, (*before, *standing(), *watch.activity.disturbances()))


def diagnose(run: Run, disturbances: tuple[Disturbance, ...]) -> Diagnosis:
    """The floors of a trial run beside what was seen of the machine."""
    baseline = next(record for record in run.records if record.case.is_baseline)
    failed = next((record.failure for record in run.records if record.failure), None)
    paired, latency = baseline.get("paired"), baseline.value("latency")
    mean = next(iter(means_of(run).values()), None)
    return Diagnosis(
        disturbances=disturbances,
        overhead=percent(critical_value(mean.whole) if mean else baseline.value("floor_overhead")),
        difference=percent(baseline.value("floor_difference")),
        detected=percent(detection_limit(mean.whole) if mean else None),
        paired=percent(paired.reach if paired else None),
        latency_ms=None if latency is None else 1e3 * latency,
        reason=f"{failed.stage}: {failed.message}" if failed else "the trial gave no figures",
    )


def _environment() -> list[Disturbance]:
    machine = environment.machine()
    cores, free = machine["cores"], environment.free_memory()
    lone, tight, loaded = cores < 2, free < 2e9, machine["load"] > cores / 2
    return [
        Disturbance("cores granted", "bad" if lone else "good", f"{cores}",
                    "one core serves the timing and everything else: grant two" * lone),
        Disturbance("free memory", "bad" if tight else "good", f"{free / 1e9:.1f} GB",
                    "free some: swapping would enter the figures" * tight),
        Disturbance("load average", "bad" if loaded else "good", f"{machine['load']:.2f} before the trial",
                    "wait until it falls" * loaded),
    ]  # fmt: skip
