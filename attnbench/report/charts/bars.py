"""Overheads as bars with their intervals and claims, and what each is made of; a line a variant, its name above its bar."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attnbench.core.records import Case, Record, Run
from attnbench.core.units import significant
from attnbench.judge.claims import band, judge_claim
from attnbench.judge.rows import Row, asked_claims
from attnbench.report.charts.heatmap import cell, tooltip
from attnbench.report.charts.theme import (
    BAR,
    CLAIM,
    CLAIM_LINE,
    FLOOR,
    INK,
    KINDS,
    OPS,
    OTHER_OPS,
    Spec,
    chart,
    percent_axis,
)
from attnbench.report.tables import has_overhead, named_rows, named_variants, overhead_text

WIDTH, STEP = 550, 34
"""Pixels of a chart, and of a line of it."""

LOWER = 7
"""Pixels by which a bar stands below the middle of its line: the texts are above."""

LETTER = 6.2
"""Pixels that a letter of these texts takes, by and large."""

OTHER = "other ops"


def overheads(run: Run, baseline: Case, *, everything: bool = False) -> Spec:
    """Overheads as bars with intervals and each replicate as a dot, the noise floor behind them, claims about them as bands.

    Of the study's own cases in their order; with ``everything``, and where the study has none, of all by size.
    """
    rows = [row for row in named_rows(run, everything=everything) if row.case.baseline == baseline and has_overhead(row)]
    by_size = everything or not named_variants(run)
    if by_size:
        rows.sort(key=lambda row: -(row.number("overhead_pct") or 0.0))
    bands = [] if everything else sorted(_bands(run, baseline), key=lambda one: one["lower"] - one["upper"])
    said = _verdicts(bands)
    bars = [{"variant": row.case.variant, **cell(row), "said": said.get(row.case.variant, "")} for row in rows]
    dots = [{"variant": row.case.variant, "replicate_pct": 100 * found} for row in rows for found in _replicates(row)]
    floor = next((f for row in rows if (f := row.number("floor_overhead_pct")) is not None), 0.0)
    ends = [bar["overhead_pct_high"] or bar["overhead_pct"] for bar in bars] + [one["upper"] for one in bands]
    starts = [bar["overhead_pct_low"] or bar["overhead_pct"] for bar in bars]
    ends, starts = ([*found, *(dot["replicate_pct"] for dot in dots)] for found in (ends, starts))
    title = "overhead, % of the baseline's time"
    axis = percent_axis("overhead_pct", title, floor, max(ends, default=1.0), min(starts, default=0.0))
    axis["axis"]["orient"] = "top" if everything else "bottom"
    y = _lines(rows)
    told = tooltip("variant", "overhead", "overhead_ms", "claim", "verdict")
    behind: list[Spec] = []
    if floor:
        behind.append({
            "data": {"values": [{"from": 0, "overhead_pct": floor}]}, "mark": {"type": "rect", "color": FLOOR},
            "encoding": {"x": {**axis, "field": "from"}, "x2": {"field": "overhead_pct"}, "y": {"value": 0},
                         "y2": {"value": STEP * max(1, len(rows))}}})  # fmt: skip
    if bands:
        mark = {"type": "bar", "color": CLAIM, "fillOpacity": 0.8, "stroke": CLAIM_LINE, "strokeWidth": 0.8}
        behind.append({
            "data": {"values": bands}, "mark": {**mark, "height": {"band": 0.5}, "yOffset": LOWER},
            "encoding": {"y": y, "x": {**axis, "field": "lower"}, "x2": {"field": "upper"}, "tooltip": told}})  # fmt: skip
    layers = [
        *behind,
        {"mark": {"type": "bar", "color": BAR, "height": {"band": 0.28}, "yOffset": LOWER},
         "encoding": {"y": y, "x": axis, "x2": {"datum": 0}, "tooltip": told}},
        {"mark": {"type": "rule", "color": INK, "strokeWidth": 1.5, "yOffset": LOWER},
         "encoding": {"y": y, "x": {**axis, "field": "overhead_pct_low"}, "x2": {"field": "overhead_pct_high"}}},
        {"data": {"values": dots},
         "mark": {"type": "circle", "color": INK, "size": 9, "opacity": 0.45, "yOffset": LOWER + 8},
         "encoding": {"y": y, "x": {**axis, "field": "replicate_pct"}}},
        *heads(y, "datum.said && width > 450 ? datum.overhead + ' · ' + datum.said : datum.overhead"),
    ]  # fmt: skip
    told_dots = "; each dot is a replicate" if dots else ""
    told_floor = (
        f"Grey is the noise floor, {significant(floor, 2)} points; beyond it the scale is logarithmic"
        if floor
        else "The run has no noise floor"
    )
    return chart(
        f"Overheads with 95 % intervals{', the largest first' if by_size else ''}: {baseline.where}",
        f"{told_floor}{'; amber is what was claimed' if bands else ''}{told_dots}",
        bars,
        layer=layers,
        width=WIDTH,
        height={"step": STEP},
    )


def decomposition(run: Run, baseline: Case) -> Spec:
    """What each overhead is made of, in parts of the whole: added ops, layout changes, fusions that were broken."""
    rows = [row for row in named_rows(run) if row.case.baseline == baseline and row.record.nodes and has_overhead(row)]
    parts = {row.case: _parts(row.record) for row in rows}
    own = _largest(parts.values())
    colours = {**dict(zip(own, OPS, strict=False)), OTHER: OTHER_OPS, **KINDS}
    values = [value for row in rows for value in _stack(row, parts[row.case], own)]
    order = [name for name in colours if any(value["part"] == name for value in values)]
    below = Counter[str]()
    for value in values:
        below[value["variant"]] += min(0.0, value["share_pct"])
    y = _lines(rows)
    stacked = {
        "mark": {"type": "bar", "height": {"band": 0.4}, "yOffset": LOWER},
        "encoding": {
            "y": y,
            "x": {"field": "share_pct", "type": "quantitative", "stack": "zero",
                  "scale": {"domain": [min(below.values(), default=0.0), 100], "nice": False},
                  "axis": {"title": "share of the overhead, %", "grid": True, "tickCount": 5}},
            "color": {"field": "part", "type": "nominal", "scale": {"domain": order, "range": [colours[n] for n in order]},
                      "legend": {"title": None, "symbolType": "square", "columns": {"expr": "max(3, floor(width / 110))"}}},
            "order": {"field": "rank"},
            "tooltip": tooltip("variant", "part", "points", "overhead"),
        },
    }  # fmt: skip
    wholes = [{"variant": row.case.variant, "overhead": f"{overhead_text(row)} %"} for row in rows]
    return chart(
        f"What the overheads are made of: {baseline.where}",
        "The whole is on the right. Colours are ops that the module adds, greys what it does to the graph around it",
        values,
        layer=[stacked, *({**head, "data": {"values": wholes}} for head in heads(y, "datum.overhead"))],
        width=WIDTH,
        height={"step": STEP},
    )


def _lines(rows: Sequence[Row]) -> Spec:
    """The channel of a line a variant, in this order; its name stands above its bar."""
    return {"field": "variant", "type": "nominal", "scale": {"domain": [row.case.variant for row in rows]}, "axis": None}


def heads(y: Spec, right: str, name: str = "variant") -> list[Spec]:
    """The texts above a bar: on the right what an expression gives, on the left its name, of which the middle gives way."""
    mark = {"type": "text", "dy": -8, "fontSize": 11}
    room = f"max(12, floor((width - 14) / {LETTER} - length(datum.right)))"
    told = (
        f"length(datum['{name}']) <= datum.room ? datum['{name}'] : slice(datum['{name}'], 0, ceil(datum.room / 2) - 1) + "
        f"'…' + slice(datum['{name}'], -floor(datum.room / 2))"
    )
    texts = [{"calculate": text, "as": as_} for text, as_ in ((right, "right"), (room, "room"), (told, "left"))]
    return [
        {"mark": {**mark, "align": "left"}, "transform": texts,
         "encoding": {"y": y, "x": {"value": 0}, "text": {"field": "left"}}},
        {"mark": {**mark, "align": "right", "fontSize": 10.5}, "transform": texts[:1],
         "encoding": {"y": y, "x": {"value": {"expr": "width"}}, "text": {"field": "right"}}},
    ]  # fmt: skip


def _replicates(row: Row) -> Sequence[float]:
    """The overhead of each replicate as it was stored; none where there is but one."""
    found = row.record.get("overhead")
    return found.samples if found and len(found.samples) > 1 else ()


def _largest(parts: Iterable[Mapping[str, float]]) -> list[str]:
    """The ops that make up most of all overheads."""
    ops = Counter[str]()
    for found in parts:
        whole = sum(map(abs, found.values())) or 1.0
        ops.update({name: abs(points) / whole for name, points in found.items() if name not in KINDS})
    return [name for name, _ in ops.most_common(len(OPS))]


def _parts(record: Record) -> dict[str, float]:
    """The points of an overhead by op, or by kind for what is not the module's own."""
    found: dict[str, float] = {}
    for node in record.nodes:
        name = {"added": node.op, "layout": "layout changes"}.get(node.kind, node.kind)
        found[name] = found.get(name, 0.0) + 100 * node.share
    return found


