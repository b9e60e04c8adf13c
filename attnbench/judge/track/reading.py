"""A run file's part in a history: its header, and of each case the figures that were asked for and the sources.

Anything that does not fit leaves the whole run out. Rejected: an index beside the runs, which could contradict them; a
decoder of its own for records, five times as fast as ``store.load_run`` on files of schema 1 and of no use for facts.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import asdict

from attnbench.core.errors import InputError
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import Case, Measurement, Record, RunHeader
from attnbench.core.statistics import variance_of_mean
from attnbench.judge.compare.exact import NPU
from attnbench.judge.compare.match import PROTOCOL_FIELDS
from attnbench.judge.verdicts import npu_verdict, own_findings
from attnbench.runs.headers import SCHEMA
from attnbench.runs.store import load_run

MAJORS = ("attnbench", "torch", "onnx", "onnxruntime")
"""Software of whose major versions no two are compared; what changes within one is a cause that a step is given."""

MISFITS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What values of another shape end in."""

NARROWING = ("host", "size", "variant")
"""What of a case a query can name."""

Pairs = tuple[tuple[str, str], ...]


class Query(NamedTuple):
    """What of the runs is wanted: metrics, with or without the ``@`` and what follows; and cases, ``None`` for all."""

    metrics: tuple[str, ...] = ("overhead",)
    host: str | None = None
    size: str | None = None
    variant: str | None = None

    def fits(self, case: Case) -> bool:
        """Whether the case is asked for."""
        return all(getattr(self, key) in (None, getattr(case, key)) for key in NARROWING)

    def takes(self, metric: str) -> bool:
        """Whether the metric is asked for: ``latency`` stands for ``latency@4``, too."""
        return metric in self.metrics or metric.partition("@")[0] in self.metrics


class RunKind(NamedTuple):
    """What two runs must share for their figures to be points of one series: machine, protocol, settings, major versions."""

    machine: str
    protocol: str
    settings: Pairs
    software: Pairs


@dataclass(frozen=True, eq=False)
class DatedRun:
    """A run without its records: where it is, when it belongs, and what a change may come from.

    ``time`` is that of the commit, or of the run's start where the header has none (``by_commit`` is then false). The header
    has lost its cases and all of its study but the shards that it was merged from.
    """

    path: str
    kind: RunKind
    time: datetime
    by_commit: bool
    header: RunHeader

    @property
    def commit(self) -> str:
        """The commit that it ran from, as git describes it; empty where that is not known."""
        return str(self.header.software.get("commit") or "")


@dataclass(frozen=True, slots=True)
class TrendFigure:
    """A value of a metric in base units, or an NPU verdict; ``error`` is the standard error of its replicates, ``samples``.

    They are there only beside an interval: without one, a measurement's samples are no replicates.
    """

    metric: str
    value: float | str
    unit: str = "1"
    better: str = "lower"
    exact: bool = True
    low: float | None = None
    high: float | None = None
    error: float | None = None
    samples: tuple[float, ...] = ()


class CaseEntry(NamedTuple):
    """What a run says of one case: the figures that were asked for, and the hashes of the sources it was built from."""

    figures: tuple[TrendFigure, ...]
    sources: Mapping[str, str]


@dataclass(frozen=True)
class FileReading:
    """A run with an entry of each case that it planned.

    ``names`` are all hosts, sizes, variants and metrics in it, ``first`` is its first line.
    """

    run: DatedRun
    entries: Mapping[Case, CaseEntry]
    names: Mapping[str, set[str]]
    first: bytes
    size: int


def read_run(path: Path, query: Query) -> FileReading:
    """What a query wants of one file. Raises ``InputError`` with the reason why there is none, without the file's name."""
    try:
        if not path.is_file():
            raise InputError("is not a file")
        with path.open("rb") as file:
            first = file.readline()
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    if not first.endswith(b"\n"):
        raise InputError("torn within its first line" if first else "the file is empty")
    run = _dated_run(path, first)
    try:
        stored = load_run(path, {metric.partition("@")[0] for metric in query.metrics})
        records = stored.records
        lacking = {case: CaseEntry((), {}) for case in stored.header.cases if query.fits(case)}
        entries = {**lacking, **dict(_entries(records, query))}
    except (InputError, *MISFITS) as error:
        raise InputError(f"not a run to its end: {str(error).removeprefix(f'run {path}: ')}") from error
    names = {key: {getattr(record.case, key) for record in records} for key in NARROWING}
    names["metric"] = {found.metric for record in records for found in record.measurements}
    return FileReading(run, entries, names, first, size)


def _dated_run(path: Path, line: bytes) -> DatedRun:
    try:
        header = RunHeader.from_json({**json.loads(line), "cases": ()})
        kind, merged = _kind(header), tuple(shard["sha256"] for shard in header.study.get("shards", ()))
    except MISFITS as error:
        raise InputError("its first line is not the header of a run") from error
    if header.schema > SCHEMA:
        raise InputError(f"written with schema {header.schema}; this attnbench reads up to {SCHEMA}, upgrade it")
    committed, started = _time(header.software.get("commit_time")), _time(header.started)
    time = committed or started
    if time is None:
        raise InputError("says neither of when its commit is nor when it started")
    return DatedRun(str(path), kind, time, committed is not None, replace(header, study={"shards": merged}))


def _kind(header: RunHeader) -> RunKind:
    settings = {**asdict(Protocol()), **asdict(Effort()), **header.settings}
    majors = ((name, str(header.software.get(name, "unknown")).partition(".")[0]) for name in MAJORS)
    return RunKind(
        str(header.machine.get("id") or "unknown"),
        str(header.software.get("protocol", 1)),
        tuple((name, str(settings[name])) for name in PROTOCOL_FIELDS),
        tuple(majors),
    )


def _time(text: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _entries(records: Sequence[Record], query: Query) -> Iterator[tuple[Case, CaseEntry]]:
    """What a query wants of a run's records; of a case that failed, what is exact was known before it did."""
    takes = cache(query.takes)
    for record in records:
        if query.fits(record.case):
            figures = (_figure(found) for found in record.measurements if takes(found.metric))
            known = (figure for figure in figures if figure and (figure.exact or record.status == "ok"))
            verdicts = (TrendFigure(f"{NPU}@{target}", npu_verdict(found)) for target, found in own_findings(record).items())
            yield record.case, CaseEntry((*known, *(one for one in verdicts if takes(one.metric))), record.sources)


def _figure(found: Measurement) -> TrendFigure | None:
    """The figure of a measurement that has a number."""
    value, low, high = map(_finite, (found.value, found.low, found.high))
    if value is None:
        return None
    known = low is not None and high is not None and len(found.samples) > 1
    error = _finite(math.sqrt(variance_of_mean(found.samples))) if known else None
    samples = found.samples if error is not None else ()
    return TrendFigure(found.metric, value, found.unit, found.better, found.exact, low, high, error, samples)


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
