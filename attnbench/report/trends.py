"""A history as tables: steps, the latest first, and a line a series; for a program, every point unrounded.

Shares (overheads) are in %, their differences in percentage points; times in ms, bytes and counts as they are.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from attnbench.core.metrics import SHARES
from attnbench.core.statistics import Estimate
from attnbench.core.units import MISSING, count, significant, with_interval
from attnbench.judge.track import History, LevelStep, Trend
from attnbench.judge.track.history import TrendPoint, TrendSeries
from attnbench.judge.track.notes import headline
from attnbench.report.answer import Answer, Figure
from attnbench.report.table import VARIANT, WHERE, Table, places

SCHEMA = 1
"""Of the JSON; keys are only ever added."""

STEPS, TRENDS = "Steps, the latest first", "Trends"

BARS = "▁▂▃▄▅▆▇█"
DRAWN = 24
"""Series that a page draws; the others are in its table."""

WIDTH = 20
"""Characters of a drawn trend at most; of more runs than that, each stands for the median of some."""

COLUMNS = {
    "machine": "id of the machine, and what else tells apart the runs that make series of their own",
    "host": "host with its options",
    "size": "input height x width in pixels",
    "batch": "batch size",
    "variant": "modules by place; baseline is the host alone",
    "metric": "the measurement's name, with its target or thread count after @",
    "unit": "of all figures in the line: % (differences: percentage points), ms, B, 1 (counts) or verdict",
    "run": "the run's file",
    "time": "of its commit, or of its start where the commit's is not known; UTC",
    "commit": "as git describes it",
    "value": "the figure",
    "low": "lower end of its 95 % interval",
    "high": "upper end",
    "level": "mean of the runs between two steps; of an exact figure, the figure",
    "apart": "whether the run lies apart from its neighbours: it then counts as nearer to them than it is",
    "step": "size of the step that this is the first run of",
    "step_low": "lower end of its 95 % interval",
    "step_high": "upper end",
    "fails": "whether --fail-on-step fails on it",
    "causes": "what the step may come from",
    "runtime": "what ran it",
}
"""Of the CSV, a line a point; new ones come at the end."""


class Shown(NamedTuple):
    """How figures of a series are shown: the unit, what base units are multiplied by, and the text without an interval."""

    unit: str
    scale: float
    text: Callable[..., str]


def answer(found: History) -> Answer:
    """Both tables; a row for every point; and the question, the notes, what was left out and each series as a document."""
    document = {
        "schema": SCHEMA,
        "asked": {**found.query._asdict(), "fail_on_step_pct": found.limit.to("%") if found.limit else None},
        "notes": found.notes,
        "runs": len(found.archive.runs),
        "left_out": [left._asdict() for left in found.archive.left_out],
        "failing": len(found.failing),
        "lost": [_facts(found, series) for series in found.lost],
        "series": (series_of(found, trend) for trend in found.trends),
    }
    rows = (row for trend in found.trends for row in _rows(found, trend))
    tables = ((title, table) for title, make in ((STEPS, steps), (TRENDS, trends)) if (table := make(found)))
    return Answer(tables, tuple(COLUMNS), rows, document, "History", found.notes, _figures(found), headline(found))


def _figures(found: History) -> Iterator[Figure]:
    """A chart a series that has numbers: those with the latest steps first, and no more than can be looked at."""
    from attnbench.report.charts.changes import trend as drawn  # noqa: PLC0415  it shows what this says

    stepped = {id(step.series): at for at, step in reversed(list(enumerate(found.steps)))}
    drawable = (one for one in found.trends if not isinstance(one.series.newest.value, str))
    ordered = sorted(drawable, key=lambda one: stepped.get(id(one.series), len(stepped)))
    for one in ordered[:DRAWN]:
        yield Figure(drawn(found, one))


def step_sizes(trend: Trend) -> list[str]:
    """The sizes of a trend's steps as texts."""
    return [_size(trend.series, step.size) for step in trend.steps]


