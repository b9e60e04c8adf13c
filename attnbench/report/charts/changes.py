"""Charts of change: a figure over the runs of a folder with its steps, what became of overheads between two runs, shares."""

from typing import TYPE_CHECKING, Any

from attnbench.core.records import LEVELS
from attnbench.core.units import fixed, percent
from attnbench.judge.compare import Comparison
from attnbench.judge.track import History, Trend
from attnbench.report.charts.bars import LOWER, STEP, WIDTH, heads
from attnbench.report.charts.choices import FILLS
from attnbench.report.charts.theme import (
    BAD,
    BAR,
    FLOOR,
    GOOD,
    INK,
    LINE,
    OPEN,
    QUIET,
    Spec,
    chart,
)  # fmt: skip
from attnbench.report.checks import WORDS
from attnbench.report.comparison import change_text
from attnbench.report.table import VARIANT, places
from attnbench.report.trends import remarks, series_of, step_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnbench.npu.check import Checked

BAND = 22
MOST = 40
"""Changes that a chart shows, the largest; the table has the others."""

VERDICT_COLOURS = {"worse": BAD, "better": GOOD, "incomparable": OPEN, "same": BAR}
LEVEL_FILLS = {"supported": "ok", "constrained": "ok with constraint", "efficiency": "ok with constraint"}


def trend(found: History, one: Trend) -> Spec:
    """One series over its runs by time: figures with intervals, the levels between steps, and each step with its commit."""
    series = series_of(found, one)
    points = [
        {"at": at, **point, "low": point["value"] if point["low"] is None else point["low"],
         "high": point["value"] if point["high"] is None else point["high"]}
        for at, point in enumerate(series["points"])
    ]  # fmt: skip
    worse = {True: BAD, False: GOOD}
    steps = [
        {"at": step["at"] - 0.5, "said": " since ".join(filter(None, (size, points[step["at"]]["commit"]))),
         "worse": step["worse"]}
        for step, size in zip(series["steps"], step_sizes(one), strict=True)
    ]  # fmt: skip
    x = {"field": "at", "type": "quantitative", "axis": {"title": _order(one), "values": [], "titlePadding": 22},
         "scale": {"domain": [-0.5, len(points) - 0.5], "nice": False}}  # fmt: skip
    unit = "" if series["unit"] == "1" else f", {series['unit']}"
    y = {"field": "value", "type": "quantitative", "scale": {"zero": False, "nice": True},
         "axis": {"title": f"{series['metric']}{unit}", "grid": True, "tickCount": 4}}  # fmt: skip
    told = [{"field": name, "type": "nominal"} for name in ("commit", "time", "value", "low", "high")]
    layers: list[Spec] = [
        {"data": {"values": steps}, "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 1.2},
         "encoding": {"x": x, "color": _said("worse", worse)}},
        {"transform": [{"filter": "datum.level != null"}],
         "mark": {"type": "line", "interpolate": "step", "color": LINE, "strokeWidth": 6},
         "encoding": {"x": x, "y": {**y, "field": "level"}}},
        {"mark": {"type": "rule", "color": QUIET},
         "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}},
        {"mark": {"type": "point", "filled": True, "size": 34, "color": BAR, "opacity": 1},
         "encoding": {"x": x, "y": y, "tooltip": told}},
        *({"data": {"values": [step for step in steps if (step["at"] > len(points) / 2) == late]},
           "mark": {"type": "text", "align": side, "baseline": "top", "dx": away, "fontSize": 10.5, "color": INK},
           "encoding": {"x": x, "y": {"value": 2}, "text": {"field": "said"}}}
          for late, side, away in ((False, "left", 5), (True, "right", -5))),
    ]  # fmt: skip
    ends = [
        {"at": at, "said": points[at]["commit"] or points[at]["time"][:16].replace("T", " ")} for at in (0, len(points) - 1)
    ]
    layers += [
        {"data": {"values": [end]}, "mark": {"type": "text", "align": side, "dy": 12, "fontSize": 10.5, "color": INK},
         "encoding": {"x": x, "y": {"value": {"expr": "height"}}, "text": {"field": "said"}}}
        for end, side in zip(ends[: len(points)], ("left", "right"), strict=False)
    ]  # fmt: skip
    case = one.series.case
    said = "; ".join(remarks(one)) or f"{len(points)} runs on {series['machine']}"
    return chart(f"{case.variant}: {series['metric']}", f"{case.where}. {said}", points, layer=layers,
                 width=470, height=130)  # fmt: skip


def _order(one: Trend) -> str:
    """What the runs of a series are ordered by."""
    known = {point.run.by_commit for point in one.series.points}
    words = {frozenset({True}): "the time of their commit", frozenset({False}): "when they started"}
    return f"runs, by {words.get(frozenset(known), 'the time of their commit, or of their start where none is known')}"


def changes(found: Comparison) -> Spec:
    """What became of each overhead, in percentage points with its interval; grey is what does not count as a change."""
    rows = [row for row in found.rows if row.family == "overhead" and row.delta is not None]
    rows.sort(key=lambda row: -abs(row.delta or 0.0))
    shown = sorted(rows[:MOST], key=lambda row: -(row.delta or 0.0))
    where = places((row.case for row in found.rows), VARIANT, ("host", "size", "batch", "runtime", "dtype"))
    values = [
        {"case": " ".join(where(row.case).values()), "change_points": percent(row.delta),
         "low": percent(row.low), "high": percent(row.high),
         "verdict": row.verdict or "same", "change": change_text(row), "why": row.why,
         "may come from": "; ".join(cause.text for cause in row.causes)}
        for row in shown
    ]  # fmt: skip
    limit = 100 * found.threshold
    x = {"field": "change_points", "type": "quantitative",
         "axis": {"title": "change of the overhead, percentage points", "grid": True, "tickCount": 7}}  # fmt: skip
    y = {"field": "case", "type": "nominal", "scale": {"domain": [value["case"] for value in values]}, "axis": None}
    told = [{"field": name, "type": "nominal"} for name in ("case", "verdict", "change", "why", "may come from")]
    height, colour = STEP * max(1, len(values)), _said("verdict", VERDICT_COLOURS)
    layers: list[Spec] = [
        {"data": {"values": [{"low": -limit, "high": limit}]}, "mark": {"type": "rect", "color": FLOOR},
         "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": {"value": 0}, "y2": {"value": height}}},
        {"mark": {"type": "rule", "strokeWidth": 1.4, "yOffset": LOWER},
         "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": colour}},
        {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "yOffset": LOWER},
         "encoding": {"y": y, "x": x, "tooltip": told, "color": colour}},
        *heads(y, "datum.change", "case"),
    ]  # fmt: skip
    more = f"; the {MOST} largest of {len(rows)}" if len(rows) > MOST else ""
    told_limit = f"Red and green are told from noise and reach the threshold, ±{fixed(limit, 2)} points (grey){more}"
    return chart("What became of each overhead", told_limit, values, layer=layers, width=WIDTH, height={"step": STEP})


