"""What a rule can ask of resizing and padding: factors, directions, which sides."""

from math import log2
from typing import Any

import onnx_ir as ir

from attnbench.npu.nodes import Reading, Unmeasured, constant_of, input_shape, output_shape, text
from attnbench.npu.rules.asking import all_in, ask, not_taller


def _scales(node: ir.Node) -> list[float]:
    before, after = input_shape(node), output_shape(node)
    return [new / old for old, new in zip(before[2:], after[2:], strict=True)]


def _scales_text(scales: list[float]) -> str:
    return f"scales {[float(f'{scale:g}') for scale in scales]}"


def _pads(node: ir.Node) -> list[Any]:
    pads = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if pads is None:
        raise Unmeasured("pads that are not constant")
    return pads


def _padded_axes(node: ir.Node) -> list[int]:
    pads = _pads(node)
    order = len(input_shape(node))
    given = constant_of(node.inputs[3]) if len(node.inputs) > 3 else None
    axes = range(order) if given is None else [int(axis) % order for axis in given]
    half = len(pads) // 2
    return [axis for axis, low, high in zip(axes, pads[:half], pads[half:], strict=True) if low or high]


scales_at_most = ask(
    "resizing of height and width by at most {limit}", _scales, _scales_text, lambda s, limit: max(s) <= limit, float
)
scales_at_least = ask(
    "resizing of height and width by at least {limit}", _scales, _scales_text, lambda s, limit: min(s) >= limit, float
)
whole_scales = ask("resizing by whole numbers", _scales, _scales_text, lambda scales, _: all(s == int(s) for s in scales))
equal_scales = ask("resizing by the same factor in both directions", _scales, _scales_text, lambda s, _: len(set(s)) == 1)
power_of_two_scales = ask(
    "resizing by powers of two", _scales, _scales_text, lambda scales, _: all(log2(s).is_integer() for s in scales)
)
scales_not_taller = ask("resizing by no more in height than in width", _scales, _scales_text, not_taller)
pads_at_most = ask("padding at most {limit} at each end", _pads, "pads {}", lambda pads, limit: max(pads) <= limit, int)
pads_at_least = ask("padding at least {limit} at each end", _pads, "pads {}", lambda pads, limit: min(pads) >= limit, int)
pads_axes_within = ask("padding of axes within {limit}", _padded_axes, "pads axes {}", all_in, list[int])


def resizes_plane_only(node: ir.Node, _limit: bool) -> Reading:
    """resizing of height and width only"""
    before, after = input_shape(node), output_shape(node)
    return Reading(before[:2] == after[:2], f"{text(before)} to {text(after)}")


def pads_with_zero(node: ir.Node, _limit: bool) -> Reading:
    """padding with a constant 0"""
    mode = node.attributes.get_string("mode", "constant")
    value = constant_of(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else [0]
    return Reading(mode == "constant" and value in ([0], [0.0]), f"mode {mode}, value {value}")


def pads_plane_only(node: ir.Node, _limit: bool) -> Reading:
    """padding of height and width only"""
    pads = _pads(node)
    half = len(pads) // 2
    return Reading(not any(pads[i] for i in (0, 1, half, half + 1) if i < len(pads)), f"pads {pads}")


def pads_from_end_within(node: ir.Node, limit: list[int]) -> Reading:
    """padding of axes, counted from the end, within {limit}"""
    order = len(input_shape(node))
    padded = [axis - order for axis in _padded_axes(node)]
    return Reading(set(padded) <= set(limit), f"pads axes {padded} of rank {order}")
