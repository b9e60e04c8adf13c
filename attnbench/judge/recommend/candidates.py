"""Each variant of a run with what it adds, and the reasons for which it falls out: the target, the run, the budget."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from attnbench.core.quantities import Quantity
from attnbench.core.records import Case, Record, Run
from attnbench.core.units import fixed, significant, with_interval
from attnbench.judge.published import GainBar
from attnbench.judge.recommend.requirements import Requirements
from attnbench.judge.rows import Row
from attnbench.judge.verdicts import CROWDED, npu_verdict, own_findings, systematic_points

TARGET, FIGURE, BUDGET = "NPU target", "no figure", "over budget"
"""Kinds of reasons, in the order in which they decide."""

NOT_YET = "not measured yet: the sweep was interrupted, and the same command goes on"


class Exclusion(NamedTuple):
    """Why a variant falls out: the kind, and a few words."""

    kind: str
    text: str


class TargetVerdict(NamedTuple):
    """A target's word on the nodes that a variant adds, empty where it gave none, and the ops that made it say so.

    ``devices`` are where a fallback runs, ``substitutes`` what computes the same without being refused.
    """

    target: str
    word: str
    ops: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    substitutes: tuple[str, ...] = ()


class Budget(NamedTuple):
    """A limit on an overhead, and its unit. ``scale`` is what 1 % of the baseline's time is in that unit."""

    limit: Quantity
    unit: str
    scale: float


@dataclass(frozen=True)
class Candidate:
    """A variant of the run, what it adds, and how it fared; ``None`` for what the run does not have.

    ``overhead`` with its interval is in % of the baseline's time, ``added_ms`` in milliseconds, ``memory`` (live
    activations) in bytes, ``floor`` in percentage points. Without ``reasons`` it is left. ``beyond`` says by unit (``%``,
    ``ms``) how far the ends of the interval are above each budget. ``rank`` counts among the cases of one host at one size;
    ``dominated_by`` are variants of it that are on the Pareto front. ``gains`` are what is published of it.
    """

    case: Case
    overhead: float | None = None
    low: float | None = None
    high: float | None = None
    added_ms: float | None = None
    params: int | None = None
    macs: int | None = None
    memory: int | None = None
    floor: float = 0.0
    verdicts: tuple[TargetVerdict, ...] = ()
    reasons: tuple[Exclusion, ...] = ()
    beyond: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    gains: GainBar | None = None
    rank: int | None = None
    on_front: bool = False
    dominated_by: tuple[str, ...] = ()


def candidates(run: Run, cases: Sequence[Case], asked: Requirements) -> list[Candidate]:
    """The variants among some of a run's cases, each judged by the targets and budgets that are asked for."""
    records = {record.case: record for record in run.records}
    return [
        _judged(Row(records[case], records.get(case.baseline), ""), asked)
        if case in records
        else Candidate(case, reasons=(Exclusion(FIGURE, NOT_YET),))
        for case in cases
        if not case.is_baseline
    ]


def _judged(row: Row, asked: Requirements) -> Candidate:
    record, whole = row.record, row.baseline.value("latency") if row.baseline else None
    found = Candidate(
        record.case,
        overhead=row.get("overhead_pct"),
        low=row.get("overhead_pct_low"),
        high=row.get("overhead_pct_high"),
        added_ms=row.get("overhead_ms"),
        params=row.get("params_delta"),
        macs=row.get("macs_delta"),
        memory=row.get("activation_peak_delta_bytes"),
        floor=row.get("floor_difference_pct") or 0.0,
        verdicts=tuple(_verdict(record, target) for target in asked.targets),
    )
    reasons = [*(_rejections(found, asked) if record.status == "ok" or record.findings else ())]
    reasons += _without_figure(found, record, asked, whole)
    held = {budget.unit: _against(budget, found) for budget in _budgets(asked, whole) if found.overhead is not None}
    reasons += (Exclusion(BUDGET, over) for _, over, _ in held.values() if over)
    remarks = (*(remark for *_, remark in held.values() if remark), *_remarks(found, row))
    beyond = {unit: ends for unit, (ends, _, _) in held.items()}
    return replace(found, reasons=tuple(reasons), beyond=beyond, remarks=remarks)


