"""What other counters call the MACs of a module that was traced: the readings that explain a published figure."""

from collections.abc import Callable, Iterable, Mapping
from math import prod

from attnbench.graph.torch_counts import CountStep

BIASED = frozenset(("convolution", "linear", "addmm"))
ACTIVATIONS = frozenset(("relu", "relu6", "hardtanh", "sigmoid", "silu"))
HOOKED_NORMS = frozenset(("batch_norm", "layer_norm", "instance_norm"))


def _ptflops(step: CountStep, inputs: list[int], written: int) -> int:
    if step.op in BIASED and len(inputs) == 3:
        return step.macs + step.calls * written
    if step.op == "batch_norm":
        return step.calls * 2 * written
    if step.op in ACTIVATIONS:
        return step.calls * written
    return step.calls * inputs[0] if "pool" in step.op else step.macs


def _thop(step: CountStep, inputs: list[int], written: int) -> int:
    """thop's hooks (``thop/vision/basic_hooks.py``): what is a module of torch is seen, products in between are not."""
    if step.op in BIASED:
        return step.macs
    if step.op in HOOKED_NORMS:
        return step.calls * 4 * written
    if step.op == "adaptive_avg_pool2d":
        return step.calls * (inputs[0] + written)
    return step.calls * written if step.op == "avg_pool2d" else 0


def _meanless(step: CountStep, _inputs: list[int], _written: int) -> int:
    """fvcore of code that averages by ``mean``, as timm's SE and ECA do: of means it takes ``adaptive_avg_pool2d`` alone."""
    return 0 if step.op == "adaptive_avg_pool2d" else step.default


READINGS: Mapping[str, Callable[[CountStep, list[int], int], int]] = {
    "with the norms and pooling that fvcore adds by default": lambda step, _inputs, _written: step.default,
    "with biases, norms, activations and pooling added, as ptflops does": _ptflops,
    "with norms and mean pooling added and products between layers left out, as thop does": _thop,
    "with the norms that fvcore adds by default, means left out": _meanless,
}
"""Each other way to count, by what is said of it: what it takes for one traced step."""


def readings(steps: Iterable[CountStep]) -> dict[str, int]:
    """What other counters call MACs, by what is said of them."""
    found = dict.fromkeys(READINGS, 0)
    for step in steps:
        inputs, written = [_elements(text) for text in step.inputs.split()], _elements(step.output)
        for name, read in READINGS.items():
            found[name] += read(step, inputs, written)
    return found


def _elements(shape: str) -> int:
    return prod(map(int, shape.split("x")))
