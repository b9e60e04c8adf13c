"""Readings of a graph's tensors and nodes that rewrites share: constants, static shapes, the opset."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

Shape = tuple[int, ...]


def constant_array(value: ir.Value | None) -> np.ndarray | None:
    """A constant's elements: a weight's, or what a ConstantOfShape of constant shape fills; ``None`` for all else."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if value is None or tensor is not None:
        return None if tensor is None else tensor.numpy()
    producer = value.producer()
    if producer is None or producer.op_type != "ConstantOfShape":
        return None
    shape = constant_array(producer.inputs[0])
    fill = producer.attributes["value"].as_tensor().numpy() if "value" in producer.attributes else np.zeros(1, np.float32)
    return None if shape is None else np.full(shape.tolist(), fill.reshape(-1)[0], fill.dtype)


def constant_floats(value: ir.Value | None) -> np.ndarray | None:
    """A constant's elements where they are float32."""
    array = constant_array(value)
    return array if array is not None and array.dtype == np.float32 else None


def float_shape(value: ir.Value | None) -> Shape | None:
    """The static shape of a float32 tensor; ``None`` for any other."""
    if value is None or value.dtype != ir.DataType.FLOAT or value.shape is None or not value.shape.is_static():
        return None
    return tuple(value.shape.numpy())


def inputs_of(nodes: Sequence[ir.Node]) -> list[ir.Value]:
    """The tensors that come into some nodes, constants apart."""
    own = set(nodes)
    read = (value for node in nodes for value in node.inputs if value is not None)
    return list(dict.fromkeys(v for v in read if v.producer() not in own and constant_array(v) is None))


def sole_output(node: ir.Node) -> ir.Value | None:
    """A node's first output, where nothing reads another one."""
    return node.outputs[0] if all(not v.uses() and not v.is_graph_output() for v in node.outputs[1:]) else None


def opset_of(node: ir.Node) -> int:
    """The version of ONNX's ops that a node's graph is written in."""
    return 0 if node.graph is None else node.graph.opset_imports.get("", 0)
