"""Involution: each position makes its own kernel, which all channels of a group share: a convolution turned inside out.

A bottleneck of two 1x1 convolutions gives k x k weights a group at every position; they weigh the position's neighbours.
Stands where a 3x3 convolution would: a block, not a gate. Li, Hu, Wang et al.: Involution: Inverting the Inherence of
Convolution for Visual Recognition, CVPR 2021.

From the authors' ``involution_naive.py`` (``d-li14/involution``): groups of 16 channels, reduction 4, a norm and ReLU
within the bottleneck, mean pooling before it where there is a stride. The norm and ReLU behind it are RedNet's. The
weighing is written as a matrix product, so that its multiply-accumulates are counted.
"""

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule, Plane, even_kernel


class Involution(nn.Module):
    """``relu(norm(sum over the neighbours of weight * neighbour))``, with weights made from the position itself."""

    def __init__(self, channels: int, kernel: int, group: int, reduction: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.group, self.stride = kernel, group, stride
        hidden = channels // reduction
        self.narrow = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.reduce = nn.Sequential(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU())
        self.span = nn.Conv2d(hidden, kernel**2 * (channels // group), 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to ``[N, C, H / stride, W / stride]``."""
        batch, channels, height, width = x.shape
        weights = self.span(self.reduce(self.narrow(x)))
        sides, positions = weights.shape[2:], weights.shape[2] * weights.shape[3]
        weights = weights.reshape(batch, channels // self.group, self.kernel**2, 1, positions).permute(0, 1, 4, 2, 3)
        padded, step = functional.pad(x, [self.kernel // 2] * 4), self.stride
        taps = [
            padded[:, :, row : row + height : step, column : column + width : step]
            for row in range(self.kernel)
            for column in range(self.kernel)
        ]
        shape = (batch, channels // self.group, self.group, self.kernel**2, positions)
        neighbours = torch.stack(taps, 2).reshape(shape).permute(0, 1, 4, 2, 3)
        weighed = torch.matmul(neighbours, weights).squeeze(-1).transpose(2, 3)
        return torch.relu(self.norm(weighed.reshape(batch, channels, *sides)))


def _params(plane: Plane, kernel: int, group: int, reduction: int) -> int:
    c, q, spanned = plane.channels, plane.channels // reduction, kernel**2 * (plane.channels // group)
    return c * q + 2 * q + q * spanned + spanned + 2 * c


def _macs(plane: Plane, kernel: int, group: int, reduction: int) -> int:
    c, q, spanned = plane.channels, plane.channels // reduction, kernel**2 * (plane.channels // group)
    return (c * q + q * spanned + kernel**2 * c) * plane.written


def _refuses(plane: Plane, kernel: int, group: int, reduction: int) -> str:
    if plane.channels % group or plane.channels < reduction:
        return f"needs channels divisible by its groups of {group}, and at least {reduction}"
    return even_kernel(plane, kernel)


ENTRIES = (
    AttentionModule(
        name="involution",
        build=Involution,
        summary="a kernel of its own at each position, shared by groups of channels, then norm and ReLU; a block",
        paper="Li et al., Involution: Inverting the Inherence of Convolution for Visual Recognition, CVPR 2021",
        source="github.com/d-li14/involution cls/mmcls/models/utils/involution_naive.py",
        options={"kernel": 7, "group": 16, "reduction": 4},
        params=_params,
        macs=_macs,
        refuses=_refuses,
    ),
)
