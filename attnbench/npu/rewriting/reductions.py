"""Reductions of the whole plane as the global poolings that tool chains know, and reductions over many channels."""

from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter.pattern import RewriteRule

from attnbench.graph.canonicalise import GLOBAL_POOLS, reduces_the_plane, reduction_axes
from attnbench.npu.rewriting.matching import LocalRewrite
from attnbench.npu.rewriting.values import float_shape
from attnbench.npu.rewriting.writing import carry, conv, weight
from attnbench.targets import Target

LIMIT = "channels_at_most"
WINDOWS = {"AveragePool": "GlobalAveragePool", "MaxPool": "GlobalMaxPool"}


def _one_map(op_type: str) -> Any:
    """The pattern of a node that takes a map, and perhaps axes."""
    return lambda op, x: getattr(op, op_type)(x, _allow_other_inputs=True, _outputs=["out"])


def _takes_the_plane(_: Any, out: Any, **__: Any) -> bool:
    node = out.producer()
    return reduces_the_plane(node) if node.op_type in GLOBAL_POOLS else _covers_the_plane(node)


def _covers_the_plane(node: ir.Node) -> bool:
    shape, attributes = float_shape(node.inputs[0]), node.attributes
    if shape is None or len(shape) != 4 or tuple(attributes["kernel_shape"].as_ints()) != shape[2:]:
        return False
    padded = "pads" in attributes and any(attributes["pads"].as_ints())
    spread = "dilations" in attributes and any(far != 1 for far in attributes["dilations"].as_ints())
    return not padded and not spread and float_shape(node.outputs[0]) == (*shape[:2], 1, 1)


def _pooled(op: Any, x: Any, out: Any) -> Any:
    """ReduceMean and ReduceMax over height and width, and pooling windows as large as the plane, replaced by global pools.

    Exact: the same elements are averaged or compared.
    """
    return getattr(op, (GLOBAL_POOLS | WINDOWS)[out.producer().op_type])(x)


def _takes_the_channels(_: Any, x: Any, out: Any, more_than: int = 0) -> bool:
    node, shape = out.producer(), float_shape(x)
    axes = reduction_axes(node)
    if shape is None or len(shape) != 4 or axes is None or not node.attributes.get_int("keepdims", 1):
        return False
    return [axis % 4 for axis in axes] == [1] and shape[1] > more_than


def _weighed(op: Any, x: Any, **_: Any) -> Any:
    """A mean over the channels, replaced by a 1x1 convolution to one channel with weights 1/C.

    Exact: the same terms are added, each divided first.
    """
    channels = x.shape[1]
    return conv(op, x, weight(op, f"mean_of_{channels}_channels", np.full((1, channels, 1, 1), 1 / channels, np.float32)))


def channel_maxima(limit: int) -> LocalRewrite:
    """A maximum over more channels than a target takes, replaced by maxima of pairs until few enough are left for one.

    Exact for finite numbers, to the rounding of the larger of both in size: ``max(a, b) = b + relu(a - b)``. Convolutions
    with constant weights 1, -1 and 0 take the differences and the seconds of all pairs at once: grouped ones, or dense ones
    where the channels cannot be paired off (the last channel is then in two pairs) or the target takes no groups.
    """
    too_wide = partial(_takes_the_channels, more_than=limit)
    ways = (partial(_halved, limit=limit, grouped=grouped) for grouped in (True, False))
    return LocalRewrite("maximum over channels in pairs", *(RewriteRule(_one_map("ReduceMax"), w, too_wide) for w in ways))


def limit_of(target: Target) -> int | None:
    """How many channels the target's rule for ReduceMax takes at once; ``None`` without such a rule."""
    limits = [rule.limits[LIMIT] for rule in target.rules_for("ReduceMax") if LIMIT in rule.limits]
    return max(limits, default=None)


def _halved(op: Any, x: Any, out: Any, *, limit: int, grouped: bool) -> Any:
    channels = x.shape[1]
    while channels > limit:
        x = _pairs(op, x, channels, grouped=grouped and channels % 2 == 0)
        channels = -(-channels // 2)
    node = out.producer()
    return carry(op, node, [x, *node.inputs[1:]])


def _pairs(op: Any, x: Any, channels: int, *, grouped: bool) -> Any:
    """The larger of each pair of channels: half as many."""
    half = -(-channels // 2)

    def picked(first: float, second: float, what: str) -> ir.Value:
        if grouped:
            kernel = np.tile(np.array([first, second], np.float32).reshape(1, 2, 1, 1), (half, 1, 1, 1))
        else:
            kernel = np.zeros((half, channels, 1, 1), np.float32)
            left = np.minimum(2 * np.arange(half), channels - 2)
            kernel[np.arange(half), left, 0, 0], kernel[np.arange(half), left + 1, 0, 0] = first, second
        name = f"{what}s_of_{channels}_channels{'' if grouped else '_dense'}"
        return conv(op, x, weight(op, name, kernel), None, [f"{what}_of_{channels}"], half if grouped else 1)

    difference, second = picked(1, -1, "difference"), picked(0, 1, "second")
    above = op.Relu(difference, _outputs=[f"above_of_{channels}"])
    return op.Add(second, above, _outputs=[f"larger_of_{channels}"])


GLOBAL_POOLINGS = LocalRewrite(
    "global pooling", *(RewriteRule(_one_map(op), _pooled, _takes_the_plane) for op in (*GLOBAL_POOLS, *WINDOWS))
)
CHANNEL_MEANS = LocalRewrite("mean over channels as 1x1", RewriteRule(_one_map("ReduceMean"), _weighed, _takes_the_channels))
