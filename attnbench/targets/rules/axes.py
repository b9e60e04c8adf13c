"""What a rule can ask of axes: which, how many, how long, kept or not, and how a transposition orders them."""

import onnx_ir as ir

from attnbench.targets.nodes import Predicate, Reading, axes_of, constant_of, input_shape


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


def keepdims(node: ir.Node, limit: int) -> Reading:
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
)
