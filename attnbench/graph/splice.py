"""Graph surgery: markers in, modules in their place, or nothing in their place.

A host's graph carries a marker node ``attnbench::Site`` at each site. A variant replaces the markers by modules, whose
nodes, weights and tensors get a prefix that names the site (see ``naming``); that prefix is how an inserted node is known
for ever after. The first output of a module goes on along the network; further ones, a tap's, become outputs of the graph.
The baseline is the same graph with every marker taken out.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import onnx_ir as ir

from attnbench.core.errors import CaseFailure, UnknownName
from attnbench.core.naming import MARKER_DOMAIN, MARKER_OP, insertion_prefix
from attnbench.graph.canonicalise import tidy
from attnbench.graph.load import parse, raise_opset, static_shape


def markers(model: ir.Model) -> dict[str, ir.Node]:
    """The marker nodes of a graph by site, in the graph's order."""
    found: dict[str, ir.Node] = {}
    for node in model.graph:
        if node.domain == MARKER_DOMAIN and node.op_type == MARKER_OP:
            site = node.attributes["site"].as_string()
            if site in found:
                raise CaseFailure("export", f"site '{site}' is passed through twice: a site must stand at one tensor")
            found[site] = node
    return found


def planes(model: ir.Model) -> dict[str, tuple[int, ...]]:
    """The shape at each site, ``(N, C, H, W)``."""
    return {site: static_shape(node.inputs[0]) for site, node in markers(model).items() if node.inputs[0] is not None}


def block_inputs(model: ir.Model) -> dict[str, int]:
    """The channels of the block's input at each slot; 0 at every other site."""
    return {site: node.attributes.get_int("block_input", 0) or 0 for site, node in markers(model).items()}


def replaced_strides(model: ir.Model) -> dict[str, int]:
    """The stride of each site where a module takes the place of layers."""
    return {site: node.attributes.get_int("stride", 1) or 1 for site, node in markers(model).items() if len(node.inputs) > 1}


TOUCHING = frozenset(
    "Add BatchNormalization Clip Div Elu Erf HardSigmoid HardSwish Identity LeakyRelu Mul Neg PRelu Relu Sigmoid Softplus "
    "Sub Tanh".split()
)
"""Ops that the runtime fuses with what is around them, or runs in whatever layout comes: they keep no two sites apart."""


def regions(host: bytes, sites: Iterable[str]) -> tuple[str, ...]:
    """The parts of a host that sites stand in, by their first tensors; sites that have one in common touch.

    Within a part there is nothing between two tensors but ops of ``TOUCHING``: what a module there changes of layouts and
    fusions reaches the other's place. Along identity shortcuts, that is a whole stage of a residual network.
    """
    model = parse(host)
    first: dict[ir.Value, ir.Value] = {}

    def root(value: ir.Value) -> ir.Value:
        while value in first:
            value = first[value]
        return value

    for node in model.graph:
        if node.op_type in TOUCHING or node.op_type == MARKER_OP:
            read = [value for value in node.inputs if value is not None and value.const_value is None]
            roots = list(dict.fromkeys(root(value) for value in (*read, *node.outputs)))
            first |= dict.fromkeys(roots[1:], roots[0])
    found = markers(model)
    return tuple(sorted({root(found[site].outputs[0]).name or "" for site in sites}))


def tensors(model: ir.Model) -> dict[str, tuple[int, ...]]:
    """The tensors of a graph where a module could stand, with their shapes: float maps ``[N, C, H, W]`` of a node."""
    return {
        value.name: static_shape(value)
        for node in model.graph
        for value in node.outputs
        if value.name and value.dtype == ir.DataType.FLOAT and value.shape is not None and len(value.shape) == 4
    }


