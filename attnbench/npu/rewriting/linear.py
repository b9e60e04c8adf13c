"""Linear layers as convolutions, and views that a vector at rank 4 does not need."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from attnbench.graph.canonicalise import GLOBAL_POOLS
from attnbench.npu.rewriting.lifters import BASIC, kept_pool, lifters, softmax
from attnbench.npu.rewriting.matching import Match
from attnbench.npu.rewriting.regions import Known, Lift, Lifter, Made, Region, Vector, regions
from attnbench.npu.rewriting.values import constant_floats, float_shape
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
        kept = {one.nodes: one.ways() for one in regions(model, {**self.lifters, **lifters(tuple(POOLS), kept_pool)})}
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
    "softmax over channels", LIFTERS | lifters(tuple(SOFTMAXES), softmax), lambda one: bool(one.ops & SOFTMAXES)
)
"""A softmax over a vector, replaced by one over the channels at rank 4, with the view behind it.

Exact: the same numbers are normalised together."""
