"""Coordinate attention: one gate along the height and one along the width, so that position is kept.

Means over each row and each column pass a shared bottleneck and become two gates, one per row and one per column, for
every channel. Hou, Zhou, Feng: Coordinate Attention for Efficient Mobile Network Design, CVPR 2021.

From the authors' ``coordatt.py`` (``houqb/CoordAttention``): reduction 32 with at least 8 channels, biased convolutions,
and h-swish written out as ``x * relu6(x + 3) / 6``.

``coord_split`` computes the same with two-dimensional convolutions and element-wise ops alone, for an NPU that takes no
permutation, no split, no mean over one axis and no clipping. What the authors do to rows and columns in one tensor, it does
to each: the same in evaluation, while in training each branch would be normalised by its own statistics.
"""

from itertools import count

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule, Plane
from attnbench.modules._rewrite import fill_in_order

KERNEL_LIMIT = 17
"""Longest side of a convolution kernel that the NPU of the design report takes (section 2.3)."""


class CoordinateAttention(nn.Module):
    """Scales each position by the product of a row gate and a column gate."""

    def __init__(self, channels: int, reduction: int, minimum: int) -> None:
        super().__init__()
        hidden = max(minimum, channels // reduction)
        self.rows = nn.AdaptiveAvgPool2d((None, 1))
        self.columns = nn.AdaptiveAvgPool2d((1, None))
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.BatchNorm2d(hidden)
        self.row_gate = nn.Conv2d(hidden, channels, 1)
        self.column_gate = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        height, width = x.shape[2:]
        means = torch.cat([self.rows(x), self.columns(x).permute(0, 1, 3, 2)], 2)
        hidden = self.norm(self.reduce(means))
        hidden = hidden * (functional.relu6(hidden + 3) / 6)
        rows, columns = torch.split(hidden, [height, width], 2)
        row_gate = torch.sigmoid(self.row_gate(rows))
        column_gate = torch.sigmoid(self.column_gate(columns.permute(0, 1, 3, 2)))
        return x * column_gate * row_gate


class Stretches(nn.Module):
    """Sums over stretches of an axis, by a depthwise convolution with a constant weight.

    The weight is a buffer and no parameter: nothing of it is learned.
    """

    weight: torch.Tensor

    def __init__(self, channels: int, kernel: tuple[int, int], padding: tuple[int, int], weight: float) -> None:
        super().__init__()
        self.kernel, self.padding, self.channels = kernel, padding, channels
        self.register_buffer("weight", torch.full((channels, 1, *kernel), weight), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same with an axis shorter by the kernel's length."""
        return functional.conv2d(x, self.weight, None, self.kernel, self.padding, groups=self.channels)


def strided_mean(channels: int, length: int, axis: int) -> nn.Sequential:
    """The mean along one axis of this length: ``[N, C, H, W]`` to width (axis 3) or height (axis 2) 1.

    Zeros on both sides fill the last stretch of a step; where their number is odd, one more is added and left over.
    """
    steps, left = nn.Sequential(), length
    for kernel in stretches(length):
        number = -(-left // kernel)
        padding = (kernel * number - left + 1) // 2
        weight = 1 / length if number == 1 else 1.0
        sides = ((1, kernel), (0, padding)) if axis == 3 else ((kernel, 1), (padding, 0))
        steps.append(Stretches(channels, *sides, weight))
        left = number
    return steps


class SplitCoordinateAttention(nn.Module):
    """Coordinate attention with rows and columns apart, without clipping: convolutions, additions and products."""

    def __init__(self, channels: int, height: int, width: int, reduction: int, minimum: int) -> None:
        super().__init__()
        hidden = max(minimum, channels // reduction)
        self.rows = strided_mean(channels, width, 3)
        self.columns = strided_mean(channels, height, 2)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.BatchNorm2d(hidden)
        self.row_gate = nn.Conv2d(hidden, channels, 1)
        self.column_gate = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        row_gate = torch.sigmoid(self.row_gate(self._bottleneck(self.rows(x))))
        column_gate = torch.sigmoid(self.column_gate(self._bottleneck(self.columns(x))))
        return x * column_gate * row_gate

    def adopt(self, original: CoordinateAttention) -> None:
        """Take all weights and statistics over. Then both compute the same in evaluation."""
        fill_in_order(self, original)

    def _bottleneck(self, means: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.reduce(means))
        raised = hidden + 3
        clipped = torch.relu(raised) + -1.0 * torch.relu(raised + -6.0)  # relu6 without Clip and Sub
        return hidden * (clipped * (1 / 6))


def stretches(length: int) -> list[int]:
    """The kernels that take a length down to 1, each with itself as stride: as few as 17 allows, and of like size."""
    kernels = []
    while length > 1:
        steps = next(n for n in count(1) if KERNEL_LIMIT**n >= length)
        kernels.append(next(k for k in count(2) if k**steps >= length))
        length = -(-length // kernels[-1])
    return kernels


def _mean_macs(length: int) -> int:
    """MACs of a mean along one line: each step multiplies what it reads, with the zeros that fill its last stretch."""
    total = 0
    for kernel in stretches(length):
        length = -(-length // kernel)
        total += kernel * length
    return total


def _split_macs(plane: Plane, reduction: int, minimum: int) -> int:
    rows = plane.height * _mean_macs(plane.width)
    columns = plane.width * _mean_macs(plane.height)
    hidden = _hidden(plane, reduction, minimum)
    return plane.channels * (rows + columns + 2 * hidden * (plane.height + plane.width))


def _hidden(plane: Plane, reduction: int, minimum: int) -> int:
    return max(minimum, plane.channels // reduction)


def _params(plane: Plane, reduction: int, minimum: int) -> int:
    hidden = _hidden(plane, reduction, minimum)
    return 3 * plane.channels * hidden + 3 * hidden + 2 * plane.channels


ENTRIES = (
    AttentionModule(
        name="coord",
        build=CoordinateAttention,
        summary="a gate per row and one per column, from means along the other axis",
        paper="Hou et al., Coordinate Attention for Efficient Mobile Network Design, CVPR 2021",
        source="github.com/houqb/CoordAttention coordatt.py",
        options={"reduction": 32, "minimum": 8},
        params=_params,
        macs=lambda p, reduction, minimum: 2 * p.channels * _hidden(p, reduction, minimum) * (p.height + p.width),
    ),
    AttentionModule(
        name="coord_split",
        build=SplitCoordinateAttention,
        summary="coordinate attention for an NPU: rows and columns apart, means by depthwise convolutions, no clipping",
        paper="Hou et al., Coordinate Attention for Efficient Mobile Network Design, CVPR 2021",
        source="exact rewrite of github.com/houqb/CoordAttention coordatt.py",
        options={"reduction": 32, "minimum": 8},
        params=_params,
        macs=_split_macs,
        rewrite_of=("coord",),
    ),
)
