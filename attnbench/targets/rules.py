"""The predicates that a target's rules may name. Each measures one thing of a node and says whether it is within a limit.

A predicate's docstring is the limit as a user reads it, with the rule's argument for ``{limit}``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from attnbench.graph.canonicalise import reduction_axes


@dataclass(frozen=True)
class Reading:
    """What a predicate saw, and whether that is within the limit."""

    within: bool
    measured: str


Predicate = Callable[[ir.Node, Any], Reading]


def kernel_at_most(node: ir.Node, limit: int) -> Reading:
    """kernel at most {limit} in each direction"""
    kernel = _kernel(node)
    return Reading(max(kernel, default=1) <= limit, f"kernel {'x'.join(map(str, kernel))}")


def rank(node: ir.Node, limit: int) -> Reading:
    """a tensor of rank {limit}"""
    shape = _shape(node.inputs[0])
    return Reading(len(shape) == limit, f"rank {len(shape)}")


def axes_within(node: ir.Node, limit: list[int]) -> Reading:
    """axes within {limit}"""
    axes = _axes(node)
    if axes is None:
        return Reading(False, "all axes, or axes that are not constant")
    return Reading(set(axes) <= set(limit), f"axes {list(axes)}")


def channels_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} channels"""
    channels = _channels(node.inputs[0])
    return Reading(channels <= limit, f"{channels} channels")


def output_channels_multiple_of(node: ir.Node, limit: int) -> Reading:
    """output channels a multiple of {limit}"""
    channels = _channels(node.outputs[0])
    return Reading(channels % limit == 0, f"{channels} output channels")


PREDICATES: dict[str, Predicate] = {
    predicate.__name__: predicate
    for predicate in (kernel_at_most, rank, axes_within, channels_at_most, output_channels_multiple_of)
}


def limit_text(name: str, limit: Any) -> str:
    """The limit of a rule as a user reads it."""
    return (PREDICATES[name].__doc__ or name).format(limit=limit)


def _shape(value: ir.Value | None) -> tuple[Any, ...]:
    return () if value is None or value.shape is None else tuple(value.shape)


def _channels(value: ir.Value | None) -> int:
    shape = _shape(value)
    return int(shape[1]) if len(shape) > 1 else 0


def _kernel(node: ir.Node) -> tuple[int, ...]:
    if "kernel_shape" in node.attributes:
        return tuple(node.attributes["kernel_shape"].as_ints())
    return tuple(int(side) for side in _shape(node.inputs[1])[2:])


def _axes(node: ir.Node) -> tuple[int, ...] | None:
    order = len(_shape(node.inputs[0])) or 4
    if "axis" in node.attributes:
        return (node.attributes["axis"].as_int() % order,)
    axes = reduction_axes(node)
    return None if axes is None else tuple(sorted(axis % order for axis in axes))
