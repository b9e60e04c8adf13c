"""Each variant of a run with what it adds, and the reasons for which it falls out: the target, the run, the budget."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from attnbench.core.records import BASELINE, Case, Record, Run
from attnbench.core.units import fixed, significant, with_interval
from attnbench.judge.recommend.wish import Limit, Wish
from attnbench.judge.rows import Row, rows_of
from attnbench.judge.verdicts import CROWDED, systematic_points

TARGET, FIGURE, BUDGET = "NPU target", "no figure", "over budget"
"""Kinds of reasons, in the order in which they decide."""

NOT_YET = "not measured yet: the sweep was interrupted, and the same command goes on"


class Reason(NamedTuple):
    """Why a variant falls out: the kind, and a few words."""

    kind: str
    text: str


class Verdict(NamedTuple):
    """A target's word on the nodes that a variant adds, empty where it gave none, and the ops that made it say so."""

    target: str
    word: str
    ops: tuple[str, ...]


class Budget(NamedTuple):
    """A limit on an overhead. ``scale`` is what 1 % of the baseline's time is in the unit of the limit."""

    limit: Limit
    unit: str
    scale: float


class Excess(NamedTuple):
    """How far the ends of an interval are above a budget, in its unit; less than 0 where they are below."""

    low: float
    high: float


@dataclass(frozen=True)
class Candidate:
    """A variant of the run, what it adds, and how it fared; ``None`` for what the run does not hold.

    ``overhead`` with its interval is in % of the baseline's time, ``added_ms`` in milliseconds, ``memory`` (live
    activations) in bytes, ``floor`` in percentage points. Without ``reasons`` it is left. ``beyond`` holds it against each
    budget, by unit (``%``, ``ms``). ``rank`` counts among the cases of one ``group``, which are one host at one size;
    ``dominated_by`` are variants of it that are on the front.
    """

    case: Case
    group: Case
    overhead: float | None = None
    low: float | None = None
    high: float | None = None
    added_ms: float | None = None
    params: float | None = None
    macs: float | None = None
    memory: float | None = None
    floor: float = 0.0
    verdicts: tuple[Verdict, ...] = ()
    reasons: tuple[Reason, ...] = ()
    beyond: Mapping[str, Excess] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    rank: int | None = None
    on_front: bool = False
    dominated_by: tuple[str, ...] = ()


def candidates(run: Run, cases: Sequence[Case], wish: Wish) -> list[Candidate]:
    """The variants among some of a run's cases, each held against the targets and budgets of a wish."""
    records = {record.case: record for record in run.records}
    rows: dict[Case, dict[str, Row]] = {}
    for row in rows_of(run):
        rows.setdefault(row.case, {})[row.target] = row
    return [
        _judged(records[case], rows[case], rows.get(case.baseline, {}), wish)
        if case in records
        else Candidate(case, case.baseline, reasons=(Reason(FIGURE, NOT_YET),))
        for case in cases
        if case.variant != BASELINE
    ]


def _judged(record: Record, rows: Mapping[str, Row], baselines: Mapping[str, Row], wish: Wish) -> Candidate:
    row = next(iter(rows.values()))
    base = next(iter(baselines.values()), None)
    found = Candidate(
        record.case,
        record.case.baseline,
        overhead=row.number("overhead_pct"),
        low=row.number("overhead_pct_low"),
        high=row.number("overhead_pct_high"),
        added_ms=row.number("overhead_ms"),
        params=row.number("params_delta"),
        macs=row.number("macs_delta"),
        memory=row.number("activation_peak_delta_bytes"),
        floor=row.number("floor_difference_pct") or 0.0,
        verdicts=tuple(_verdict(record, target, rows.get(target)) for target in wish.targets),
    )
    budgets = list(_budgets(wish, base.number("latency_median_ms") if base else None))
    reasons = (
        *(_rejections(record, found, wish) if record.status == "ok" or record.findings else ()),
        *_without_figure(found, row, wish, budgets),
        *(reason for budget in budgets for reason in _excess(found, budget)),
    )
    beyond = {budget.unit: _beyond(found, budget) for budget in budgets if found.overhead is not None}
    remarks = (*(r for budget in budgets for r in _nearness(found, budget)), *_remarks(found, record, row))
    return replace(found, reasons=reasons, beyond=beyond, remarks=remarks)


