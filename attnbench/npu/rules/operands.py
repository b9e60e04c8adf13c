"""What a rule can ask of operands: how two meet, which are constant and of what shape, how many there are."""

from collections.abc import Iterator
from math import prod
from operator import ge, le

import numpy as np
import onnx_ir as ir

from attnbench.npu.nodes import (
    LETTERS,
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
    types_of,
    variable_inputs,
)
from attnbench.npu.rules.asking import ask


def _given(node: ir.Node, places: list[int]) -> Iterator[tuple[int, ir.Value]]:
    """Those of some inputs that are not left out, with their places."""
    return ((i, value) for i in places if i < len(node.inputs) and (value := node.inputs[i]) is not None)


def _operands_text(node: ir.Node) -> str:
    return f"operands {' and '.join(text(shape_of(value)) for value in node.inputs if value is not None)}"


def _constants(node: ir.Node) -> list[tuple[int, ...]]:
    """The shapes of constant operands."""
    return [shape_of(value) for value in node.inputs if is_constant(value)]


def _constants_text(shapes: list[tuple[int, ...]]) -> str:
    return f"constants of shape {', '.join(str(list(shape)) for shape in shapes) or 'none'}"


vector_constant = ask(
    "a constant operand of one axis", _constants, _constants_text, lambda shapes, _: any(len(shape) == 1 for shape in shapes)
)
constants_at_most = ask(
    "at most {limit} constant operands", lambda node: sum(map(is_constant, node.inputs)), "{} constant operands", le, int
)
inputs_at_most = ask("at most {limit} inputs", lambda node: sum(v is not None for v in node.inputs), "{} inputs", le, int)
inputs_at_least = ask("at least {limit} inputs", lambda node: sum(v is not None for v in node.inputs), "{} inputs", ge, int)
outputs_at_most = ask("at most {limit} outputs", lambda node: sum(bool(v.name) for v in node.outputs), "{} outputs", le, int)


def broadcast(node: ir.Node, limit: list[str]) -> Reading:
    """operands that meet as one of {limit}"""
    kind = broadcast_of(node)
    return Reading(kind in limit, _operands_text(node))


def batch_not_broadcast(node: ir.Node, _limit: bool) -> Reading:
    """variable operands that broadcast along any axis but the batch's"""
    whole = output_shape(node)
    shapes = [shape_of(value) for value in variable_inputs(node)]
    batches = {((1,) * (len(whole) - len(shape)) + shape)[:1] for shape in shapes}
    return Reading(batches <= {whole[:1]}, f"operands {' and '.join(map(text, shapes))}")


def channels_not_broadcast(node: ir.Node, _limit: bool) -> Reading:
    """operands that have all channels, or are one constant number"""
    whole = output_shape(node)
    loose = [v for v in node.inputs if v is not None and not (is_constant(v) and prod(shape_of(v)) == 1)]
    if len(whole) != len(LETTERS) and any(shape_of(v) != whole for v in loose if not is_constant(v)):
        raise Unmeasured(f"the channels of operands of rank {len(whole)}")
    padded = [(1,) * (len(whole) - len(shape_of(v))) + shape_of(v) for v in loose]
    within = len(whole) != len(LETTERS) or all(sides[1] == whole[1] for sides in padded)
    return Reading(within, _operands_text(node))


def vectors_along_last_axis(node: ir.Node, limit: list[int]) -> Reading:
    """inputs {limit} (counted from 0) of shape [N] or [1, N], N being the output's last side"""
    length = output_shape(node)[-1]
    shapes = [shape_of(value) for _, value in _given(node, limit)]
    within = all(shape in ((length,), (1, length)) for shape in shapes)
    return Reading(within, f"shapes {', '.join(str(list(shape)) for shape in shapes) or 'none'} for {length}")


def constant_inputs(node: ir.Node, limit: list[int]) -> Reading:
    """constant inputs {limit} (counted from 0)"""
    loose = [i for i, value in _given(node, limit) if not is_constant(value)]
    return Reading(not loose, f"input {loose[0]} is not constant" if loose else "constant")


def absent_inputs(node: ir.Node, limit: list[int]) -> Reading:
    """inputs {limit} (counted from 0) left out"""
    given = [i for i, value in _given(node, limit) if constant_of(value) != []]
    return Reading(not given, f"input {given[0]} is given" if given else "left out")


def constant_shape_in(node: ir.Node, limit: list[str]) -> Reading:
    """constant operands shaped as one of {limit}, where C is 1 or the channels"""
    channels, shapes = channels_of(output_shape(node)), _constants(node)
    for shape in shapes:
        if not any(_fits(shape, pattern, channels) for pattern in limit):
            return Reading(False, f"a constant of shape {list(shape)}")
    return Reading(True, _constants_text(shapes) if shapes else "no constant")


def some_constant_shape_in(node: ir.Node, limit: list[str]) -> Reading:
    """a constant operand shaped as one of {limit}, where C is 1 or the channels"""
    shapes = _constants(node)
    found = any(_fits(shape, pattern, channels_of(output_shape(node))) for shape in shapes for pattern in limit)
    return Reading(found, _constants_text(shapes))


def slope_by_channel(node: ir.Node, _limit: bool) -> Reading:
    """one slope, or one a channel"""
    slope = input_shape(node, 1)
    long = [side for side in slope if side != 1]
    return Reading(not long or long == [channels_of(input_shape(node))], f"slope of shape {list(slope)}")


def constants_not_zero(node: ir.Node, _limit: bool) -> Reading:
    """constant operands without a 0"""
    tensors = [ir.convenience.get_const_tensor(value) for value in node.inputs if value is not None and is_constant(value)]
    if None in tensors:
        raise Unmeasured("a constant that was not worked out")
    zeros = sum(tensor.size - int(np.count_nonzero(tensor.numpy())) for tensor in tensors if tensor is not None)
    return Reading(not zeros, f"{zeros} factors of 0" if zeros else "no factor of 0")


def element_types(node: ir.Node, limit: list[str]) -> Reading:
    """elements of {limit}"""
    seen = sorted(types_of(node))
    return Reading(set(seen) <= set(limit), f"elements of {' and '.join(seen) or 'any type'}")


def _fits(shape: tuple[int, ...], pattern: str, channels: int) -> bool:
    if len(shape) != len(pattern):
        return False
    return all(side == 1 or (sign == "C" and side == channels) for side, sign in zip(shape, pattern, strict=True))
