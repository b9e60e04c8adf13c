"""What a rule can ask of shapes: rank, channels, plane, elements."""

from math import prod

import onnx_ir as ir

from attnbench.npu.nodes import (
    LETTERS,
    Predicate,
    Reading,
    Unit,
    Unmeasured,
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


def output_channels_multiple_of(node: ir.Node, limit: Unit) -> Reading:
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


def sides_multiple_of(node: ir.Node, limit: Unit) -> Reading:
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
    batch = max((side for value in variable_inputs(node) for side in shape_of(value)[:1]), default=1)
    return Reading(batch <= limit, f"batch {batch}")


def rank_at_least(node: ir.Node, limit: int) -> Reading:
    """a tensor of rank {limit} at least"""
    shape = input_shape(node)
    return Reading(len(shape) >= limit, f"rank {len(shape)}")


def output_rank(node: ir.Node, limit: int) -> Reading:
    """an output of rank {limit}"""
    shape = output_shape(node)
    return Reading(len(shape) == limit, f"output rank {len(shape)}")


def operands_of_rank(node: ir.Node, limit: int) -> Reading:
    """operands that are all of rank {limit}"""
    ranks = [len(shape_of(value)) for value in node.inputs if value is not None]
    return Reading(set(ranks) == {limit}, f"operands of rank {' and '.join(map(str, ranks))}")


def second_rank_in(node: ir.Node, limit: list[int]) -> Reading:
    """a second input of rank {limit}"""
    order = len(input_shape(node, 1))
    return Reading(order in limit, f"second input of rank {order}")


def equal_ranks(node: ir.Node, _limit: bool) -> Reading:
    """operands of the same rank"""
    ranks = [len(shape_of(value)) for value in node.inputs if value is not None]
    return Reading(len(set(ranks)) == 1, f"operands of rank {' and '.join(map(str, ranks))}")


def aligned_elements_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} elements once width is padded to 8 and channels to 4, or channels to 32, whichever is less"""
    sides = (*input_shape(node)[1:], 1, 1)[:3]
    if len(input_shape(node)) > 4:
        raise Unmeasured(f"the alignment of rank {len(input_shape(node))}")
    channels, height, width = sides
    elements = min(_aligned(channels, 4) * height * _aligned(width, 8), _aligned(channels, 32) * height * width)
    return Reading(elements <= limit, f"{elements} aligned elements")


def one_side_differs(node: ir.Node, _limit: bool) -> Reading:
    """an input and an output that differ in no more than one side"""
    before, after = input_shape(node), output_shape(node)
    padded = (1,) * (len(after) - len(before)) + before
    differing = sum(old != new for old, new in zip(padded, after, strict=True))
    return Reading(differing <= 1, f"{text(before)} to {text(after)}")


def equal_parts(node: ir.Node, _limit: bool) -> Reading:
    """parts of equal length"""
    shapes = [shape_of(value) for value in node.outputs]
    return Reading(len(set(shapes)) == 1, f"parts {', '.join(text(shape) for shape in shapes)}")


def one_matrix_behind(node: ir.Node, _limit: bool) -> Reading:
    """a second operand that is one matrix, with leading sides of 1"""
    shape = input_shape(node, 1)
    return Reading(prod(shape[:-2]) == 1, f"second operand {text(shape)}")


def matrix_sides_at_most(node: ir.Node, limit: int) -> Reading:
    """matrices with sides of at most {limit}"""
    side = max(side for index in (0, 1) for side in input_shape(node, index)[-2:])
    return Reading(side <= limit, f"a matrix side of {side}")


def stack_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} matrices along any leading side"""
    side = max((side for index in (0, 1) for side in input_shape(node, index)[:-2]), default=1)
    return Reading(side <= limit, f"{side} matrices along a side")


