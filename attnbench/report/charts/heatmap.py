"""The heat map of places and modules, and what it shares with the other charts of costs."""

from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from attnbench.core.records import Case, Run
from attnbench.core.units import significant
from attnbench.judge.rows import Row
from attnbench.report.charts.theme import (
    EMPTY,
    INK,
    QUIET,
    STEPS,
    STRONG,
    STRONG_INK,
    Spec,
    chart,
)  # fmt: skip
from attnbench.report.tables import crossed, has_overhead, overhead_text, planes, rows_at

EDGES = (0.1, 0.3, 1, 3, 10, 30)
"""Ends of the colour steps in %; each is about three times the one before, as overheads spread over four decades."""

CELL = {"x": 86, "y": 38}
"""Pixels of a cell."""

MARGIN = {"left": 18, "top": 4, "right": 8, "bottom": 4}
"""Pixels around a chart with names on its left: the reader's letters may be wider than those that it was drawn with."""

FOLDED = (
    "length(datum.label) > 11 ? "
    "split(replace(replace(datum.label, /\\[/g, '\\n['), /([_+])(?=.)/g, '$1\\n'), '\\n') : datum.label"
)
"""A long name of a module in lines, as `_lines` counts them."""


STACKED = (
    "split(datum.label, '+').length > 2 ? [split(datum.label, '+')[0], 'and ' + (split(datum.label, '+').length - 1) + "
    "' more together'] : split(replace(datum.label, /[+]/g, '+\n'), '\n')"
)
"""A place that is a sum, in two lines."""


def heatmap(run: Run, baseline: Case, links: Mapping[Case, str] | None = None) -> Spec:
    """Places by modules, each cell the overhead in % on a logarithmic scale with its interval, or why there is none.

    ``links`` are what a cell leads to.
    """
    table = crossed(run, rows_at(run, baseline))
    cells = [
        {"place": place, "module": module, **cell(table.cells[place, module]), **_link(table.cells[place, module], links)}
        for place in table.places
        for module in table.modules
        if (place, module) in table.cells
    ]
    where: Spec = {
        "x": {"field": "module", "type": "nominal", "scale": {"domain": table.modules}, "axis": {
            "orient": "top", "title": None, "labelFontWeight": 600, **folded_heads(table.modules)}},
        "y": {"field": "place", "type": "nominal", "scale": {"domain": table.places}, "axis": {
            "title": None, "labelLineHeight": 13, "labelExpr": STACKED}},
    }  # fmt: skip
    shapes = planes(baseline)
    below = [{"place": place, "plane": shapes[place]} for place in table.places if place in shapes]
    if below:
        where["y"]["axis"]["labelOffset"] = -6
    timed, untimed = ({"filter": f"datum.overhead_pct {sign} null"} for sign in ("!=", "=="))
    told = {"tooltip": tooltip("place", "module", "overhead", "reason"), **({"href": {"field": "href"}} if links else {})}
    labels = [f"below {EDGES[0]:g} %", *(f"{low:g} to {high:g}" for low, high in pairwise(EDGES)), f"{EDGES[-1]:g} and more"]
    colour = {
        "field": "step", "type": "ordinal", "scale": {"domain": list(range(len(STEPS))), "range": list(STEPS)},
        "legend": {"title": None, "symbolType": "square", "symbolSize": 150, "columns": 0, "offset": 14,
                   "labelExpr": f"{labels}[datum.value]"},
    }  # fmt: skip
    strong = {"condition": {"test": f"datum.step >= {STRONG}", "value": STRONG_INK}, "value": INK}
    quiet = {"condition": {"test": "datum.overhead_pct == null", "value": QUIET}, "value": INK}
    over = {"type": "text", "tooltip": False}
    layers = [
        {"transform": [timed], "mark": {"type": "rect", "cornerRadius": 3}, "encoding": {"color": colour, **told}},
        {"transform": [untimed], "mark": {"type": "rect", "cornerRadius": 3, "color": EMPTY}, "encoding": told},
        {"transform": [timed], "mark": {**over, "dy": -7, "fontSize": 13, "fontWeight": 600},
         "encoding": {"text": {"field": "figure"}, "color": strong}},
        {"transform": [timed], "mark": {**over, "dy": 8, "fontSize": 10},
         "encoding": {"text": {"field": "interval"}, "color": strong}},
        {"transform": [untimed], "mark": {**over, "fontSize": 10.5},
         "encoding": {"text": {"field": "figure"}, "color": quiet}},
        {"data": {"values": below}, "mark": {**over, "align": "right", "dy": 8, "fontSize": 10, "color": QUIET},
         "encoding": {"x": {"value": -6}, "text": {"field": "plane"}}},
    ]  # fmt: skip
    return chart(
        f"Overhead by place and module, in % of {baseline.where}",
        f"One thread of {run.header.machine.get('cpu', 'an unknown CPU')}; below each figure its 95 % interval",
        cells,
        encoding=where,
        layer=layers,
        width={"step": CELL["x"]},
        height={"step": CELL["y"]},
        padding=MARGIN,
        config={**chart("", "", ())["config"], "scale": {"bandPaddingInner": 0.04, "bandPaddingOuter": 0}},
    )


def cell(row: Row) -> dict[str, Any]:
    """A row's overhead as figures and as text, or the word that stands for it."""
    value = row.number("overhead_pct")
    names = ("overhead_pct", "overhead_pct_low", "overhead_pct_high")
    figure, _, interval = overhead_text(row).partition(" ") if has_overhead(row) else (overhead_text(row), "", "")
    added = row.number("overhead_ms")
    return {
        **{name: row.number(name) if has_overhead(row) else None for name in names},
        "step": bisect(EDGES, value) if has_overhead(row) and value is not None else None,
        "figure": figure,
        "interval": interval,
        "overhead": f"{overhead_text(row)}{' %' if has_overhead(row) else ''}",
        **({"overhead_ms": f"{significant(added, 3)} ms"} if added is not None else {}),
        **({"reason": reason} if (reason := row.text("reason")) else {}),
    }


def folded_heads(modules: Sequence[str]) -> Spec:
    """Names of columns, each in as many lines as it takes, all from the top."""
    room = 6 + 13 * max(map(_lines, modules), default=1)
    return {"labelAngle": 0, "labelLineHeight": 13, "labelBaseline": "top", "labelPadding": room, "labelExpr": FOLDED}


def _lines(module: str) -> int:
    return 1 if len(module) <= 11 else 1 + sum(module[:-1].count(sign) for sign in "_+[")


def _link(row: Row, links: Mapping[Case, str] | None) -> dict[str, str]:
    return {"href": links[row.case]} if links else {}


def tooltip(*fields: str) -> list[Spec]:
    """What a live chart tells of a mark."""
    return [{"field": field, "type": "nominal", "title": field.replace("_", " ")} for field in fields]
