"""What fails a history: a step for the worse, large enough, at the newest end of a series that is still measured.

*Large enough* is a step whose interval reaches the limit, as with ``compare --fail-on``: in percentage points of a share (an
overhead), else in % of the level before. Only what is surely smaller passes. A verdict that became worse is always large
enough, and so is any rise from 0.

*At the newest end* is a step whose first run is among the last ``NEWEST`` of its series. A step in noise is found with its
third run or, where it is small, a few runs later, and should fail something then; for ever, it should not: later, the new
level is what there is.

*Still measured* is a series with a point among the newest runs of the folder, ``NEWEST`` for each kind of them: the last
step on a machine that was given up, or of a case that was dropped, would fail for ever.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from attnbench.core.errors import InputError
from attnbench.judge.track.history import Archive
from attnbench.judge.track.trend import Step, Trend

NEWEST = 5

_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")


class Limit(NamedTuple):
    """The size of a step, in %, and in the user's words."""

    value: float
    text: str


def read_limit(text: str) -> Limit:
    """What size of a step fails. Raises ``InputError`` for anything but a number and a percent sign."""
    match = _SHARE.fullmatch(text.strip())
    if not match:
        raise InputError(f"--fail-on-step '{text}' is not the size of a step: write it like 1% or 0.5%")
    return Limit(float(match[1]), f"{match[1]}%")


def failing(archive: Archive, trends: Sequence[Trend], limit: Limit) -> tuple[Step, ...]:
    """The steps that a limit fails on."""
    kinds = len({run.kind for run in archive.runs})
    recent = {run.path for run in archive.runs[-NEWEST * kinds :]}
    return tuple(
        step
        for trend in trends
        if trend.series.points[-1].run.path in recent
        for step in trend.steps
        if step.at >= len(trend.series.points) - NEWEST and step.worse and step.reaches >= limit.value
    )
