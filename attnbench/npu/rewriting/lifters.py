"""How ops that work on each element or each channel are lifted to rank 4: as they are, on another shape."""

from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from attnbench.graph.canonicalise import GLOBAL_POOLS, reduction_axes
from attnbench.npu.rewriting.regions import Known, Lift, Lifter, Made, Vector
from attnbench.npu.rewriting.values import Shape, constant_array, constant_floats, float_shape, opset_of
from attnbench.npu.rewriting.writing import carry, weight

ELEMENTWISE = (
    "Abs Celu Clip Dropout Elu Erf Exp Gelu HardSigmoid HardSwish Identity LeakyRelu Log Mish Neg Reciprocal Relu Selu"
    " Sigmoid Sign Softplus Softsign Sqrt Swish Tanh ThresholdedRelu"
).split()


def view(node: ir.Node, known: Known) -> Lift | None:
    """A view that keeps the elements in order is nothing at rank 4. The first one makes a vector of a map."""
    source = node.inputs[0]
    before, after = float_shape(source), float_shape(node.outputs[0])
    if source is None or before is None or after is None or not _keeps_order(node, before):
        return None
    vector = known.get(source)
    if vector is None:
        if len(before) != 4 or constant_array(source) is not None:
            return None
        vector = Vector(before, computed=False)
    if after == vector.shape and not vector.computed:
        return None
    return Lift(vector, lambda _, made: entering(node, made))


def entering(node: ir.Node, made: Made) -> ir.Value:
    """What a node's first input was lifted to, or the input itself, as it is by now, where it comes from outside."""
    x = node.inputs[0]
    assert x is not None  # noqa: S101  it has a shape
    return made.get(x, x)


def _keeps_order(node: ir.Node, shape: Shape) -> bool:
    if node.op_type != "Transpose":
        return True
    order = node.attributes["perm"].as_ints() if "perm" in node.attributes else tuple(range(len(shape)))[::-1]
    moved = [axis for axis in order if shape[axis] != 1]
    return moved == sorted(moved)


def elementwise(node: ir.Node, known: Known) -> Lift | None:
    """A function of one element at a time does not know the tensor's shape. Dropout does nothing in inference."""
    x = node.inputs[0]
    if x is None or x not in known or any(v is not None and constant_array(v) is None for v in node.inputs[1:]):
        return None
    shape = known[x].shape
    if node.op_type in ("Dropout", "Identity"):
        trains = len(node.inputs) > 2 and bool(np.any(constant_array(node.inputs[2])))
        return None if trains else Lift(known[x], lambda _, made: made[x])
    return Lift(Vector(shape), lambda op, made: carry(op, node, [made[x], *node.inputs[1:]]))


def two_operands(node: ir.Node, known: Known) -> Lift | None:
    """Two vectors, or one and a constant that is the same for all images, meet element by element at rank 4 as well."""
    a, b = node.inputs
    out = float_shape(node.outputs[0])
    vectors = [v for v in (a, b) if v is not None and v in known and float_shape(v) == out]
    if a is None or b is None or not vectors or len({known[v].shape for v in vectors}) > 1:
        return None
    x = vectors[0]
    shape = known[x].shape
    if a in vectors and b in vectors:
        return Lift(Vector(shape), lambda op, made: carry(op, node, [made[a], made[b]]))
    constant = b if x is a else a
    spread = per_image(constant, out or (), shape)
    if spread is None:
        return None
    if node.op_type == "Add" and _bias_of_product(x):
        return Lift(Vector(shape), lambda op, made: _biased(op, node, made[x], constant, spread))

    def make(op: Any, made: Made) -> ir.Value:
        at_rank_4 = weight(op, f"{constant.name}/rank_4", spread)
        return carry(op, node, [made[x], at_rank_4] if x is a else [at_rank_4, made[x]])

    return Lift(Vector(shape), make)


def per_image(constant: ir.Value, out: Shape, shape: Shape) -> np.ndarray | None:
    """A constant operand as it meets each image of a lifted vector; one number stays one. ``None`` where images differ."""
    array = constant_floats(constant)
    if array is None:
        return None
    if array.size == 1:
        return array.reshape(1, 1, 1, 1)
    rows = np.broadcast_to(array, out).reshape(shape[0], -1)
    return rows[0].reshape(1, *shape[1:]) if np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape)) else None


