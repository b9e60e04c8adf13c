"""A run file's part in a history: its header, and of each record the figures that were asked for and the sources.

Most of a record is findings and nodes, which no trend but that of an NPU verdict looks at: they are cut out of a line before
it is parsed. What is not read is not checked, either; anything else that does not fit leaves the whole run out.

Measured on the lines of ``results/report/run.jsonl``, as if 500 runs of 100 cases (610 MB): whole lines take 3.3 s to parse,
cut ones 1.6 s. Rejected: ``orjson`` (1.4 s and 0.8 s), a dependency that would save less than a second; an index beside the
runs, which could contradict them; ``store.load_run``, which makes an object of every finding and node.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import asdict

from attnbench.core.errors import InputError
from attnbench.core.records import Case, Effort, Finding, Protocol, RunHeader
from attnbench.judge.compare.exact import NPU
from attnbench.judge.compare.match import PROTOCOL_FIELDS
from attnbench.judge.verdicts import npu_verdict
from attnbench.runs.store import SCHEMA

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


class Kind(NamedTuple):
    """What two runs must share for their figures to be points of one series: machine, protocol, settings, major versions."""

    machine: str
    protocol: str
    settings: Pairs
    software: Pairs


@dataclass(frozen=True, eq=False)
class StoredRun:
    """A run without its records: where it is, when it belongs, and what a change may come from.

    ``time`` is that of the commit, or of the run's start where the header has none (``by_commit`` is then false). The header
    has lost its cases and all of its study but the shards that it was merged from.
    """

    path: str
    kind: Kind
    time: datetime
    by_commit: bool
    header: RunHeader

    @property
    def commit(self) -> str:
        """The commit that it ran from, as git describes it; empty where that is not known."""
        return str(self.header.software.get("commit") or "")


@dataclass(frozen=True, slots=True)
class Figure:
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


class Entry(NamedTuple):
    """What a run says of one case: the figures that were asked for, and the hashes of the sources it was built from."""

    figures: tuple[Figure, ...]
    sources: Mapping[str, str]


@dataclass(frozen=True)
class Reading:
    """A run with its entries; ``names`` are all hosts, sizes, variants and metrics in it, ``first`` is its first line."""

    run: StoredRun
    entries: Mapping[Case, Entry]
    names: Mapping[str, set[str]]
    first: bytes
    size: int

    def sha256(self) -> str:
        """The hash of the whole file."""
        return hashlib.sha256(Path(self.run.path).read_bytes()).hexdigest()


def read_run(path: Path, query: Query) -> Reading:
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
    run = _stored_run(path, lines[0])
    names: dict[str, set[str]] = {key: set() for key in (*NARROWING, "metric")}
    entries, takes = {}, cache(query.takes)
    whole = any(metric.partition("@")[0] == NPU for metric in query.metrics)
    for number, line in enumerate(lines[1:], start=2):
        try:
            data = _parsed(line, whole=whole)
            case = _case(data["case"])
            if query.fits(case):
                entries[case] = _entry(data, case, takes)
            for key in NARROWING:
                names[key].add(getattr(case, key))
            names["metric"].update([m["metric"] for m in data.get("measurements", ())])
        except MISFITS as error:
            raise InputError(f"not a run to its end: line {number} is not a record") from error
    return Reading(run, entries, names, lines[0], len(content))


def _stored_run(path: Path, line: bytes) -> StoredRun:
    try:
        header = RunHeader.from_json({**json.loads(line), "cases": ()})
        if header.schema > SCHEMA:
            raise InputError(f"written with schema {header.schema}; this attnbench reads up to {SCHEMA}, upgrade it")
        kind, merged = _kind(header), tuple(shard["sha256"] for shard in header.study.get("shards", ()))
    except MISFITS as error:
        raise InputError("its first line is not the header of a run") from error
    committed, started = _time(header.software.get("commit_time")), _time(header.started)
    time = committed or started
    if time is None:
        raise InputError("says neither of when its commit is nor when it started")
    return StoredRun(str(path), kind, time, committed is not None, replace(header, study={"shards": merged}))


def _kind(header: RunHeader) -> Kind:
    settings = {**asdict(Protocol()), **asdict(Effort()), **header.settings}
    majors = ((name, str(header.software.get(name, "unknown")).partition(".")[0]) for name in MAJORS)
    return Kind(
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


def _parsed(line: bytes, *, whole: bool) -> dict[str, Any]:
    """A record's values, findings and nodes only on demand.

    They stand between the measurements and the sources. No text in a record can hold what is looked for here, for its
    quotes are escaped; a writer with another order of keys is read whole.
    """
    starts = [at for key in (b',"findings":[', b',"nodes":[') if (at := line.find(key)) > 0]
    if not whole and starts and line.endswith(b"}"):
        tail = line.rfind(b',"sources":{')
        try:
            return dict(json.loads(line[: min(starts)] + (line[tail:] if tail > 0 else b"}")))
        except ValueError:
            pass
    return dict(json.loads(line))


def _case(data: Mapping[str, Any]) -> Case:
    case = Case(data["host"], data["variant"], data["size"], data.get("batch", 1))
    if not (isinstance(case.host, str) and isinstance(case.variant, str) and isinstance(case.size, str)):
        raise TypeError("host, variant and size of a case are words")
    return case


def _entry(data: Mapping[str, Any], case: Case, takes: Callable[[str], bool]) -> Entry:
    measured = [m for m in data.get("measurements", ()) if takes(m["metric"])]
    figures = [found for m in measured if (found := _figure(m)) is not None]
    if data["status"] != "ok":
        figures = [figure for figure in figures if figure.exact]  # what was known before it failed
    verdicts = [figure for figure in _verdicts(data, case) if takes(figure.metric)]
    return Entry((*figures, *verdicts), dict(data.get("sources", {})))


def _figure(data: Mapping[str, Any]) -> Figure | None:
    value, low, high = (_finite(data.get(name)) for name in ("value", "low", "high"))
    if value is None:
        return None
    error = None
    if low is not None and high is not None:
        error = _standard_error(data.get("samples", ()))
    unit, better, exact = str(data.get("unit", "1")), str(data.get("better", "lower")), data.get("exact") is True
    return Figure(data["metric"], value, unit, better, exact, low, high, error)


def _standard_error(samples: Sequence[float]) -> float | None:
    """Of the mean of replicates. Rejected: ``statistics.stdev``, which computes in fractions and is many times slower."""
    if len(samples) < 2:
        return None
    mean = math.fsum(samples) / len(samples)
    return _finite(math.sqrt(math.fsum([(x - mean) ** 2 for x in samples]) / (len(samples) - 1) / len(samples)))


def _finite(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None


def _verdicts(data: Mapping[str, Any], case: Case) -> Iterator[Figure]:
    """Each target's word on the nodes that a variant adds, or on all of a baseline's."""
    levels: dict[str, set[Any]] = {}
    for finding in data.get("findings", ()):
        of_target = levels.setdefault(finding["target"], set())
        if case.is_baseline or finding.get("inserted"):
            of_target.add(finding["level"])
    for target, found in levels.items():
        yield Figure(f"{NPU}@{target}", npu_verdict([replace(_PLAIN, level=level) for level in found]))
