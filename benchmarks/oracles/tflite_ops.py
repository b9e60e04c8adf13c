"""How each ONNX op is written as TFLite's: a handler an op, for ``benchmarks/oracles/tflite_form.py``."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import numpy as np
import onnx_ir as ir
from tflite_form import LAST, TO_LAST, Held, NotConverted, Writer, array_of, shape_of
from tflite_planes import conv, norm_of, pad, pool, resize, transposed_conv

from attnbench.npu.nodes import axes_of, constant_of, is_constant

Handler = Callable[[Writer, ir.Node], Any]
Operand = ir.Value | Held | np.ndarray | None
"""A value of the graph, a tensor that is already written, or numbers."""


def two(kind: str) -> Handler:
    """Arithmetic on two operands that broadcast."""

    def write(w: Writer, node: ir.Node) -> Held:
        left, right = node.inputs
        return combined(w, kind, left, right, shape_of(node.outputs[0]))

    return write


def combined(w: Writer, kind: str, left: Operand, right: Operand, shape: Sequence[int]) -> Held:
    """Two operands, each a value of the graph or a tensor already written, of which planes decide how both lie."""
    last = len(shape) == len(LAST) and any(one.last for one in (_as_is(w, left), _as_is(w, right)) if one is not None)
    return w.op(kind, [_laid(w, one, len(shape), last).at for one in (left, right)], shape, last)


def _as_is(w: Writer, one: Operand) -> Held | None:
    return one if isinstance(one, Held) else None if isinstance(one, np.ndarray) else w.held.get(one)


def _laid(w: Writer, one: Operand, rank: int, last: bool) -> Held:
    held = _as_is(w, one)
    if held is None:  # a constant
        array = one if isinstance(one, np.ndarray) else array_of(one)
        if last:
            array = array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(LAST)
        return Held(w.weights(array)[0], array.shape)
    if last and len(held.shape) < rank:
        held = w.reshape(held, (1,) * (rank - len(held.shape)) + held.shape)
    return w.moved(held, last=last)


def several(kind: str) -> Handler:
    """Max, Min and Sum of any number."""

    def write(w: Writer, node: ir.Node) -> Held:
        made = combined(w, kind, node.inputs[0], node.inputs[1], shape_of(node.outputs[0]))
        for more in node.inputs[2:]:
            made = combined(w, kind, made, more, shape_of(node.outputs[0]))
        return made

    return write


def one(kind: str) -> Handler:
    """A function of one element at a time."""

    def write(w: Writer, node: ir.Node) -> Held:
        x = w.known(node.inputs[0])
        more = {"alpha": node.attributes.get_float("alpha", 0.01)} if kind == "LEAKY_RELU" else {}
        return w.op(kind, [x.at], x.shape, x.last, **more)

    return write


def by(w: Writer, kind: str, x: Held, number: float) -> Held:
    """An op with a constant number."""
    return combined(w, kind, x, np.full((1,) * len(x.shape), number, dtype=np.float32), x.shape)


def clip(w: Writer, node: ir.Node) -> Held:
    """Bounds: one of TFLite's four clippings, or a maximum and a minimum."""
    low, high = ((constant_of(node.inputs[i]) or [None])[0] if len(node.inputs) > i else None for i in (1, 2))
    low, high = -inf if low is None else low, inf if high is None else high
    x = w.known(node.inputs[0])
    kinds = {(0, 6): "RELU6", (0, 1): "RELU_0_TO_1", (-1, 1): "RELU_N1_TO_1", (0, inf): "RELU"}
    if (low, high) in kinds:
        return w.op(kinds[low, high], [x.at], x.shape, x.last)
    x = by(w, "MAXIMUM", x, low) if low > -inf else x
    return by(w, "MINIMUM", x, high) if high < inf else x


def hard_sigmoid(w: Writer, node: ir.Node) -> Held:
    """A product, a sum and a clipping."""
    x = by(w, "MUL", w.known(node.inputs[0]), node.attributes.get_float("alpha", 0.2))
    x = by(w, "ADD", x, node.attributes.get_float("beta", 0.5))
    return w.op("RELU_0_TO_1", [x.at], x.shape, x.last)


