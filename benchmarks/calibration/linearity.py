"""Linearity: a module that stands k times in a row costs k times as much as once, and an entry fee.

The fee is the change of layout that the first copy forces on its surroundings and that the others share; the runtime's
reorders are told apart from the module's own nodes, so both are seen. Own nodes are held to a line through 0 (the best of
``cost = k x each``), the whole to ``cost = entry + k x each``. No clock is needed for this, so that it tests attribution at
a precision that no clock has.
"""

from collections.abc import Sequence
from statistics import fmean, linear_regression
from typing import Any, NamedTuple

from lab import LARGE, SMALL, Lab, experiment, open_lab, percent, table

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


def run(quick: bool) -> dict[str, Any]:
    """Every module, so many times, in each of some passes."""
    with open_lab(repeat=8) as lab:
        return {size: costs(lab, size, 2 if quick else PROCESSES) for size in (SMALL, LARGE)}


def costs(lab: Lab, size: str, passes: int) -> dict[str, tuple[list[float], list[float]]]:
    """By module and number of copies the overheads of all passes: whole, and of the module's own nodes."""
    found: dict[str, tuple[list[float], list[float]]] = {f"{module} x{k}": ([], []) for module in MODULES for k in TIMES}
    for _ in range(passes):
        baseline = lab.baseline(size)
        for module, place in MODULES.items():
            for k in TIMES:
                replicate = lab.replicate(f"{place}={'+'.join([module] * k)}", size, baseline)
                whole, own = found[f"{module} x{k}"]
                whole.append(replicate.overhead)
                own.append(sum(node.share for node in replicate.nodes if node.kind == "added"))
    return found


def page(raw: dict[str, Any]) -> str:
    """The fitted lines, and then each number of copies: measured, and how far from the lines."""
    lines, rows = [], []
    for size, found in raw.items():
        for module in MODULES:
            whole, own = zip(*(found[f"{module} x{k}"] for k in TIMES), strict=True)
            through_zero, with_entry = fit(own, through_zero=True), fit(whole, through_zero=False)
            lines += [line_row(size, module, "own nodes", through_zero), line_row(size, module, "whole", with_entry)]
            rows += [
                {
                    "size": size,
                    "module": module,
                    "k": str(k),
                    "own nodes (%)": percent(replicate_interval(own[index])),
                    "off its line (points)": f"{100 * through_zero.residuals[index]:+.3f}",
                    "whole (%)": percent(replicate_interval(whole[index])),
                    "off its line (points) ": f"{100 * with_entry.residuals[index]:+.3f}",
                }
                for index, k in enumerate(TIMES)
            ]
    return f"{table(lines)}\n\n{table(rows)}"


class Line(NamedTuple):
    """Cost = entry + k x each, and how far each number of copies is from that."""

    entry: float
    each: float
    residuals: list[float]


def fit(series: Sequence[Sequence[float]], *, through_zero: bool) -> Line:
    """Least squares over the numbers of copies; through 0 with every number weighing the same in relative terms."""
    means = list(map(fmean, series))
    each, entry = linear_regression(TIMES, means)
    if through_zero:
        each, entry = fmean(mean / k for k, mean in zip(TIMES, means, strict=True)), 0.0
    return Line(entry, each, [mean - entry - k * each for k, mean in zip(TIMES, means, strict=True)])


def line_row(size: str, module: str, what: str, line: Line) -> dict[str, str]:
    """A fitted line, and how far the worst point is from it."""
    holds = all(abs(rest) <= max(RELATIVE * k * line.each, POINTS) for k, rest in zip(TIMES, line.residuals, strict=True))
    return {
        "size": size,
        "module": f"{MODULES[module]}={module}",
        "of": what,
        "entry (%)": f"{100 * line.entry:.3f}" if line.entry else "0",
        "each (%)": f"{100 * line.each:.3f}",
        "largest residual (points)": f"{100 * max(line.residuals, key=abs):+.3f}",
        "all within 10 % or 0.05 points": "yes" if holds else "no",
    }


if __name__ == "__main__":
    experiment("Linearity: k copies cost k times as much", run, page)