def _verdict(record: Record, target: str, row: Row | None) -> Verdict:
    """A target's word, with those ops first that most of its nodes are."""
    word = row.npu_verdict or "" if row else ""
    levels = ("constrained", "efficiency") if word == "ok with constraint" else (word,)
    of_target = [f for f in record.findings if f.inserted and f.target == target and f.level in levels]
    return Verdict(target, word, tuple(op for op, _ in Counter(f.composite or f.op for f in of_target).most_common()))


def _rejections(record: Record, found: Candidate, wish: Wish) -> Iterator[Reason]:
    for target, word, ops in found.verdicts:
        of_target = [f for f in record.findings if f.inserted and f.target == target and f.level == word]
        substitutes = sorted({finding.substitute for finding in of_target if finding.substitute})
        instead = f"; substitute: {', '.join(substitutes)}" if substitutes else ""
        devices = ", ".join(sorted({finding.device for finding in of_target if finding.device}))
        named = ", ".join(ops)
        if word == "refused":
            yield Reason(TARGET, f"{target} refuses {named}{instead}")
        elif word == "fallback":
            yield Reason(TARGET, f"{target} leaves {named} to {devices or 'another device'}{instead}")
        elif word == "unknown" and not wish.allow_unknown:
            said = f"{named} unknown to {target}, and unknown is not supported (--allow-unknown keeps it)"
            yield Reason(TARGET, f"{said}{instead}")
        elif not word:
            yield Reason(TARGET, f"the run holds no verdict of {target}")


def _without_figure(found: Candidate, row: Row, wish: Wish, budgets: Sequence[Budget]) -> Iterator[Reason]:
    """Why there is no overhead, in the run's own words."""
    if row.status != "ok":
        yield Reason(FIGURE, f"{row.status}: {row.reason}")
    elif found.overhead is None:
        yield Reason(FIGURE, row.stopped or "the run holds no overhead of it")
    elif wish.max_latency is not None and not any(budget.unit == "ms" for budget in budgets):
        yield Reason(FIGURE, "its overhead in ms is not known: the run holds no latency of the baseline")


def _budgets(wish: Wish, whole_ms: float | None) -> Iterator[Budget]:
    if wish.max_overhead is not None:
        yield Budget(wish.max_overhead, "%", 1.0)
    if wish.max_latency is not None and whole_ms is not None:
        yield Budget(wish.max_latency, "ms", whole_ms / 100)


def _beyond(found: Candidate, budget: Budget) -> Excess:
    """The interval less the budget; without an interval, the figure less the budget."""
    ends = (found.overhead if end is None else end for end in (found.low, found.high))
    return Excess(*((end or 0.0) * budget.scale - budget.limit.value for end in ends))


def _excess(found: Candidate, budget: Budget) -> Iterator[Reason]:
    """Over budget is what has all of its interval above it."""
    if found.overhead is None or _beyond(found, budget).low <= 0:
        return
    value, low, high = (None if end is None else end * budget.scale for end in (found.overhead, found.low, found.high))
    slack = systematic_points(found.overhead)
    bias = f", by {_off(slack, budget)}" if _beyond(found, budget).low <= slack * budget.scale else ""
    yield Reason(BUDGET, f"{with_interval(value, low, high)} {budget.unit} added, budget {budget.limit.text}{bias}")


def _nearness(found: Candidate, budget: Budget) -> Iterator[str]:
    """What a reader should know of a variant that is within the budget, but may not be."""
    if found.overhead is None or _beyond(found, budget).low > 0:
        return
    slack = systematic_points(found.overhead)
    if _beyond(found, budget).high > 0:
        yield f"budget of {budget.limit.text} within its interval"
    elif _beyond(found, budget).high + slack * budget.scale > 0:
        yield f"within the budget of {budget.limit.text} by {_off(slack, budget)}"


def _off(slack: float, budget: Budget) -> str:
    unit = "points" if budget.unit == "%" else budget.unit
    return f"less than attribution may be off (±{significant(slack * budget.scale, 2)} {unit})"


def _remarks(found: Candidate, record: Record, row: Row) -> Iterator[str]:
    """What makes a figure or a verdict weaker than it looks."""
    for target, word, ops in found.verdicts:
        if word == "unknown":
            yield f"{', '.join(ops)} unknown to {target}: kept by --allow-unknown, may still not run"
    if found.overhead is not None and found.low is None:
        yield "no interval: too few replicates"
    if record.pending:
        yield "replicates still to come"
    if row.agreement == "disagree":
        yield "its two clocks disagree"
    if (row.number("core_share_pct") or 100.0) < 100 * CROWDED:
        yield f"measured with {fixed(row.number('core_share_pct'), 0)} % of a core"