def power(w: Writer, node: ir.Node) -> Held:
    """A square as a product, else a power."""
    x, exponent = w.known(node.inputs[0]), constant_of(node.inputs[1])
    if exponent == [2]:
        return w.op("MUL", [x.at, x.at], x.shape, x.last)
    return by(w, "POW", x, float(exponent[0])) if exponent and len(exponent) == 1 else two("POW")(w, node)


def reciprocal(w: Writer, node: ir.Node) -> Held:
    """One divided by it."""
    x = w.known(node.inputs[0])
    return combined(w, "DIV", np.ones((1,) * len(x.shape), dtype=np.float32), x, x.shape)


def reduced(w: Writer, kind: str, x: Held, axes: Sequence[int], keep: bool) -> Held:
    """A reduction, which first keeps the axes as sides of 1."""
    shape = tuple(1 if axis in axes else side for axis, side in enumerate(x.shape))
    at = [TO_LAST[axis] if x.last else axis for axis in axes]
    made = w.op(kind, [x.at, w.numbers(sorted(at))], shape, x.last, keepDims=True)
    return made if keep else w.reshape(made, [side for axis, side in enumerate(shape) if axis not in axes])


def reduce(kind: str) -> Handler:
    """A reduction by TFLite's kind; ``L2`` is written in parts."""

    def write(w: Writer, node: ir.Node) -> Held:
        x, keep = w.known(node.inputs[0]), bool(node.attributes.get_int("keepdims", 1))
        axes = range(2, len(x.shape)) if node.op_type.startswith("Global") else axes_of(node)
        if kind != "L2":
            return reduced(w, kind, x, list(axes), keep)
        square = w.op("MUL", [x.at, x.at], x.shape, x.last)
        total = reduced(w, "SUM", square, list(axes), keep)
        return w.op("SQRT", [total.at], total.shape, total.last)

    return write


def softmax(w: Writer, node: ir.Node) -> Held:
    """Softmax along the last axis, with transpositions around it where it is another."""
    x, (axis,) = w.known(node.inputs[0]), axes_of(node)
    if x.last and axis == 1:
        return w.op("SOFTMAX", [x.at], x.shape, True, beta=1.0)
    x = w.moved(x, last=False)
    order = [i for i in range(len(x.shape)) if i != axis] + [axis]
    turned = transposed(w, x, order)
    made = w.op("SOFTMAX", [turned.at], turned.shape, beta=1.0)
    return transposed(w, made, [order.index(i) for i in range(len(order))])


def transposed(w: Writer, x: Held, order: Sequence[int]) -> Held:
    """A tensor with its axes in another order."""
    shape = [x.shape[i] for i in order]
    return x if list(order) == sorted(order) else w.op("TRANSPOSE", [x.at, w.numbers(list(order))], shape)


def transpose(w: Writer, node: ir.Node) -> Held:
    """A transposition, of ONNX's order."""
    x = w.plain(node.inputs[0])
    order = node.attributes["perm"].as_ints() if "perm" in node.attributes else range(len(x.shape))[::-1]
    return transposed(w, x, list(order))


def reshape(w: Writer, node: ir.Node) -> Held:
    """Any change of shape."""
    return w.reshape(w.known(node.inputs[0]), shape_of(node.outputs[0]))


def expand(w: Writer, node: ir.Node) -> Held:
    """An expansion to a shape."""
    x, shape = w.plain(node.inputs[0]), shape_of(node.outputs[0])
    return w.op("BROADCAST_TO", [x.at, w.numbers(shape)], shape)


def tile(w: Writer, node: ir.Node) -> Held:
    """Repetition along axes."""
    x, times = w.known(node.inputs[0]), constant_of(node.inputs[1])
    if times is None:
        raise NotConverted("Tile by computed numbers")
    return w.op("TILE", [x.at, w.numbers([times[i] for i in LAST] if x.last else times)], shape_of(node.outputs[0]), x.last)


def concat(w: Writer, node: ir.Node) -> Held:
    """A concatenation, with channels last where a part has them there."""
    shape = shape_of(node.outputs[0])
    last = len(shape) == len(LAST) and any(w.held[v].last for v in node.inputs if v in w.held)
    axis = node.attributes["axis"].as_int() % len(shape)
    parts = [_laid(w, value, len(shape), last).at for value in node.inputs]
    return w.op("CONCATENATION", parts, shape, last, axis=TO_LAST[axis] if last else axis)


