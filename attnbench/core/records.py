"""The records that flow through the tool: a case goes in, a record comes out, a run is a header and its records.

Everything here is frozen and made of plain values, so that it can cross a process, a file or a machine unchanged. Values
are in base units: seconds, bytes, plain ratios. No torch, no onnx, no formatting.

Rejected: one class per kind of measurement. A measurement says itself what unit it has, which direction is better and
whether it is exact, so reports and comparisons need no table of metrics and old files stay readable.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

from msgspec import Struct, convert, structs

from attnbench.core.protocol import Effort, split_settings

BASELINE = "baseline"
DEFAULT_RUNTIME, FP32, INT8 = "onnxruntime", "fp32", "int8"
"""The runtime and the number types of a case. What files do not say ran in the default runtime, in fp32."""

Status = Literal["ok", "refused", "skipped", "failed"]
Part = Literal["added", "layout", "unfused", "changed", "removed"]
Level = Literal["supported", "constrained", "efficiency", "fallback", "unknown", "refused"]

LEVELS: tuple[Level, ...] = ("supported", "constrained", "efficiency", "unknown", "fallback", "refused")
"""What a target can say of a node, from the best to the worst."""

RENAMED = {"twin": "aa_repeat"}
"""What metrics were called in older files."""

ON_NPU: frozenset[Level] = frozenset(LEVELS[:3])
"""The levels at which a node runs on the NPU."""


class Case(Struct, frozen=True, order=True, cache_hash=True):
    """One question: this variant of this host at this input size, in this number type. The key of every comparison."""

    host: str
    variant: str
    size: str
    batch: int = 1
    runtime: str = DEFAULT_RUNTIME
    dtype: str = FP32

    @property
    def is_baseline(self) -> bool:
        """Whether this is the host without any module."""
        return self.variant == BASELINE

    @property
    def baseline(self) -> "Case":
        """The case that this one's overhead is counted from: in the same runtime, of the same number type."""
        return Case(self.host, BASELINE, self.size, self.batch, self.runtime, self.dtype)  # faster than ``replace``

    @property
    def in_floats(self) -> "Case":
        """The same case in fp32."""
        return structs.replace(self, dtype=FP32)

    @property
    def at(self) -> str:
        """The input size, with the number type where that is not fp32: what cases of a host that compare have in common."""
        return self.size if self.dtype == FP32 else f"{self.size} {self.dtype}"

    @property
    def label(self) -> str:
        """The case in one line, as the tables and ``explain`` name it."""
        batch = f" batch {self.batch}" if self.batch != 1 else ""
        runtime = f" {self.runtime}" if self.runtime != DEFAULT_RUNTIME else ""
        dtype = f" {self.dtype}" if self.dtype != FP32 else ""
        return f"{self.host} {self.size}{batch}{runtime}{dtype} {self.variant}"

    def to_json(self) -> dict[str, Any]:
        """The case as JSON values; runtime and number type are left out where they are those of files that do not say."""
        return {
            k: v for k, v in structs.asdict(self).items() if (k, v) not in (("runtime", DEFAULT_RUNTIME), ("dtype", FP32))
        }

    @property
    def where(self) -> str:
        """What all cases of one baseline are about, for headings."""
        return f"{self.host} at {self.at}" + (f" on {self.runtime}" if self.runtime != DEFAULT_RUNTIME else "")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure with all that is needed to read and compare it.

    ``value`` is in ``unit`` (``s``, ``B``, ``1``); ``low`` and ``high`` bound it with 95 % confidence where it is noisy.
    ``samples`` are the raw values it was derived from. ``note`` says how it was had where that may differ.
    """

    metric: str
    value: int | float | None
    unit: str = "1"
    better: Literal["lower", "higher", "neither"] = "lower"
    exact: bool = False
    low: float | None = None
    high: float | None = None
    samples: tuple[float, ...] = ()
    note: str = ""

    @property
    def reach(self) -> float | None:
        """How far from 0 the interval goes; ``None`` without one."""
        return None if self.low is None or self.high is None else max(abs(self.low), abs(self.high))


@dataclass(frozen=True, slots=True)
class Finding:
    """What a target says of one node, and why.

    ``inserted`` tells the variant's own nodes from the host's. ``composite`` is the op that the node is a part of, where it
    was judged as that. ``device`` is where a fallback runs. ``substitute`` is what computes the same without being refused.
    ``dtype`` is what the node computes in, where the network is quantised.
    """

    target: str
    level: Level
    rule: str
    node: str
    op: str
    measured: str
    limit: str
    reason: str
    evidence: str
    source: str
    site: str = ""
    inserted: bool = False
    composite: str = ""
    device: str = ""
    substitute: str = ""
    dtype: str = ""


@dataclass(frozen=True, slots=True)
class NodeShare:
    """A node's part in an overhead: seconds per run, and the share of the baseline's time (a ratio).

    ``kind`` says why it counts: *added* by the variant; a *layout* change that the runtime put around that; *unfused*, the
    host's own that a fusion used to hide; *changed*, the difference that a fusion made to a node; *removed*, no longer run.
    """

    node: str
    op: str
    site: str
    kind: Part
    seconds: float
    share: float


@dataclass(frozen=True)
class Failure:
    """Why a case has no figures: the stage it ended at, the kind of error and its message."""

    stage: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.message}"


@dataclass(frozen=True)
class Check:
    """One line of a deployment checklist: passed, failed (``False``) or not run (``None``), and what was seen."""

    name: str
    passed: bool | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """All that is known of one case. The one thing that is stored, compared and exported.

    A variant's findings are those on the nodes it adds; the host's own stand in its baseline's record. ``pending`` counts
    the steps still to come (replicates, the cross-check): a case is recorded anew after each, and the last record holds.
    ``sources`` map the host and each module to a hash of the file they are written in, so that a changed figure can be told
    from changed code.
    """

    case: Case
    status: Status
    measurements: tuple[Measurement, ...] = ()
    findings: tuple[Finding, ...] = ()
    nodes: tuple[NodeShare, ...] = ()
    checks: tuple[Check, ...] = ()
    uncounted: tuple[str, ...] = ()
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    pending: int = 0
    sources: Mapping[str, str] = field(default_factory=dict)

    def get(self, metric: str) -> Measurement | None:
        """The measurement of that name, or ``None``."""
        return next((m for m in self.measurements if m.metric == metric), None)

    def value(self, metric: str) -> float | None:
        """The value of that metric, or ``None`` where it was not had."""
        found = self.get(metric)
        return None if found is None else found.value

    def measured(self, found: Iterable[Measurement]) -> tuple[Measurement, ...]:
        """The record's measurements with others; one of the same metric takes the old one's place."""
        return tuple({m.metric: m for m in (*self.measurements, *found)}.values())

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values; fields that hold nothing are left out."""
        values = {**asdict(self), "case": self.case.to_json()}
        return {name: value for name, value in values.items() if value not in ((), {}, None, 0)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The record that ``to_json`` wrote, whatever older files called things; keys of a newer one are passed over."""
        measured = [{**m, "metric": RENAMED.get(m["metric"], m["metric"])} for m in data.get("measurements", ())]
        findings = [{"substitute": one.get("cure", ""), **one} for one in data.get("findings", ())]
        return convert({**data, "measurements": measured, "findings": findings}, cls)


@dataclass(frozen=True)
class RunHeader:
    """The first line of a run file: what was asked, with which software, on which machine.

    ``protocol`` holds for all cases; ``effort`` for those that do not ask for more or less: ``efforts`` are what those ask
    for that do, by their place in ``cases``.
    """

    schema: int
    attnbench: str
    started: str
    study: Mapping[str, Any]
    protocol: Mapping[str, Any]
    effort: Mapping[str, Any]
    machine: Mapping[str, Any]
    software: Mapping[str, Any]
    cases: tuple[Case, ...] = ()
    efforts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def effort_of(self, case: Case) -> Effort:
        """How much was asked to be measured of a case."""
        return self._own_efforts.get(case, self._usual_effort)

    @cached_property
    def variants(self) -> Mapping[Case, Sequence[Case]]:
        """By baseline the cases whose overhead is counted from it."""
        found: dict[Case, list[Case]] = {}
        for case in self.cases:
            if not case.is_baseline:
                found.setdefault(case.baseline, []).append(case)
        return found

    @cached_property
    def _usual_effort(self) -> Effort:
        return _effort(self.effort)

    @cached_property
    def _own_efforts(self) -> dict[Case, Effort]:
        return {self.cases[int(place)]: _effort({**self.effort, **own}) for place, own in self.efforts.items()}

    @property
    def title(self) -> str:
        """What the study is called: by its title, or else by its name."""
        return str(self.study.get("title") or self.study.get("name") or "a run")

    @property
    def settings(self) -> dict[str, Any]:
        """Protocol and effort together, as they were asked for."""
        return {**self.protocol, **self.effort}

    def to_json(self) -> dict[str, Any]:
        """The header as JSON values."""
        return {**asdict(self), "cases": [case.to_json() for case in self.cases]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The header that ``to_json`` wrote; one of schema 1 has protocol and effort together as ``settings``."""
        values = dict(data)
        if "settings" in data:
            values["protocol"], values["effort"] = split_settings(data["settings"])
        return convert(values, cls)


def _effort(asked: Mapping[str, Any]) -> Effort:
    return Effort(**{name: asked[name] for name in Effort.__struct_fields__ if name in asked})


@dataclass(frozen=True)
class Run:
    """A header and the records so far, in the order of the header's cases."""

    header: RunHeader
    records: tuple[Record, ...]

    def record(self, case: Case) -> Record | None:
        """The record of a case, or ``None`` where it has not been run."""
        return next((r for r in self.records if r.case == case), None)