def _stack(row: Row, parts: Mapping[str, float], own: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The parts of one overhead; ops beyond those that are told are one part."""
    shown: dict[str, float] = {}
    for name, points in parts.items():
        told = name if name in own or name in KINDS else OTHER
        shown[told] = shown.get(told, 0.0) + points
    whole, ranks = sum(map(abs, shown.values())) or 1.0, [*own, OTHER, *KINDS]
    for name, points in shown.items():
        yield {
            "variant": row.case.variant, "part": name, "points_pct": points, "share_pct": 100 * points / whole,
            "rank": ranks.index(name), "points": f"{significant(points, 2)} points", "overhead": overhead_text(row),
        }  # fmt: skip


def _bands(run: Run, baseline: Case) -> Iterator[dict[str, Any]]:
    """The claims on overheads as what they allow, each with its verdict."""
    for _, row, claim in asked_claims(run):
        if claim["metric"] == "overhead_pct" and row.case.baseline == baseline and has_overhead(row):
            low, high = band(claim)
            judged = judge_claim(claim, row)
            yield {"variant": row.case.variant, "lower": max(0.0, low), "upper": high, "verdict": judged.verdict,
                   "claim": claim.get("text") or f"{claim['value']:g} %", "overhead": overhead_text(row)}  # fmt: skip


def _verdicts(bands: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """By variant what became of its claims."""
    said: dict[str, list[Mapping[str, Any]]] = {}
    for one in bands:
        said.setdefault(one["variant"], []).append(one)
    return {
        variant: f"{claims[0]['claim']}: {claims[0]['verdict']}"
        if len(claims) == 1
        else f"{len(claims)} claims: {', '.join(claim['verdict'] for claim in claims)}"
        for variant, claims in said.items()
    }