def _verdict(record: Record, target: str) -> TargetVerdict:
    """A target's word, with those ops first that most of its nodes are."""
    added = own_findings(record).get(target)
    if added is None:
        return TargetVerdict(target, "")
    word = npu_verdict(added)
    levels = ("constrained", "efficiency") if word == "ok with constraint" else (word,)
    decisive = [finding for finding in added if finding.level in levels]
    ops = Counter(finding.composite or finding.op for finding in decisive).most_common()
    devices, substitutes = {finding.device for finding in decisive}, {finding.substitute for finding in decisive}
    named = (tuple(sorted(filter(None, names))) for names in (devices, substitutes))
    return TargetVerdict(target, word, tuple(op for op, _ in ops), *named)


def _rejections(found: Candidate, asked: Requirements) -> Iterator[Exclusion]:
    for target, word, ops, devices, substitutes in found.verdicts:
        named = ", ".join(ops)
        instead = f"; substitute: {', '.join(substitutes)}" if substitutes else ""
        if word == "refused":
            yield Exclusion(TARGET, f"{target} refuses {named}{instead}")
        elif word == "fallback":
            yield Exclusion(TARGET, f"{target} leaves {named} to {', '.join(devices) or 'another device'}{instead}")
        elif word == "unknown" and not asked.allow_unknown:
            said = f"{named} unknown to {target}, and unknown is not supported (--allow-unknown keeps it)"
            yield Exclusion(TARGET, f"{said}{instead}")
        elif not word:
            yield Exclusion(TARGET, f"the run holds no verdict of {target}")


def _without_figure(found: Candidate, record: Record, asked: Requirements, whole: float | None) -> Iterator[Exclusion]:
    """Why there is no overhead, in the run's own words; ``whole`` is the baseline's latency."""
    if record.status != "ok":
        yield Exclusion(FIGURE, f"{record.status}: {record.failure or ''}")
    elif found.overhead is None:
        measured = record.get("overhead")
        yield Exclusion(FIGURE, (measured.note if measured else "") or "the run holds no overhead of it")
    elif asked.max_latency is not None and whole is None:
        yield Exclusion(FIGURE, "its overhead in ms is not known: the run holds no latency of the baseline")


def _budgets(asked: Requirements, whole: float | None) -> Iterator[Budget]:
    if asked.max_overhead is not None:
        yield Budget(asked.max_overhead, "%", 1.0)
    if asked.max_latency is not None and whole is not None:
        yield Budget(asked.max_latency, "ms", 1e3 * whole / 100)


def _against(budget: Budget, found: Candidate) -> tuple[tuple[float, float], str, str]:
    """How far the ends of an overhead's interval are above a budget; why it is over it; or what to know of one within it.

    Over budget is what has all of its interval above it. Without an interval the figure is taken for its ends.
    """
    overhead, scale = found.overhead or 0.0, budget.scale
    limit, slack = budget.limit.to(budget.unit), systematic_points(overhead) * scale
    bottom, top = (scale * (overhead if end is None else end) - limit for end in (found.low, found.high))
    unit = "points" if budget.unit == "%" else budget.unit
    off = f"less than attribution may be off (±{significant(slack, 2)} {unit})"
    over = remark = ""
    if bottom > 0:
        value, low, high = (None if end is None else end * scale for end in (overhead, found.low, found.high))
        bias = f", by {off}" if bottom <= slack else ""
        over = f"{with_interval(value, low, high)} {budget.unit} added, budget {budget.limit}{bias}"
    elif top > 0:
        remark = f"budget of {budget.limit} within its interval"
    elif top + slack > 0:
        remark = f"within the budget of {budget.limit} by {off}"
    return (bottom, top), over, remark


def _remarks(found: Candidate, row: Row) -> Iterator[str]:
    """What makes a figure or a verdict weaker than it looks."""
    for verdict in found.verdicts:
        if verdict.word == "unknown":
            yield f"{', '.join(verdict.ops)} unknown to {verdict.target}: kept by --allow-unknown, may still not run"
    if found.overhead is not None and found.low is None:
        yield "no interval: too few replicates"
    if row.record.pending:
        yield "replicates still to come"
    if row.agreement == "disagree":
        yield "its two clocks disagree"
    share = row.number("core_share_pct")
    if share and share < 100 * CROWDED:
        yield f"measured with {fixed(share, 0)} % of a core"