def stage_ends(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Of the tensors of a graph, in its order, the last before each change of resolution; rows, columns and points aside."""
    planes = [(name, shape[2:]) for name, shape in shapes.items() if min(shape[2:]) > 1]
    return [list(group)[-1][0] for _, group in groupby(planes, key=lambda one: one[1])]


def mark_tensors(model: ir.Model, names: Iterable[str]) -> None:
    """Put a marker behind each named tensor, in place, with the tensor's name as the site's."""
    by_name = {value.name: value for node in model.graph for value in node.outputs}
    for name in names:
        value = by_name.get(name)
        if value is None or name not in tensors(model):
            raise UnknownName("tensor [N, C, H, W]", name, tensors(model))
        producer = value.producer()
        assert producer is not None  # noqa: S101  it stands in a node's outputs
        marker = ir.node(MARKER_OP, [value], {"site": name}, domain=MARKER_DOMAIN, num_outputs=1, name=f"site {name}")
        result = marker.outputs[0]
        result.shape, result.type = value.shape, value.type
        uses = [(use.node, use.idx) for use in value.uses() if use.node is not marker]
        for node, index in uses:
            node.replace_input_with(index, result)
        _keep_graph_outputs(model.graph, value, result)
        model.graph.insert_after(producer, marker)
    model.graph.opset_imports[MARKER_DOMAIN] = 1


def splice(host: bytes, occupants: Mapping[str, Sequence[tuple[str, bytes]]]) -> ir.Model:
    """The host's graph with each site's modules in a row where its marker stood, all other markers removed.

    Where the modules take the place of layers, these are gone, and the row turns what came in into what went out.
    ``occupants`` maps a site to (name, ONNX bytes) of its modules. All come to the highest opset among them. Raises
    ``CaseFailure`` where a module's input or output does not have the site's shape.
    """
    model = parse(host)
    modules = {site: [(name, parse(data)) for name, data in row] for site, row in occupants.items()}
    joined = [model, *(module for row in modules.values() for _, module in row)]
    opset = max(one.opset_imports.get("", 0) for one in joined)
    for one in joined:
        raise_opset(one, opset)
    for site, marker in markers(model).items():
        row, result = modules.get(site, ()), marker.outputs[0]
        value = marker.inputs[0 if row else -1]
        assert value is not None  # noqa: S101  a marker has one input, or two
        wanted = static_shape(result)
        for position, (name, module) in enumerate(row):
            value = _insert(model, marker, value, wanted, insertion_prefix(site, position, name), module.graph)
        _keep_graph_outputs(model.graph, result, value)
        ir.convenience.replace_all_uses_with(result, value)
        model.graph.remove(marker, safe=True)
    model.graph.opset_imports.pop(MARKER_DOMAIN, None)
    tidy(model)
    return model


def _insert(
    model: ir.Model, marker: ir.Node, value: ir.Value, wanted: tuple[int, ...], prefix: str, graph: ir.Graph
) -> ir.Value:
    shape, taken, given = static_shape(value), static_shape(graph.inputs[0]), static_shape(graph.outputs[0])
    if (shape, wanted) != (taken, given):
        site = f"{list(shape)}" if shape == wanted else f"{list(shape)} -> {list(wanted)}"
        raise CaseFailure("splice", f"{prefix}: the site has shape {site}, the module {list(taken)} -> {list(given)}")
    for number, node in enumerate(graph):
        node.name = f"{prefix}{node.name or f'{node.op_type}_{number}'}"
        for output in node.outputs:
            output.name = f"{prefix}{output.name}"
    weights = list(graph.initializers.values())
    graph.initializers.clear()
    for weight in weights:
        weight.name = f"{prefix}{weight.name}"
        model.graph.register_initializer(weight)
    result, *further = [value if output is graph.inputs[0] else output for output in graph.outputs]
    nodes = list(graph)
    graph.outputs.clear()
    ir.convenience.replace_all_uses_with(graph.inputs[0], value)
    graph.remove(nodes)
    model.graph.insert_before(marker, nodes)
    model.graph.outputs.extend(further)
    for domain, version in graph.opset_imports.items():
        model.graph.opset_imports.setdefault(domain, version)
    return result


def _keep_graph_outputs(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    for index, output in enumerate(graph.outputs):
        if output is old:
            name = old.name
            old.name = f"{name}/before"
            new.name = name
            graph.outputs[index] = new
