"""What a rule can ask of shapes: rank, channels, plane, elements."""

from math import prod

import onnx_ir as ir

from attnbench.targets.nodes import (
    Predicate,
    Reading,
    channels_of,
    input_shape,
    output_shape,
    plane_of,
    shape_of,
    text,
    variable_inputs,
)


def rank(node: ir.Node, limit: int) -> Reading:
    """a tensor of rank {limit}"""
    shape = input_shape(node)
    return Reading(len(shape) == limit, f"rank {len(shape)}")


def rank_at_most(node: ir.Node, limit: int) -> Reading:
    """tensors of rank {limit} at most"""
    ranks = [len(shape_of(value)) for value in (*variable_inputs(node), *node.outputs[:1])]
    return Reading(max(ranks) <= limit, f"rank {max(ranks)}")


def long_sides_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} sides longer than 1"""
    most = max(sum(side != 1 for side in shape_of(value)) for value in (*variable_inputs(node), *node.outputs[:1]))
    return Reading(most <= limit, f"{most} sides longer than 1")


def channels_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} channels"""
    channels = channels_of(input_shape(node))
    return Reading(channels <= limit, f"{channels} channels")


def output_channels_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} output channels"""
    channels = channels_of(output_shape(node))
    return Reading(channels <= limit, f"{channels} output channels")


def output_channels_multiple_of(node: ir.Node, limit: int) -> Reading:
    """output channels a multiple of {limit}"""
    channels = channels_of(output_shape(node))
    return Reading(channels % limit == 0, f"{channels} output channels")


def plane_at_most(node: ir.Node, limit: int) -> Reading:
    """a plane of height times width at most {limit}"""
    plane = plane_of(input_shape(node))
    return Reading(prod(plane) <= limit, f"plane {text(plane)} = {prod(plane)}")


def sides_at_most(node: ir.Node, limit: int) -> Reading:
    """height and width at most {limit}"""
    plane = plane_of(input_shape(node))
    return Reading(max(plane, default=1) <= limit, f"plane {text(plane)}")


def sides_at_least(node: ir.Node, limit: int) -> Reading:
    """height and width at least {limit}"""
    plane = plane_of(input_shape(node))
    return Reading(min(plane, default=1) >= limit, f"plane {text(plane)}")


def sides_multiple_of(node: ir.Node, limit: int) -> Reading:
    """output height and width multiples of {limit}"""
    plane = plane_of(output_shape(node))
    return Reading(all(side % limit == 0 for side in plane), f"output plane {text(plane)}")


def dimensions_at_most(node: ir.Node, limit: int) -> Reading:
    """every side behind the batch at most {limit}"""
    sides = [side for value in (*variable_inputs(node), *node.outputs[:1]) for side in shape_of(value)[1:]]
    return Reading(max(sides, default=1) <= limit, f"a side of {max(sides, default=1)}")


def elements_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} elements an image"""
    elements = prod(input_shape(node)[1:])
    return Reading(elements <= limit, f"{elements} elements an image")


def batch_at_most(node: ir.Node, limit: int) -> Reading:
    """a batch of at most {limit}"""
    batch = input_shape(node)[0]
    return Reading(batch <= limit, f"batch {batch}")


PREDICATES: tuple[Predicate, ...] = (
    rank,
    rank_at_most,
    long_sides_at_most,
    channels_at_most,
    output_channels_at_most,
    output_channels_multiple_of,
    plane_at_most,
    sides_at_most,
    sides_at_least,
    sides_multiple_of,
    dimensions_at_most,
    elements_at_most,
    batch_at_most,
)
