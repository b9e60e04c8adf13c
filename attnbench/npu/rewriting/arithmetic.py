"""Sums, differences and quotients by the ops that the target takes, and broadcasts that need no op."""

import numpy as np
import onnx_ir as ir

from attnbench.npu.rewriting.place import Maker, Place, Way, floats_of, sides, standard

SMALL = 1e-30
"""Reciprocals of less are near the end of float32."""

BROADCASTING = ("Add", "Div", "Max", "Min", "Mul", "Sub")


def sums(model: ir.Model) -> list[Place]:
    """Sum of several tensors, replaced by additions of two.

    Exact: the same terms are added from left to right.
    """
    return [
        Place("sum by additions", (node,), (_added(node),))
        for node in standard(model.graph, "Sum")
        if len(node.inputs) > 1 and all(sides(value) is not None for value in (*node.inputs, *node.outputs))
    ]


def differences(model: ir.Model) -> list[Place]:
    """A difference, replaced by the sum with the negative: of the constant, or of the second operand by -1.

    Exact: a change of sign rounds nothing.
    """
    found = standard(model.graph, "Sub")
    return [Place("difference by addition", (n,), (_negated(n),)) for n in found if sides(n.outputs[0]) is not None]


def quotients(model: ir.Model) -> list[Place]:
    """A division by a constant, replaced by the product with its reciprocal.

    Exact to one more rounding of the constant.
    """
    found = []
    for node in standard(model.graph, "Div"):
        divisor = floats_of(node.inputs[1])
        if divisor is None or sides(node.outputs[0]) is None:
            continue
        if np.all((np.abs(divisor) > SMALL) & (np.abs(divisor) < 1 / SMALL)):
            found.append(Place("quotient by product", (node,), (_reciprocal(node, divisor),)))
    return found


def constants(model: ir.Model) -> list[Place]:
    """A constant operand of fewer axes than the other operand, replaced by the same with axes of 1 before its own.

    Exact: broadcasting puts them there.
    """
    found = []
    for node in standard(model.graph, *BROADCASTING):
        shape, arrays = sides(node.outputs[0]), [floats_of(value) for value in node.inputs]
        if shape is not None and any(array is not None and array.ndim < len(shape) for array in arrays):
            found.append(Place("constant of full rank", (node,), (_ranked(node, len(shape)),)))
    return found


def expansions(model: ir.Model) -> list[Place]:
    """An Expand whose readers all broadcast, taken out.

    Exact: Add, Mul and their like repeat the smaller operand as Expand does.
    """
    found = []
    for node in standard(model.graph, "Expand"):
        value, source = node.outputs[0], node.inputs[0]
        readers = list(dict.fromkeys(use.node for use in value.uses()))
        if source is None or sides(source) is None or value.is_graph_output() or not readers:
            continue
        if all(reader.graph is model.graph and _broadcasts(reader, value) for reader in readers):
            order = {one: index for index, one in enumerate(model.graph)}
            readers.sort(key=order.__getitem__)
            found.append(Place("broadcast without Expand", (node, *readers), (_unexpanded(node, readers),)))
    return found


def _added(node: ir.Node) -> Way:
    def way(maker: Maker) -> dict[ir.Value, ir.Value]:
        total, *rest = node.inputs
        for number, value in enumerate(rest):
            shape = np.broadcast_shapes(sides(total) or (), sides(value) or ())
            total = maker.node(node, "Add", [total, value], shape, f"to_{number + 2}" if len(rest) > 1 else "")
        assert total is not None  # noqa: S101  a Sum has inputs
        return {node.outputs[0]: total}

    return way


def _ranked(node: ir.Node, rank: int) -> Way:
    def way(maker: Maker) -> dict[ir.Value, ir.Value]:
        inputs = [_of_rank(maker, value, rank) for value in node.inputs]
        return {node.outputs[0]: maker.carry(node, inputs, sides(node.outputs[0]) or ())}

    return way


def _of_rank(maker: Maker, value: ir.Value | None, rank: int) -> ir.Value | None:
    array = floats_of(value)
    if value is None or array is None or array.ndim >= rank:
        return value
    return maker.weight(f"{value.name}/rank_{rank}", full_rank(array, rank))


def full_rank(array: np.ndarray, rank: int) -> np.ndarray:
    """An array with axes of 1 before its own."""
    return array.reshape((1,) * (rank - array.ndim) + array.shape)


def _negated(node: ir.Node) -> Way:
    def way(maker: Maker) -> dict[ir.Value, ir.Value]:
        first, second = node.inputs
        assert second is not None  # noqa: S101  a Sub has two inputs
        shape, constant = sides(node.outputs[0]) or (), floats_of(second)
        if constant is not None:
            negative = maker.weight(f"{second.name}/negative", full_rank(-constant, len(shape)))
        else:
            own = sides(second) or ()
            negative = maker.node(node, "Mul", [second, maker.number(-1.0, len(own))], own, "negative")
        return {node.outputs[0]: maker.node(node, "Add", [first, negative], shape)}

    return way


def _reciprocal(node: ir.Node, divisor: np.ndarray) -> Way:
    def way(maker: Maker) -> dict[ir.Value, ir.Value]:
        first, second = node.inputs
        assert second is not None  # noqa: S101  a Div has two inputs
        shape = sides(node.outputs[0]) or ()
        inverse = (1 / divisor.astype(np.float64)).astype(np.float32)
        factor = maker.weight(f"{second.name}/reciprocal", full_rank(inverse, len(shape)))
        return {node.outputs[0]: maker.node(node, "Mul", [first, factor], shape)}

    return way


def _broadcasts(reader: ir.Node, value: ir.Value) -> bool:
    """Whether a reader's other operand has the full shape already."""
    others = [v for v in reader.inputs if v is not value]
    return reader.op_type in BROADCASTING and len(others) == 1 and sides(others[0]) == sides(value) is not None


def _unexpanded(node: ir.Node, readers: list[ir.Node]) -> Way:
    def way(maker: Maker) -> dict[ir.Value, ir.Value]:
        source, value = node.inputs[0], node.outputs[0]
        return {
            reader.outputs[0]: maker.carry(
                reader, [source if v is value else v for v in reader.inputs], sides(reader.outputs[0]) or ()
            )
            for reader in readers
        }

    return way
