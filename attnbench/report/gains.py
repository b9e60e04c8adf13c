"""Published gains beside what a variant costs: as cells of the ranking, with a bar over the sources, and as plain values."""

from collections.abc import Iterable
from typing import Any

from attnbench.core.units import MISSING, count, fixed
from attnbench.judge.published import GainBar
from attnbench.judge.recommend import Candidate

GAIN = "ImageNet gain (points)"
BEHIND = "figures, sources"

WIDTH = 25
"""Signs of a drawn bar."""

COLUMNS = {
    "published_gain": "mean of the published gains in points of ImageNet top-1 accuracy, with --accuracy published",
    "published_gain_low": "the least of them",
    "published_gain_high": "the most",
    "published_figures": "how many there are",
    "published_sources": "who printed them",
}

Span = tuple[float, float]
"""The ends of the scale that bars are drawn on, in points."""


def span(candidates: Iterable[Candidate]) -> Span | None:
    """The one scale for all published gains; it holds the zero. ``None`` where nothing is published."""
    ends = [end for one in candidates if one.gains for end in (one.gains.low, one.gains.high)]
    return (min(0.0, *ends), max(0.0, *ends)) if ends else None


def cells(bar: GainBar | None, scale: Span | None) -> dict[str, str]:
    """What the ranking shows: mean and range in points, both drawn, and how many figures of whom stand behind them."""
    if scale is None:
        return {}
    drawn = f"{fixed(scale[0], 1)} to {fixed(scale[1], 1, sign=True)}"
    if bar is None:
        return dict.fromkeys((GAIN, drawn, BEHIND), MISSING)
    ends = "" if len(bar.gains) == 1 else f" [{fixed(bar.low, 2)}, {fixed(bar.high, 2)}]"
    behind = f"{count(len(bar.gains))} of {', '.join(bar.sources)}"
    return {GAIN: f"{fixed(bar.mean, 2, sign=True)}{ends}", drawn: bar_text(bar, scale), BEHIND: behind}


def bar_text(bar: GainBar, scale: Span) -> str:
    """A bar from the least to the most published gain, ``●`` at the mean and ``│`` at zero, on a scale from end to end."""
    low, high = scale

    def at(value: float) -> int:
        return round((value - low) / ((high - low) or 1.0) * (WIDTH - 1))

    signs = ["·"] * WIDTH
    signs[at(0.0)] = "│"
    signs[at(bar.low) : at(bar.high) + 1] = "━" * (at(bar.high) - at(bar.low) + 1)
    signs[at(bar.mean)] = "●"
    return "".join(signs)


def values(bar: GainBar | None) -> tuple[Any, ...]:
    """The same unrounded, in the order of ``COLUMNS``."""
    return (bar.mean, bar.low, bar.high, len(bar.gains), list(bar.sources)) if bar else (None,) * len(COLUMNS)
