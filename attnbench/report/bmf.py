"""A run in Bencher Metric Format: benchmarks by name, each with its measures, a value and the ends of its interval.

Source: https://bencher.dev/docs/reference/bencher-metric-format (names up to 1,024 characters, slugs up to 64); the unit of
``latency``, a measure that every project has, is the nanosecond: https://bencher.dev/docs/how-to/track-custom-benchmarks.
Upload with ``bencher run --adapter json --file bmf.json``. A measure that the project lacks is made when first seen.
"""

import hashlib
from typing import Any

from attnbench.core.records import Case, Run
from attnbench.report import ReportFormat
from attnbench.report.answer import json_text
from attnbench.report.series import SeriesFigure, figures, nano_scale

LONGEST_NAME = 1024
NAMES = ("value", "lower_value", "upper_value")


def render(run: Run) -> str:
    """The run as one JSON object; a case without a figure is left out."""
    benchmarks: dict[str, dict[str, Any]] = {}
    for record in run.records:
        if measures := {slug(one): one.times(nano_scale(one.metric), NAMES) for one in figures(record)}:
            benchmarks[benchmark_name(record.case)] = measures
    return json_text(benchmarks)


def benchmark_name(case: Case) -> str:
    """The case's label; one that Bencher would find too long ends in a hash of itself."""
    if len(case.label) <= LONGEST_NAME:
        return case.label
    mark = hashlib.sha256(case.label.encode(errors="backslashreplace")).hexdigest()[:12]
    return f"{case.label[: LONGEST_NAME - len(mark) - 1]}~{mark}"


def slug(figure: SeriesFigure) -> str:
    """The measure of a figure: its metric's name, its unit where that is %, and the number of threads other than 1."""
    threads = f"-threads-{figure.threads}" if figure.threads != 1 else ""
    return f"{figure.metric.name.replace('_', '-')}{'-pct' if figure.metric.share_of else ''}{threads}"


ENTRIES = (ReportFormat(name="bmf", file="bmf.json", render=render, summary="Bencher Metric Format, with intervals"),)