def stacks_meet(node: ir.Node, _limit: bool) -> Reading:
    """leading sides that are equal, all 1 in the first operand, or 1 in the last ones of the second"""
    stacks = zip(input_shape(node, 0)[:-2], input_shape(node, 1)[:-2], strict=False)
    sides = [(mine, other) for mine, other in stacks if (mine, other) != (1, 1)]
    first_spreads, second_spreads = [mine == 1 for mine, _ in sides], [mine != 1 == other for mine, other in sides]
    one_way = not (any(first_spreads) and any(second_spreads))
    within = one_way and len(set(first_spreads)) < 2 and second_spreads == sorted(second_spreads)
    return Reading(within, f"operands {text(input_shape(node, 0))} and {text(input_shape(node, 1))}")


def output_rank_at_most(node: ir.Node, limit: int) -> Reading:
    """an output of rank {limit} at most"""
    order = len(output_shape(node))
    return Reading(order <= limit, f"output rank {order}")


def width_at_most(node: ir.Node, limit: int) -> Reading:
    """a width of at most {limit}"""
    plane = plane_of(input_shape(node))
    return Reading(not plane or plane[-1] <= limit, f"plane {text(plane)}")


def height_at_least(node: ir.Node, limit: int) -> Reading:
    """a height of at least {limit}"""
    plane = plane_of(input_shape(node))
    return Reading(bool(plane) and plane[0] >= limit, f"plane {text(plane)}")


def plane_multiple_of(node: ir.Node, limit: Unit) -> Reading:
    """a plane of height times width a multiple of {limit}"""
    plane = plane_of(input_shape(node))
    return Reading(prod(plane) % limit == 0, f"plane {text(plane)} = {prod(plane)}")


def width_by_channels_at_most(node: ir.Node, limit: int) -> Reading:
    """width times channels at most {limit}"""
    shape = input_shape(node)
    return Reading(shape[-1] * channels_of(shape) <= limit, f"{shape[-1] * channels_of(shape)} values a row")


def output_sides_at_most(node: ir.Node, limit: int) -> Reading:
    """output height and width at most {limit}"""
    plane = plane_of(output_shape(node))
    return Reading(max(plane, default=1) <= limit, f"output plane {text(plane)}")


def image_at_most(node: ir.Node, limit: list[int]) -> Reading:
    """channels, height and width at most {limit}"""
    shapes = [shape_of(value) for value in (*variable_inputs(node), *node.outputs[:1])]
    images = [shape[1:] for shape in shapes if len(shape) == len(limit) + 1]
    most = tuple(max(sides) for sides in zip(*images, strict=True))
    within = all(side <= top for side, top in zip(most, limit, strict=False))
    return Reading(within, f"image {text(most)}" if most else "no image")


def same_channels(node: ir.Node, _limit: bool) -> Reading:
    """as many output channels as input channels"""
    before, after = channels_of(input_shape(node)), channels_of(output_shape(node))
    return Reading(before == after, f"{before} channels to {after}")


def inner_length_at_most(node: ir.Node, limit: int) -> Reading:
    """sums over at most {limit} products"""
    length = input_shape(node)[-1]
    return Reading(length <= limit, f"sums over {length} products")


def expands_as(node: ir.Node, limit: list[str]) -> Reading:
    """an expansion from one of {limit}"""
    before, after = input_shape(node), output_shape(node)
    sides = zip(LETTERS, (1,) * (len(after) - len(before)) + before, after, strict=False)
    kind = "".join(letter if old == new else "1" for letter, old, new in sides)
    return Reading(len(after) == len(LETTERS) and kind in limit, f"{text(before)} to {text(after)}")


def output_batch_at_most(node: ir.Node, limit: int) -> Reading:
    """an output batch of at most {limit}"""
    batch = next(iter(output_shape(node)), 1)
    return Reading(batch <= limit, f"output batch {batch}")


def _aligned(side: int, unit: int) -> int:
    return -(-side // unit) * unit


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
    rank_at_least,
    output_rank,
    operands_of_rank,
    second_rank_in,
    equal_ranks,
    aligned_elements_at_most,
    one_side_differs,
    equal_parts,
    one_matrix_behind,
    matrix_sides_at_most,
    stack_at_most,
    stacks_meet,
    output_rank_at_most,
    width_at_most,
    height_at_least,
    plane_multiple_of,
    width_by_channels_at_most,
    output_sides_at_most,
    image_at_most,
    same_channels,
    inner_length_at_most,
    expands_as,
    output_batch_at_most,
)
