"""What a rule can ask of shapes: rank, channels, plane, elements."""

from collections.abc import Sequence
from math import prod
from operator import eq, ge, le

import onnx_ir as ir

from attnbench.npu.nodes import (
    LETTERS,
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
from attnbench.npu.rules.asking import ask, each_multiple_of, largest_at_most, multiple_of, one_of


def _channels(node: ir.Node) -> int:
    return channels_of(input_shape(node))


def _output_channels(node: ir.Node) -> int:
    return channels_of(output_shape(node))


def _plane(node: ir.Node) -> tuple[int, ...]:
    return plane_of(input_shape(node))


def _output_plane(node: ir.Node) -> tuple[int, ...]:
    return plane_of(output_shape(node))


def _area_text(plane: Sequence[int]) -> str:
    return f"plane {text(plane)} = {prod(plane)}"


def _shapes(node: ir.Node) -> list[tuple[int, ...]]:
    """The shapes of what a node computes on and of what it gives."""
    return [shape_of(value) for value in (*variable_inputs(node), *node.outputs[:1])]


rank = ask("a tensor of rank {limit}", lambda node: len(input_shape(node)), "rank {}", eq, int)
channels_at_most = ask("at most {limit} channels", _channels, "{} channels", le, int)
output_channels_at_most = ask("at most {limit} output channels", _output_channels, "{} output channels", le, int)
output_channels_multiple_of = ask(
    "output channels a multiple of {limit}", _output_channels, "{} output channels", multiple_of, Unit
)
sides_at_most = ask("height and width at most {limit}", _plane, "plane {}", largest_at_most, int)
sides_at_least = ask(
    "height and width at least {limit}", _plane, "plane {}", lambda p, limit: min(p, default=1) >= limit, int
)
sides_multiple_of = ask(
    "output height and width multiples of {limit}", _output_plane, "output plane {}", each_multiple_of, Unit
)
plane_at_most = ask(
    "a plane of height times width at most {limit}", _plane, _area_text, lambda p, limit: prod(p) <= limit, int
)
plane_multiple_of = ask(
    "a plane of height times width a multiple of {limit}", _plane, _area_text, lambda p, limit: prod(p) % limit == 0, Unit
)
elements_at_most = ask(
    "at most {limit} elements an image", lambda node: prod(input_shape(node)[1:]), "{} elements an image", le, int
)
rank_at_least = ask("a tensor of rank {limit} at least", lambda node: len(input_shape(node)), "rank {}", ge, int)
output_rank = ask("an output of rank {limit}", lambda node: len(output_shape(node)), "output rank {}", eq, int)
output_rank_at_most = ask(
    "an output of rank {limit} at most", lambda node: len(output_shape(node)), "output rank {}", le, int
)
second_rank_in = ask(
    "a second input of rank {limit}", lambda node: len(input_shape(node, 1)), "second input of rank {}", one_of, list[int]
)
width_at_most = ask(
    "a width of at most {limit}", _plane, "plane {}", lambda plane, limit: not plane or plane[-1] <= limit, int
)
height_at_least = ask("a height of at least {limit}", _plane, "plane {}", lambda p, limit: bool(p) and p[0] >= limit, int)
output_sides_at_most = ask("output height and width at most {limit}", _output_plane, "output plane {}", largest_at_most, int)
inner_length_at_most = ask(
    "sums over at most {limit} products", lambda node: input_shape(node)[-1], "sums over {} products", le, int
)
output_batch_at_most = ask(
    "an output batch of at most {limit}", lambda node: next(iter(output_shape(node)), 1), "output batch {}", le, int
)
width_by_channels_at_most = ask(
    "width times channels at most {limit}", lambda node: input_shape(node)[-1] * _channels(node), "{} values a row", le, int
)
all_but_two_sides_at_most = ask(
    "sides that come to at most {limit} without any two of them",
    lambda node: prod(sorted(input_shape(node))[2:]),
    "{} without the smallest two sides",
    le,
    int,
)
rank_at_most = ask("tensors of rank {limit} at most", lambda node: max(map(len, _shapes(node))), "rank {}", le, int)


def long_sides_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} sides longer than 1"""
    most = max(sum(side != 1 for side in shape) for shape in _shapes(node))
    return Reading(most <= limit, f"{most} sides longer than 1")


def dimensions_at_most(node: ir.Node, limit: int) -> Reading:
    """every side behind the batch at most {limit}"""
    sides = [side for shape in _shapes(node) for side in shape[1:]]
    return Reading(max(sides, default=1) <= limit, f"a side of {max(sides, default=1)}")


def batch_at_most(node: ir.Node, limit: int) -> Reading:
    """a batch of at most {limit}"""
    batch = max((side for value in variable_inputs(node) for side in shape_of(value)[:1]), default=1)
    return Reading(batch <= limit, f"batch {batch}")


def leading_sides_at_most(node: ir.Node, limit: int) -> Reading:
    """sides before the last three that come to at most {limit}"""
    most = max((prod(shape[:-3]) for shape in _shapes(node)), default=1)
    return Reading(most <= limit, f"batch {most}")


def tensor_elements_at_most(node: ir.Node, limit: int) -> Reading:
    """tensors of at most {limit} elements"""
    most = max((prod(shape) for shape in _shapes(node)), default=1)
    return Reading(most <= limit, f"{most} elements")


def operands_of_rank(node: ir.Node, limit: int) -> Reading:
    """operands that are all of rank {limit}"""
    ranks = [len(shape_of(value)) for value in node.inputs if value is not None]
    return Reading(set(ranks) == {limit}, f"operands of rank {' and '.join(map(str, ranks))}")


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


def image_at_most(node: ir.Node, limit: list[int]) -> Reading:
    """channels, height and width at most {limit}"""
    images = [shape[1:] for shape in _shapes(node) if len(shape) == len(limit) + 1]
    most = tuple(max(sides) for sides in zip(*images, strict=True))
    within = all(side <= top for side, top in zip(most, limit, strict=False))
    return Reading(within, f"image {text(most)}" if most else "no image")


def same_channels(node: ir.Node, _limit: bool) -> Reading:
    """as many output channels as input channels"""
    before, after = _channels(node), _output_channels(node)
    return Reading(before == after, f"{before} channels to {after}")


def expands_as(node: ir.Node, limit: list[str]) -> Reading:
    """an expansion from one of {limit}"""
    before, after = input_shape(node), output_shape(node)
    sides = zip(LETTERS, (1,) * (len(after) - len(before)) + before, after, strict=False)
    kind = "".join(letter if old == new else "1" for letter, old, new in sides)
    return Reading(len(after) == len(LETTERS) and kind in limit, f"{text(before)} to {text(after)}")


def _aligned(side: int, unit: int) -> int:
    return -(-side // unit) * unit
