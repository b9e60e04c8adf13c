"""A/A of attribution: how often it sees a difference between a variant and itself.

Each of four variants, that cost from a few tenths of a percent to several, is measured twice, from three fresh processes
each, in turn with the others. A comparison misses where the 95 % interval of the difference does not hold 0.
"""

from collections import defaultdict
from statistics import fmean, stdev
from typing import Any

from lab import AA_SIZES, Lab, experiment, miss_row, open_lab, table

from attnbench.core.statistics import difference_interval

VARIANTS = ["encoder.layer3=se_npu", "encoder.layer3=cbam_npu", "decoder.fusion=se_npu", "decoder.fusion=cbam_npu"]
PROCESSES = 3

Comparison = tuple[list[float], list[float]]


def run(quick: bool) -> dict[str, Any]:
    """Both sizes, all variants."""
    with open_lab(repeat=6) as lab:
        return {size: comparisons(lab, size, 1 if quick else n // len(VARIANTS)) for size, n in AA_SIZES.items()}


def page(raw: dict[str, dict[str, list[Comparison]]]) -> str:
    """How often a comparison misses, and how far single figures scatter."""
    misses, spreads = [], []
    for size, by_variant in raw.items():
        beside = [both for series in by_variant.values() for both in series]
        apart = [(one[0], two[1]) for series in by_variant.values() for one, two in zip(series, roll(series), strict=True)]
        for text, pairs in (("neighbours in time, one baseline", beside), ("one comparison and the next", apart)):
            found = miss_row(size, [difference_interval(*both) for both in pairs])
            misses.append({"size": size, "between": text, **found})
        for variant, series in by_variant.items():
            figures = [100 * fmean(replicates) for both in series for replicates in both]
            spreads.append(
                {
                    "size": size,
                    "variant": variant,
                    "figures, of three processes each": str(len(figures)),
                    "mean (%)": f"{fmean(figures):.3f}",
                    "SD (points)": f"{stdev(figures):.3f}",
                }
            )
    return f"{table(misses)}\n\nHow far single figures scatter, all else being equal:\n\n{table(spreads)}"


def roll(series: list[Comparison]) -> list[Comparison]:
    """Each comparison's next one; the last one's is the first."""
    return [*series[1:], *series[:1]]


def comparisons(lab: Lab, size: str, number: int) -> dict[str, list[Comparison]]:
    """By variant, the two series of replicates of each comparison; all variants are gone through in each pass."""
    found: dict[str, list[Comparison]] = defaultdict(list)
    for _ in range(number):
        for variant in VARIANTS:
            found[variant].append(([], []))
        for _ in range(PROCESSES):
            baseline = lab.baseline(size)
            for series in (0, 1):
                for variant in VARIANTS:
                    found[variant][-1][series].append(lab.replicate(variant, size, baseline).overhead)
    return dict(found)


if __name__ == "__main__":
    experiment("A/A of attribution: a variant against itself", run, page)
