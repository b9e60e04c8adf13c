"""Linear layers and convolutions over the channels as 1x1 convolutions, and views that a vector at rank 4 does not need."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from attnbench.graph.canonicalise import GLOBAL_POOLS
from attnbench.npu.rewriting.lifters import BASIC, kept_pool, softmax
from attnbench.npu.rewriting.matching import Match
from attnbench.npu.rewriting.regions import Known, Lift, Lifter, Made, Region, Vector, regions
from attnbench.npu.rewriting.values import Shape, constant_floats, float_shape
from attnbench.npu.rewriting.writing import conv, weight

VIEWS = {"Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Dropout", "Identity"}
PRODUCTS = {"Gemm", "MatMul"}
SOFTMAXES = {"Softmax", "LogSoftmax"}
POOLS = set(GLOBAL_POOLS)


@dataclass(frozen=True)
class RegionRewrite:
    """A rewrite of whole regions: those that these lifters lift, where they are wanted."""

    name: str
    lifters: Mapping[str, Lifter]
    wanted: Callable[[Region], bool]

    def __call__(self, model: ir.Model) -> list[Match]:
        """The regions of a graph. Reductions of the plane become global poolings, or only keep their sides."""
        kept = {one.nodes: one.ways() for one in regions(model, {**self.lifters, **dict.fromkeys(POOLS, kept_pool)})}
        found = [one for one in regions(model, self.lifters) if self.wanted(one)]
        return [Match(self.name, o.nodes, (*o.ways(), *(kept.get(o.nodes, ()) if o.ops & POOLS else ()))) for o in found]


def gemm(node: ir.Node, known: Known) -> Lift | None:
    """``alpha * A' * B' + beta * C`` with a vector for A and constants for B and C."""
    x, second = node.inputs[:2]
    matrix = constant_floats(second)
    if x is None or second is None or x not in known or matrix is None:
        return None
    vector, shape = known[x], float_shape(x)
    rows = vector.shape[0], vector.length
    # transposed, a column is the row of one image
    if shape != (rows[::-1] if node.attributes.get_int("transA", 0) else rows) or (shape != rows and rows[0] != 1):
        return None
    matrix = matrix if node.attributes.get_int("transB", 0) else matrix.T
    outputs = len(matrix)
    third = node.inputs[2] if len(node.inputs) > 2 else None
    bias = np.zeros(1, np.float32) if third is None else constant_floats(third)
    if bias is None:
        return None
    spread = np.broadcast_to(bias, (rows[0], outputs))
    if not np.array_equal(spread, np.broadcast_to(spread[:1], spread.shape)):
        return None
    alpha, beta = (np.float32(node.attributes.get_float(name, 1.0)) for name in ("alpha", "beta"))

    def make(op: Any, made: Made) -> ir.Value:
        kernel = (alpha * matrix).reshape(outputs, *vector.shape[1:])
        shift = None if third is None else weight(op, _named(third, beta), beta * spread[0])
        return conv(op, made[x], weight(op, f"{_named(second, alpha)}/kernel", kernel), shift)

    return Lift(Vector((rows[0], outputs, 1, 1)), make)


def matmul(node: ir.Node, known: Known) -> Lift | None:
    """``x * B`` with a vector for x, whatever axes of 1 it has before its last, and a constant B."""
    x, second = node.inputs
    matrix, shape = constant_floats(second), float_shape(x)
    if x is None or second is None or x not in known or matrix is None or shape is None or matrix.ndim < 2:
        return None
    vector = known[x]
    length, outputs = matrix.shape[-2:]
    if shape[-1] != vector.length or matrix.size != length * outputs or length != vector.length:
        return None

    def make(op: Any, made: Made) -> ir.Value:
        kernel = matrix.reshape(length, outputs).T.reshape(outputs, *vector.shape[1:])
        return conv(op, made[x], weight(op, f"{second.name}/kernel", kernel))

    return Lift(Vector((vector.shape[0], outputs, 1, 1)), make)


def sliding(node: ir.Node, known: Known) -> Lift | None:
    """A convolution with one input channel and one output channel, along the one axis that holds the vector."""
    x, second = node.inputs[:2]
    taps, shape, out = constant_floats(second), float_shape(x), float_shape(node.outputs[0])
    if x is None or second is None or x not in known or taps is None or shape is None or out is None:
        return None
    vector = known[x]
    plain = node.attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    if not plain or taps.shape[:2] != (1, 1) or shape[:2] != (vector.shape[0], 1) or vector.shape[2:] != (1, 1):
        return None
    third = node.inputs[2] if len(node.inputs) > 2 else None
    bias = np.zeros(1, np.float32) if third is None else constant_floats(third)
    if bias is None:
        return None
    kernel = _banded(node, taps[0, 0], shape[2:], out[2:])[:, :, None, None]
    outputs = len(kernel)

    def make(op: Any, made: Made) -> ir.Value:
        shift = None if third is None else weight(op, f"{third.name}/spread", np.repeat(bias, outputs))
        return conv(op, made[x], weight(op, f"{second.name}/banded", kernel), shift)

    return Lift(Vector((vector.shape[0], outputs, 1, 1)), make)


def _banded(node: ir.Node, taps: np.ndarray, plane: Shape, out: Shape) -> np.ndarray:
    """The matrix that a convolution of a plane multiplies by, with rows for outputs and columns for inputs."""

    def window(name: str, default: int) -> list[int]:
        return list(node.attributes[name].as_ints()) if name in node.attributes else [default] * len(plane)

    matrix = taps
    sides = zip(out, plane, taps.shape, window("strides", 1), window("dilations", 1), window("pads", 0), strict=False)
    for to, side, length, stride, far, pad in sides:
        read = np.arange(to)[:, None, None] * stride + np.arange(length)[:, None] * far - pad
        matrix = np.tensordot(matrix, np.float32(read == np.arange(side)), ((0,), (1,)))
    outputs_first = (*range(0, matrix.ndim, 2), *range(1, matrix.ndim, 2))
    return matrix.transpose(outputs_first).reshape(prod(out), prod(plane))


def _named(old: ir.Value, factor: np.float32) -> str:
    return str(old.name) if factor == 1 else f"{old.name}/times_{factor:g}"


def _computes(region: Region) -> bool:
    other = not region.ops & PRODUCTS and bool(region.ops - VIEWS)
    return other and (region.returns_a_map() or bool(region.ops & POOLS))


LIFTERS: dict[str, Lifter] = BASIC | {"Gemm": gemm, "MatMul": matmul}

LINEAR_LAYERS = RegionRewrite("linear layer as convolution", LIFTERS, lambda one: bool(one.ops & PRODUCTS))
"""Linear layers on a pooled vector or a flattened map, replaced by convolutions at rank 4 throughout.

