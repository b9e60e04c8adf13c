"""The chart of published gains: each variant's bar over the sources against what it costs, with the number of figures."""

from typing import Any

from attnbench.core.grammar import parse_variant
from attnbench.core.records import Case
from attnbench.judge.published import GainBar
from attnbench.judge.recommend import Candidate, Recommendation
from attnbench.report.charts.choices import HALO, costed, interval, overhead_axis, overhead_of
from attnbench.report.charts.theme import BAR, INK, LINE, OPEN, Spec, chart


def gains(found: Recommendation, baseline: Case) -> Spec:
    """Published gains in points of ImageNet top-1 against overhead: a bar from the least to the most, its mean, how many."""
    points = _sided([_point(one, one.gains) for one in costed(found, baseline) if one.gains])
    x = overhead_axis(found, points)
    y: Spec = {"field": "gain", "type": "quantitative", "scale": {"zero": True, "nice": True},
               "axis": {"title": "gain in ImageNet top-1, points", "grid": True, "tickCount": 6}}  # fmt: skip
    told = [{"field": name, "type": "nominal"} for name in ("variant", "gains", "sources", "overhead")]
    colour = {"condition": {"test": "datum.on_front", "value": BAR}, "value": OPEN}
    text: Spec = {"type": "text", "fontSize": 10.5}
    names: list[Spec] = [
        {"transform": [{"filter": f"datum.side == '{side}'"}], "mark": text | {"align": align, "dx": away} | how,
         "encoding": {"x": x, "y": y, "text": {"field": "label"}}}
        for side, align, away in (("right", "left", 8), ("left", "right", -8)) for how in (HALO, {"color": INK})
    ]  # fmt: skip
    layers: list[Spec] = [
        {"data": {"values": [{"zero": 0}]}, "mark": {"type": "rule", "color": LINE, "strokeWidth": 2},
         "encoding": {"y": {"field": "zero", "type": "quantitative"}}},
        interval(x, y),
        {"mark": {"type": "rule", "strokeWidth": 4},
         "encoding": {"x": x, "y": {**y, "field": "gain_low"}, "y2": {"field": "gain_high"}, "color": colour}},
        {"mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
         "encoding": {"x": x, "y": y, "color": colour, "tooltip": told}},
        *names,
    ]  # fmt: skip
    return chart(
        f"Published gains against overhead, {baseline.where}: ImageNet, not your task",
        "Bars span what the sources say, whose number is in brackets; blue is on the Pareto front",
        points,
        layer=layers,
        width=490,
        height=290,
    )


def _sided(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points from the least gain on, and on which side of each its name has room."""
    told: list[dict[str, Any]] = []
    span = max((p["gain_high"] for p in points), default=0.0) - min((p["gain_low"] for p in points), default=0.0)
    most = max((p["overhead_pct"] for p in points), default=0.0)
    for point in sorted(points, key=lambda point: point["gain"]):
        near = told and point["gain"] - told[-1]["gain"] < 0.08 * span and told[-1]["side"] == "right"
        told.append({**point, "side": "left" if near or point["overhead_pct"] > most / 2 else "right"})
    return told


def _point(one: Candidate, bar: GainBar) -> dict[str, Any]:
    modules = [module for part in parse_variant(one.case.variant).assignments for module in part.modules]
    return {
        "variant": one.case.variant,
        "on_front": one.on_front,
        "gain": bar.mean,
        "gain_low": bar.low,
        "gain_high": bar.high,
        "label": f"{'+'.join(map(str, modules))} ({len(bar.sources)})",
        "gains": ", ".join(f"{gain.points:+.2f}" for gain in bar.gains),
        "sources": ", ".join(bar.sources),
        **overhead_of(one),
    }
