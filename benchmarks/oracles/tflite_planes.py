"""Ops on planes as TFLite's: convolution, pooling, padding, resizing, for ``benchmarks/oracles/tflite_form.py``."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from ai_edge_litert import schema_py_generated as tfl
from tflite_form import LAST, Held, NotConverted, Writer, array_of, shape_of

from attnbench.npu.nodes import constant_of, is_constant, kernel_of, pads_of, window_of

Sides = Sequence[int]
SAME, VALID = tfl.Padding.SAME, tfl.Padding.VALID


def padded(w: Writer, x: Held, pads: Sequence[int], value: float = 0.0) -> Held:
    """Height and width padded by an op."""
    top, left, bottom, right = pads
    widths = w.numbers([[0, 0], [top, bottom], [left, right], [0, 0]])
    shape = (*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right)
    if value == 0.0:
        return w.op("PAD", [x.at, widths], shape, True)
    if w.int8:
        array = np.array([-128], dtype=np.int8)
        number = w.tensor(f"{w.node}|low", [1], array, ([0.05], [0], 0))
    else:
        number = w.weights(np.array([value]))[0]
    return w.op("PADV2", [x.at, widths, number], shape, True)


def pad(w: Writer, node: ir.Node) -> Held:
    """Padding with 0 or a reflection, by constant widths."""
    x, pads = w.known(node.inputs[0]), constant_of(node.inputs[1])
    if pads is None or (len(node.inputs) > 3 and node.inputs[3] is not None):
        raise NotConverted("Pad with computed widths or axes")
    mode = node.attributes.get_string("mode", "constant")
    if mode not in ("constant", "reflect"):
        raise NotConverted(f"Pad {mode}")
    pairs = list(zip(pads[: len(x.shape)], pads[len(x.shape) :], strict=True))
    widths = w.numbers([pairs[i] for i in LAST] if x.last else pairs)
    return w.op("PAD" if mode == "constant" else "MIRROR_PAD", [x.at, widths], shape_of(node.outputs[0]), x.last)


def _same(sides: Sides, out: Sides, kernel: Sides, strides: Sides, dilations: Sides, pads: Sides) -> bool:
    """Whether TFLite's SAME pads as given."""
    total = [
        max((o - 1) * s + (k - 1) * d + 1 - i, 0)
        for i, o, k, s, d in zip(sides, out, kernel, strides, dilations, strict=True)
    ]
    before = [t // 2 for t in total]
    return list(pads) == [*before, *(t - b for t, b in zip(total, before, strict=True))] and all(
        o == -(-i // s) for i, o, s in zip(sides, out, strides, strict=True)
    )


def conv(w: Writer, node: ir.Node) -> Held:
    """A convolution, with the batch normalisation behind it where only that reads it."""
    if not is_constant(node.inputs[1]) or (
        len(node.inputs) > 2 and node.inputs[2] is not None and not is_constant(node.inputs[2])
    ):
        raise NotConverted("Conv with computed weights")
    weight, group = array_of(node.inputs[1]), node.attributes.get_int("group", 1)
    bias = (
        array_of(node.inputs[2])
        if len(node.inputs) > 2 and node.inputs[2] is not None
        else np.zeros(len(weight), np.float32)
    )
    shape, given = shape_of(node.outputs[0]), shape_of(node.inputs[0])
    kernel, strides, dilations, pads = (
        kernel_of(node),
        window_of(node, "strides"),
        window_of(node, "dilations"),
        pads_of(node),
    )
    uses = list(node.outputs[0].uses())
    norm = (
        uses[0].node
        if len(uses) == 1 and uses[0].node.op_type == "BatchNormalization" and not node.outputs[0].is_graph_output()
        else None
    )
    if norm is not None:
        gain, shift = norm_of(norm)
        weight, bias = weight * gain.reshape(-1, *[1] * (weight.ndim - 1)), bias * gain + shift
    line = len(given) == 3
    if line:
        x = w.moved(w.reshape(w.known(node.inputs[0]), (*given[:2], 1, given[2])), last=True)
        weight, kernel, strides, dilations = weight[:, :, None], (1, *kernel), (1, *strides), (1, *dilations)
        pads, out = (0, pads[0], 0, pads[1]), (*shape[:2], 1, shape[2])
    elif len(given) == len(LAST):
        x, out = w.planes(node.inputs[0]), shape
    else:
        raise NotConverted(f"Conv of rank {len(given)}")
    way = SAME if any(pads) and _same(x.shape[2:], out[2:], kernel, strides, dilations, pads) else VALID
    x = padded(w, x, pads) if any(pads) and way == VALID else x
    depthwise = group > 1 and group == given[1]
    laid = weight.transpose(1, 2, 3, 0) if depthwise else weight.transpose(0, 2, 3, 1)
    filters, scales = w.weights(laid, 3 if depthwise else 0)
    options = {
        "padding": way,
        "strideH": strides[0],
        "strideW": strides[1],
        "dilationHFactor": dilations[0],
        "dilationWFactor": dilations[1],
    }
    options |= {"depthMultiplier": len(weight) // group} if depthwise else {}
    made = w.op(
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x.at, filters, w.bias(bias, x, scales)], out, True, **options
    )
    made = w.reshape(made, shape) if line else made
    if norm is not None:
        w.held[norm.outputs[0]] = made
    return made


def transposed_conv(w: Writer, node: ir.Node) -> Held:
    """A transposed convolution over two axes, whole: without padding, groups, dilation and what is added to its output."""
    shape, group = shape_of(node.outputs[0]), node.attributes.get_int("group", 1)
    strides, odd = window_of(node, "strides"), any(pads_of(node)) or "output_padding" in node.attributes
    if len(shape) != len(LAST) or group != 1 or odd or any(side > 1 for side in window_of(node, "dilations")):
        raise NotConverted("ConvTranspose of this form")
    x, weight = w.planes(node.inputs[0]), array_of(node.inputs[1])
    filters, scales = w.weights(weight.transpose(1, 2, 3, 0), 0)
    sides = w.numbers([shape[i] for i in LAST])
    more = [w.bias(array_of(node.inputs[2]), x, scales)] if len(node.inputs) > 2 else []
    options = {"padding": VALID, "strideH": strides[0], "strideW": strides[1]}
    return w.op("TRANSPOSE_CONV", [sides, filters, x.at, *more], shape, True, **options)


def norm_of(node: ir.Node) -> tuple[np.ndarray, np.ndarray]:
    """The factor and the summand a channel that a batch normalisation is."""
    scale, shift, mean, variance = (array_of(value) for value in node.inputs[1:5])
    gain = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    return gain, shift - mean * gain


def pool(kind: str) -> Callable[[Writer, ir.Node], Any]:
    """Pooling by TFLite's kind."""

    def write(w: Writer, node: ir.Node) -> Held:
        x, shape = w.planes(node.inputs[0]), shape_of(node.outputs[0])
        kernel, strides, pads = kernel_of(node), window_of(node, "strides"), pads_of(node)
        if len(shape) != len(LAST) or any(side > 1 for side in window_of(node, "dilations")) or len(node.outputs) > 1:
            raise NotConverted(f"{node.op_type} of this form")
        way = SAME if any(pads) and _same(x.shape[2:], shape[2:], kernel, strides, (1, 1), pads) else VALID
        average = kind == "AVERAGE_POOL_2D"
        counts = bool(node.attributes.get_int("count_include_pad", 0))
        if any(pads) and (way == VALID or (average and counts)):
            if average and not counts:
                raise NotConverted("AveragePool whose padding is not TFLite's")
            x, way = padded(w, x, pads, 0.0 if average else -3e38), VALID
        return w.op(
            kind,
            [x.at],
            shape,
            True,
            padding=way,
            strideH=strides[0],
            strideW=strides[1],
            filterHeight=kernel[0],
            filterWidth=kernel[1],
        )

    return write


def resize(w: Writer, node: ir.Node) -> Held:
    """Nearest and bilinear resizing, in the ways that both have."""
    x, shape, at = w.planes(node.inputs[0]), shape_of(node.outputs[0]), node.attributes
    mode, way = at.get_string("mode", "nearest"), at.get_string("coordinate_transformation_mode", "half_pixel")
    if len(shape) != len(LAST) or shape[:2] != x.shape[:2] or mode not in ("nearest", "linear"):
        raise NotConverted(f"Resize {mode}")
    if mode == "nearest" and (way, at.get_string("nearest_mode", "round_prefer_floor")) not in (
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
    ):
        raise NotConverted(f"Resize nearest {way}")
    kind = "RESIZE_BILINEAR" if mode == "linear" else "RESIZE_NEAREST_NEIGHBOR"
    return w.op(
        kind,
        [x.at, w.numbers(shape[2:])],
        shape,
        True,
        alignCorners=way == "align_corners",
        halfPixelCenters="half_pixel" in way,
    )
