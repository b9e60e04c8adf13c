"""How charts and pages look: the colours, light and dark, and the settings that every spec has in common.

A picture is drawn in the light colours. ``dark_rules`` turn each into its dark one by CSS, so that one drawing serves both:
as a file on its own, in a page, and live. Every role therefore has a colour of its own.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from attnbench.core.records import Case, Run

PAGE, INK, QUIET, LINE, EMPTY = "#ffffff", "#1f2328", "#59636e", "#d8dee4", "#f3f5f7"
STRONG_INK: Final = "#fefefe"
"""Text on the strong half of the heat map's steps."""
FLOOR, CLAIM, CLAIM_LINE, BAR = "#e4e8ec", "#f6dfb0", "#b7791f", "#3a7ebc"
GOOD, FAIR, OPEN, POOR, BAD = "#1a7f37", "#6a7d12", "#6e7781", "#b35900", "#cf222e"
GOOD_FILL, FAIR_FILL, OPEN_FILL, POOR_FILL, BAD_FILL = "#d5efdb", "#eaf2c8", "#e6e9ed", "#fde3c4", "#fbd9d9"

STEPS = ("#e6eef8", "#c6dbef", "#9cc3e4", "#6aa5d5", "#2f76b5", "#155a99", "#0a3768")
"""Of a heat map, the least first."""
STRONG: Final = 4
"""From this step on text is ``STRONG_INK``."""

OPS = ("#4c86bf", "#e39a4a", "#62ab70", "#c4668a", "#8c74bd", "#52b3bd")
OTHER_OPS: Final = "#a9b2bb"
KINDS = {"layout changes": "#45505c", "unfused": "#76818d", "changed": "#c2c9d0", "removed": "#dfe3e7"}
"""What of an overhead is not the module's own."""

DARK: Mapping[str, str] = {
    PAGE: "#0d1117",
    INK: "#e6edf3",
    QUIET: "#9aa4ae",
    LINE: "#30373f",
    EMPTY: "#171c23",
    STRONG_INK: "#0c1016",
    FLOOR: "#262d35",
    CLAIM: "#54431b",
    CLAIM_LINE: "#d9a441",
    BAR: "#5f9bd2",
    GOOD: "#3fb950",
    FAIR: "#b5c452",
    OPEN: "#9aa3ad",
    POOR: "#e69a4c",
    BAD: "#f97068",
    GOOD_FILL: "#12351e",
    FAIR_FILL: "#2f3812",
    OPEN_FILL: "#252b32",
    POOR_FILL: "#46300f",
    BAD_FILL: "#48191c",
    **dict(zip(STEPS, ("#16283d", "#1c3b5c", "#21507f", "#2868a3", "#5b98cf", "#94bfe6", "#cfe2f4"), strict=True)),
    **dict(zip(OPS, ("#5b95cf", "#d98f40", "#5aa568", "#c96d91", "#977fc8", "#49a8b2"), strict=True)),
    OTHER_OPS: "#6d7782",
    **dict(zip(KINDS.values(), ("#aab4be", "#7f8a96", "#4a535e", "#333b44"), strict=True)),
}
"""What each colour is on a dark page."""

FONT: Final = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Helvetica, Arial, sans-serif"

CONFIG: Mapping[str, Any] = {
    "font": FONT,
    "aria": False,
    "view": {"stroke": None},
    "padding": 4,
    "title": {"anchor": "start", "color": INK, "subtitleColor": QUIET, "fontSize": 14, "subtitleFontSize": 11, "offset": 12},
    "axis": {
        "domain": False,
        "ticks": False,
        "grid": False,
        "labelColor": INK,
        "titleColor": QUIET,
        "gridColor": LINE,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelPadding": 6,
        "titlePadding": 10,
        "labelLimit": 330,
    },
    "legend": {
        "labelColor": INK,
        "titleColor": QUIET,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "symbolStrokeWidth": 0,
        "orient": "bottom",
        "direction": "horizontal",
        "titleOrient": "left",
        "labelLimit": 330,
    },
    "text": {"color": INK, "fontSize": 11},
    "header": {"labelColor": INK, "titleColor": QUIET},
}

DECADES = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)

UNDRAWABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")

Spec = dict[str, Any]
Draw = Callable[[Run, Case], Spec]
"""Draws the cases of a run with one baseline."""


def chart(title: str, subtitle: str, values: Iterable[Mapping[str, Any]], **parts: Any) -> Spec:
    """A whole spec of some data: the title, which says what is shown, the line below it, and the settings of all charts."""
    head = {"text": title, "subtitle": subtitle} if subtitle else {"text": title}
    return dict(_drawable({"title": head, "data": {"values": list(values)}, "config": dict(CONFIG), **parts}))


def _drawable(value: Any) -> Any:
    """The same without characters that no drawing holds: control characters, of which one ends the drawer, and half ones."""
    if isinstance(value, str):
        return UNDRAWABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_drawable(key): _drawable(one) for key, one in value.items()}
    return [_drawable(one) for one in value] if isinstance(value, list | tuple) else value


def percent_axis(field: str, title: str, floor: float, most: float, least: float = 0.0) -> Spec:
    """A channel of an overhead in %: linear up to the noise floor, then logarithmic, so that 0 and noise have a place."""
    bend = max(floor, 0.01)
    top = next((decade for decade in DECADES if decade >= most), most)
    ticks = [0, *(decade for decade in DECADES if bend <= decade <= top)]
    bottom = min(0.0, least)
    scale = {"type": "symlog", "constant": bend, "domain": [bottom, max(top, bend)], "nice": False, "clamp": True}
    axis = {"values": ticks, "grid": True, "labelExpr": "'' + datum.value", "title": title}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}


def dark_rules(within: str = "") -> str:
    """CSS that turns every colour of a drawing below a selector into its dark one."""
    rules = (f'{within}[{kind}="{light}"]{{{kind}:{dark}}}' for light, dark in DARK.items() for kind in ("fill", "stroke"))
    return "".join(rules)
