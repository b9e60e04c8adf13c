"""What a rule can ask of a sliding window: kernel, stride, dilation, padding, groups."""

from math import prod
from typing import Annotated, Literal

import onnx_ir as ir
from msgspec import Meta

from attnbench.npu.nodes import (
    Predicate,
    Reading,
    channels_of,
    groups_of,
    input_shape,
    kernel_of,
    output_shape,
    pads_of,
    plane_of,
    text,
    window_of,
)


def kernel_at_most(node: ir.Node, limit: int | list[int]) -> Reading:
    """kernel at most {limit} in each direction"""
    kernel = kernel_of(node)
    most = limit if isinstance(limit, list) else [limit] * len(kernel)
    return Reading(all(side <= top for side, top in zip(kernel, most, strict=False)), f"kernel {text(kernel)}")


def kernel_at_least(node: ir.Node, limit: int) -> Reading:
    """kernel at least {limit} in each direction"""
    kernel = kernel_of(node)
    return Reading(all(side >= limit for side in kernel), f"kernel {text(kernel)}")


def kernel_in(node: ir.Node, limit: list[list[int]]) -> Reading:
    """kernel one of {limit}"""
    kernel = kernel_of(node)
    return Reading(list(kernel) in limit, f"kernel {text(kernel)}")


def kernel_and_stride_in(node: ir.Node, limit: list[Annotated[list[int], Meta(min_length=3, max_length=3)]]) -> Reading:
    """kernel height, kernel width and stride one of {limit}"""
    kernel, stride = kernel_of(node), window_of(node, "strides")
    known = any(list(kernel) == entry[:-1] and set(stride) == {entry[-1]} for entry in limit)
    return Reading(known, f"kernel {text(kernel)}, stride {text(stride)}")


def square_kernel(node: ir.Node, _limit: bool) -> Reading:
    """a kernel as high as wide"""
    kernel = kernel_of(node)
    return Reading(len(set(kernel)) == 1, f"kernel {text(kernel)}")


def kernel_volume_at_most(node: ir.Node, limit: int) -> Reading:
    """kernel height times width times input channels of a group at most {limit}"""
    volume = prod(kernel_of(node)) * channels_of(input_shape(node)) // _groups(node)
    return Reading(volume <= limit, f"{volume} weights an output")


def stride_at_most(node: ir.Node, limit: int | list[int]) -> Reading:
    """stride at most {limit} in each direction"""
    stride = window_of(node, "strides")
    most = limit if isinstance(limit, list) else [limit] * len(stride)
    return Reading(all(side <= top for side, top in zip(stride, most, strict=False)), f"stride {text(stride)}")


def stride_in(node: ir.Node, limit: list[int]) -> Reading:
    """stride one of {limit} in each direction"""
    stride = window_of(node, "strides")
    return Reading(set(stride) <= set(limit), f"stride {text(stride)}")


def equal_strides(node: ir.Node, _limit: bool) -> Reading:
    """strides equal in both directions"""
    stride = window_of(node, "strides")
    return Reading(len(set(stride)) <= 1, f"stride {text(stride)}")


def stride_power_of_two(node: ir.Node, _limit: bool) -> Reading:
    """strides that are powers of two"""
    stride = window_of(node, "strides")
    return Reading(all(side & (side - 1) == 0 for side in stride), f"stride {text(stride)}")


def dilation_at_most(node: ir.Node, limit: int) -> Reading:
    """dilation at most {limit} in each direction"""
    dilation = window_of(node, "dilations")
    return Reading(max(dilation, default=1) <= limit, f"dilation {text(dilation)}")


def dilation_power_of_two(node: ir.Node, _limit: bool) -> Reading:
    """dilations that are powers of two"""
    dilation = window_of(node, "dilations")
    return Reading(all(side & (side - 1) == 0 for side in dilation), f"dilation {text(dilation)}")


def padding_at_most(node: ir.Node, limit: int) -> Reading:
    """padding at most {limit} on each side"""
    pads = pads_of(node)
    return Reading(max(pads, default=0) <= limit, f"padding {list(pads)}")


