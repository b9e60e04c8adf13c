"""Against the wall: whether the attributed overhead lies where a long run of the clock puts it.

One process times a variant interleaved with the baseline, another profiles it; the process is the unit. All references are
gone through in each pass, so that both ways see the same hour. The clock's figure is the Hodges-Lehmann centre of the
processes' own centres. One column says what the profiles would have given without taking off what profiling costs a node.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import fmean, median, stdev
from typing import NamedTuple

from lab import LARGE, RESULTS, SMALL, Lab, experiment, open_lab, percent, root_mean_square, table
from scipy.stats import binomtest

from attnbench.core.statistics import Estimate, replicate_interval, signed_rank_interval
from attnbench.hosts import HostReference
from attnbench.judge.verdicts import expanded_uncertainty, systematic_points
from attnbench.runs.figures import paired_overhead

NETWORK, MOBILE, RESNET = "resnetsan01", "mobilenet_v2", "resnet18"
MIDDLE, IMAGE = "192x320", "224x224"

ROUNDS = {
    (NETWORK, SMALL): 80,
    (NETWORK, MIDDLE): 36,
    (NETWORK, LARGE): 16,
    (MOBILE, IMAGE): 150,
    (RESNET, IMAGE): 60,
}
"""By host and size: pairs in each process."""

LONG, LONGER = ("encoder.layer3=cbam_npu", "decoder.fusion=se_npu"), 3
"""Of the smallest size, these take so many times the pairs: other experiments are held to them."""

REFERENCES = {
    (NETWORK, SMALL): (
        *LONG,
        "encoder.layer1+encoder.layer2+encoder.layer3+encoder.layer4=se_npu",
        "decoder.fusion=cbam_npu",
        "decoder.upconv2=axial_conv",
        "encoder.layer3=coord",
        "encoder.layer4=self_attention",
        "encoder.stem=cbam_npu",
        "encoder.stem=coord",
        "encoder.stem=axial_conv",
        "encoder.layer1=cbam_npu",
        "encoder.layer1=coord",
        "encoder.layer2=linear_attention",
        "skip.1=cbam_npu",
        "skip.2=cbam_npu",
        "decoder.upconv1=cbam_npu",
        "decoder.upconv0=se_npu",
        "decoder.upconv0=axial_conv",
    ),
    (NETWORK, MIDDLE): (
        "encoder.stem=se_npu",
        "encoder.stem=eca",
        "encoder.stem=coord",
        "encoder.layer1=cbam_npu",
        "encoder.layer2=self_attention",
        "encoder.layer4=linear_attention",
        "skip.1=se_npu",
        "skip.1=cbam_npu",
        "decoder.fusion=se_npu",
        "decoder.upconv2=cbam_npu",
        "decoder.upconv1=axial_conv",
        "decoder.upconv0=coord",
    ),
    (NETWORK, LARGE): ("decoder.fusion=se_npu", "decoder.fusion=cbam_npu", "encoder.stem=se_npu", "encoder.stem=coord"),
    (MOBILE, IMAGE): (
        "features.1.end=coord",
        "features.1.end=eca",
        "features.3.depthwise=se",
        "features.3.depthwise=eca",
        "features.4.depthwise=se",
        "features.4.depthwise=cbam",
        "features.6.depthwise=cbam",
        "features.6.end=cbam",
        "features.7.depthwise=coord",
        "features.8.depthwise=cbam",
        "features.12.branch=coord",
        "features.13.depthwise=eca",
        "features.17.depthwise=cbam",
        "features.17.depthwise=simam",
    ),
    (RESNET, IMAGE): (
        "layer1.0.end=eca",
        "layer1.0.end=cbam",
        "layer1.0.end=coord",
        "layer1.0.branch=se",
        "layer1.1.end=simam",
        "layer1.1.branch=cbam",
        "layer2.0.branch=simam",
        "layer2.0.end=cbam",
        "layer2.1.branch=coord",
        "layer2.1.end=linear_attention",
        "layer3.0.end=linear_attention",
        "layer3.1.end=self_attention",
        "layer4.1.end=self_attention",
        "layer1.0.end+layer1.1.end+layer2.0.end+layer2.1.end=se",
    ),
}
"""By host and size: variants that the clock can see."""

PASSES = 6
FIGURES = RESULTS / "wall.json"

Raw = dict[str, dict[str, list[float]]]


class Held(NamedTuple):
    """A reference: what the clock says of it and what attribution does, as ratios with their intervals."""

    host: str
    size: str
    variant: str
    clock: Estimate
    attributed: Estimate
    figures: dict[str, list[float]]

    @property
    def apart(self) -> float:
        """Attribution less the clock."""
        return self.attributed.value - self.clock.value

    @property
    def scatter(self) -> float:
        """The standard error of that, from the processes of both."""
        return math.hypot(*(stdev(own) / math.sqrt(len(own)) for own in (self.figures["cpu"], self.figures["attributed"])))

    @property
    def in_interval(self) -> bool:
        """Whether attribution lies in the clock's interval."""
        return self._lies(0.0)

    @property
    def is_within(self) -> bool:
        """Whether it does with the systematic part on both sides."""
        return self._lies(systematic_points(100 * self.attributed.value) / 100)

    @property
    def in_expanded(self) -> bool:
        """Whether the two differ by no more than the expanded uncertainty, in which the scatter of both is."""
        return 100 * abs(self.apart) <= expanded_uncertainty(100 * self.attributed.value, 100 * self.scatter)

    def _lies(self, slack: float) -> bool:
        return (self.clock.low or 0.0) - slack <= self.attributed.value <= (self.clock.high or 0.0) + slack


