"""The canonicalising pass: one spelling for graphs that compute the same.

The exporter writes a global pooling as a reduction over height and width; vendors' tool chains and ONNX Runtime's blocked
layout know it as ``GlobalAveragePool`` and ``GlobalMaxPool``. It also sets ``allowzero`` on every Reshape, which a tool
chain may refuse, though no shape holds a 0. The pass turns those back, folds constants, and removes identities and what
nothing reads. Its version (``environment.CANONICAL_PASS``) is part of every run: graphs of two versions are never compared.
"""

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript import optimizer

GLOBAL_POOLS = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}


def canonicalise(model: ir.Model) -> ir.Model:
    """Rewrite the model in place and return it."""
    optimizer.fold_constants(model)
    for node in list(model.graph):
        if reduces_the_plane(node):
            _use_global_pool(model.graph, node)
        if node.op_type == "Reshape" and 0 not in (_constant_ints(node) or (0,)):
            node.attributes.pop("allowzero", None)
    _pass_inputs_on(model.graph)
    tidy(model)
    return model


def tidy(model: ir.Model) -> None:
    """Remove identities, unused nodes and unused weights; constants become initializers. Nothing computed changes.

    Rejected: ``IdentityEliminationPass``. In a body of If or Loop it makes an outer tensor the body's own output, which is
    no graph any more, and it ends where two shapes that were declared for one tensor contradict each other.
    """
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for node in list(model.graph.all_nodes()):
        if node.op_type == "Identity" and node.domain == "" and len(node.inputs) == len(node.outputs) == 1:
            _pass_over(node)
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedOpsetsPass()(model)


def _pass_over(node: ir.Node) -> None:
    """Let an identity's readers read what it reads. The graph's own output keeps its name, where that can be."""
    before, after = node.inputs[0], node.outputs[0]
    if before is None or node.graph is None:
        return
    if after.is_graph_output():
        producer = before.producer()
        if producer is None or producer.graph is not node.graph or before.is_graph_output():
            return
    if before.shape is None or (after.shape is not None and after.shape.is_static()):
        before.shape = after.shape if after.shape is not None else before.shape
    name, is_output = after.name, after.is_graph_output()
    ir.convenience.replace_all_uses_with(after, before, replace_graph_outputs=True)
    node.graph.remove(node, safe=True)
    if is_output:
        before.name = name


def reduces_the_plane(node: ir.Node) -> bool:
    """Whether a reduction takes exactly height and width of an ``[N, C, H, W]`` tensor and keeps its rank."""
    if node.op_type not in GLOBAL_POOLS or node.domain not in ("", "ai.onnx"):
        return False
    value = node.inputs[0]
    keepdims = node.attributes.get_int("keepdims", 1)
    if value is None or value.shape is None or len(value.shape) != 4 or not keepdims:
        return False
    return sorted(axis % 4 for axis in reduction_axes(node) or ()) == [2, 3]


def reduction_axes(node: ir.Node) -> tuple[int, ...] | None:
    """The axes of a reduction, from its attribute or its constant input; ``None`` where they are not constant or all."""
    if "axes" in node.attributes:
        return tuple(node.attributes["axes"].as_ints())
    return _constant_ints(node)


def _constant_ints(node: ir.Node) -> tuple[int, ...] | None:
    """The numbers of a node's second input, where it is a constant."""
    value = node.inputs[1] if len(node.inputs) > 1 else None
    constant = None if value is None else ir.convenience.get_const_tensor(value)
    return None if constant is None else tuple(int(number) for number in constant.numpy().reshape(-1))


def _pass_inputs_on(graph: ir.Graph) -> None:
    """An output that is an input, as a tap's first is, needs no identity between the two."""
    for index, output in enumerate(graph.outputs):
        node = output.producer()
        source = node.inputs[0] if node is not None and node.op_type == "Identity" else None
        if source is not None and source.is_graph_input():
            graph.outputs[index] = source


def _use_global_pool(graph: ir.Graph, node: ir.Node) -> None:
    pool = ir.node(GLOBAL_POOLS[node.op_type], inputs=[node.inputs[0]], num_outputs=1, name=node.name)
    ir.convenience.replace_nodes_and_values(graph, node, [node], [pool], [node.outputs[0]], [pool.outputs[0]])