def _bias_of_product(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type == "MatMul" and len(value.uses()) == 1 and not value.is_graph_output()


def _biased(op: Any, node: ir.Node, product: ir.Value, constant: ir.Value, spread: np.ndarray) -> ir.Value:
    """The sum as the bias of the convolution that the product became."""
    conv = product.producer()
    assert conv is not None  # noqa: S101  the product was lifted to it
    channels = float_shape(conv.inputs[1])
    bias = np.broadcast_to(spread.reshape(-1), (channels or (0,))[0])
    conv.resize_inputs(3)
    conv.replace_input_with(2, weight(op, f"{constant.name}/bias" if spread.size == 1 else str(constant.name), bias))
    conv.metadata_props.update(node.metadata_props)
    return product


def batch_norm(node: ir.Node, known: Known) -> Lift | None:
    """Normalising the channels of ``[N, C]`` by stored statistics is the same for ``[N, C, 1, 1]``."""
    x = node.inputs[0]
    shape, trains = float_shape(x), node.attributes.get_int("training_mode", 0)
    if x is None or x not in known or shape is None or trains:
        return None
    lifted = known[x].shape
    if shape[:2] != lifted[:2] or lifted[2:] != (1, 1):
        return None
    return Lift(Vector(lifted), lambda op, made: carry(op, node, [made[x], *node.inputs[1:]]))


def concat(node: ir.Node, known: Known) -> Lift | None:
    """Vectors behind one another are channels behind one another."""
    shape, axis = float_shape(node.outputs[0]), node.attributes["axis"].as_int()
    vectors = [known[v] for v in node.inputs if v is not None and v in known]
    if shape is None or len(vectors) != len(node.inputs) or any(v.shape[2:] != (1, 1) for v in vectors):
        return None
    batch = vectors[0].shape[0]
    if prod(shape[: axis % len(shape)]) != batch:
        return None
    joined = (batch, sum(v.length for v in vectors), 1, 1)
    inputs = [v for v in node.inputs if v is not None]
    return Lift(Vector(joined), lambda op, made: carry(op, node, [made[v] for v in inputs], axis=1))


def softmax(node: ir.Node, known: Known) -> Lift | None:
    """A softmax over the whole vector is one over the channels."""
    x = node.inputs[0]
    shape = float_shape(x)
    if x is None or x not in known or shape is None or known[x].shape[2:] != (1, 1):
        return None
    vector, newer = known[x], opset_of(node) >= 13
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else -1 if newer else 1
    taken = shape[axis] if newer else prod(shape[axis % len(shape) :])  # before opset 13 all axes from this one on
    if taken != vector.length or prod(shape) != taken * vector.shape[0]:
        return None
    return Lift(Vector(vector.shape), lambda op, made: carry(op, node, [made[x]], axis=1))


def pool(node: ir.Node, known: Known) -> Lift | None:
    """A reduction of the plane that drops its sides is a global pooling; so is one of the plane flattened to one side."""
    x, out = node.inputs[0], float_shape(node.outputs[0])
    shape = float_shape(x)
    axes = reduction_axes(node)
    if x is None or shape is None or out is None or axes is None or node.op_type not in GLOBAL_POOLS:
        return None
    axes = tuple(sorted(axis % len(shape) for axis in axes))
    if x in known:
        plane = known[x].shape
        whole = shape == (*plane[:2], prod(plane[2:])) and axes == (2,)
    else:
        plane = shape
        whole = len(shape) == 4 and axes == (2, 3) and len(out) == 2
    if not whole:
        return None
    means = (*plane[:2], 1, 1)
    return Lift(Vector(means), lambda op, made: getattr(op, GLOBAL_POOLS[node.op_type])(entering(node, made)))


def kept_pool(node: ir.Node, known: Known) -> Lift | None:
    """A reduction of the plane that drops its sides is the same with its sides kept, where no global pooling helps."""
    lift = pool(node, known)
    if lift is None or node.inputs[0] in known:
        return None
    return Lift(lift.gives, lambda op, _: carry(op, node, node.inputs, keepdims=1))


BASIC: dict[str, Lifter] = {
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze"), view),
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(("Add", "Div", "Max", "Min", "Mul", "Pow", "PRelu", "Sub"), two_operands),
    **dict.fromkeys(GLOBAL_POOLS, pool),
    "BatchNormalization": batch_norm,
    "Concat": concat,
}
