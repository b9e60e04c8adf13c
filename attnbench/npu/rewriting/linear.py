"""Linear layers as convolutions, and views that a vector at rank 4 does not need."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from attnbench.graph.canonicalise import GLOBAL_POOLS
from attnbench.npu.rewriting.lifters import BASIC, kept_pool, lifters, softmax
from attnbench.npu.rewriting.place import Maker, Place, floats_of, sides
from attnbench.npu.rewriting.vectors import Known, Lift, Lifter, Made, Stretch, Vector, stretches

VIEWS = {"Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Dropout", "Identity"}
PRODUCTS = {"Gemm", "MatMul"}
SOFTMAXES = {"Softmax", "LogSoftmax"}
POOLS = set(GLOBAL_POOLS)


def linear_layers(model: ir.Model) -> list[Place]:
    """Linear layers on a pooled vector or a flattened map, replaced by convolutions at rank 4 throughout.

    Exact: a 1x1 convolution of ``[N, C, 1, 1]`` is the product with the same matrix, and a convolution of a map with a
    kernel as large as the map is the product of the flattened map with that matrix; the sums have the same terms. ``alpha``
    and ``beta`` go into weights and bias. Where something that is no vector reads the result, one view remains there.
    """
    return places(model, LIFTERS, "linear layer as convolution", lambda one: bool(one.ops & PRODUCTS))


def pooled_vectors(model: ir.Model) -> list[Place]:
    """Other work on pooled vectors, without views: poolings that drop the plane, activations and sums on ``[N, C]``.

    Exact: each op gets the same numbers in the same order in another shape, and a reduction of the whole plane is what
    GlobalAveragePool and GlobalMaxPool are.
    """

    def computes(one: Stretch) -> bool:
        return not one.ops & PRODUCTS and bool(one.ops - VIEWS) and (one.comes_home() or bool(one.ops & POOLS))

    return places(model, LIFTERS, "pooled vector at rank 4", computes)


def softmaxes(model: ir.Model) -> list[Place]:
    """A softmax over a vector, replaced by one over the channels at rank 4, with the view behind it.

    Exact: the same numbers are normalised together.
    """
    lifting = LIFTERS | lifters(tuple(SOFTMAXES), softmax)
    return places(model, lifting, "softmax over channels", lambda one: bool(one.ops & SOFTMAXES))


def places(model: ir.Model, lifting: Mapping[str, Lifter], rewrite: str, wanted: Callable[[Stretch], bool]) -> list[Place]:
    """The stretches that are wanted, as places. Reductions of the plane become global poolings, or only keep their sides."""
    kept = {one.nodes: one.ways() for one in stretches(model, {**lifting, **lifters(tuple(POOLS), kept_pool)})}
    found = [one for one in stretches(model, lifting) if wanted(one)]
    return [Place(rewrite, o.nodes, (*o.ways(), *(kept.get(o.nodes, ()) if o.ops & POOLS else ()))) for o in found]


def gemm(node: ir.Node, known: Known) -> Lift | None:
    """``alpha * A' * B' + beta * C`` with a vector for A and constants for B and C."""
    x, second = node.inputs[:2]
    weight = floats_of(second)
    if x is None or second is None or x not in known or weight is None:
        return None
    vector, shape = known[x], sides(x)
    rows = vector.shape[0], vector.length
    # transposed, a column is the row of one image
    if shape != (rows[::-1] if node.attributes.get_int("transA", 0) else rows) or (shape != rows and rows[0] != 1):
        return None
    matrix = weight if node.attributes.get_int("transB", 0) else weight.T
    outputs = len(matrix)
    third = node.inputs[2] if len(node.inputs) > 2 else None
    bias = np.zeros(1, np.float32) if third is None else floats_of(third)
    if bias is None:
        return None
    spread = np.broadcast_to(bias, (rows[0], outputs))
    if not np.array_equal(spread, np.broadcast_to(spread[:1], spread.shape)):
        return None
    alpha, beta = (np.float32(node.attributes.get_float(name, 1.0)) for name in ("alpha", "beta"))

    def make(maker: Maker, made: Made) -> ir.Value:
        kernel = (alpha * matrix).reshape(outputs, *vector.shape[1:])
        shift = None if third is None else maker.weight(_named(third, beta), beta * spread[0])
        return maker.conv(node, made[x], maker.weight(f"{_named(second, alpha)}/kernel", kernel), shift)

    return Lift(Vector((rows[0], outputs, 1, 1)), make)


def matmul(node: ir.Node, known: Known) -> Lift | None:
    """``x * B`` with a vector for x, whatever axes of 1 it has before its last, and a constant B."""
    x, second = node.inputs
    weight, shape = floats_of(second), sides(x)
    if x is None or second is None or x not in known or weight is None or shape is None or weight.ndim < 2:
        return None
    vector = known[x]
    length, outputs = weight.shape[-2:]
    if shape[-1] != vector.length or weight.size != length * outputs or length != vector.length:
        return None

    def make(maker: Maker, made: Made) -> ir.Value:
        kernel = weight.reshape(length, outputs).T.reshape(outputs, *vector.shape[1:])
        return maker.conv(node, made[x], maker.weight(f"{second.name}/kernel", kernel))

    return Lift(Vector((vector.shape[0], outputs, 1, 1)), make)


def _named(weight: ir.Value, factor: np.float32) -> str:
    return str(weight.name) if factor == 1 else f"{weight.name}/times_{factor:g}"


LIFTERS: dict[str, Lifter] = BASIC | {"Gemm": gemm, "MatMul": matmul}
