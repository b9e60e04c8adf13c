"""How far each overhead of a run may lie from what another run would say: the variance model, put to a run's replicates."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from attnbench.core.records import Case, Run, RunHeader
from attnbench.core.variance import Moderated, RunToRun, moderated, variance_trend
from attnbench.runs.screen import SCREENED

RUN_TO_RUN = "run_to_run"
"""Where a header's machine says what its equal runs differ by; a run of before that was known there has none."""

_trend = lru_cache(1000)(variance_trend)
"""Kept, for a run that is read is compared or reported, too."""


def means(header: RunHeader, overheads: Mapping[Case, Sequence[float]]) -> dict[Case, Moderated]:
    """The mean overhead of each case of two replicates or more.

    The trend of a host and size is made from as many replicates of each case as all of them have in their first stage: then
    it stays as it is when more replicates are taken, and may decide how many those are.
    """
    peers: defaultdict[Case, list[Case]] = defaultdict(list)
    for case in overheads:
        peers[case.baseline].append(case)
    between, found = run_to_run_of(header), dict[Case, Moderated]()
    for own in peers.values():
        stages = {case: header.effort_of(case).processes for case in own}
        least = min(SCREENED if header.effort_of(case).screen else stages[case] for case in own)
        trend = _trend(tuple(tuple(overheads[case][:least]) for case in own if len(overheads[case]) >= least))
        made = {case: moderated(overheads[case], stages[case], trend, between) for case in own}
        found |= {case: mean for case, mean in made.items() if mean is not None}
    return found


def means_of(run: Run) -> dict[Case, Moderated]:
    """The same of all overheads of a stored run, whatever its records' own intervals rest on."""
    measured = ((record.case, record.get("overhead")) for record in run.records)
    return means(run.header, {case: found.samples for case, found in measured if found and found.value is not None})


def run_to_run_of(header: RunHeader) -> RunToRun:
    """What equal runs of the header's machine differ by, as far as that was known when the run began."""
    return RunToRun(**header.machine.get(RUN_TO_RUN, {}))
