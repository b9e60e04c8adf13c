"""Reductions over more channels than the target takes at once."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from attnbench.graph.canonicalise import reduction_axes
from attnbench.npu.rewriting.place import Maker, Place, Way, sides, standard
from attnbench.targets import Target

LIMIT = "channels_at_most"


def channel_maxima(limit: int) -> Callable[[ir.Model], list[Place]]:
    """The rewrite for a target that takes maxima over so many channels."""

    def places(model: ir.Model) -> list[Place]:
        """A maximum over too many channels, replaced by maxima of pairs until few enough are left for one ReduceMax.

        Exact for finite numbers, to the rounding of the larger of both in size: ``max(a, b) = b + relu(a - b)``.
        Convolutions with constant weights 1, -1 and 0 take the differences and the seconds of all pairs at once: grouped
        ones, or dense ones where the channels cannot be paired off (the last channel is then in two pairs) or the target
        takes no groups.
        """
        found = []
        for node in standard(model.graph, "ReduceMax"):
            shape = over_channels(node)
            if shape is not None and shape[1] > limit:
                ways = (_halved(node, limit, grouped=True), _halved(node, limit, grouped=False))
                found.append(Place("maximum over channels in pairs", (node,), ways))
        return found

    return places


def channel_means(model: ir.Model) -> list[Place]:
    """A mean over the channels, replaced by a 1x1 convolution to one channel with weights 1/C.

    Exact: the same terms are added, each divided first.
    """
    found = [(node, over_channels(node)) for node in standard(model.graph, "ReduceMean")]
    return [Place("mean over channels as 1x1", (node,), (_weighed(node, shape),)) for node, shape in found if shape]


def limit_of(target: Target) -> int | None:
    """How many channels the target's rule for ReduceMax takes at once; ``None`` without such a rule."""
    limits = [rule.limits[LIMIT] for rule in target.rules_for("ReduceMax") if LIMIT in rule.limits]
    return max(limits, default=None)


def over_channels(node: ir.Node) -> tuple[int, ...] | None:
    """The shape of the map that a node reduces over exactly its channels, keeping its rank; else ``None``."""
    shape, axes = sides(node.inputs[0]), reduction_axes(node)
    if shape is None or len(shape) != 4 or axes is None or not node.attributes.get_int("keepdims", 1):
        return None
    return shape if [axis % 4 for axis in axes] == [1] and sides(node.outputs[0]) is not None else None


def _weighed(node: ir.Node, shape: tuple[int, ...]) -> Way:
    def way(maker: Maker) -> dict[ir.Value, ir.Value]:
        x = node.inputs[0]
        assert x is not None  # noqa: S101  it has a shape
        kernel = maker.weight(f"mean_of_{shape[1]}_channels", np.full((1, shape[1], 1, 1), 1 / shape[1], np.float32))
        return {node.outputs[0]: maker.conv(node, x, kernel)}

    return way


def _halved(node: ir.Node, limit: int, *, grouped: bool) -> Way:
    def way(maker: Maker) -> dict[ir.Value, ir.Value]:
        x = node.inputs[0]
        assert x is not None  # noqa: S101  it has a shape
        shape = sides(x) or ()
        while shape[1] > limit:
            x = _pairs(maker, node, x, shape, grouped=grouped and shape[1] % 2 == 0)
            shape = sides(x) or ()
        axes = node.inputs[1:]
        return {node.outputs[0]: maker.carry(node, [x, *axes], (shape[0], 1, *shape[2:]))}

    return way


def _pairs(maker: Maker, node: ir.Node, x: ir.Value, shape: tuple[int, ...], *, grouped: bool) -> ir.Value:
    """The larger of each pair of channels: half as many."""
    channels, half = shape[1], -(-shape[1] // 2)
    halved = (shape[0], half, *shape[2:])

    def picked(first: float, second: float, suffix: str) -> ir.Value:
        if grouped:
            kernel = np.tile(np.array([first, second], np.float32).reshape(1, 2, 1, 1), (half, 1, 1, 1))
        else:
            kernel = np.zeros((half, channels, 1, 1), np.float32)
            for pair in range(half):
                left = min(2 * pair, channels - 2)
                kernel[pair, left : left + 2, 0, 0] = first, second
        name = f"{suffix}s_of_{channels}_channels{'' if grouped else '_dense'}"
        return maker.conv(node, x, maker.weight(name, kernel), None, f"{suffix}_of_{channels}", half if grouped else 1)

    difference, second = picked(1, -1, "difference"), picked(0, 1, "second")
    above = maker.node(node, "Relu", [difference], halved, f"above_of_{channels}")
    return maker.node(node, "Add", [second, above], halved, f"larger_of_{channels}")
