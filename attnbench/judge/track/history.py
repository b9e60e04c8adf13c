"""The runs below a folder as series: one figure of one case over time, on one machine, measured in one way.

Runs are ordered by the time of their commit, so that an old commit that is measured today stands where it belongs; a run
whose header knows of no commit stands where it started. Two runs that ``compare`` would not compare, for another machine,
protocol or settings, are points of different series, and so are those of different major versions (``reading.MAJORS``).
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.metrics import ALIASES, METRICS
from attnbench.core.records import Case
from attnbench.judge.compare.exact import NPU
from attnbench.judge.track.reading import NARROWING, DatedRun, FileReading, Query, RunKind, TrendFigure, read_run
from attnbench.runs.store import RUN_FILE


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """A figure with its run, and the hashes of the sources that the case was built from."""

    run: DatedRun
    figure: TrendFigure
    sources: dict[str, str]


@dataclass(frozen=True)
class TrendSeries:
    """One metric of one case over comparable runs, by time; ``lacking`` are runs that planned it and have no figure."""

    kind: RunKind
    case: Case
    metric: str
    points: tuple[TrendPoint, ...]
    lacking: tuple[DatedRun, ...] = ()

    @property
    def newest(self) -> TrendFigure:
        """The last figure; its unit, direction and exactness are the series'."""
        return self.points[-1].figure


class LeftOut(NamedTuple):
    """A file that was not used, and why; what is of this file alone stands after a colon."""

    path: str
    reason: str


@dataclass(frozen=True)
class Archive:
    """All that was read: runs by time, series in the order of the newest run's records, and what was left out."""

    runs: tuple[DatedRun, ...]
    series: tuple[TrendSeries, ...]
    left_out: tuple[LeftOut, ...]


def read_archive(folder: Path, query: Query) -> Archive:
    """The series of all runs below a folder, however deep.

    Raises ``InputError`` where there is no run that can be read, and for a host, size, variant or metric that none has.
    """
    readings, left_out = [], []
    for path in _run_files(folder):
        try:
            readings.append(read_run(path, query))
        except InputError as error:
            left_out.append(LeftOut(str(path), str(error)))
    readings.sort(key=lambda reading: (reading.run.time, str(reading.run.header.started), -reading.size, reading.run.path))
    kept = list(_distinct(readings, left_out))
    if not kept:
        raise _no_run(folder, left_out)
    series = tuple(_series(kept))
    _check_answered(kept, series, query)
    return Archive(tuple(reading.run for reading in kept), series, tuple(left_out))


def labels(kinds: Iterable[RunKind]) -> dict[RunKind, str]:
    """Each kind by its machine's id, and by what else of it differs among those given."""
    facts = {kind: {"protocol": kind.protocol, **dict(kind.settings), **dict(kind.software)} for kind in kinds}
    differ = [name for name in next(iter(facts.values()), ()) if len({one[name] for one in facts.values()}) > 1]
    return {kind: ", ".join((kind.machine, *(f"{name} {one[name]}" for name in differ))) for kind, one in facts.items()}


def _run_files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name the one below which the runs are")
    for where, inner, files in os.walk(folder):
        inner.sort()
        if RUN_FILE in files:
            yield Path(where) / RUN_FILE


def _distinct(readings: Sequence[FileReading], left_out: list[LeftOut]) -> Iterator[FileReading]:
    """The runs without copies of one another, of which the longest stays, and without shards that were merged into one."""
    merged = {mark: reading.run.path for reading in readings for mark in reading.run.header.study["shards"]}
    first: dict[bytes, str] = {}
    for reading in readings:
        path = reading.run.path
        whole = merged.get(hashlib.sha256(Path(path).read_bytes()).hexdigest()) if merged else None
        if whole is not None:
            left_out.append(LeftOut(path, f"a shard of a run: {whole}"))
        elif reading.first in first:
            left_out.append(LeftOut(path, f"a copy of a run: {first[reading.first]}"))
        else:
            first[reading.first] = path
            yield reading


def _series(readings: Sequence[FileReading]) -> Iterator[TrendSeries]:
    """Points by kind, case and metric, each series in the order of time."""
    points: dict[tuple[RunKind, Case, str], list[TrendPoint]] = {
        (reading.run.kind, case, figure.metric): []
        for reading in reversed(readings)
        for case, entry in reading.entries.items()
        for figure in entry.figures
    }
    tried: dict[tuple[RunKind, Case], list[DatedRun]] = {}
    for reading in readings:
        for case, entry in reading.entries.items():
            tried.setdefault((reading.run.kind, case), []).append(reading.run)
            for figure in entry.figures:
                points[reading.run.kind, case, figure.metric].append(TrendPoint(reading.run, figure, dict(entry.sources)))
    for (kind, case, metric), found in points.items():
        had = {id(point.run) for point in found}
        yield TrendSeries(kind, case, metric, tuple(found), tuple(run for run in tried[kind, case] if id(run) not in had))


def _no_run(folder: Path, left_out: Sequence[LeftOut]) -> InputError:
    if not left_out:
        return InputError(f"there is no run below {folder}: run attnbench sweep first")
    more = f", and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return InputError(f"no run below {folder} can be used: {left_out[0].path}: {left_out[0].reason}{more}")


def _check_answered(readings: Sequence[FileReading], series: Sequence[TrendSeries], query: Query) -> None:
    """Raise ``InputError`` where a name or a metric that was asked for is in none of the runs: no word on it is no pass."""
    names = {key: {name for reading in readings for name in reading.names[key]} for key in (*NARROWING, "metric")}
    for key in NARROWING:
        wanted = getattr(query, key)
        if wanted is not None and wanted not in names[key]:
            raise UnknownName(f"{key} of these runs", wanted, names[key])
    known = {*names["metric"], *(name.partition("@")[0] for name in names["metric"]), NPU, *ALIASES, *METRICS}
    for metric in query.metrics:
        if any(metric in (one.metric, one.metric.partition("@")[0]) for one in series):
            continue
        if metric not in known and metric.partition("@")[0] != NPU:
            raise UnknownName("metric of these runs", metric, known)
        raise InputError(f"no case that was asked for has a figure of {metric} in these runs")
