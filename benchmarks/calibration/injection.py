"""Known injection: a convolution of known MACs is put at three sites, and timed alone beside that.

In the network it is attributed as any module is. Alone, it is a graph of its own with the same shapes: its node's time there
is what it costs with its input and weights in the cache. The difference is what a network does to a convolution (and the
other way round). The runtime's time between nodes is measured on a chain of nodes that do next to nothing.
"""

from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import onnx_ir as ir
from lab import LARGE, Lab, experiment, open_lab, percent, table

from attnbench.core.statistics import replicate_interval
from attnbench.graph.chain import LENGTH
from attnbench.graph.load import serialise

PROBE = f"'{Path(__file__).with_name('probe.py')}:Probe'"
SITES = {"encoder.layer1": (64, 96, 160), "encoder.layer3": (256, 24, 40), "decoder.upconv3": (128, 48, 80)}
CONVOLUTIONS = ((1, 4), (1, 1), (3, 4), (5, 4), (5, 2))
"""Kernel and groups."""
CASES = [(site, kernel, groups) for site in SITES for kernel, groups in CONVOLUTIONS]
PROCESSES = 6


def run(quick: bool) -> dict[str, Any]:
    """Every convolution at every site in each of some passes, alone and in the network."""
    found: dict[Any, dict[str, list[float]]] = {case: {"overhead": [], "conv": [], "alone": []} for case in CASES}
    totals: list[float] = []
    with open_lab(repeat=8) as lab:
        for _ in range(2 if quick else PROCESSES):
            baseline = lab.baseline(LARGE)
            totals.append(median(map(sum, baseline.runs)))
            for (site, kernel, groups), into in found.items():
                variant = f"{site}={PROBE}[kernel={kernel},groups={groups}]"
                replicate = lab.replicate(variant, LARGE, baseline)
                into["overhead"].append(replicate.overhead)
                own = (node.seconds for node in replicate.nodes if node.op == "Conv" and node.kind == "added")
                into["conv"].append(sum(own))
                into["alone"].append(alone(lab, SITES[site], kernel, groups))
        chain = {"kind": "latency", "model": lab.builder.chain(), "repeat": 100, "threads": 1}
        dispatch = [median(lab.job(chain)["wall"]) / LENGTH for _ in range(PROCESSES)]
    by_name = {" ".join(map(str, case)): figures for case, figures in found.items()}
    return by_name | {"baseline": totals, "dispatch": dispatch}


def page(raw: dict[str, Any]) -> str:
    """A row a convolution and site."""
    whole, between = fmean(raw["baseline"]), 1e6 * fmean(raw["dispatch"])
    found = {case: raw[" ".join(map(str, case))] for case in CASES}
    ratios = [fmean(figures["conv"]) / fmean(figures["alone"]) for figures in found.values()]
    apart = [fmean(figures["overhead"]) - fmean(figures["alone"]) / whole for figures in found.values()]
    more = [100 * (ratio - 1) for ratio in (median(ratios), min(ratios), max(ratios))]
    text = (
        f"Baseline {1e3 * whole:.1f} ms. The convolution's node takes {more[0]:+.1f} % in the network beside alone "
        f"(median; from {more[1]:+.1f} to {more[2]:+.1f} %, most for the smallest, whose weights are not in the cache "
        f"there); attributed overheads lie from {100 * min(apart):+.3f} to {100 * max(apart):+.3f} points beside what is "
        f"measured alone. Between nodes the runtime takes {between:.2f} us a node, which attribution counts: it takes "
        "off only what a profile overstates a node by beyond that."
    )
    return f"{text}\n\n{table(row(case, figures, whole) for case, figures in found.items())}"


def alone(lab: Lab, plane: tuple[int, int, int], kernel: int, groups: int) -> float:
    """Seconds of the convolution's node in a graph of its own."""
    path = lab.builder.folder / f"alone-{plane}-{kernel}-{groups}.onnx"
    if not path.exists():
        path.write_bytes(serialise(lone_convolution(plane, kernel, groups)))
    profile = lab.profile(str(path))
    index = next(i for i, node in enumerate(profile.nodes) if node.op == "Conv")
    return median(run[index] for run in profile.runs)


def lone_convolution(plane: tuple[int, int, int], kernel: int, groups: int) -> ir.Model:
    """The graph of one convolution that keeps the shape of its input."""
    channels, height, width = plane
    shape = ir.Shape([1, channels, height, width])
    image, result = (ir.Value(name=name, shape=shape, type=ir.TensorType(ir.DataType.FLOAT)) for name in ("image", "result"))
    values = np.random.default_rng(0).standard_normal((channels, channels // groups, kernel, kernel), dtype=np.float32)
    weight = ir.Value(name="weight", const_value=ir.tensor(values, name="weight"))
    attributes = {"group": groups, "kernel_shape": [kernel, kernel], "pads": [kernel // 2] * 4}
    node = ir.node("Conv", [image, weight], attributes, outputs=[result], name="conv")
    graph = ir.Graph([image], [result], nodes=[node], initializers=[weight], opset_imports={"": 18}, name="alone")
    return ir.Model(graph, ir_version=10)


def row(case: tuple[str, int, int], found: dict[str, list[float]], whole: float) -> dict[str, str]:
    """One convolution at one site."""
    site, kernel, groups = case
    channels, height, width = SITES[site]
    macs = channels * channels // groups * kernel * kernel * height * width
    alone_share = fmean(found["alone"]) / whole
    overhead = replicate_interval(found["overhead"])
    return {
        "site": site,
        "convolution": f"{kernel}x{kernel}, {groups} groups",
        "MACs (M)": f"{macs / 1e6:.1f}",
        "alone (ms)": f"{1e3 * fmean(found['alone']):.3f}",
        "alone (% of the baseline)": f"{100 * alone_share:.3f}",
        "attributed (%)": percent(overhead),
        "attributed less alone (points)": f"{100 * (overhead.value - alone_share):+.3f}",
        "its node's time, network over alone": f"{fmean(found['conv']) / fmean(found['alone']):.3f}",
    }


if __name__ == "__main__":
    experiment("Known injection: a convolution in the network and alone", run, page)
