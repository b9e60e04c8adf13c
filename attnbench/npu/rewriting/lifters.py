"""How ops that work on each element or each channel are lifted to rank 4: as they are, on another shape."""

from collections.abc import Sequence
from math import prod

import numpy as np
import onnx_ir as ir

from attnbench.graph.canonicalise import GLOBAL_POOLS, reduction_axes
from attnbench.npu.rewriting.place import Maker, array_of, floats_of, sides
from attnbench.npu.rewriting.vectors import Known, Lift, Lifter, Made, Shape, Vector

ELEMENTWISE = (
    "Abs Celu Clip Dropout Elu Erf Exp Gelu HardSigmoid HardSwish Identity LeakyRelu Log Mish Neg Reciprocal Relu Selu"
    " Sigmoid Sign Softplus Softsign Sqrt Swish Tanh ThresholdedRelu"
).split()


def view(node: ir.Node, known: Known) -> Lift | None:
    """A view that keeps the elements in order is nothing at rank 4. The first one makes a vector of a map."""
    source = node.inputs[0]
    before, after = sides(source), sides(node.outputs[0])
    if source is None or before is None or after is None or not _keeps_order(node, before):
        return None
    vector = known.get(source)
    if vector is None:
        if len(before) != 4 or array_of(source) is not None:
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
    if x is None or x not in known or any(v is not None and array_of(v) is None for v in node.inputs[1:]):
        return None
    shape = known[x].shape
    if node.op_type in ("Dropout", "Identity"):
        trains = len(node.inputs) > 2 and bool(np.any(array_of(node.inputs[2])))
        return None if trains else Lift(known[x], lambda _, made: made[x])
    return Lift(Vector(shape), lambda maker, made: maker.carry(node, [made[x], *node.inputs[1:]], shape))


def two_operands(node: ir.Node, known: Known) -> Lift | None:
    """Two vectors, or one and a constant that is the same for all images, meet element by element at rank 4 as well."""
    a, b = node.inputs
    out = sides(node.outputs[0])
    vectors = [v for v in (a, b) if v is not None and v in known and sides(v) == out]
    if a is None or b is None or not vectors or len({known[v].shape for v in vectors}) > 1:
        return None
    x = vectors[0]
    shape = known[x].shape
    if a in vectors and b in vectors:
        return Lift(Vector(shape), lambda maker, made: maker.carry(node, [made[a], made[b]], shape))
    constant = b if x is a else a
    spread = per_image(constant, out or (), shape)
    if spread is None:
        return None
    if node.op_type == "Add" and _bias_of_product(x):
        return Lift(Vector(shape), lambda maker, made: _biased(maker, node, made[x], constant, spread))

    def make(maker: Maker, made: Made) -> ir.Value:
        weight = maker.weight(f"{constant.name}/rank_4", spread)
        return maker.carry(node, [made[x], weight] if x is a else [weight, made[x]], shape)

    return Lift(Vector(shape), make)


def per_image(constant: ir.Value, out: Shape, shape: Shape) -> np.ndarray | None:
    """A constant operand as it meets each image of a lifted vector; one number stays one. ``None`` where images differ."""
    array = floats_of(constant)
    if array is None:
        return None
    if array.size == 1:
        return array.reshape(1, 1, 1, 1)
    rows = np.broadcast_to(array, out).reshape(shape[0], -1)
    return rows[0].reshape(1, *shape[1:]) if np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape)) else None


def _bias_of_product(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type == "MatMul" and len(value.uses()) == 1 and not value.is_graph_output()


def _biased(maker: Maker, node: ir.Node, product: ir.Value, constant: ir.Value, spread: np.ndarray) -> ir.Value:
    """The sum as the bias of the convolution that the product became."""
    conv = product.producer()
    assert conv is not None  # noqa: S101  the product was lifted to it
    channels = sides(conv.inputs[1])
    bias = np.broadcast_to(spread.reshape(-1), (channels or (0,))[0])
    conv.resize_inputs(3)
    conv.replace_input_with(2, maker.weight(f"{constant.name}/bias" if spread.size == 1 else str(constant.name), bias))
    conv.metadata_props.update(node.metadata_props)
    return product


def batch_norm(node: ir.Node, known: Known) -> Lift | None:
    """Normalising the channels of ``[N, C]`` by stored statistics is the same for ``[N, C, 1, 1]``."""
    x = node.inputs[0]
    shape, trains = sides(x), node.attributes.get_int("training_mode", 0)
    if x is None or x not in known or shape is None or trains:
        return None
    lifted = known[x].shape
    if shape[:2] != lifted[:2] or lifted[2:] != (1, 1):
        return None
    return Lift(Vector(lifted), lambda maker, made: maker.carry(node, [made[x], *node.inputs[1:]], lifted))


def concat(node: ir.Node, known: Known) -> Lift | None:
    """Vectors behind one another are channels behind one another."""
    shape, axis = sides(node.outputs[0]), node.attributes["axis"].as_int()
    vectors = [known[v] for v in node.inputs if v is not None and v in known]
    if shape is None or len(vectors) != len(node.inputs) or any(v.shape[2:] != (1, 1) for v in vectors):
        return None
    batch = vectors[0].shape[0]
    if prod(shape[: axis % len(shape)]) != batch:
        return None
    joined = (batch, sum(v.length for v in vectors), 1, 1)
    inputs = [v for v in node.inputs if v is not None]
    return Lift(Vector(joined), lambda maker, made: maker.carry(node, [made[v] for v in inputs], joined, axis=1))


def softmax(node: ir.Node, known: Known) -> Lift | None:
    """A softmax over the whole vector is one over the channels."""
    x = node.inputs[0]
    shape = sides(x)
    if x is None or x not in known or shape is None or known[x].shape[2:] != (1, 1):
        return None
    vector, graph = known[x], node.graph
    newer = graph is not None and graph.opset_imports.get("", 0) >= 13
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else -1 if newer else 1
    taken = shape[axis] if newer else prod(shape[axis % len(shape) :])  # before opset 13 all axes from this one on
    if taken != vector.length or prod(shape) != taken * vector.shape[0]:
        return None
    return Lift(Vector(vector.shape), lambda maker, made: maker.carry(node, [made[x]], vector.shape, axis=1))


def pool(node: ir.Node, known: Known) -> Lift | None:
    """A reduction of the plane that drops its sides is a global pooling; so is one of the plane flattened to one side."""
    x, out = node.inputs[0], sides(node.outputs[0])
    shape = sides(x)
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
    return Lift(
        Vector(means), lambda maker, made: maker.node(node, GLOBAL_POOLS[node.op_type], [entering(node, made)], means)
    )


def kept_pool(node: ir.Node, known: Known) -> Lift | None:
    """A reduction of the plane that drops its sides is the same with its sides kept, where no global pooling helps."""
    lift = pool(node, known)
    if lift is None or node.inputs[0] in known:
        return None
    return Lift(
        lift.gives,
        lambda maker, _: maker.carry(node, node.inputs, lift.gives.shape, keepdims=1),
    )


def lifters(ops: Sequence[str], lifter: Lifter) -> dict[str, Lifter]:
    """The same lifter for several ops."""
    return dict.fromkeys(ops, lifter)


BASIC: dict[str, Lifter] = {
    **lifters(("Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze"), view),
    **lifters(ELEMENTWISE, elementwise),
    **lifters(("Add", "Div", "Max", "Min", "Mul", "Pow", "PRelu", "Sub"), two_operands),
    **lifters(tuple(GLOBAL_POOLS), pool),
    "BatchNormalization": batch_norm,
    "Concat": concat,
}
