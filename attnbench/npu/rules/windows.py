"""What a rule can ask of a sliding window: kernel, stride, dilation, padding, groups."""

from functools import partial
from math import prod
from typing import Annotated, Literal

import onnx_ir as ir
from msgspec import Meta

from attnbench.npu.nodes import (
    Reading,
    channels_of,
    groups_of,
    input_shape,
    kernel_of,
    output_shape,
    pads_of,
    plane_of,
    readers_of,
    text,
    window_of,
)
from attnbench.npu.rules.asking import all_in, ask, each_at_most, largest_at_most, not_taller, powers_of_two

_strides = partial(window_of, attribute="strides")
_dilations = partial(window_of, attribute="dilations")


def _padding(node: ir.Node) -> list[int]:
    return list(pads_of(node))


def _pads_and_sides(node: ir.Node) -> list[tuple[int, int]]:
    """Each padding with the kernel's side in its direction."""
    return list(zip(pads_of(node), kernel_of(node) * 2, strict=False))


kernel_at_most = ask("kernel at most {limit} in each direction", kernel_of, "kernel {}", each_at_most, int | list[int])
kernel_in = ask(
    "kernel one of {limit}", kernel_of, "kernel {}", lambda kernel, limit: list(kernel) in limit, list[list[int]]
)
square_kernel = ask("a kernel as high as wide", kernel_of, "kernel {}", lambda kernel, _: len(set(kernel)) == 1)
stride_at_most = ask("stride at most {limit} in each direction", _strides, "stride {}", each_at_most, int | list[int])
stride_in = ask("stride one of {limit} in each direction", _strides, "stride {}", all_in, list[int])
equal_strides = ask("strides equal in both directions", _strides, "stride {}", lambda stride, _: len(set(stride)) <= 1)
stride_power_of_two = ask("strides that are powers of two", _strides, "stride {}", powers_of_two)
dilation_at_most = ask("dilation at most {limit} in each direction", _dilations, "dilation {}", largest_at_most, int)
dilation_power_of_two = ask("dilations that are powers of two", _dilations, "dilation {}", powers_of_two)
dilation_not_taller = ask("a dilation no larger in height than in width", _dilations, "dilation {}", not_taller)
stride_not_taller = ask("a stride no larger in height than in width", _strides, "stride {}", not_taller)
stride_at_least = ask(
    "stride at least {limit} in each direction", _strides, "stride {}", lambda s, limit: min(s) >= limit, int
)
stride_within_kernel = ask(
    "strides no larger than the kernel",
    lambda node: list(zip(_strides(node), kernel_of(node), strict=True)),
    lambda pairs: f"stride {text([s for s, _ in pairs])}, kernel {text([k for _, k in pairs])}",
    lambda pairs, _: all(stride <= side for stride, side in pairs),
)
kernel_product_at_most = ask(
    "a kernel of height times width at most {limit}",
    kernel_of,
    lambda kernel: f"kernel {text(kernel)} = {prod(kernel)}",
    lambda kernel, limit: prod(kernel) <= limit,
    int,
)
padding_at_most = ask(
    "padding at most {limit} on each side", _padding, "padding {}", lambda p, limit: max(p, default=0) <= limit, int
)
symmetric_padding = ask(
    "the same padding at both ends", _padding, "padding {}", lambda p, _: p[: len(p) // 2] == p[len(p) // 2 :]
)


def kernel_at_least(node: ir.Node, limit: int) -> Reading:
    """kernel at least {limit} in each direction"""
    kernel = kernel_of(node)
    return Reading(all(side >= limit for side in kernel), f"kernel {text(kernel)}")


def kernel_and_stride_in(node: ir.Node, limit: list[Annotated[list[int], Meta(min_length=3, max_length=3)]]) -> Reading:
    """kernel height, kernel width and stride one of {limit}"""
    kernel, stride = kernel_of(node), _strides(node)
    known = any(list(kernel) == entry[:-1] and set(stride) == {entry[-1]} for entry in limit)
    return Reading(known, f"kernel {text(kernel)}, stride {text(stride)}")


def kernel_volume_at_most(node: ir.Node, limit: int) -> Reading:
    """kernel height times width times input channels of a group at most {limit}"""
    volume = prod(kernel_of(node)) * channels_of(input_shape(node)) // _groups(node)
    return Reading(volume <= limit, f"{volume} weights an output")


def padding_below_kernel(node: ir.Node, _limit: bool) -> Reading:
    """padding smaller than the kernel"""
    return Reading(all(pad < side for pad, side in _pads_and_sides(node)), f"padding {_padding(node)}")


def padding_at_most_half_kernel(node: ir.Node, _limit: bool) -> Reading:
    """padding at most half of the kernel less one"""
    within = all(2 * pad <= side - 1 for pad, side in _pads_and_sides(node))
    return Reading(within, f"padding {_padding(node)}, kernel {text(kernel_of(node))}")


def padding_within_half_kernel(node: ir.Node, _limit: bool) -> Reading:
    """padding at most half the kernel"""
    within = all(2 * pad <= side for pad, side in _pads_and_sides(node))
    return Reading(within, f"padding {_padding(node)}, kernel {text(kernel_of(node))}")


def group_kinds(node: ir.Node, limit: list[Literal["none", "depthwise", "grouped"]]) -> Reading:
    """groups one of {limit}"""
    kind = groups_of(node)
    return Reading(kind in limit, {"none": "one group", "depthwise": "depthwise"}.get(kind, "several groups"))


def volume_at_most(node: ir.Node, limit: int) -> Reading:
    """output channels times height times width at most {limit}"""
    volume = prod(output_shape(node)[1:])
    return Reading(volume <= limit, f"{volume} outputs an image")


def group_channels_at_most(node: ir.Node, limit: int) -> Reading:
    """at most {limit} channels a group, in and out"""
    widest = max(channels_of(input_shape(node)), channels_of(output_shape(node))) // _groups(node)
    return Reading(widest <= limit, f"{widest} channels a group")


def dilation_multiple_of_stride(node: ir.Node, _limit: bool) -> Reading:
    """dilations that are multiples of the strides"""
    dilation, stride = _dilations(node), _strides(node)
    whole = all(far % step == 0 for far, step in zip(dilation, stride, strict=True))
    return Reading(whole, f"dilation {text(dilation)}, stride {text(stride)}")


def stride_before_add_in(node: ir.Node, limit: list[int]) -> Reading:
    """stride one of {limit} where an addition follows"""
    if not any(reader.op_type == "Add" for reader in readers_of(node)):
        return Reading(True, "no addition behind")
    stride = _strides(node)
    return Reading(set(stride) <= set(limit), f"stride {text(stride)} before an addition")


def output_padding_at_most(node: ir.Node, limit: int) -> Reading:
    """output padding at most {limit}"""
    pads = node.attributes["output_padding"].as_ints() if "output_padding" in node.attributes else (0,)
    return Reading(max(pads) <= limit, f"output padding {list(pads)}")


def sides_multiple_of_dilation(node: ir.Node, _limit: bool) -> Reading:
    """input height and width multiples of the dilation"""
    plane, dilation = plane_of(input_shape(node)), _dilations(node)
    whole = all(side % far == 0 for side, far in zip(plane, dilation, strict=True))
    return Reading(whole, f"plane {text(plane)}, dilation {text(dilation)}")


def _groups(node: ir.Node) -> int:
    return node.attributes.get_int("group", 1) or 1
