"""Against the wall: whether the attributed overhead lies where a long run of the clock puts it.

Each process times one variant interleaved with the baseline and profiles it; the process is the unit. The clock's figure is
the Hodges-Lehmann centre of the processes' own centres. The last column says what the profiles would have given without
taking off what profiling costs a node.
"""

from collections import defaultdict
from statistics import fmean, median
from typing import Any

from lab import LARGE, SMALL, Lab, experiment, open_lab, percent, table

from attnbench.core.records import BASELINE
from attnbench.core.statistics import replicate_interval, signed_rank_interval
from attnbench.judge.verdicts import systematic_points
from attnbench.runs.figures import paired_overhead

REFERENCES = {
    (SMALL, "encoder.layer3=cbam_npu"): (40, 30),
    (SMALL, "decoder.fusion=se_npu"): (40, 30),
    (SMALL, "encoder.layer1+encoder.layer2+encoder.layer3+encoder.layer4=se_npu"): (20, 30),
    (SMALL, "decoder.fusion=cbam_npu"): (20, 30),
    (SMALL, "decoder.upconv2=axial_conv"): (20, 30),
    (SMALL, "encoder.layer3=coord"): (20, 30),
    (SMALL, "encoder.layer4=self_attention"): (20, 30),
    (LARGE, "decoder.fusion=se_npu"): (16, 12),
    (LARGE, "decoder.fusion=cbam_npu"): (16, 12),
}
"""By size and variant: processes, and rounds in each."""


def run(quick: bool) -> dict[str, Any]:
    """Every reference in turn."""
    with open_lab() as lab:
        return {
            f"{size} {variant}": reference(lab, size, variant, 6 if quick else processes, rounds)
            for (size, variant), (processes, rounds) in REFERENCES.items()
        }


def page(raw: dict[str, dict[str, list[float]]]) -> str:
    """One row a reference."""
    return table(row(*name.split(" "), found) for name, found in raw.items())


def reference(lab: Lab, size: str, variant: str, processes: int, rounds: int) -> dict[str, list[float]]:
    """The processes' figures: on both clocks, attributed, and the baseline's seconds."""
    found: dict[str, list[float]] = defaultdict(list)
    lab.graph(BASELINE, size)
    for number in range(processes):
        times = lab.pairs(variant, size, rounds, number)
        for clock in ("cpu", "wall"):
            found[clock].append(paired_overhead([after / before for before, after in times[clock]]).value)
        found["baseline"].append(median(before for before, _ in times["cpu"]))
        baseline = lab.baseline(size)
        replicate = lab.replicate(variant, size, baseline)
        found["attributed"].append(replicate.overhead)
        found["nodes"].append(sum(node.kind in ("added", "layout", "unfused") for node in replicate.nodes))
        found["cost"].append(baseline.cost)
    found["pairs"] = [processes * rounds]
    return dict(found)


def row(size: str, variant: str, found: dict[str, list[float]]) -> dict[str, str]:
    """The clock's interval beside the attributed one."""
    attributed, clock = replicate_interval(found["attributed"]), signed_rank_interval(found["cpu"])
    wall = signed_rank_interval(found["wall"])
    low, high = clock.low or 0.0, clock.high or 0.0
    slack = systematic_points(100 * attributed.value) / 100
    without = attributed.value + fmean(found["nodes"]) * fmean(found["cost"]) / fmean(found["baseline"])
    return {
        "size": size,
        "variant": variant,
        "pairs": f"{found['pairs'][0]:.0f}",
        "clock, thread CPU (%)": percent(clock),
        "clock, wall (%)": percent(wall),
        "attributed (%)": percent(attributed),
        "attributed less clock (points)": f"{100 * (attributed.value - clock.value):+.3f}",
        "inside the clock's interval": "yes" if low <= attributed.value <= high else "no",
        "inside with the systematic part": "yes" if low - slack <= attributed.value <= high + slack else "no",
        "added nodes": f"{fmean(found['nodes']):.0f}",
        "profiling cost a node (us)": f"{1e6 * fmean(found['cost']):.2f}",
        "attributed without taking it off (%)": f"{100 * without:.3f}",
    }


if __name__ == "__main__":
    experiment("Attribution against the clock", run, page)
