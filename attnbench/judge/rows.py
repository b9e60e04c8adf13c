"""A run as rows, one a case and target: what its record holds, and what that is beside its baseline.

Everything relative is made here, from the records alone: differences to the baseline, agreement, verdicts on claims. What is
missing is ``None``. ``core.columns`` says which columns there are; tables, formats and judgements all read rows.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from attnbench.core.columns import COLUMNS, METRIC_OF
from attnbench.core.errors import InputError
from attnbench.core.grammar import normal_size
from attnbench.core.metrics import METRICS, Column
from attnbench.core.records import FP32, LEVELS, Case, Finding, Measurement, Record, Run
from attnbench.core.statistics import Mean
from attnbench.core.variance import Moderated, critical_value, detection_limit
from attnbench.judge.claims import Claim, judge_claim
from attnbench.judge.verdicts import agreement, expanded_uncertainty, npu_verdict
from attnbench.runs.uncertainty import means_of

THREADS = "_threads_"
"""What stands between the name of a column and a number of threads other than 1."""


@dataclass(frozen=True)
class Row:
    """A case's record as one target sees it, with its baseline's. ``target`` is empty without one.

    ``named`` is what the study asks for of its variant, at whatever host and size. ``mean`` is its overhead by the variance
    model, where it has replicates to put to it. ``floats`` is the row of the same case in fp32, of one of another type.
    """

    record: Record
    baseline: Record | None
    target: str
    named: Sequence[Mapping[str, Any]] = ()
    mean: Moderated | None = None
    floats: "Row | None" = None

    def get(self, column: str, /) -> Any:
        """What a column of cases.csv holds, in the unit of its name; ``None`` where that is missing."""
        name, _, threads = column.partition(THREADS)
        shown = COLUMNS[name]
        value = _DERIVED[name](self) if shown.part in ("fact", "derived") else self._figure(shown, threads)
        return None if value != value else value  # noqa: PLR0124  NaN is missing, too

    def number(self, column: str) -> float | None:
        """The same of a column that holds numbers."""
        value = self.get(column)
        return None if value is None else float(value)

    def text(self, column: str) -> str:
        """The same of a column that holds words; empty where they are missing."""
        return str(self.get(column) or "")

    @property
    def case(self) -> Case:
        """The case."""
        return self.record.case

    @cached_property
    def agreement(self) -> str:
        """Whether the two clocks agree."""
        return agreement(self.number("overhead_pct"), self.number("paired_pct_low"), self.number("paired_pct_high"))

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What the target says of the record's nodes."""
        return tuple(finding for finding in self.record.findings if finding.target == self.target)

    @cached_property
    def added(self) -> tuple[Finding, ...]:
        """What it says of those that the variant adds."""
        return tuple(finding for finding in self.findings if finding.inserted)

    @property
    def npu_verdict(self) -> str | None:
        """The target's verdict on what the variant adds, or on the baseline's whole graph."""
        return npu_verdict(self.findings if self.case.is_baseline else self.added) if self.findings else None

    def answers(self, asked: Mapping[str, Any]) -> bool:
        """Whether this row is of a case that the study asks for: its variant, on its host, at its sizes if it names any.

        What a study says of its cases is said of fp32.
        """
        return (
            self.case.dtype == FP32
            and asked["variant"] == self.case.variant
            and asked.get("host", self.case.host) == self.case.host
            and (not asked.get("sizes") or self.case.size in map(_size, asked["sizes"]))
        )

    def claim(self, column: str) -> Claim | None:
        """The study's first claim about a column of this case."""
        claims = (c for asked in self.named if self.answers(asked) for c in asked["claims"])
        return next((claim for claim in claims if claim["metric"] == column), None)

    def _figure(self, column: Column, threads: str) -> float | str | None:
        """What a metric's column holds."""
        metric = METRIC_OF[column.name]
        if metric.per == "target" and not self.findings:
            return None
        after = {"threads": threads, "target": self.target}.get(metric.per)
        name = f"{metric.name}@{after}" if after else metric.name
        base = self.baseline.get(name) if self.baseline else None
        value = _PARTS[column.part](self.record.get(name), base)
        if value is None or isinstance(value, str):
            return value
        return int(value) if column.whole else value if column.part == "delta_pct" else metric.scale * value


def rows_of(run: Run) -> list[Row]:
    """The run's rows: its records in their order, each once for every target of the study."""
    baselines = {record.case: record for record in run.records if record.case.is_baseline}
    study, named, means = run.header.study, defaultdict(list), means_of(run)
    for asked in study.get("cases", ()):
        named[asked["variant"]].append(asked)
    records = {record.case: record for record in run.records}

    def row(record: Record, target: str) -> Row:
        baseline, other = baselines.get(record.case.baseline), records.get(record.case.in_floats)
        floats = None if other is None or other is record else row(other, target)
        return Row(record, baseline, target, named.get(record.case.variant, ()), means.get(record.case), floats)

    return [row(record, target) for record in run.records for target in study.get("targets", [""]) or [""]]


def column_names(rows: Sequence[Row]) -> list[str]:
    """The columns that the rows fill: all of cases.csv, and those of latencies at other numbers of threads."""
    timed = (m.metric.partition("@") for row in rows for m in row.record.measurements if m.value is not None)
    extra = {
        f"{METRICS[name].columns[0].name}{THREADS}{threads}"
        for name, _, threads in timed
        if threads and name in METRICS and METRICS[name].per == "threads"
    }
    return [*COLUMNS, *sorted(extra)]


