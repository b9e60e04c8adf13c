"""A run in Bencher Metric Format: benchmarks by name, each with its measures, a value and the ends of its interval.

Source: https://bencher.dev/docs/reference/bencher-metric-format (names up to 1,024 characters, slugs up to 64); the unit of
``latency``, a measure that every project has, is the nanosecond: https://bencher.dev/docs/how-to/track-custom-benchmarks.
Upload with ``bencher run --adapter json --file bmf.json``. A measure that the project lacks is made when first seen.
"""

import hashlib
import json
from typing import Any

from attnbench.core.records import Case, Run
from attnbench.report import Format
from attnbench.report.series import Figure, figures

MEASURES = {
    "overhead": ("overhead-pct", 100.0),
    "latency": ("latency", 1e9),
    "latency_p90": ("latency-p90", 1e9),
    "params": ("params", 1.0),
    "macs": ("macs", 1.0),
    "activation_peak": ("activation-peak", 1.0),
    "memory_peak": ("memory-peak", 1.0),
    "weights": ("weights", 1.0),
}
"""The slug of each quantity's measure and its scale: % of the baseline's time, nanoseconds, counts, bytes.

At N threads, N other than 1, the slug ends in ``-threads-N``.
"""

LONGEST_NAME = 1024


def render(run: Run) -> str:
    """The run as one JSON object; a case without a figure is left out."""
    benchmarks: dict[str, dict[str, Any]] = {}
    for record in run.records:
        if measures := {slug(figure): _metric(figure) for figure in figures(record)}:
            benchmarks[benchmark_name(record.case)] = measures
    return json.dumps(benchmarks, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def benchmark_name(case: Case) -> str:
    """The case's label; one that Bencher would find too long ends in a hash of itself."""
    if len(case.label) <= LONGEST_NAME:
        return case.label
    mark = hashlib.sha256(case.label.encode()).hexdigest()[:12]
    return f"{case.label[: LONGEST_NAME - len(mark) - 1]}~{mark}"


def slug(figure: Figure) -> str:
    """The measure of a figure."""
    threads = f"-threads-{figure.threads}" if figure.threads != 1 else ""
    return f"{MEASURES[figure.metric][0]}{threads}"


def _metric(figure: Figure) -> dict[str, float]:
    names = {"value": "value", "low": "lower_value", "high": "upper_value"}
    return {names[name]: value for name, value in figure.times(MEASURES[figure.metric][1]).items()}


ENTRIES = (Format(name="bmf", file="bmf.json", render=render, summary="Bencher Metric Format, with intervals"),)