def run(quick: bool) -> Raw:
    """Every reference in each of some passes."""
    found: Raw = defaultdict(lambda: defaultdict(list))
    with open_lab() as first:
        for number in range(2 if quick else PASSES):
            for (host, size), variants in REFERENCES.items():
                lab = Lab(first.builder, first.effort, HostReference(host))
                baseline = lab.baseline(size)
                for variant in variants[: 2 if quick else None]:
                    into = found[f"{host} {size} {variant}"]
                    rounds = ROUNDS[host, size] * (LONGER if size == SMALL and variant in LONG else 1)
                    times = lab.pairs(variant, size, rounds, number)
                    into["pairs"].append(rounds)
                    for clock in ("cpu", "wall"):
                        into[clock].append(paired_overhead([after / before for before, after in times[clock]]).value)
                    into["baseline"].append(median(before for before, _ in times["cpu"]))
                    replicate = lab.replicate(variant, size, baseline)
                    into["attributed"].append(replicate.overhead)
                    into["nodes"].append(sum(node.kind in ("added", "layout", "unfused") for node in replicate.nodes))
                    into["cost"].append(baseline.cost)
            print(f"pass {number + 1} of {PASSES}", flush=True)
            if not quick:
                FIGURES.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    return found


def page(raw: Raw) -> str:
    """A row for each host and size, then one a reference."""
    references = held(raw)
    within = sum(one.is_within for one in references)
    least = binomtest(within, len(references)).proportion_ci(0.9, method="exact").low  # one-sided, at 95 %
    text = (
        f"{within} of {len(references)} references lie within the systematic part, beside what the clock's own interval "
        f"leaves open: that holds for {100 * least:.0f} % of such cases at least (95 % confidence)."
    )
    return f"{text}\n\n{table(summary(references))}\n\n{table(map(row, references))}"


def held(raw: Raw) -> list[Held]:
    """The references with both figures' intervals."""
    return [
        Held(*name.split(" "), signed_rank_interval(own["cpu"]), replicate_interval(own["attributed"]), own)
        for name, own in raw.items()
    ]


def summary(references: Sequence[Held]) -> Iterable[dict[str, str]]:
    """How far the two lie apart, by host and size and over all."""
    groups = [(f"{host} {size}", list(own)) for (host, size), own in groupby(references, lambda one: one[:2])]
    for name, own in [*groups, ("all", list(references))]:
        apart, scatter = root_mean_square(one.apart for one in own), root_mean_square(one.scatter for one in own)
        yield {
            "host and size": name,
            "references": str(len(own)),
            "clock (%)": " to ".join(f"{100 * end(one.clock.value for one in own):.1f}" for end in (min, max)),
            "attributed over clock, of the sums": ratio_of_sums(own),
            "apart, root mean square (points)": f"{100 * apart:.2f}",
            "the two's scatter (points)": f"{100 * scatter:.2f}",
            "beyond scatter (points)": f"{100 * math.sqrt(max(0.0, apart**2 - scatter**2)):.2f}",
            "inside the clock's interval": str(sum(one.in_interval for one in own)),
            "within the systematic part": str(sum(one.is_within for one in own)),
            "within U": str(sum(one.in_expanded for one in own)),
        }


def ratio_of_sums(own: Sequence[Held]) -> str:
    """What all references come to together, in each pass, and Student's interval over the passes."""
    attributed, clock = (
        [sum(figures) for figures in zip(*(one.figures[way] for one in own), strict=True)] for way in ("attributed", "cpu")
    )
    found = replicate_interval([one / two for one, two in zip(attributed, clock, strict=True)])
    return percent(found.map(lambda ratio: ratio / 100))


def row(one: Held) -> dict[str, str]:
    """The clock's interval beside the attributed one."""
    found = one.figures
    without = one.attributed.value + fmean(found["nodes"]) * fmean(found["cost"]) / fmean(found["baseline"])
    return {
        "host": one.host,
        "size": one.size,
        "variant": one.variant,
        "pairs": f"{sum(found['pairs']):.0f}",
        "clock, thread CPU (%)": percent(one.clock),
        "clock, wall (%)": percent(signed_rank_interval(found["wall"])),
        "attributed (%)": percent(one.attributed),
        "attributed less clock (points)": f"{100 * one.apart:+.3f}",
        "inside the clock's interval": "yes" if one.in_interval else "no",
        "inside with the systematic part": "yes" if one.is_within else "no",
        "added nodes": f"{fmean(found['nodes']):.0f}",
        "profiling cost a node (us)": f"{1e6 * fmean(found['cost']):.2f}",
        "attributed without taking it off (%)": f"{100 * without:.3f}",
    }


if __name__ == "__main__":
    experiment("Attribution against the clock", run, page)
