"""What a rule can ask of axes: which, how many, how long, kept or not, and how a transposition orders them."""

from math import prod
from typing import Literal

import onnx_ir as ir

from attnbench.npu.nodes import (
    Predicate,
    Reading,
    Unit,
    Unmeasured,
    axes_of,
    constant_of,
    input_shape,
)


def axes_within(node: ir.Node, limit: list[int]) -> Reading:
    """axes within {limit}"""
    axes = axes_of(node)
    return Reading(set(axes) <= set(limit), f"axes {list(axes)}")


def axes_in(node: ir.Node, limit: list[list[int]]) -> Reading:
    """axes one of {limit}"""
    axes = list(axes_of(node))
    return Reading(axes in limit, f"axes {axes}")


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


def axes_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} axes at once"""
    axes = axes_of(node)
    return Reading(len(axes) <= limit, f"axes {list(axes)}")


def keepdims(node: ir.Node, limit: Literal[0, 1]) -> Reading:
    """keepdims {limit}"""
    kept = node.attributes.get_int("keepdims", 1)
    return Reading(kept == limit, f"keepdims {kept}")


def permutation_in(node: ir.Node, limit: list[list[int]]) -> Reading:
    """a transposition to one of {limit}"""
    order = _permutation(node)
    return Reading(order in limit, f"permutation {order}")


def batch_stays(node: ir.Node, _limit: bool) -> Reading:
    """a transposition that leaves the batch in its place"""
    order = _permutation(node)
    return Reading(order[0] == 0, f"permutation {order}")


def not_batch(node: ir.Node, _limit: bool) -> Reading:
    """axes that are not the batch's"""
    axes = axes_of(node)
    return Reading(0 not in axes, f"axes {list(axes)}")


def steps_of_one(node: ir.Node, _limit: bool) -> Reading:
    """a slice in steps of 1"""
    steps = constant_of(node.inputs[4]) if len(node.inputs) > 4 else [1]
    return Reading(steps is not None and set(steps) <= {1}, f"steps {steps if steps is not None else 'not constant'}")


def last_axis_not_to(node: ir.Node, limit: list[int]) -> Reading:
    """a transposition that does not bring the last axis to {limit}"""
    order = _permutation(node)
    return Reading(order.index(len(order) - 1) not in limit, f"permutation {order}")


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


def positive_steps(node: ir.Node, _limit: bool) -> Reading:
    """a slice in steps above 0"""
    steps = constant_of(node.inputs[4]) if len(node.inputs) > 4 else [1]
    return Reading(steps is not None and min(steps) > 0, f"steps {steps if steps is not None else 'not constant'}")


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


def indices_rank_in(node: ir.Node, limit: list[int]) -> Reading:
    """indices of rank {limit}"""
    order = len(input_shape(node, 1))
    return Reading(order in limit, f"indices of rank {order}")


def indices_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} indices"""
    number = prod(input_shape(node, 1))
    return Reading(number <= limit, f"{number} indices")


def _permutation(node: ir.Node) -> list[int]:
    if "perm" in node.attributes:
        return list(node.attributes["perm"].as_ints())
    return list(range(len(input_shape(node))))[::-1]


PREDICATES: tuple[Predicate, ...] = (
    axes_within,
    axes_in,
    axis_from_end_within,
    axis_length_at_most,
    axes_at_most,
    keepdims,
    permutation_in,
    batch_stays,
    not_batch,
    steps_of_one,
    last_axis_not_to,
    ones_before_axis,
    only_axis_is_long,
    positive_steps,
    slice_multiple_of,
    normalised_axes_in,
    indices_rank_in,
    indices_at_most,
)
