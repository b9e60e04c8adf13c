"""The chart of published gains: each variant's bar over the sources against what it costs, with the number of figures."""

from typing import Any

from attnbench.core.units import counted
from attnbench.judge.published import GainBar
from attnbench.judge.recommend import Candidate, Recommendation
from attnbench.report.charts.choices import costed, interval, overhead_axis, overhead_of
from attnbench.report.charts.theme import BAR, INK, LINE, OPEN, Spec, chart
from attnbench.report.parts import where_text


def gains(found: Recommendation, host: str, size: str) -> Spec:
    """Published gains in points of ImageNet top-1 against overhead: a bar from the least to the most, its mean, how many."""
    points = [_point(one, one.gains) for one in costed(found, host, size) if one.gains]
    x = overhead_axis(found, points)
    y: Spec = {"field": "gain", "type": "quantitative", "scale": {"zero": True, "nice": True},
               "axis": {"title": "gain in ImageNet top-1, points", "grid": True, "tickCount": 6}}  # fmt: skip
    told = [{"field": name, "type": "nominal"} for name in ("variant", "gains", "sources", "overhead")]
    colour = {"condition": {"test": "datum.on_front", "value": BAR}, "value": OPEN}
    layers: list[Spec] = [
        {"data": {"values": [{"zero": 0}]}, "mark": {"type": "rule", "color": LINE, "strokeWidth": 2},
         "encoding": {"y": {"field": "zero", "type": "quantitative"}}},
        interval(x, y),
        {"mark": {"type": "rule", "strokeWidth": 4},
         "encoding": {"x": x, "y": {**y, "field": "gain_low"}, "y2": {"field": "gain_high"}, "color": colour}},
        {"mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
         "encoding": {"x": x, "y": y, "color": colour, "tooltip": told}},
        {"mark": {"type": "text", "align": "left", "dx": 8, "fontSize": 10.5, "color": INK},
         "encoding": {"x": x, "y": y, "text": {"field": "label"}}},
    ]  # fmt: skip
    return chart(
        f"Published gains against overhead, {where_text(found.run, host, size)}: ImageNet, not your task",
        "Bars span what the sources say, whose number stands beside; blue is on the Pareto front",
        points,
        layer=layers,
        width=560,
        height=300,
    )


def _point(one: Candidate, bar: GainBar) -> dict[str, Any]:
    module = one.case.variant.rpartition("=")[2]
    return {
        "variant": one.case.variant,
        "on_front": one.on_front,
        "gain": bar.mean,
        "gain_low": bar.low,
        "gain_high": bar.high,
        "label": f"{module}, {counted(len(bar.sources), 'source')}",
        "gains": ", ".join(f"{gain.points:+.2f}" for gain in bar.gains),
        "sources": ", ".join(bar.sources),
        **overhead_of(one),
    }