def steps(found: History) -> Table:
    """Each step: from where to where, its size, between which commits, and what it may come from; those that fail first."""
    where, ordered = _where(found), sorted(found.steps, key=lambda step: step not in found.failing)
    return Table.of(
        {
            **({"fails": "yes" if step in found.failing else ""} if found.failing else {}),
            **where(step.series),
            "from": _text(step.series, step.before),
            "to": _text(step.series, step.after),
            "size": _size(step.series, step.size),
            "last run before": _run_text(step.last),
            "first run after": _run_text(step.first),
            "runs": f"{count(step.runs[0])} | {count(step.runs[1])}",
            "may come from": "; ".join(step.causes) or MISSING,
        }
        for step in ordered
    ).keyed("machine", *WHERE, "metric", minor=("runs",))


def trends(found: History) -> Table:
    """Each series: its first and last figure, the change between them, and how it went."""
    where = _where(found)
    return Table.of(
        {
            **where(trend.series),
            "first": _figure(trend.series, trend.series.points[0]),
            "last": _figure(trend.series, trend.series.points[-1]),
            "change": _size(trend.series, trend.change),
            "runs": count(len(trend.series.points)),
            "steps": count(len(trend.steps)) if trend.searched else MISSING,
            "": sparkline([point.figure.value for point in trend.series.points]),
            "remark": "; ".join(remarks(trend)),
        }
        for trend in found.trends
    ).keyed("machine", *WHERE, "metric", minor=("runs", "steps"))


