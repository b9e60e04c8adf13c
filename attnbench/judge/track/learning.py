"""What equal runs of a machine differ by beyond their replicates, learned from the runs below a folder.

*Equal* are runs of one machine, protocol and software that built a case from the same sources: whatever their overheads
differ by is noise, and where they lie weeks apart, the noise of weeks is in it.
"""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.core.errors import InputError
from attnbench.core.units import counted
from attnbench.core.variance import Moderated, RunToRun, run_to_run
from attnbench.judge.track.history import read_archive
from attnbench.judge.track.reading import DatedRun, Query, RunKind
from attnbench.runs.uncertainty import means

if TYPE_CHECKING:
    from attnbench.core.records import Case

Sources = tuple[tuple[str, str], ...]
"""What a case was built from: names and hashes."""

FEWEST_RUNS = 6
"""Equal runs that are needed: what five degrees of freedom tell may be wrong by a factor of two."""


def learn(folder: Path, machine: str) -> RunToRun:
    """What the equal runs of this machine say. Raises ``InputError`` where there are too few of them."""
    archive = read_archive(folder, Query())
    overheads: defaultdict[DatedRun, dict[Case, tuple[float, ...]]] = defaultdict(dict)
    sources: dict[tuple[DatedRun, Case], Sources] = {}
    for series in archive.series:
        for point in series.points:
            if series.kind.machine == machine and point.figure.error is not None:
                overheads[point.run][series.case] = point.figure.samples
                sources[point.run, series.case] = tuple(sorted(point.sources.items()))
    equal: defaultdict[tuple[RunKind, str, Case, Sources], list[Moderated]] = defaultdict(list)
    for run, own in overheads.items():
        software = str(run.header.software.get("id"))
        for case, mean in means(replace(run.header, efforts={}), own).items():
            equal[run.kind, software, case, sources[run, case]].append(mean)
    found = run_to_run(equal.values())
    runs = found[1] + 1 if found else 0
    if found is None or runs < FEWEST_RUNS:
        raise InputError(
            f"{counted(runs, 'equal run')} of this machine (id {machine}) below {folder}, and {FEWEST_RUNS} are needed: "
            f"sweep one study so often, each into a folder of its own there, better on different days"
        )
    days = len({run.time.date() for run in archive.runs if run.kind.machine == machine})
    return RunToRun(*found, source=f"{counted(runs, 'equal run')} of {counted(days, 'day')}")
