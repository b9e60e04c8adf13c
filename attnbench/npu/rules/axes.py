"""What a rule can ask of axes: which, how many, how long, kept or not, and how a transposition orders them."""

from math import prod
from operator import eq, le
from typing import Any, Literal

import onnx_ir as ir

from attnbench.npu.nodes import (
    Reading,
    Unit,
    Unmeasured,
    axes_of,
    constant_of,
    input_shape,
    text,
)
from attnbench.npu.rules.asking import all_in, ask, one_of


def _axes(node: ir.Node) -> list[int]:
    return list(axes_of(node))


def _permutation(node: ir.Node) -> list[int]:
    if "perm" in node.attributes:
        return list(node.attributes["perm"].as_ints())
    return list(range(len(input_shape(node))))[::-1]


def _steps(node: ir.Node) -> list[Any] | None:
    return constant_of(node.inputs[4]) if len(node.inputs) > 4 else [1]


def _steps_text(steps: list[Any] | None) -> str:
    return f"steps {steps if steps is not None else 'not constant'}"


axes_within = ask("axes within {limit}", _axes, "axes {}", all_in, list[int])
axes_in = ask("axes one of {limit}", _axes, "axes {}", one_of, list[list[int]])
axes_at_most = ask("at most {limit} axes at once", _axes, "axes {}", lambda axes, limit: len(axes) <= limit, int)
keepdims = ask("keepdims {limit}", lambda node: node.attributes.get_int("keepdims", 1), "keepdims {}", eq, Literal[0, 1])
permutation_in = ask("a transposition to one of {limit}", _permutation, "permutation {}", one_of, list[list[int]])
batch_stays = ask(
    "a transposition that leaves the batch in its place", _permutation, "permutation {}", lambda order, _: order[0] == 0
)
not_batch = ask("axes that are not the batch's", _axes, "axes {}", lambda axes, _: 0 not in axes)
steps_of_one = ask("a slice in steps of 1", _steps, _steps_text, lambda steps, _: steps is not None and set(steps) <= {1})
positive_steps = ask("a slice in steps above 0", _steps, _steps_text, lambda steps, _: steps is not None and min(steps) > 0)
indices_rank_in = ask(
    "indices of rank {limit}", lambda node: len(input_shape(node, 1)), "indices of rank {}", one_of, list[int]
)
reduced_elements_at_most = ask(
    "a reduction of at most {limit} elements to one",
    lambda node: prod(input_shape(node)[axis] for axis in axes_of(node)),
    "{} elements to one",
    le,
    int,
)
indices_at_most = ask("at most {limit} indices", lambda node: prod(input_shape(node, 1)), "{} indices", le, int)


def axis_from_end_within(node: ir.Node, limit: list[int]) -> Reading:
    """axes, counted from the end, within {limit}"""
    order = len(input_shape(node))
    axes = [axis - order for axis in axes_of(node)]
    return Reading(set(axes) <= set(limit), f"axes {axes} of rank {order}")


def axis_length_at_most(node: ir.Node, limit: int) -> Reading:
    """an axis of at most {limit} elements"""
    shape = input_shape(node)
    length = max(shape[axis] for axis in axes_of(node))
    return Reading(length <= limit, f"{length} elements along the axis")


def last_axis_not_to(node: ir.Node, limit: list[int]) -> Reading:
    """a transposition that does not bring the last axis to {limit}"""
    order = _permutation(node)
    return Reading(order.index(len(order) - 1) not in limit, f"permutation {order}")


def plane_beside_axis_at_most(node: ir.Node, limit: int) -> Reading:
    """last two sides beside the axis that come to at most {limit}"""
    axes = axes_of(node)
    sides = [side for axis, side in enumerate(input_shape(node)) if axis not in axes][-2:]
    return Reading(prod(sides) <= limit, f"sides {sides} beside the axis = {prod(sides)}")


def keeps_depth_or_is_thin(node: ir.Node, _limit: bool) -> Reading:
    """a reduction that keeps the channels (of rank 4 axis 1, else the last), or a side of 1 among the last three"""
    shape, axes = input_shape(node), axes_of(node)
    depth = 1 if len(shape) == len("NCHW") else len(shape) - 1
    within = depth not in axes or 1 in (1, 1, *shape)[-3:]
    return Reading(within, f"axes {list(axes)} of {text(shape)}")


def adds_last_axis(node: ir.Node, _limit: bool) -> Reading:
    """one new axis, behind all others"""
    axes, order = axes_of(node), len(input_shape(node))
    return Reading(list(axes) == [order], f"axes {list(axes)} of rank {order + len(axes)}")


def ones_before_axis(node: ir.Node, _limit: bool) -> Reading:
    """sides of 1 before the axis"""
    shape = input_shape(node)
    before = shape[: min(axes_of(node))]
    return Reading(set(before) <= {1}, f"sides {list(before)} before the axis")


def only_axis_is_long(node: ir.Node, _limit: bool) -> Reading:
    """sides of 1 beside the batch and the axis"""
    shape, axes = input_shape(node), axes_of(node)
    others = [side for axis, side in enumerate(shape) if axis and axis not in axes]
    return Reading(set(others) <= {1}, f"sides {others} beside the axis")


def slice_multiple_of(node: ir.Node, limit: Unit) -> Reading:
    """a slice that begins and ends at multiples of {limit}"""
    starts, ends = (constant_of(node.inputs[index]) for index in (1, 2))
    if starts is None or ends is None:
        raise Unmeasured("ends of a slice that are not constant")
    axes = constant_of(node.inputs[3]) if len(node.inputs) > 3 else None
    lengths = [input_shape(node)[axis] for axis in (range(len(starts)) if axes is None else axes)]
    at = [
        min(max(place + length if place < 0 else place, 0), length)
        for places in (starts, ends)
        for place, length in zip(places, lengths, strict=True)
    ]
    return Reading(all(place % limit == 0 for place in at), f"from {at[: len(at) // 2]} to {at[len(at) // 2 :]}")


def normalised_axes_in(node: ir.Node, limit: list[list[int]]) -> Reading:
    """normalised axes one of {limit}"""
    order = len(input_shape(node))
    axes = list(range(axes_of(node)[0], order))
    return Reading(axes in limit, f"axes {axes}")
