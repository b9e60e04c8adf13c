"""What a rule can ask of resizing and padding: factors, directions, which sides."""

from math import log2

import onnx_ir as ir

from attnbench.npu.nodes import Predicate, Reading, Unmeasured, constant_of, input_shape, output_shape, text


def scales_at_most(node: ir.Node, limit: float) -> Reading:
    """resizing of height and width by at most {limit}"""
    scales = _scales(node)
    return Reading(max(scales) <= limit, f"scales {_plain(scales)}")


def scales_at_least(node: ir.Node, limit: float) -> Reading:
    """resizing of height and width by at least {limit}"""
    scales = _scales(node)
    return Reading(min(scales) >= limit, f"scales {_plain(scales)}")


def whole_scales(node: ir.Node, _limit: bool) -> Reading:
    """resizing by whole numbers"""
    scales = _scales(node)
    return Reading(all(scale == int(scale) for scale in scales), f"scales {_plain(scales)}")


def equal_scales(node: ir.Node, _limit: bool) -> Reading:
    """resizing by the same factor in both directions"""
    scales = _scales(node)
    return Reading(len(set(scales)) == 1, f"scales {_plain(scales)}")


def power_of_two_scales(node: ir.Node, _limit: bool) -> Reading:
    """resizing by powers of two"""
    scales = _scales(node)
    return Reading(all(log2(scale).is_integer() for scale in scales), f"scales {_plain(scales)}")


def scales_not_taller(node: ir.Node, _limit: bool) -> Reading:
    """resizing by no more in height than in width"""
    scales = _scales(node)
    return Reading(scales[0] <= scales[-1], f"scales {_plain(scales)}")


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
    pads = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if pads is None:
        raise Unmeasured("pads that are not constant")
    half = len(pads) // 2
    return Reading(not any(pads[i] for i in (0, 1, half, half + 1) if i < len(pads)), f"pads {pads}")


def pads_axes_within(node: ir.Node, limit: list[int]) -> Reading:
    """padding of axes within {limit}"""
    pads = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if pads is None:
        raise Unmeasured("pads that are not constant")
    order = len(input_shape(node))
    given = constant_of(node.inputs[3]) if len(node.inputs) > 3 else None
    axes = range(order) if given is None else [int(axis) % order for axis in given]
    half = len(pads) // 2
    padded = [axis for axis, low, high in zip(axes, pads[:half], pads[half:], strict=True) if low or high]
    return Reading(set(padded) <= set(limit), f"pads axes {padded}")


def pads_at_most(node: ir.Node, limit: int) -> Reading:
    """padding at most {limit} at each end"""
    pads = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if pads is None:
        raise Unmeasured("pads that are not constant")
    return Reading(max(pads) <= limit, f"pads {pads}")


def _scales(node: ir.Node) -> list[float]:
    before, after = input_shape(node), output_shape(node)
    return [new / old for old, new in zip(before[2:], after[2:], strict=True)]


def _plain(numbers: list[float]) -> list[float]:
    return [float(f"{number:g}") for number in numbers]


PREDICATES: tuple[Predicate, ...] = (
    scales_at_most,
    scales_at_least,
    whole_scales,
    equal_scales,
    power_of_two_scales,
    scales_not_taller,
    resizes_plane_only,
    pads_with_zero,
    pads_plane_only,
    pads_axes_within,
    pads_at_most,
)
