"""A run as rows, one a case and target: what its record holds, and what that is beside its baseline.

Everything relative is made here, from the records alone: differences to the baseline, agreement, verdicts on claims. What is
missing is ``None``. ``core.columns`` says which columns there are; tables, formats and judgements all read rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attnbench.core.columns import COLUMNS, METRIC_OF
from attnbench.core.errors import InputError
from attnbench.core.grammar import parse_size
from attnbench.core.metrics import METRICS, Column
from attnbench.core.records import Case, Finding, Measurement, Record, Run
from attnbench.judge.claims import Claim, judge_claim
from attnbench.judge.verdicts import agreement, npu_verdict

THREADS = "_threads_"
"""What stands between the name of a column and a number of threads other than 1."""


@dataclass(frozen=True)
class Row:
    """A case's record as one target sees it, with its baseline's and the run's study. ``target`` is empty without one."""

    record: Record
    baseline: Record | None
    target: str
    study: Mapping[str, Any]

    def get(self, column: str, /) -> Any:
        """What a column of cases.csv holds, in the unit of its name; ``None`` where that is missing."""
        name, _, threads = column.partition(THREADS)
        shown = COLUMNS[name]
        value = getattr(self, name) if shown.part in ("fact", "derived") else self._figure(shown, threads)
        return None if value != value else value  # noqa: PLR0124  NaN is missing, too

    def number(self, column: str) -> float | None:
        """The same of a column that holds numbers."""
        value = self.get(column)
        return None if value is None else float(value)

    @property
    def case(self) -> Case:
        """The case."""
        return self.record.case

    @property
    def host(self) -> str:
        """The host with its options."""
        return self.case.host

    @property
    def variant(self) -> str:
        """Modules by place."""
        return self.case.variant

    @property
    def size(self) -> str:
        """Height x width of the input."""
        return self.case.size

    @property
    def batch(self) -> int:
        """Images at once."""
        return self.case.batch

    @property
    def status(self) -> str:
        """Whether the case has figures."""
        return self.record.status

    @property
    def reason(self) -> str:
        """Why it has none."""
        failure = self.record.failure
        return f"{failure.stage}: {failure.message}" if failure else ""

    @property
    def uncounted_ops(self) -> str:
        """Ops that no counter knows."""
        return " ".join(self.record.uncounted)

    @property
    def notes(self) -> str:
        """What else a reader should know."""
        return "; ".join(self.record.notes)

    @property
    def stopped(self) -> str:
        """Why there are no more replicates; empty without an overhead."""
        return self.get("stopped") or ""

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

    @property
    def npu_verdict_graph(self) -> str | None:
        """Its verdict on the whole graph."""
        hosts = [finding for finding in self.baseline.findings if finding.target == self.target] if self.baseline else []
        return npu_verdict([*hosts, *self.added]) if self.findings and hosts else None

    @property
    def npu_refused_added(self) -> int | None:
        """How many of the added nodes do not run on the NPU."""
        return self._added("refused", "fallback")

    @property
    def npu_unknown_added(self) -> int | None:
        """How many of them the target does not know."""
        return self._added("unknown")

    @property
    def npu_nodes_added(self) -> int | None:
        """How many there are."""
        return len(self.added) if self.findings else None

    @property
    def overhead_ms(self) -> float | None:
        """The attributed overhead times the baseline's median latency."""
        whole, value = self.baseline.value("latency") if self.baseline else None, self.record.value("overhead")
        return None if value is None or whole is None else 1e3 * value * whole

    @property
    def claim_pct(self) -> float | None:
        """The overhead of the study's first claim about it."""
        claim = self._claim("overhead_pct")
        return float(claim["value"]) if claim else None

    @property
    def claim_verdict(self) -> str | None:
        """The verdict on that claim."""
        claim = self._claim("overhead_pct")
        return judge_claim(claim, self).verdict if claim else None

    def answers(self, asked: Mapping[str, Any]) -> bool:
        """Whether this row is of a case that the study asks for: its variant, on its host, at its sizes if it names any."""
        return (
            asked["variant"] == self.variant
            and asked.get("host", self.host) == self.host
            and (not asked.get("sizes") or self.size in map(_size, asked["sizes"]))
        )

    def _added(self, *levels: str) -> int | None:
        return sum(finding.level in levels for finding in self.added) if self.findings else None

    def _claim(self, column: str) -> Claim | None:
        claims = (c for asked in self.study.get("cases", ()) if self.answers(asked) for c in asked["claims"])
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
    study = run.header.study
    return [
        Row(record, baselines.get(record.case.baseline), target, study)
        for record in run.records
        for target in study.get("targets", [""]) or [""]
    ]


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
    rows = rows_of(run)
    return ((asked, row) for asked in run.header.study.get("cases", ()) for row in rows if row.answers(asked))


def _size(written: Any) -> str:
    """A size as cases have it, however the study writes it: ``384X640`` is ``384x640``."""
    try:
        return "x".join(map(str, parse_size(str(written))))
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