def _said(field: str, colours: dict[Any, str]) -> Spec:
    return {"field": field, "type": "nominal", "legend": None if field == "worse" else {"title": None},
            "scale": {"domain": list(colours), "range": list(colours.values())}}  # fmt: skip


def levels(all_checked: "Sequence[Checked]") -> Spec:
    """How much of a model each target takes, in nodes, MACs and parameters."""
    shares = {"nodes": "nodes", "macs": "MACs", "params": "parameters"}
    values = [
        {
            "target": checked.target.name,
            "of": name,
            "level": WORDS.get(level, level),
            "share_pct": percent(share),
            "rank": LEVELS.index(level),
        }
        for checked in all_checked
        for of, name in shares.items()
        for level in LEVELS
        if (share := checked.share(level, of))
    ]
    seen = [level for level in LEVELS if any(value["level"] == WORDS.get(level, level) for value in values)]
    fills = [FILLS[LEVEL_FILLS.get(level, level)] for level in seen]
    words = [WORDS.get(level, level) for level in seen]
    encoding = {
        "row": {"field": "target", "type": "nominal", "title": None, "sort": None,
                "header": {"labelAngle": 0, "labelAlign": "left", "labelOrient": "top", "labelFontWeight": 600,
                           "labelAnchor": "start"}},
        "y": {"field": "of", "type": "nominal", "scale": {"domain": list(shares.values())}, "axis": {"title": None}},
        "x": {"field": "share_pct", "type": "quantitative", "scale": {"domain": [0, 100]},
              "axis": {"title": "share of the model, %", "grid": True, "tickCount": 5}},
        "color": {"field": "level", "type": "nominal", "scale": {"domain": words, "range": fills},
                  "legend": {"title": None, "symbolType": "square"}},
        "order": {"field": "rank"},
        "tooltip": [{"field": name, "type": "nominal"} for name in ("target", "of", "level", "share_pct")],
    }  # fmt: skip
    return chart("How much of the model each target takes", "By nodes, MACs and parameters", values, width=430,
                 height={"step": BAND}, mark={"type": "bar", "stroke": LINE}, encoding=encoding, spacing=14)  # fmt: skip