def sparkline(values: Sequence[float | str]) -> str:
    """Figures as a row of bars from the least to the most; empty for words."""
    numbers = [float(value) for value in values if not isinstance(value, str)]
    if not numbers or len(numbers) < len(values):
        return ""
    width = min(WIDTH, len(numbers))
    edges = [index * len(numbers) // width for index in range(width + 1)]
    heights = [median(numbers[start:end]) for start, end in pairwise(edges)]
    low, span = min(heights), max(heights) - min(heights)
    return "".join(BARS[round((height - low) / span * (len(BARS) - 1)) if span else 0] for height in heights)


def _shown(series: TrendSeries) -> Shown:
    figure = series.newest
    if isinstance(figure.value, str):
        return Shown("verdict", 1.0, str)
    if series.metric.partition("@")[0] in SHARES:
        return Shown("%", 100.0, significant)
    units = {"s": Shown("ms", 1e3, significant), "B": Shown("B", 1.0, count)}
    return units.get(figure.unit, Shown("1", 1.0, count if figure.exact else significant))


def _where(found: History) -> Callable[[TrendSeries], dict[str, str]]:
    """Gives what tells a series apart from the others shown: what of machine, host, size... there are several of."""
    where = places((trend.series.case for trend in found.trends), VARIANT, ("host", "size", "batch", "runtime", "dtype"))

    def told(series: TrendSeries) -> dict[str, str]:
        unit = _shown(series).unit
        metric = series.metric if unit in ("1", "verdict") else f"{series.metric} ({unit})"
        machine = {"machine": found.kinds[series.kind]} if len(found.kinds) > 1 else {}
        return {**machine, **where(series.case), "metric": metric}

    return told


def _text(series: TrendSeries, value: float | str) -> str:
    shown = _shown(series)
    return value if isinstance(value, str) else shown.text(shown.scale * value)


def _figure(series: TrendSeries, point: TrendPoint) -> str:
    figure, scale = point.figure, _shown(series).scale
    if isinstance(figure.value, str) or figure.low is None or figure.high is None:
        return _text(series, figure.value)
    return with_interval(scale * figure.value, scale * figure.low, scale * figure.high)


def _size(series: TrendSeries, size: Estimate | None) -> str:
    if size is None:
        return MISSING
    shown = _shown(series)
    found = size.map(lambda value: shown.scale * value)
    if found.low is None:
        return shown.text(found.value, sign=True)
    if shown.text is count:
        return f"{count(found.value, sign=True)} [{count(found.low)}, {count(found.high)}]"
    return with_interval(found.value, found.low, found.high, sign=True)


def remarks(trend: Trend) -> Iterator[str]:
    """What else to know of a trend."""
    if trend.undecided:
        newest = f"{count(trend.undecided)} runs lie" if trend.undecided > 1 else "run lies"
        yield f"the newest {newest} apart: with a third it would be a step"
    elif trend.apart:
        yield f"{count(len(trend.apart))} {'runs lie' if len(trend.apart) > 1 else 'run lies'} apart"
    if lacking := len(trend.series.lacking):
        last = trend.series.lacking[-1].time > trend.series.points[-1].run.time
        yield f"{count(lacking)} more without a figure{', the newest among them' if last else ''}"


def _run_text(point: TrendPoint) -> str:
    time = f"{point.run.time:%Y-%m-%d %H:%M}"
    return f"{point.run.commit} ({time})" if point.run.commit else time


def _facts(found: History, series: TrendSeries) -> dict[str, Any]:
    case = {key: getattr(series.case, key) for key in ("host", "size", "batch", "variant", "runtime")}
    return {"machine": found.kinds[series.kind], **case, "metric": series.metric, "unit": _shown(series).unit}


def _rows(found: History, trend: Trend) -> Iterator[dict[str, Any]]:
    facts, steps = _facts(found, trend.series), {step.at: step for step in trend.steps}
    for at, point in enumerate(_points(trend)):
        step = steps.get(at)
        yield facts | point | (_step(found, step) | {"causes": "; ".join(step.causes)} if step else {})


def _points(trend: Trend) -> Iterator[dict[str, Any]]:
    scale = _shown(trend.series).scale
    levels = {at: level.mean.value for level in trend.levels for at in range(level.start, level.end)}
    for at, point in enumerate(trend.series.points):
        run, figure = point.run, point.figure
        level: float | str | None = figure.value if figure.exact else levels.get(at)
        values = {"value": figure.value, "low": figure.low, "high": figure.high, "level": level}
        yield {
            "run": run.path,
            "time": run.time.isoformat(),
            "commit": run.commit,
            **{name: _scaled(value, scale) for name, value in values.items()},
            "apart": at in trend.apart,
        }


def _step(found: History, step: LevelStep) -> dict[str, Any]:
    return {**_ends("step", step.size, _shown(step.series).scale), "fails": step in found.failing}


def _ends(name: str, size: Estimate | None, scale: float) -> dict[str, float | str | None]:
    """A difference and the ends of its interval under three names; what is missing is ``None``."""
    ends = (size.value, size.low, size.high) if size else (None, None, None)
    return {f"{name}{end}": _scaled(value, scale) for end, value in zip(("", "_low", "_high"), ends, strict=True)}


def series_of(found: History, trend: Trend) -> dict[str, Any]:
    """A series with its points and steps, unrounded, in the unit that is shown."""
    scale = _shown(trend.series).scale
    return {
        **_facts(found, trend.series),
        **_ends("change", trend.change, scale),
        "searched": trend.searched,
        "lacking": [run.path for run in trend.series.lacking],
        "points": list(_points(trend)),
        "steps": [
            {
                "at": step.at,
                "before": _scaled(step.before, scale),
                "after": _scaled(step.after, scale),
                "runs_before": step.runs[0],
                "runs_after": step.runs[1],
                "worse": step.worse,
                **_step(found, step),
                "causes": list(step.causes),
            }
            for step in trend.steps
        ],
    }


def _scaled(value: float | str | None, scale: float) -> float | str | None:
    """A figure in the unit that is shown; a whole number stays one."""
    if value is None or isinstance(value, str):
        return value
    return int(value) if scale == 1 and value == int(value) else value * scale
