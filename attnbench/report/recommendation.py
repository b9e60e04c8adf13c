"""A recommendation as tables: what is left by rank, what fell out and why; for a reader, and unrounded for a program."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from attnbench.core.records import Case
from attnbench.core.units import MISSING, count, fixed, scaled, significant, with_interval
from attnbench.judge.recommend import Candidate, Recommendation
from attnbench.judge.recommend.notes import outcome
from attnbench.report import gains
from attnbench.report.answer import Answer, Figure
from attnbench.report.parts import RunPart, parts_of
from attnbench.report.table import VARIANT, WHERE, Table, places

SCHEMA = 1
"""Of the JSON; keys are only ever added."""

LEFT = "Left, ranked: the Pareto front by overhead, then the rest by overhead"
FALLEN = "Fell out"

COLUMNS = {
    "host": "host with its options",
    "size": "input height x width in pixels",
    "batch": "batch size",
    "variant": "modules by place",
    "outcome": "left or fell out",
    "decided_by": "why it fell out: NPU target, no figure or over budget",
    "rank": "from 1 within each host and size: the Pareto front by overhead, then the rest",
    "on_front": "whether nothing on the Pareto front dominates it",
    "dominated_by": "variants on the Pareto front that do, the cheapest first",
    "overhead_pct": "as in cases.csv, like all that follow up to memory",
    "overhead_pct_low": "lower end of its interval",
    "overhead_pct_high": "upper end",
    "overhead_ms": "the same in milliseconds",
    "params_delta": "parameters added",
    "macs_delta": "MACs added",
    "activation_peak_delta_bytes": "live activations added",
    "npu_verdict": "each target's word on what the variant adds",
    "why": "the reason that decided, in words",
    "also": "the other reasons",
    "beyond_budget_points_low": "lower end of the overhead less --max-overhead, in percentage points",
    "beyond_budget_points_high": "the same of the upper end",
    "beyond_budget_ms_low": "lower end of the added time less --max-latency, in milliseconds",
    "beyond_budget_ms_high": "the same of the upper end",
    "remarks": "what else a reader should know",
    **gains.COLUMNS,
    "runtime": "what ran it",
    "dtype": "number type of the case: fp32 or int8",
}
"""Of the CSV and the JSON. In the CSV a column metric_NAME follows for each metric; new ones come before those."""


def answer(found: Recommendation) -> Answer:
    """Both tables, every variant as a row with a column for each metric, and all with the question as a document."""
    asked = found.asked
    document = {
        "schema": SCHEMA,
        "asked": {
            "targets": found.targets,
            "max_overhead_pct": asked.max_overhead.to("%") if asked.max_overhead else None,
            "max_latency_ms": asked.max_latency.to("ms") if asked.max_latency else None,
            "allow_unknown": asked.allow_unknown,
            "published": asked.published,
            "metrics": dict(asked.metrics),
            "host": asked.host,
            "size": asked.size,
        },
        "notes": found.notes,
        "left": map(_told, found.left),
        "fell_out": map(_told, found.fallen),
    }
    columns = (*COLUMNS, *(f"metric_{name}" for name in asked.metrics))
    rows = (
        _row(one) | {f"metric_{name}": one.metrics.get(name) for name in asked.metrics}
        for one in (*found.left, *found.fallen)
    )
    tables = ((title, table) for title, table in ((LEFT, ranking(found)), (FALLEN, fell_out(found))) if table)
    return Answer(tables, columns, rows, document, "Recommendation", found.notes, _figures(found), (outcome(found),))


def _figures(found: Recommendation) -> Iterator[Figure]:
    from attnbench.report.charts import choices  # noqa: PLC0415  charts are for a page alone
    from attnbench.report.charts import gains as published  # noqa: PLC0415

    draw = published.gains if found.asked.published else choices.pareto
    for part in parts_of(found.run):
        own = of_part(found, part)
        if any(one.case.baseline == part.baseline for one in own.left):
            yield Figure(draw(own, part.baseline))


def of_part(found: Recommendation, part: RunPart) -> Recommendation:
    """What is left and what fell out in one part of the run."""
    kept = {record.case for record in part.run.records}
    left, fallen = (tuple(one for one in of if one.case in kept) for of in (found.left, found.fallen))
    return replace(found, run=part.run, left=left, fallen=fallen)


def ranking(found: Recommendation) -> Table:
    """What is left, a row a variant, the best first within each host and size; published gains are drawn on one scale."""
    where, scale = _places(found), gains.span((*found.left, *found.fallen))
    return Table.of(
        {
            "rank": one.rank,
            **where(one.case),
            "Pareto front": _front_text(one),
            "overhead (%)": with_interval(one.overhead, one.low, one.high),
            "(ms)": fixed(one.added_ms, 2),
            "params (+)": count(one.params),
            "MACs (+M)": significant(None if one.macs is None else one.macs / 1e6, 2),
            "memory (+MB)": scaled(one.memory, 1e6, 1),
            "NPU": _npu_text(one),
            **{name: significant(one.metrics.get(name), 4) for name in found.asked.metrics},
            **gains.cells(one.gains, scale),
            "remark": "; ".join(one.remarks),
        }
        for one in found.left
    ).keyed("rank", *WHERE, minor=("(ms)", "memory (+MB)", "MACs (+M)", "remark"))


def fell_out(found: Recommendation) -> Table:
    """What fell out, a row a variant: the reason that decided, the others, and how far it is from the budget."""
    where = _places(found)
    return Table.of(
        {
            **where(one.case),
            "why": _reasons_text(one.reasons[:1]),
            "also": _reasons_text(one.reasons[1:]) or MISSING,
            "overhead (%)": with_interval(one.overhead, one.low, one.high),
            "beyond the budget": _beyond_text(one),
            **{name: significant(one.metrics.get(name), 4) for name in found.asked.metrics},
        }
        for one in found.fallen
    ).keyed(*WHERE, minor=("also",))


def _row(one: Candidate) -> dict[str, Any]:
    case, texts = one.case, [reason.text for reason in one.reasons]
    points, ms = (one.beyond.get(unit, (None, None)) for unit in ("%", "ms"))
    decided = one.reasons[0].kind if one.reasons else ""
    values = (
        case.host, case.size, case.batch, case.variant, "fell out" if decided else "left", decided, one.rank, one.on_front,
        list(one.dominated_by), one.overhead, one.low, one.high, one.added_ms, one.params, one.macs, one.memory,
        _by_target(one, [verdict.word for verdict in one.verdicts]), "; ".join(texts[:1]), "; ".join(texts[1:]),
        *points, *ms, "; ".join(one.remarks), *gains.values(one.gains), case.runtime, case.dtype,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _told(one: Candidate) -> dict[str, Any]:
    published = {"published": [gain.told() for gain in one.gains.gains]} if one.gains else {}
    return _row(one) | {"metrics": dict(one.metrics)} | published


def _places(found: Recommendation) -> Callable[[Case], dict[str, str]]:
    return places((one.case for one in (*found.left, *found.fallen)), VARIANT)


def _reasons_text(reasons: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{kind}: {text}" for kind, text in reasons)


def _front_text(one: Candidate) -> str:
    if one.on_front:
        return "yes"
    more = f" and {count(len(one.dominated_by) - 1)} more" if len(one.dominated_by) > 1 else ""
    return f"no: dominated by {one.dominated_by[0]}{more}" if one.dominated_by else "no"


def _npu_text(one: Candidate) -> str:
    """The targets' words, a constraint with the ops it is on; each with its target where there are several."""
    return _by_target(one, [f"{v.word} ({', '.join(v.ops)})" if v.ops else v.word for v in one.verdicts]) or MISSING


def _by_target(one: Candidate, words: Sequence[str]) -> str:
    if len(one.verdicts) == 1:
        return words[0]
    return "; ".join(f"{verdict.target}: {word or MISSING}" for verdict, word in zip(one.verdicts, words, strict=True))


def _beyond_text(one: Candidate) -> str:
    """How far from each budget the nearer end of the interval is: above it with a plus, below it with a minus."""
    units = {"%": "points", "ms": "ms"}
    shown = []
    for unit, (low, high) in one.beyond.items():
        nearest = max(low, 0.0) + min(high, 0.0)
        shown.append(f"{significant(nearest, 2, sign=True)} {units[unit]}" if nearest else "within its interval")
    return "; ".join(shown) or MISSING
