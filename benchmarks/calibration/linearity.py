"""Linearity: a module that stands k times in a row costs k times as much as once, and an entry fee.

The fee is the change of layout that the first copy forces on its surroundings and that the others share; the runtime's
reorders are told apart from the module's own nodes, so both are seen. Own nodes are held to a line through 0 (the best of
``cost = k x each``), the whole to ``cost = entry + k x each``. No clock is needed for this, so that it tests attribution at
a precision that no clock has.
"""

from collections import defaultdict
from statistics import fmean, linear_regression
from typing import Any

from lab import LARGE, SMALL, experiment, open_lab, percent, table

from attnbench.core.statistics import replicate_interval

MODULES = {
    "se_npu": "decoder.fusion",
    "cbam_npu": "encoder.layer3",
    "axial_conv": "decoder.upconv2",
    "coord": "encoder.layer3",
}
TIMES = (1, 2, 4, 8)
PROCESSES = 6
RELATIVE, POINTS = 0.10, 0.0005


def run(quick: bool) -> tuple[str, dict[str, Any]]:
    """Every module, so many times, in each of some passes."""
    raw: dict[str, Any] = {}
    rows, lines = [], []
    with open_lab(repeat=8) as lab:
        for size in (SMALL, LARGE):
            whole: dict[tuple[str, int], list[float]] = defaultdict(list)
            own: dict[tuple[str, int], list[float]] = defaultdict(list)
            for _ in range(2 if quick else PROCESSES):
                baseline = lab.baseline(size)
                for module, place in MODULES.items():
                    for k in TIMES:
                        found = lab.replicate(f"{place}={'+'.join([module] * k)}", size, baseline)
                        whole[module, k].append(found.overhead)
                        own[module, k].append(sum(node.share for node in found.nodes if node.kind == "added"))
            for module in MODULES:
                fits = {"own nodes": through_zero(module, own), "whole": with_entry(module, whole)}
                lines += [line(size, module, what, *fit) for what, fit in fits.items()]
                rows += [row(size, module, k, own, whole, fits) for k in TIMES]
            raw[size] = {f"{module} x{k}": [figures, own[module, k]] for (module, k), figures in whole.items()}
    return f"{table(lines)}\n\n{table(rows)}", raw


def through_zero(module: str, figures: dict[tuple[str, int], list[float]]) -> tuple[float, float, list[float]]:
    """Least squares of cost = k x each, every k weighing the same in relative terms: entry 0, slope, residuals."""
    means = [fmean(figures[module, k]) for k in TIMES]
    slope = fmean(mean / k for k, mean in zip(TIMES, means, strict=True))
    return 0.0, slope, [mean - k * slope for k, mean in zip(TIMES, means, strict=True)]


def with_entry(module: str, figures: dict[tuple[str, int], list[float]]) -> tuple[float, float, list[float]]:
    """Least squares of cost = entry + k x each."""
    means = [fmean(figures[module, k]) for k in TIMES]
    slope, entry = linear_regression(TIMES, means)
    return entry, slope, [mean - entry - k * slope for k, mean in zip(TIMES, means, strict=True)]


def line(size: str, module: str, what: str, entry: float, slope: float, residuals: list[float]) -> dict[str, str]:
    """A fitted line, and how far the worst point is from it."""
    holds = all(abs(rest) <= max(RELATIVE * k * slope, POINTS) for k, rest in zip(TIMES, residuals, strict=True))
    return {
        "size": size,
        "module": f"{MODULES[module]}={module}",
        "of": what,
        "entry (%)": f"{100 * entry:.3f}" if entry else "0",
        "each (%)": f"{100 * slope:.3f}",
        "largest residual (points)": f"{100 * max(residuals, key=abs):+.3f}",
        "all within 10 % or 0.05 points": "yes" if holds else "no",
    }


def row(
    size: str,
    module: str,
    k: int,
    own: dict[tuple[str, int], list[float]],
    whole: dict[tuple[str, int], list[float]],
    fits: dict[str, tuple[float, float, list[float]]],
) -> dict[str, str]:
    """One number of copies: measured, and how far from the lines."""
    index = TIMES.index(k)
    return {
        "size": size,
        "module": module,
        "k": str(k),
        "own nodes (%)": percent(replicate_interval(own[module, k])),
        "off its line (points)": f"{100 * fits['own nodes'][2][index]:+.3f}",
        "whole (%)": percent(replicate_interval(whole[module, k])),
        "off its line (points) ": f"{100 * fits['whole'][2][index]:+.3f}",
    }


if __name__ == "__main__":
    experiment("Linearity: k copies cost k times as much", run)