def split(w: Writer, node: ir.Node) -> list[Held]:
    """Parts along an axis."""
    x, (axis,) = w.known(node.inputs[0]), axes_of(node)
    shapes = [shape_of(value) for value in node.outputs]
    inputs = [x.at, w.numbers([shape[axis] for shape in shapes]), w.numbers(TO_LAST[axis] if x.last else axis)]
    return w.ops("SPLIT_V", inputs, shapes, x.last, numSplits=len(shapes))


def slice_(w: Writer, node: ir.Node) -> Held:
    """A slice forwards, with bounds inside the tensor."""
    x = w.known(node.inputs[0])
    starts, ends = (constant_of(node.inputs[i]) for i in (1, 2))
    axes = constant_of(node.inputs[3]) if len(node.inputs) > 3 else list(range(len(starts)))
    steps = constant_of(node.inputs[4]) if len(node.inputs) > 4 else [1] * len(starts)
    begin, end, stride = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
    for axis, start, stop, step in zip(axes, starts, ends, steps, strict=True):
        side = x.shape[axis]
        if step < 1:
            raise NotConverted("a slice backwards")
        begin[axis] = min(max(start + side if start < 0 else start, 0), side)
        end[axis], stride[axis] = min(max(stop + side if stop < 0 else stop, 0), side), step
    if x.last:
        begin, end, stride = ([part[i] for i in LAST] for part in (begin, end, stride))
    return w.op("STRIDED_SLICE", [x.at, *map(w.numbers, (begin, end, stride))], shape_of(node.outputs[0]), x.last)


def gather(w: Writer, node: ir.Node) -> Held:
    """Picking by constant indices."""
    if not is_constant(node.inputs[1]) or node.inputs[0] not in w.held:
        raise NotConverted("Gather of computed indices")
    x, (axis,) = w.plain(node.inputs[0]), axes_of(node)
    indices = np.asarray(array_of(node.inputs[1])) % x.shape[axis]
    return w.op("GATHER", [x.at, w.numbers(indices)], shape_of(node.outputs[0]), axis=axis)


def batch_norm(w: Writer, node: ir.Node) -> Held:
    """A batch normalisation by itself: a product and a sum."""
    x = w.known(node.inputs[0])
    gain, shift = (part.reshape(1, -1, *[1] * (len(x.shape) - 2)).astype(np.float32) for part in norm_of(node))
    return combined(w, "ADD", combined(w, "MUL", x, gain, x.shape), shift, x.shape)


def matmul(w: Writer, node: ir.Node) -> Held:
    """A product with weights as a dense layer, else of two computed matrices."""
    shape = shape_of(node.outputs[0])
    if is_constant(node.inputs[1]) and len(shape_of(node.inputs[1])) == 2:
        return dense(w, w.plain(node.inputs[0]), array_of(node.inputs[1]).T, None, shape)
    left, right = (_laid(w, value, len(shape), False) for value in node.inputs)
    return w.op("BATCH_MATMUL", [left.at, right.at], shape)


def dense(w: Writer, x: Held, weight: np.ndarray, bias: np.ndarray | None, shape: Sequence[int]) -> Held:
    """A fully connected layer; ``weight`` has a row an output."""
    filters, scales = w.weights(weight)
    inputs = [x.at, filters, -1 if bias is None else w.bias(bias, x, scales)]
    return w.op("FULLY_CONNECTED", inputs, shape, keepNumDims=True)


def gemm(w: Writer, node: ir.Node) -> Held:
    """A product with weights and a bias."""
    at = node.attributes
    if (
        not is_constant(node.inputs[1])
        or at.get_int("transA", 0)
        or (at.get_float("alpha", 1.0), at.get_float("beta", 1.0)) != (1, 1)
    ):
        raise NotConverted("Gemm of this form")
    weight = array_of(node.inputs[1])
    bias = array_of(node.inputs[2]).reshape(-1) if len(node.inputs) > 2 else None
    return dense(
        w, w.plain(node.inputs[0]), weight if at.get_int("transB", 0) else weight.T, bias, shape_of(node.outputs[0])
    )


