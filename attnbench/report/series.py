"""The figures that other tools keep as series over time, in full precision: one a case, quantity and number of threads.

Only cases with status ``ok`` have any: a series has no place for a reason, and what is missing is left out, never 0.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

from attnbench.core.metrics import METRICS, SERIES, Metric
from attnbench.core.records import Measurement, Record


class SeriesFigure(NamedTuple):
    """One quantity of one case, in base units (seconds, bytes, counts; an overhead is a plain ratio).

    ``samples`` are the raw values behind ``value``; what ``found`` has of them that is no number is left out.
    """

    metric: Metric
    threads: int
    value: float
    samples: tuple[float, ...]
    found: Measurement

    def times(self, scale: float, names: tuple[str, str, str] = ("value", "low", "high")) -> dict[str, float]:
        """The value and the ends of its interval by these names, in a unit of which ``scale`` make a base unit.

        What is missing is left out.
        """
        values = zip(names, (self.value, *(self.interval or ())), strict=False)
        return {name: value * scale if scale != 1 else value for name, value in values}

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the interval, or ``None`` where it has none."""
        low, high = self.found.low, self.found.high
        return (low, high) if finite(low) and finite(high) else None


def figures(record: Record) -> Iterator[SeriesFigure]:
    """The figures of a record in the order of ``SERIES``, fewer threads first; none where its case is not ``ok``."""
    found = []
    for measurement in record.measurements if record.status == "ok" else ():
        metric, _, threads = measurement.metric.partition("@")
        if metric in SERIES and finite(measurement.value):
            number = int(threads) if threads.isdigit() else 1
            samples = tuple(filter(finite, measurement.samples))
            found.append(SeriesFigure(METRICS[metric], number, measurement.value, samples, measurement))
    yield from sorted(found, key=lambda figure: (SERIES.index(figure.metric.name), figure.threads))


def nano_scale(metric: Metric) -> float:
    """How many of the unit that benchmarking tools use make a base unit: nanoseconds, and % of shares."""
    return 1e9 if metric.unit == "s" else metric.scale


def finite(value: Any) -> TypeGuard[float]:
    """Whether this is a number that a file may hold: neither missing nor infinite nor NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