def padding_below_kernel(node: ir.Node, _limit: bool) -> Reading:
    """padding smaller than the kernel"""
    pads, kernel = pads_of(node), kernel_of(node)
    return Reading(all(pad < side for pad, side in zip(pads, kernel * 2, strict=False)), f"padding {list(pads)}")


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
    dilation, stride = window_of(node, "dilations"), window_of(node, "strides")
    whole = all(far % step == 0 for far, step in zip(dilation, stride, strict=True))
    return Reading(whole, f"dilation {text(dilation)}, stride {text(stride)}")


def dilation_not_taller(node: ir.Node, _limit: bool) -> Reading:
    """a dilation no larger in height than in width"""
    dilation = window_of(node, "dilations")
    return Reading(dilation[0] <= dilation[-1], f"dilation {text(dilation)}")


def stride_not_taller(node: ir.Node, _limit: bool) -> Reading:
    """a stride no larger in height than in width"""
    stride = window_of(node, "strides")
    return Reading(stride[0] <= stride[-1], f"stride {text(stride)}")


def stride_before_add_in(node: ir.Node, limit: list[int]) -> Reading:
    """stride one of {limit} where an addition follows"""
    if not any(use.node.op_type == "Add" for use in node.outputs[0].uses()):
        return Reading(True, "no addition behind")
    stride = window_of(node, "strides")
    return Reading(set(stride) <= set(limit), f"stride {text(stride)} before an addition")


def padding_at_most_half_kernel(node: ir.Node, _limit: bool) -> Reading:
    """padding at most half of the kernel less one"""
    pads, kernel = pads_of(node), kernel_of(node)
    within = all(2 * pad <= side - 1 for pad, side in zip(pads, kernel * 2, strict=False))
    return Reading(within, f"padding {list(pads)}, kernel {text(kernel)}")


def output_padding_at_most(node: ir.Node, limit: int) -> Reading:
    """output padding at most {limit}"""
    pads = node.attributes["output_padding"].as_ints() if "output_padding" in node.attributes else (0,)
    return Reading(max(pads) <= limit, f"output padding {list(pads)}")


def sides_multiple_of_dilation(node: ir.Node, _limit: bool) -> Reading:
    """input height and width multiples of the dilation"""
    plane, dilation = plane_of(input_shape(node)), window_of(node, "dilations")
    whole = all(side % far == 0 for side, far in zip(plane, dilation, strict=True))
    return Reading(whole, f"plane {text(plane)}, dilation {text(dilation)}")


def stride_at_least(node: ir.Node, limit: int) -> Reading:
    """stride at least {limit} in each direction"""
    stride = window_of(node, "strides")
    return Reading(min(stride) >= limit, f"stride {text(stride)}")


def symmetric_padding(node: ir.Node, _limit: bool) -> Reading:
    """the same padding at both ends"""
    pads = pads_of(node)
    half = len(pads) // 2
    return Reading(pads[:half] == pads[half:], f"padding {list(pads)}")


def padding_within_half_kernel(node: ir.Node, _limit: bool) -> Reading:
    """padding at most half the kernel"""
    pads, kernel = pads_of(node), kernel_of(node)
    within = all(2 * pad <= side for pad, side in zip(pads, kernel * 2, strict=False))
    return Reading(within, f"padding {list(pads)}, kernel {text(kernel)}")


def _groups(node: ir.Node) -> int:
    return node.attributes.get_int("group", 1) or 1


PREDICATES: tuple[Predicate, ...] = (
    kernel_at_most,
    kernel_at_least,
    kernel_in,
    kernel_and_stride_in,
    square_kernel,
    kernel_volume_at_most,
    stride_at_most,
    stride_in,
    equal_strides,
    stride_power_of_two,
    dilation_at_most,
    dilation_power_of_two,
    padding_at_most,
    padding_below_kernel,
    group_kinds,
    volume_at_most,
    group_channels_at_most,
    dilation_multiple_of_stride,
    dilation_not_taller,
    stride_not_taller,
    stride_before_add_in,
    padding_at_most_half_kernel,
    output_padding_at_most,
    sides_multiple_of_dilation,
    stride_at_least,
    symmetric_padding,
    padding_within_half_kernel,
)
