"""Writing into a graph: new nodes and weights that take the place of old ones.

A rewrite rule writes on the tape that onnxscript's rewriter hands it; a lift and a search of our own write on ``Tape``, in
the same words: ``op.Relu(x, _outputs=["above_0"])``. ``Writer`` puts what is on a tape into the graph. New nodes are named
after the ones they replace and the name that the rule gives their output, new weights after the old ones, and a tensor that
others read keeps its name, so that users find in the new graph what they know from their own.
"""

from collections.abc import Callable, Sequence
from itertools import count
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from attnbench.npu.rewriting.values import Shape, constant_array, opset_of

CARRIED, VIEW = "carried", "view"
"""What a new node's ``meta`` says: which old node's op it repeats on other inputs, or that it only changes a shape."""


class Tape(ir.tape.Tape):
    """onnx_ir's tape with the words of a rewrite rule's. ``_outputs`` names the output, by which the node is named."""

    def __getattr__(self, op_type: str) -> Callable[..., ir.Value]:
        """What writes one node of an op."""

        def write(*inputs: ir.Value | None, _outputs: Sequence[str] | int = 1, **attributes: Any) -> ir.Value:
            name = None if isinstance(_outputs, int) else _outputs[0]
            return self.op(op_type, inputs, attributes, output=ir.Value(name=name))

        return write


class Writer:
    """Puts nodes and weights into a graph, each node right before the old one it stands for, and remembers the nodes."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self.made: list[ir.Node] = []
        nodes = list(model.graph.all_nodes())
        self._nodes = {node.name for node in nodes}
        self._values = {value.name for node in nodes for value in (*node.outputs, *node.inputs) if value}
        self._values |= {value.name for value in model.graph.inputs} | set(model.graph.initializers)

    def write(self, old: ir.Node, make: Callable[..., ir.Value], *arguments: Any) -> ir.Value:
        """What a function of a tape and these arguments writes, put into the graph for an old node."""
        tape = Tape()
        value = make(tape, *arguments)
        self.insert(old, tape.nodes, tape.initializers)
        return value

    def insert(self, old: ir.Node, nodes: Sequence[ir.Node], weights: Sequence[ir.Value]) -> None:
        """New nodes, with the weights that they read, for an old node."""
        for weight in weights:
            self._add(weight)
        for node in nodes:
            value = node.outputs[0]
            node.name = _fresh(f"{old.name}/{value.name}", self._nodes) if value.name else old.name
            value.name = _fresh(f"{old.outputs[0].name}/{value.name or 'rewritten'}", self._values)
            node.metadata_props.update(old.metadata_props)
        self.model.graph.insert_before(old, nodes)
        self.made += nodes

    def _add(self, weight: ir.Value) -> None:
        """Register a weight, or use the one of that name which already holds the same."""
        known = self.model.graph.initializers.get(str(weight.name))
        old, new = constant_array(known), constant_array(weight)
        if known and old is not None and new is not None and old.dtype == new.dtype and np.array_equal(old, new):
            ir.convenience.replace_all_uses_with(weight, known)
            return
        weight.name = _fresh(str(weight.name), self._values)
        self.model.graph.register_initializer(weight)


def weight(op: Any, name: str, array: np.ndarray) -> Any:
    """A new weight on a tape."""
    return op.initializer(ir.tensor(np.ascontiguousarray(array), name=name))


def number(op: Any, value: float, rank: int) -> Any:
    """One number of this rank: some targets take a constant only where it has all axes."""
    return weight(op, f"number_{value:.9g}_rank_{rank}", np.full([1] * rank, value, np.float32))


def carry(op: Any, node: ir.Node, inputs: Sequence[ir.Value | None], **changed: Any) -> Any:
    """The same op as an old node, with its attributes, on other inputs."""
    value = getattr(op, node.op_type)(*inputs, **{**node.attributes, **changed})
    value.producer().meta[CARRIED] = node
    return value


def conv(
    op: Any, x: ir.Value, kernel: ir.Value, bias: ir.Value | None = None, outputs: Sequence[str] | int = 1, group: int = 1
) -> Any:
    """A convolution without padding at every position."""
    inputs = [x, kernel] if bias is None else [x, kernel, bias]
    window = {"kernel_shape": list(kernel.shape or ())[2:], "strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1]}
    return op.Conv(*inputs, **window, group=group, _outputs=outputs)


def view(op: Any, node: ir.Node, x: ir.Value, before: Shape, how: str) -> Any:
    """A tensor in the shape that an old node gives: by Flatten or Squeeze where they can, else by Reshape."""
    after = tuple(node.outputs[0].shape or ())
    if how == "Flatten" and after == (before[0], prod(before[1:])):
        value = op.Flatten(x, axis=1, _outputs=["flatten"])
    elif how == "Squeeze" and (*after, 1, 1) == before and opset_of(node) < 13:
        value = op.Squeeze(x, axes=[2, 3], _outputs=["squeeze"])
    elif how == "Squeeze" and (*after, 1, 1) == before:
        value = op.Squeeze(x, weight(op, "axes_of_the_plane", np.array([2, 3], np.int64)), _outputs=["squeeze"])
    else:
        shape = weight(op, f"shape_{'x'.join(map(str, after))}", np.array(after, np.int64))
        value = op.Reshape(x, shape, _outputs=["reshape"])
    value.producer().meta[VIEW] = True
    return value


def _fresh(name: str, taken: set[str | None]) -> str:
    found = name if name not in taken else next(f"{name}_{n}" for n in count(2) if f"{name}_{n}" not in taken)
    taken.add(found)
    return found
