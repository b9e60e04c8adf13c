"""What became of figures over all runs below a folder: series, their steps, the commits between which these lie, and why.

``reading`` takes of each file what is needed, ``history`` makes series of it, ``steps`` finds changes of level in noise,
``trend`` joins the two, ``causes`` says what a step may come from, and ``gate`` which ones fail. Nothing is measured, built
or looked up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnbench.core.metrics import ALIASES
from attnbench.core.quantities import Quantity
from attnbench.judge.compare.exact import NPU
from attnbench.judge.track.causes import explained
from attnbench.judge.track.gate import failing, lost, read_limit
from attnbench.judge.track.history import Archive, TrendSeries, labels, read_archive
from attnbench.judge.track.notes import notes
from attnbench.judge.track.reading import Query, RunKind
from attnbench.judge.track.trend import LevelStep, Trend, trends_of

__all__ = ["History", "LevelStep", "Trend", "track"]


@dataclass(frozen=True)
class History:
    """Trends and what was read for them.

    ``kinds`` names each kind of runs. ``failing`` are the steps that ``limit`` fails on, ``lost`` the series in which
    one could not have been seen; a limit of ``None`` fails on nothing.
    """

    folder: Path
    archive: Archive
    query: Query
    limit: Quantity | None
    kinds: Mapping[RunKind, str]
    trends: tuple[Trend, ...]
    failing: tuple[LevelStep, ...]
    lost: tuple[TrendSeries, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know first, a sentence each."""
        return tuple(notes(self))

    @property
    def steps(self) -> tuple[LevelStep, ...]:
        """All steps, the latest first."""
        found = [step for trend in self.trends for step in trend.steps]
        return tuple(sorted(found, key=lambda step: step.first.run.time, reverse=True))


def track(
    folder: Path,
    metrics: Sequence[str] = ("overhead",),
    *,
    host: str | None = None,
    size: str | None = None,
    variant: str | None = None,
    fail_on_step: str | None = None,
) -> History:
    """The history of some metrics in all runs below a folder; metrics go by the names that ``compare --fail-on`` takes.

    Raises ``InputError`` where there is nothing to read or nothing that was asked for, and for a limit that is no share.
    """
    limit = None if fail_on_step is None else read_limit(fail_on_step)
    names = {**ALIASES, "npu_verdict": NPU}
    query = Query(tuple(dict.fromkeys(names.get(metric, metric) for metric in metrics)), host, size, variant)
    archive = read_archive(folder, query)
    trends = explained(trends_of(archive.series))
    failed, silent = ((), ()) if limit is None else (failing(archive, trends, limit), lost(archive))
    kinds = labels(run.kind for run in archive.runs)
    return History(folder, archive, query, limit, kinds, trends, failed, silent)
