"""A run file's part in a history: its header, and of each case the figures that were asked for and the sources.

A record's line is decoded straight into what is needed of it (``_RecordLine``); what is not read is not checked, either,
and anything else that does not fit leaves the whole run out. A file of facts is folded into records first.

Measured on the lines of ``results/report/run.jsonl``: 0.04 ms each, 0.22 by ``json``. Rejected: an index beside the runs,
which could contradict them; ``store.load_run`` for all files, which makes an object of every finding and node.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from attnbench.core.errors import InputError
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import RENAMED, Case, Finding, Measurement, Record, RunHeader
from attnbench.judge.compare.exact import NPU
from attnbench.judge.compare.match import PROTOCOL_FIELDS
from attnbench.judge.verdicts import npu_verdict
from attnbench.runs.store import FACT, SCHEMA, load_run

MAJORS = ("attnbench", "torch", "onnx", "onnxruntime")
"""Software of whose major versions no two are compared; what changes within one is a cause that a step is given."""

MISFITS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What values of another shape end in."""

NARROWING = ("host", "size", "variant")
"""What of a case a query can name."""

_PLAIN = Finding("", "supported", rule="", node="", op="", measured="", limit="", reason="", evidence="", source="")

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
    """A value of a metric in base units, or an NPU verdict; ``error`` is the standard error of its replicates.

    The error is there only beside an interval: without one, the samples are no replicates.
    """

    metric: str
    value: float | str
    unit: str = "1"
    better: str = "lower"
    exact: bool = True
    low: float | None = None
    high: float | None = None
    error: float | None = None


class CaseEntry(NamedTuple):
    """What a run says of one case: the figures that were asked for, and the hashes of the sources it was built from."""

    figures: tuple[TrendFigure, ...]
    sources: Mapping[str, str]


@dataclass(frozen=True)
class FileReading:
    """A run with its entries; ``names`` are all hosts, sizes, variants and metrics in it, ``first`` is its first line."""

    run: DatedRun
    entries: Mapping[Case, CaseEntry]
    names: Mapping[str, set[str]]
    first: bytes
    size: int

    def sha256(self) -> str:
        """The hash of the whole file."""
        return hashlib.sha256(Path(self.run.path).read_bytes()).hexdigest()


class _MeasurementLine(msgspec.Struct):
    metric: str
    value: float | None = None
    unit: str = "1"
    better: str = "lower"
    exact: bool = False
    low: float | None = None
    high: float | None = None
    samples: tuple[float, ...] = ()


class _FindingLine(msgspec.Struct):
    target: str
    level: str
    inserted: bool = False


class _RecordLine(msgspec.Struct):
    """What is needed of a ``Record``, by the same names."""

    case: Case
    status: str
    measurements: tuple[_MeasurementLine, ...] = ()
    findings: tuple[_FindingLine, ...] = ()
    sources: dict[str, str] = {}


_DECODER = msgspec.json.Decoder(_RecordLine)


def read_run(path: Path, query: Query) -> FileReading:
    """What a query wants of one file. Raises ``InputError`` with the reason why there is none, without the file's name."""
    try:
        content = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    if content is None:
        raise InputError("is not a file")
    lines = content.split(b"\n")[:-1]  # what follows the last end of a line is torn
    if not lines:
        raise InputError("torn within its first line" if content else "the file is empty")
    run = _dated_run(path, lines[0])
    names: dict[str, set[str]] = {key: set() for key in (*NARROWING, "metric")}
    entries = dict(_entries(_records(path, lines), query, names))
    return FileReading(run, entries, names, lines[0], len(content))


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
    settings = {**msgspec.structs.asdict(Protocol()), **msgspec.structs.asdict(Effort()), **header.settings}
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


def _records(path: Path, lines: Sequence[bytes]) -> Iterator[Record | _RecordLine]:
    """The records of a file, of a case that was recorded several times the last one last."""
    if any(line.startswith(FACT) for line in lines):
        try:
            yield from load_run(path).records
        except InputError as error:
            raise InputError(f"not a run to its end: {str(error).removeprefix(f'run {path}: ')}") from error
        return
    for number, line in enumerate(lines[1:], start=2):
        try:
            yield _record(line)
        except MISFITS as error:
            raise InputError(f"not a run to its end: line {number} is not a record") from error


def _record(line: bytes) -> _RecordLine:
    try:
        return _DECODER.decode(line)
    except msgspec.DecodeError:  # Python once wrote NaN, which is no JSON
        return msgspec.convert(json.loads(line), _RecordLine)


def _entries(
    records: Iterable[Record | _RecordLine], query: Query, names: Mapping[str, set[str]]
) -> Iterator[tuple[Case, CaseEntry]]:
    """What a query wants of a run's records; the names of all that is in them are added to ``names``."""
    takes = cache(query.takes)
    for record in records:
        case, measured = record.case, {RENAMED.get(m.metric, m.metric): m for m in record.measurements}
        for key in NARROWING:
            names[key].add(getattr(case, key))
        names["metric"].update(measured)
        if not query.fits(case):
            continue
        figures = [_figure(metric, found) for metric, found in measured.items() if takes(metric)]
        known = (figure for figure in figures if figure is not None and (figure.exact or record.status == "ok"))
        verdicts = (figure for figure in _verdicts(record) if takes(figure.metric))
        yield case, CaseEntry((*known, *verdicts), dict(record.sources))


def _figure(metric: str, found: Measurement | _MeasurementLine) -> TrendFigure | None:
    """The figure of a measurement that has a number; of a case that failed, what is exact was known before it did."""
    value, low, high = map(_finite, (found.value, found.low, found.high))
    if value is None:
        return None
    error = None if low is None or high is None else _standard_error(found.samples)
    return TrendFigure(metric, value, found.unit, found.better, found.exact, low, high, error)


def _standard_error(samples: Sequence[float]) -> float | None:
    """Of the mean of replicates. Rejected: ``statistics.stdev``, which computes in fractions and is many times slower."""
    if len(samples) < 2:
        return None
    mean = math.fsum(samples) / len(samples)
    return _finite(math.sqrt(math.fsum([(x - mean) ** 2 for x in samples]) / (len(samples) - 1) / len(samples)))


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _verdicts(record: Record | _RecordLine) -> Iterator[TrendFigure]:
    """Each target's word on the nodes that a variant adds, or on all of a baseline's."""
    levels: dict[str, set[Any]] = {}
    for finding in record.findings:
        of_target = levels.setdefault(finding.target, set())
        if record.case.is_baseline or finding.inserted:
            of_target.add(finding.level)
    for target, found in levels.items():
        yield TrendFigure(f"{NPU}@{target}", npu_verdict([replace(_PLAIN, level=level) for level in found]))