Exact: a 1x1 convolution of ``[N, C, 1, 1]`` is the product with the same matrix, and a convolution of a map with a kernel as
large as the map is the product of the flattened map with that matrix; the sums have the same terms. ``alpha`` and ``beta``
go into weights and bias. Where something that is no vector reads the result, one view remains there."""

POOLED_VECTORS = RegionRewrite("pooled vector at rank 4", LIFTERS, _computes)
"""Other work on pooled vectors, without views: poolings that drop the plane, activations and sums on ``[N, C]``.

Exact: each op gets the same numbers in the same order in another shape, and a reduction of the whole plane is what
GlobalAveragePool and GlobalMaxPool are."""

SOFTMAXES_OF_VECTORS = RegionRewrite(
    "softmax over channels", LIFTERS | dict.fromkeys(SOFTMAXES, softmax), lambda one: bool(one.ops & SOFTMAXES)
)
"""A softmax over a vector, replaced by one over the channels at rank 4, with the view behind it.

Exact: the same numbers are normalised together."""

CHANNEL_CONVOLUTIONS = RegionRewrite(
    "convolution over channels as 1x1", LIFTERS | {"Conv": sliding}, lambda one: "Conv" in one.ops
)
"""A convolution that slides over the channel means, with its views: ``[k]`` on ``[N, 1, C]``, ``1 x k`` on a row.

Exact: sliding a kernel over zero-padded means is the product with the matrix that has the kernel along its diagonal, and a
1x1 convolution of ``[N, C, 1, 1]`` is a product with a matrix. The zeros it stores add nothing; it pays C * C weights."""
