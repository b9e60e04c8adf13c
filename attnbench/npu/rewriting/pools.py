"""Reductions of the whole plane, spelled as the global poolings that tool chains know."""

import onnx_ir as ir

from attnbench.graph.canonicalise import GLOBAL_POOLS, reduces_the_plane
from attnbench.npu.rewriting.place import Place, Way, sides, sole_output, standard

WINDOWS = {"AveragePool": "GlobalAveragePool", "MaxPool": "GlobalMaxPool"}


def global_pools(model: ir.Model) -> list[Place]:
    """ReduceMean and ReduceMax over height and width, and pooling windows as large as the plane, replaced by global pools.

    Exact: the same elements are averaged or compared.
    """
    found = [(node, GLOBAL_POOLS[node.op_type]) for node in model.graph if reduces_the_plane(node)]
    found += [(node, WINDOWS[node.op_type]) for node in standard(model.graph, *WINDOWS) if _covers_the_plane(node)]
    return [Place("global pooling", (node,), (_pooled(node, op),)) for node, op in found if sides(node.outputs[0])]


def _pooled(node: ir.Node, op: str) -> Way:
    return lambda maker: {node.outputs[0]: maker.node(node, op, [node.inputs[0]], sides(node.outputs[0]) or ())}


def _covers_the_plane(node: ir.Node) -> bool:
    shape, kernel = sides(node.inputs[0]), node.attributes["kernel_shape"].as_ints()
    if shape is None or len(shape) != 4 or sole_output(node) is None or tuple(kernel) != shape[2:]:
        return False
    padded = "pads" in node.attributes and any(node.attributes["pads"].as_ints())
    spread = "dilations" in node.attributes and any(far != 1 for far in node.attributes["dilations"].as_ints())
    return not padded and not spread and sides(node.outputs[0]) == (*shape[:2], 1, 1)
