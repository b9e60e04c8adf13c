"""A convolution over the channels, as ECA has it, replaced by one 1x1 convolution with a banded matrix."""

from itertools import product
from typing import Any

import numpy as np
import onnx_ir as ir

from attnbench.npu.rewriting.linear import LIFTERS, RegionRewrite
from attnbench.npu.rewriting.regions import Known, Lift, Made, Vector
from attnbench.npu.rewriting.values import Shape, constant_floats, float_shape
from attnbench.npu.rewriting.writing import conv, weight


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
    kernel = _matrix(node, taps[0, 0], shape[2:], out[2:])[:, :, None, None]
    outputs = len(kernel)

    def make(op: Any, made: Made) -> ir.Value:
        shift = None if third is None else weight(op, f"{third.name}/spread", np.repeat(bias, outputs))
        return conv(op, made[x], weight(op, f"{second.name}/banded", kernel), shift)

    return Lift(Vector((vector.shape[0], outputs, 1, 1)), make)


def _matrix(node: ir.Node, taps: np.ndarray, plane: Shape, out: Shape) -> np.ndarray:
    """The matrix that a convolution of a plane multiplies by, with rows for outputs and columns for inputs."""
    axes = len(plane)

    def window(name: str, default: int, length: int) -> list[int]:
        return list(node.attributes[name].as_ints()) if name in node.attributes else [default] * length

    strides, dilations, pads = window("strides", 1, axes), window("dilations", 1, axes), window("pads", 0, 2 * axes)
    matrix = np.zeros((*out, *plane), np.float32)
    for to in product(*map(range, out)):
        for tap in product(*map(range, taps.shape)):
            steps = zip(to, strides, tap, dilations, pads[:axes], strict=True)
            start = [t * stride + k * far - pad for t, stride, k, far, pad in steps]
            if all(0 <= s < side for s, side in zip(start, plane, strict=True)):
                matrix[(*to, *start)] += taps[tap]
    return matrix.reshape(int(np.prod(out)), int(np.prod(plane)))


CHANNEL_CONVOLUTIONS = RegionRewrite(
    "convolution over channels as 1x1", LIFTERS | {"Conv": sliding}, lambda one: "Conv" in one.ops
)
"""A convolution that slides over the channel means, with its views: ``[k]`` on ``[N, 1, C]``, ``1 x k`` on a row.

Exact: sliding a kernel over zero-padded means is the product with the matrix that has the kernel along its diagonal, and a
1x1 convolution of ``[N, C, 1, 1]`` is a product with a matrix. The zeros it stores add nothing; it pays C * C weights."""
