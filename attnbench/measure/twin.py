"""One variant of each host and size measured twice: what its two figures differ by is what this machine cannot resolve.

The *twin* is profiled once more in each pass, beside the variant's own replicates, and nothing that belongs to one of them
enters the other. (Attribution of a baseline against a copy of itself is zero by construction and would prove nothing.)
"""

from collections.abc import Iterable, Mapping

from attnbench.core.errors import CaseFailure
from attnbench.core.metrics import measurement
from attnbench.core.records import Case, Measurement, Record
from attnbench.measure.attribution import attribute
from attnbench.measure.bench import Bench, Clock
from attnbench.runs import fold as figures
from attnbench.study.plan import PlannedCase


def measure_twin(bench: Bench, baseline: PlannedCase, records: Mapping[Case, Record]) -> Record | None:
    """The baseline's record with one more figure of the twin, or ``None`` where it has as many as replicates by now."""
    record = records.get(baseline.case)
    if record is None or not record.pending or not figures.twins_wanted(record, baseline.settings):
        return None
    known = record.get("twin")
    if known is not None and len(known.samples) >= figures.replicates_of(record):
        return None
    clock = Clock(record)
    variant = _chosen(known, [r for case, r in records.items() if case.baseline == baseline.case and case != baseline.case])
    if variant is None:
        found = [measurement("twin", None, note="no variant has an overhead")]
        return bench.joined(baseline, record, found, clock)
    try:
        planned = bench.planned[variant.case]
        profile = bench.profile(bench.build(planned, clock), planned.settings, clock)
        replicate = attribute(bench.baseline_profile(baseline.case, clock), profile)
    except CaseFailure as failure:
        note = f"the twin failed at {failure.stage}: {failure.reason}"
        return bench.joined(baseline, record, [measurement("twin", None, note=note)], clock)
    if replicate.reason:
        return bench.joined(baseline, record, [measurement("twin", None, note=f"not attributed: {replicate.reason}")], clock)
    samples = figures.appended(record, "twin", replicate.overhead)
    found = [measurement("twin", sum(samples) / len(samples), samples, note=variant.case.variant)]
    own = variant.get("overhead")
    if own is not None and len(samples) >= baseline.settings.processes:
        found += figures.floors(own.samples[: len(samples)], samples)
    return bench.joined(baseline, record, found, clock)


def _chosen(known: Measurement | None, variants: Iterable[Record]) -> Record | None:
    """The variant that was measured twice so far, or the one of median overhead to begin with."""
    measured = sorted((r for r in variants if r.value("overhead") is not None), key=lambda r: r.value("overhead") or 0.0)
    same = [r for r in measured if known is not None and r.case.variant == known.note]
    return next(iter(same), measured[(len(measured) - 1) // 2] if measured and known is None else None)
