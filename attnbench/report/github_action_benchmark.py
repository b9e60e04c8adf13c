"""A run as the list that the action ``github-action-benchmark`` charts: its tool ``customSmallerIsBetter``.

An entry is ``{name, unit, value, range?, extra?}``; the name is the series, so it holds host, size, variant and quantity
and stays the same from run to run. ``range`` is the half width of the 95 % interval. Source:
https://github.com/benchmark-action/github-action-benchmark#examples, ``src/extract.ts`` and ``src/extractRangeInfo.ts``.

The action alerts on the ratio of a value to the one before, whatever its range: near an overhead of 0 that means nothing.
Let it draw, and let ``attnbench compare`` judge. It refuses a file with no entry, as that of an empty run.
"""

import json
from typing import Any

from attnbench.core.records import Case, Run
from attnbench.core.units import with_interval
from attnbench.report import ReportFormat
from attnbench.report.series import SeriesFigure, figures


def render(run: Run) -> str:
    """The run as a JSON list, an entry a line."""
    where = f"{run.header.machine.get('cpu', 'unknown CPU')} (machine {run.header.machine.get('id', 'unknown')})"
    entries = [_entry(record.case, figure, where) for record in run.records for figure in figures(record)]
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in entries)
    return f"[\n{lines}\n]\n" if lines else "[]\n"


def _entry(case: Case, figure: SeriesFigure, where: str) -> dict[str, Any]:
    metric = figure.metric
    unit = metric.label if metric.shown_unit == "1" else metric.shown_unit
    threads = f", {figure.threads} threads" if figure.threads != 1 else ""
    found = figure.times(metric.scale)
    entry: dict[str, Any] = {"name": f"{case.label}: {metric.label}{threads}", "unit": unit, "value": found["value"]}
    notes = [figure.found.note, where]
    if "low" in found:
        entry["range"] = f"± {(found['high'] - found['low']) / 2!r}"
        notes.insert(0, f"{with_interval(found['value'], found['low'], found['high'])} {unit}, 95 % interval")
    return {**entry, "extra": "\n".join(filter(None, notes))}


ENTRIES = (
    ReportFormat(
        name="github-action-benchmark",
        file="github-action-benchmark.json",
        render=render,
        summary="customSmallerIsBetter for benchmark-action/github-action-benchmark",
    ),
)