def asked_rows(run: Run) -> Iterator[tuple[Mapping[str, Any], Row]]:
    """The study's own cases with their rows, one for each host, size and target that they were run at."""
    of: defaultdict[tuple[str | None, str], list[Row]] = defaultdict(list)
    for row in rows_of(run):
        for host in (row.case.host, None):
            of[host, row.case.variant].append(row)
    cases = run.header.study.get("cases", ())
    return ((asked, row) for asked in cases for row in of[asked.get("host"), asked["variant"]] if row.answers(asked))


def asked_claims(run: Run) -> Iterator[tuple[Mapping[str, Any], Row, Claim]]:
    """The claims of the study's own cases with their rows: one about an NPU once a target, any other once."""
    first = next(iter(run.header.study.get("targets", ())), "")
    for asked, row in asked_rows(run):
        for claim in asked["claims"]:
            if row.target == first or claim["metric"] == "npu_verdict":
                yield asked, row, claim


def _size(written: Any) -> str:
    """A size as cases have it, however the study writes it: ``384X640`` is ``384x640``."""
    try:
        return normal_size(str(written))
    except InputError:
        return str(written)


def _delta(found: Measurement | None, base: Measurement | None) -> int | None:
    if found is None or found.value is None or base is None or base.value is None:
        return None
    return int(found.value) - int(base.value)


def _delta_pct(found: Measurement | None, base: Measurement | None) -> float | None:
    delta = _delta(found, base)
    return None if delta is None or base is None or not base.value else 100 * delta / base.value


_PARTS: dict[str, Callable[[Measurement | None, Measurement | None], float | str | None]] = {
    "value": lambda found, _: found.value if found else None,
    "low": lambda found, _: found.low if found else None,
    "high": lambda found, _: found.high if found else None,
    "of_baseline": lambda _, base: base.value if base else None,
    "delta": _delta,
    "delta_pct": _delta_pct,
    "samples": lambda found, _: len(found.samples) if found else None,
    "note": lambda found, _: found.note if found else None,
}
"""What of a measurement and its baseline's the parts of columns are, in base units."""


def _overhead_ms(row: Row) -> float | None:
    whole, value = row.baseline.value("latency") if row.baseline else None, row.record.value("overhead")
    return None if value is None or whole is None else 1e3 * value * whole


def _seconds(row: Row) -> float | None:
    """What a run of the case takes: the baseline's latency, and its overhead on that."""
    whole = row.baseline.value("latency") if row.baseline else None
    overhead = 0.0 if row.case.is_baseline else row.record.value("overhead")
    return None if whole is None or overhead is None else whole * (1 + overhead)


def _gain(row: Row) -> float | None:
    """How many times faster a case is than the same in fp32."""
    own, other = _seconds(row), _seconds(row.floats) if row.floats else None
    return other / own if own and other else None


def _verdict_on_graph(row: Row) -> str | None:
    hosts = [finding for finding in row.baseline.findings if finding.target == row.target] if row.baseline else []
    return npu_verdict([*hosts, *row.added]) if row.findings and hosts else None


def _added(*levels: str) -> Callable[[Row], int | None]:
    """Counts the added nodes of these levels where the target has a say."""
    return lambda row: sum(finding.level in levels for finding in row.added) if row.findings else None


def _claim(row: Row, told: Callable[[Claim], float | str]) -> float | str | None:
    """What is told of the study's claim about the overhead, where it has one."""
    claim = row.claim("overhead_pct")
    return told(claim) if claim else None


def _points(told: Callable[[Mean], float]) -> Callable[[Row], float | None]:
    """What is told of the overhead as another run would tell it, in percentage points."""
    return lambda row: 100 * told(row.mean.whole) if row.mean else None


def _expanded(row: Row) -> float | None:
    """U, with k = 2."""
    overhead, error = row.number("overhead_pct"), row.number("overhead_error_pct")
    return None if overhead is None or error is None else expanded_uncertainty(overhead, error, row.number("core_share_pct"))


_DERIVED: dict[str, Callable[[Row], Any]] = {
    **{name: attrgetter(f"case.{name}") for name in ("host", "variant", "size", "batch", "runtime", "dtype")},
    "fp32_overhead_pct": lambda row: row.floats.number("overhead_pct") if row.floats else None,
    "int8_gain": _gain,
    **{name: attrgetter(name) for name in ("agreement", "target", "npu_verdict")},
    "status": attrgetter("record.status"),
    "reason": lambda row: str(row.record.failure or ""),
    "uncounted_ops": lambda row: " ".join(row.record.uncounted),
    "notes": lambda row: "; ".join(row.record.notes),
    "overhead_ms": _overhead_ms,
    "overhead_error_pct": _points(lambda mean: math.sqrt(mean.variance)),
    "overhead_degrees": lambda row: row.mean.whole.degrees if row.mean else None,
    "overhead_expanded_pct": _expanded,
    "critical_value_pct": _points(critical_value),
    "detection_limit_pct": _points(detection_limit),
    "npu_verdict_graph": _verdict_on_graph,
    "npu_refused_added": _added("refused", "fallback"),
    "npu_unknown_added": _added("unknown"),
    "npu_nodes_added": _added(*LEVELS),
    "claim_pct": lambda row: _claim(row, lambda claim: float(claim["value"])),
    "claim_verdict": lambda row: _claim(row, lambda claim: judge_claim(claim, row).verdict),
}
"""What the columns hold that are no metric's own."""
