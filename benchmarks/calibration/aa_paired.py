"""A/A on the clock: how often pairs see a difference between the baseline and a copy of it.

A comparison is 20 pairs from three fresh processes, as the cross-check of a sweep takes them. It misses where its 95 %
interval does not hold 0.
"""

from statistics import fmean, stdev
from typing import Any

from lab import AA_SIZES, Lab, experiment, miss_row, open_lab, table

from attnbench.core.records import BASELINE
from attnbench.runs.figures import paired_overhead

PROCESSES, PAIRS = 3, 20


def run(quick: bool) -> dict[str, Any]:
    """By size the ratios of each comparison."""
    with open_lab() as lab:
        return {size: [comparison(lab, size, i) for i in range(4 if quick else n)] for size, n in AA_SIZES.items()}


def page(raw: dict[str, list[list[float]]]) -> str:
    """One row a size."""
    rows = []
    for size, comparisons in raw.items():
        found = list(map(paired_overhead, comparisons))
        values = [100 * one.value for one in found]
        halves = [50 * ((one.high or 0) - (one.low or 0)) for one in found]
        more = {
            "mean (%)": f"{fmean(values):.3f}",
            "SD of a figure (points)": f"{stdev(values):.3f}",
            "half width of an interval, mean (points)": f"{fmean(halves):.3f}",
        }
        rows.append({**miss_row(size, found), **more})
    return table(rows)


def comparison(lab: Lab, size: str, index: int) -> list[float]:
    """The ratios of one comparison's pairs."""
    shares = [PAIRS // PROCESSES + (number < PAIRS % PROCESSES) for number in range(PROCESSES)]
    return [r for number, share in enumerate(shares) for r in lab.ratios(BASELINE, size, share, PROCESSES * index + number)]


if __name__ == "__main__":
    experiment("A/A on the clock: the baseline against its copy", run, page)