def layer_norm(w: Writer, node: ir.Node) -> Held:
    """Layer normalisation over the last axes, or instance normalisation over the planes, in its parts."""
    instance = node.op_type == "InstanceNormalization"
    x = w.known(node.inputs[0]) if instance else w.plain(node.inputs[0])
    rank = len(x.shape)
    axes = range(2, rank) if instance else range(node.attributes.get_int("axis", -1) % rank, rank)
    apart = combined(w, "SUB", x, reduced(w, "MEAN", x, list(axes), True), x.shape)
    square = w.op("MUL", [apart.at, apart.at], x.shape, apart.last)
    spread = by(w, "ADD", reduced(w, "MEAN", square, list(axes), True), node.attributes.get_float("epsilon", 1e-5))
    root = w.op("RSQRT", [spread.at], spread.shape, spread.last)
    made = combined(w, "MUL", apart, root, x.shape)
    for kind, value in zip(("MUL", "ADD"), node.inputs[1:], strict=False):
        array = array_of(value)
        made = combined(w, kind, made, array.reshape(1, -1, *[1] * (rank - 2)) if instance else array, x.shape)
    return made


def prelu(w: Writer, node: ir.Node) -> Held:
    """A slope for what is below 0."""
    x = w.known(node.inputs[0])
    slope = array_of(node.inputs[1])
    slope = slope.reshape(slope.shape[0], 1, 1).transpose(1, 2, 0) if x.last and slope.ndim == 3 else slope
    return w.op("PRELU", [x.at, w.weights(slope)[0]], x.shape, x.last)


def softplus(w: Writer, node: ir.Node) -> Held:
    """The logarithm of one more than the exponential."""
    x = w.known(node.inputs[0])
    grown = by(w, "ADD", w.op("EXP", [x.at], x.shape, x.last), 1.0)
    return w.op("LOG", [grown.at], x.shape, x.last)


def same(w: Writer, node: ir.Node) -> Held:
    """Nothing."""
    return w.known(node.inputs[0])


HANDLERS = {
    "Add": two("ADD"), "Sub": two("SUB"), "Mul": two("MUL"), "Div": two("DIV"), "Max": several("MAXIMUM"),
    "Min": several("MINIMUM"), "Sum": several("ADD"), "Relu": one("RELU"), "Sigmoid": one("LOGISTIC"),
    "Tanh": one("TANH"), "HardSwish": one("HARD_SWISH"), "Gelu": one("GELU"), "LeakyRelu": one("LEAKY_RELU"),
    "Elu": one("ELU"), "Exp": one("EXP"), "Log": one("LOG"), "Abs": one("ABS"), "Neg": one("NEG"), "Sqrt": one("SQRT"),
    "Floor": one("FLOOR"), "Sin": one("SIN"), "Cos": one("COS"), "Clip": clip, "HardSigmoid": hard_sigmoid, "Pow": power,
    "Reciprocal": reciprocal, "PRelu": prelu, "Softplus": softplus, "GlobalAveragePool": reduce("MEAN"),
    "ReduceMean": reduce("MEAN"), "GlobalMaxPool": reduce("REDUCE_MAX"), "ReduceMax": reduce("REDUCE_MAX"),
    "ReduceMin": reduce("REDUCE_MIN"), "ReduceSum": reduce("SUM"), "ReduceL2": reduce("L2"), "Softmax": softmax,
    "Transpose": transpose, "Reshape": reshape, "Flatten": reshape, "Squeeze": reshape, "Unsqueeze": reshape,
    "Expand": expand, "Concat": concat, "Split": split, "Slice": slice_, "Gather": gather, "Pad": pad, "Conv": conv,
    "BatchNormalization": batch_norm, "AveragePool": pool("AVERAGE_POOL_2D"), "MaxPool": pool("MAX_POOL_2D"),
    "MatMul": matmul, "Gemm": gemm, "LayerNormalization": layer_norm, "InstanceNormalization": layer_norm,
    "Resize": resize, "Identity": same,
    "ConvTranspose": transposed_conv, "Tile": tile,
}  # fmt: skip
"""By ONNX op, the handler: it takes the writer and the node, and gives what the node's outputs are in the file."""
