"""Sums, differences and quotients by the ops that the target takes, and broadcasts that need no op."""

from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter.pattern import RewriteRule

from attnbench.npu.rewriting.matching import LocalRewrite, Match
from attnbench.npu.rewriting.values import constant_floats, float_shape
from attnbench.npu.rewriting.writing import Writer, carry, number, weight

SMALL = 1e-30
"""Reciprocals of less are near the end of float32."""

BROADCASTING = ("Add", "Div", "Max", "Min", "Mul", "Sub")


def _any_inputs(op_type: str) -> Any:
    """The pattern of one node, whatever it takes."""
    return lambda op: getattr(op, op_type)(_allow_other_inputs=True, _outputs=["out"])


def _has_terms(_: Any, out: Any) -> bool:
    terms = out.producer().inputs
    return len(terms) >= 2 and all(float_shape(term) is not None for term in terms)


def _added(op: Any, out: Any) -> Any:
    """Sum of several tensors, replaced by additions of two.

    Exact: the same terms are added from left to right.
    """
    total, *rest = out.producer().inputs
    for position, term in enumerate(rest, 2):
        total = op.Add(total, term, _outputs=[f"to_{position}"] if len(rest) > 1 else 1)
    return total


def _negative_added(op: Any, x: Any, y: Any, out: Any) -> Any:
    """A difference, replaced by the sum with the negative: of the constant, or of the second operand by -1.

    Exact: a change of sign rounds nothing.
    """
    constant = constant_floats(y)
    if constant is None:
        return op.Add(x, op.Mul(y, number(op, -1, len(y.shape or ())), _outputs=["negative"]))
    return op.Add(x, weight(op, f"{y.name}/negative", np.array(-constant, ndmin=len(out.shape))))


def _is_invertible(_: Any, y: Any, **__: Any) -> bool:
    divisor = constant_floats(y)
    return divisor is not None and bool(np.all((np.abs(divisor) > SMALL) & (np.abs(divisor) < 1 / SMALL)))


def _multiplied(op: Any, x: Any, y: Any, out: Any) -> Any:
    """A division by a constant, replaced by the product with its reciprocal.

    Exact to one more rounding of the constant.
    """
    inverse = (1 / np.asarray(constant_floats(y), np.float64)).astype(np.float32)
    return op.Mul(x, weight(op, f"{y.name}/reciprocal", np.array(inverse, ndmin=len(out.shape))))


def _lacks_axes(_: Any, out: Any) -> bool:
    arrays = [constant_floats(value) for value in out.producer().inputs]
    return out.shape is not None and any(array is not None and array.ndim < len(out.shape) for array in arrays)


def _ranked(op: Any, out: Any) -> Any:
    """A constant operand of fewer axes than the other operand, replaced by the same with axes of 1 before its own.

    Exact: broadcasting puts them there.
    """
    node, rank = out.producer(), len(out.shape)

    def ranked(value: ir.Value) -> ir.Value:
        array = constant_floats(value)
        if array is None or array.ndim >= rank:
            return value
        return weight(op, f"{value.name}/rank_{rank}", np.array(array, ndmin=rank))

    return carry(op, node, [ranked(value) for value in node.inputs])


def expansions(model: ir.Model) -> list[Match]:
    """An Expand whose readers all broadcast, taken out.

    Exact: Add, Mul and their like repeat the smaller operand as Expand does.
    """
    found = []
    order = {node: index for index, node in enumerate(model.graph)}
    for node in order:
        value, readers = node.outputs[0], {use.node for use in node.outputs[0].uses()}
        if node.op_type != "Expand" or float_shape(node.inputs[0]) is None or value.is_graph_output() or not readers:
            continue
        if all(reader in order and _broadcasts(reader, value) for reader in readers):
            ordered = sorted(readers, key=order.__getitem__)
            found.append(Match("broadcast without Expand", (node, *ordered), (partial(_unexpanded, node, ordered),)))
    return found


def _broadcasts(reader: ir.Node, value: ir.Value) -> bool:
    """Whether a reader's other operand has the full shape already."""
    others = [v for v in reader.inputs if v is not value]
    return reader.op_type in BROADCASTING and len(others) == 1 and float_shape(others[0]) == float_shape(value) is not None


def _unexpanded(node: ir.Node, readers: list[ir.Node], writer: Writer) -> dict[ir.Value, ir.Value]:
    source, value = node.inputs[0], node.outputs[0]
    outputs = {}
    for reader in readers:
        inputs = [source if v is value else v for v in reader.inputs]
        outputs[reader.outputs[0]] = writer.write(reader, carry, reader, inputs)
    return outputs


SUMS = LocalRewrite("sum by additions", RewriteRule(_any_inputs("Sum"), _added, _has_terms))
DIFFERENCES = LocalRewrite(
    "difference by addition", RewriteRule(lambda op, x, y: op.Sub(x, y, _outputs=["out"]), _negative_added)
)
QUOTIENTS = LocalRewrite(
    "quotient by product", RewriteRule(lambda op, x, y: op.Div(x, y, _outputs=["out"]), _multiplied, _is_invertible)
)
CONSTANTS = LocalRewrite(
    "constant of full rank", *(RewriteRule(_any_inputs(op), _ranked, _lacks_axes) for op in BROADCASTING)
)
