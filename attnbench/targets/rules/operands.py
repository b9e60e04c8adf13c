"""What a rule can ask of operands: how two meet, which are constant, and what values attributes and constants have."""

from math import inf, isclose, log2
from typing import Any

import onnx
import onnx.defs
import onnx.helper
import onnx_ir as ir

from attnbench.targets.nodes import (
    Predicate,
    Reading,
    Unmeasured,
    broadcast_of,
    channels_of,
    constant_of,
    input_shape,
    is_constant,
    output_shape,
    shape_of,
    text,
)


def broadcast(node: ir.Node, limit: list[str]) -> Reading:
    """operands that meet as one of {limit}"""
    kind = broadcast_of(node)
    return Reading(kind in limit, f"operands {' and '.join(text(shape_of(v)) for v in node.inputs if v is not None)}")


def constant_inputs(node: ir.Node, limit: list[int]) -> Reading:
    """constant inputs {limit} (counted from 0)"""
    loose = [i for i in limit if i < len(node.inputs) and node.inputs[i] is not None and not is_constant(node.inputs[i])]
    return Reading(not loose, f"input {loose[0]} is not constant" if loose else "constant")


def constants_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} constant operands"""
    number = sum(is_constant(value) for value in node.inputs)
    return Reading(number <= limit, f"{number} constant operands")


def inputs_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} inputs"""
    number = sum(value is not None for value in node.inputs)
    return Reading(number <= limit, f"{number} inputs")


def attributes(node: ir.Node, limit: dict[str, Any]) -> Reading:
    """attributes {limit}"""
    seen = {name: _attribute(node, name) for name in limit}
    return Reading(all(_equal(seen[name], wanted) for name, wanted in limit.items()), f"attributes {seen}")


def attributes_in(node: ir.Node, limit: dict[str, list[Any]]) -> Reading:
    """attributes one of {limit}"""
    seen = {name: _attribute(node, name) for name in limit}
    return Reading(
        all(any(_equal(seen[name], one) for one in wanted) for name, wanted in limit.items()), f"attributes {seen}"
    )


def constant_shape_in(node: ir.Node, limit: list[str]) -> Reading:
    """constant operands shaped as one of {limit}, where C is 1 or the channels"""
    channels = channels_of(output_shape(node))
    shapes = [shape_of(value) for value in node.inputs if is_constant(value)]
    for shape in shapes:
        if not any(_fits(shape, pattern, channels) for pattern in limit):
            return Reading(False, f"a constant of shape {list(shape)}")
    return Reading(
        True, f"constants of shape {', '.join(str(list(shape)) for shape in shapes)}" if shapes else "no constant"
    )


def clip_in(node: ir.Node, limit: list[list[float]]) -> Reading:
    """clipping to one of {limit}"""
    low, high = _bounds(node)
    known = any(_equal(low, bottom) and _equal(high, top) for bottom, top in limit)
    return Reading(known, f"clips to [{low:g}, {high:g}]")


def clip_from(node: ir.Node, limit: float) -> Reading:
    """clipping from {limit} on"""
    low, high = _bounds(node)
    return Reading(_equal(low, limit) and high >= limit, f"clips to [{low:g}, {high:g}]")


def clip_around_zero(node: ir.Node, _limit: bool) -> Reading:
    """clipping from 0 or below to above 0"""
    low, high = _bounds(node)
    return Reading(low <= 0 < high, f"clips to [{low:g}, {high:g}]")


def exponent_in(node: ir.Node, limit: list[float]) -> Reading:
    """a constant exponent of {limit}"""
    exponent = constant_of(node.inputs[1])
    within = exponent is not None and len(exponent) == 1 and any(_equal(exponent[0], one) for one in limit)
    return Reading(within, f"exponent {exponent if exponent is not None else 'not constant'}")


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


def resizes_plane_only(node: ir.Node, _limit: bool) -> Reading:
    """resizing of height and width only"""
    before, after = input_shape(node), output_shape(node)
    return Reading(before[:2] == after[:2], f"{text(before)} to {text(after)}")


def only_before(node: ir.Node, limit: list[str]) -> Reading:
    """consumers that are all one of {limit}"""
    consumers = sorted({use.node.op_type for output in node.outputs for use in output.uses()})
    return Reading(set(consumers) <= set(limit), f"read by {', '.join(consumers) or 'the output'}")


def _fits(shape: tuple[int, ...], pattern: str, channels: int) -> bool:
    if len(shape) != len(pattern):
        return False
    return all(side == 1 or (sign == "C" and side == channels) for side, sign in zip(shape, pattern, strict=True))


def _scales(node: ir.Node) -> list[float]:
    before, after = input_shape(node), output_shape(node)
    return [new / old for old, new in zip(before[2:], after[2:], strict=True)]


def _plain(numbers: list[float]) -> list[float]:
    return [float(f"{number:g}") for number in numbers]


def _bounds(node: ir.Node) -> tuple[float, float]:
    found = []
    for index, name, default in ((1, "min", -inf), (2, "max", inf)):
        value = node.inputs[index] if len(node.inputs) > index else None
        if name in node.attributes:
            found.append(node.attributes[name].as_float())
        elif value is None:
            found.append(default)
        else:
            constant = constant_of(value)
            if not constant:
                raise Unmeasured(f"a {name} that is not constant")
            found.append(float(constant[0]))
    return found[0], found[1]


def _attribute(node: ir.Node, name: str) -> Any:
    if name in node.attributes:
        value = node.attributes[name].value
        return list(value) if isinstance(value, tuple | list) else value
    schema = onnx.defs.get_schema(node.op_type, node.version or onnx.defs.onnx_opset_version(), node.domain)
    default = schema.attributes[name].default_value if name in schema.attributes else None
    if default is None or not default.type:
        return None
    value = onnx.helper.get_attribute_value(default)
    return value.decode() if isinstance(value, bytes) else value


def _equal(seen: Any, wanted: Any) -> bool:
    if isinstance(seen, float) or isinstance(wanted, float):
        return seen is not None and isclose(float(seen), float(wanted), rel_tol=1e-3, abs_tol=1e-9)
    return seen == wanted


PREDICATES: tuple[Predicate, ...] = (
    broadcast,
    constant_inputs,
    constants_at_most,
    inputs_at_most,
    attributes,
    attributes_in,
    constant_shape_in,
    clip_in,
    clip_from,
    clip_around_zero,
    exponent_in,
    pads_with_zero,
    pads_plane_only,
    scales_at_most,
    scales_at_least,
    whole_scales,
    equal_scales,
    power_of_two_scales,
    resizes_plane_only,
    only_before,
)
