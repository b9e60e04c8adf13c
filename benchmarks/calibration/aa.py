"""A/A: how often the tool sees a difference where there is none.

*Paired*: the baseline against a copy of itself, 20 pairs from three fresh processes a comparison. *Attributed*: the same
variant measured twice, three fresh processes each, in turn with the others; four variants that cost from a tenth of a
percent to a few. A comparison misses where its 95 % interval does not hold 0.
"""

from collections import defaultdict
from statistics import stdev
from typing import Any

from lab import LARGE, SMALL, Lab, experiment, open_lab, table
from scipy.stats import binomtest

from attnbench.measure.crosscheck import paired_overhead
from attnbench.records import BASELINE
from attnbench.statistics import difference_interval

VARIANTS = ["encoder.layer3=se_npu", "encoder.layer3=cbam_npu", "decoder.fusion=se_npu", "decoder.fusion=cbam_npu"]
PROCESSES, PAIRS = 3, 20
COMPARISONS = {SMALL: 200, LARGE: 32}


def run(quick: bool) -> tuple[str, dict[str, Any]]:
    """Both kinds of comparison at both sizes."""
    raw: dict[str, Any] = {}
    rates, spreads = [], []
    with open_lab(repeat=6) as lab:
        for size, number in COMPARISONS.items():
            number = 4 if quick else number  # noqa: PLW2901
            raw[size] = {"paired": paired(lab, size, number), "attributed": attributed(lab, size, number // len(VARIANTS))}
            centres = [paired_overhead(ratios) for ratios in raw[size]["paired"]]
            misses = sum(not (found.low or 0) <= 0 <= (found.high or 0) for found in centres)
            rates.append(rate(size, "paired: baseline against its copy", misses, len(centres)))
            spreads.append(spread(size, BASELINE, [found.value for found in centres], f"{PAIRS} pairs"))
            misses = 0
            for variant, series in raw[size]["attributed"].items():
                found = [difference_interval(one, two) for one, two in series]
                misses += sum(not (one.low or 0) <= 0 <= (one.high or 0) for one in found)
                figures = [sum(replicates) / PROCESSES for both in series for replicates in both]
                spreads.append(spread(size, variant, figures, f"{PROCESSES} processes"))
            rates.append(rate(size, "attributed: a variant measured twice", misses, number // len(VARIANTS) * len(VARIANTS)))
    return f"{table(rates)}\n\nHow far single figures scatter, all else being equal:\n\n{table(spreads)}", raw


def paired(lab: Lab, size: str, comparisons: int) -> list[list[float]]:
    """The ratios of each comparison."""
    shares = [PAIRS // PROCESSES + (index < PAIRS % PROCESSES) for index in range(PROCESSES)]
    return [
        [ratio for index, share in enumerate(shares) for ratio in lab.ratios(BASELINE, size, share, PROCESSES * one + index)]
        for one in range(comparisons)
    ]


def attributed(lab: Lab, size: str, comparisons: int) -> dict[str, list[tuple[list[float], list[float]]]]:
    """By variant, the two series of replicates of each comparison; all variants are gone through in each pass."""
    found: dict[str, list[tuple[list[float], list[float]]]] = defaultdict(list)
    for _ in range(comparisons):
        for variant in VARIANTS:
            found[variant].append(([], []))
        for _ in range(PROCESSES):
            baseline = lab.baseline(size)
            for series in (0, 1):
                for variant in VARIANTS:
                    found[variant][-1][series].append(lab.replicate(variant, size, baseline).overhead)
    return dict(found)


def rate(size: str, kind: str, misses: int, number: int) -> dict[str, str]:
    """A row: how many comparisons missed, with the exact binomial interval."""
    interval = binomtest(misses, number).proportion_ci(method="exact")
    share = f"{100 * misses / number:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    return {"size": size, "comparison": kind, "comparisons": str(number), "misses": str(misses), "misses (%)": share}


def spread(size: str, variant: str, figures: list[float], of: str) -> dict[str, str]:
    """A row: mean and standard deviation of independent figures of the same thing."""
    mean = sum(figures) / len(figures)
    return {
        "size": size,
        "variant": variant,
        "a figure is of": of,
        "figures": str(len(figures)),
        "mean (%)": f"{100 * mean:.3f}",
        "SD (points)": f"{100 * stdev(figures):.3f}",
    }


if __name__ == "__main__":
    experiment("A/A: differences seen where there is none", run)
