"""Selective kernel: two convolutions of different reach, and a softmax per channel that chooses between them.

The means of the sum of both branches pass a bottleneck and become two weights a channel. Stands where a 3x3 convolution
would: a block, not a gate. Li, Wang, Hu, Yang: Selective Kernel Networks, CVPR 2019.

From the authors' ``sknet50.prototxt`` (``implus/SKNet``): a 3x3 and a 3x3 with dilation 2, 32 groups each, reduction 16
with 32 channels at least, linear layers without bias.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class SelectiveKernel(nn.Module):
    """The sum of two convolutions, each channel weighed between them."""

    def __init__(self, channels: int, groups: int, reduction: int, minimum: int, stride: int = 1) -> None:
        super().__init__()
        hidden = max(channels // reduction, minimum)
        self.near = self._branch(channels, groups, 1, stride)
        self.far = self._branch(channels, groups, 2, stride)
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU()
        )
        self.near_weight = nn.Conv2d(hidden, channels, 1, bias=False)
        self.far_weight = nn.Conv2d(hidden, channels, 1, bias=False)

    @staticmethod
    def _branch(channels: int, groups: int, dilation: int, stride: int) -> nn.Sequential:
        conv = nn.Conv2d(channels, channels, 3, stride, padding=dilation, dilation=dilation, groups=groups, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to ``[N, C, H / stride, W / stride]``."""
        near, far = self.near(x), self.far(x)
        squeezed = self.squeeze(near + far)
        weights = torch.softmax(torch.cat([self.near_weight(squeezed), self.far_weight(squeezed)], 2), 2)
        return near * weights[:, :, :1] + far * weights[:, :, 1:]


def _params(plane: Plane, groups: int, reduction: int, minimum: int) -> int:
    c, d = plane.channels, max(plane.channels // reduction, minimum)
    return 2 * (9 * c * c // groups + 2 * c) + c * d + 2 * d + 2 * d * c


def _macs(plane: Plane, groups: int, reduction: int, minimum: int) -> int:
    c, d = plane.channels, max(plane.channels // reduction, minimum)
    return 18 * c * c // groups * plane.written + 3 * c * d


ENTRIES = (
    AttentionModule(
        name="sk",
        build=SelectiveKernel,
        summary="two grouped 3x3 convolutions, one dilated, chosen between by a softmax per channel; a block",
        paper="Li et al., Selective Kernel Networks, CVPR 2019",
        source="github.com/implus/SKNet models/sknet50.prototxt",
        options={"groups": 32, "reduction": 16, "minimum": 32},
        params=_params,
        macs=_macs,
        refuses=lambda p, groups, **_: f"needs channels divisible by {groups} groups" if p.channels % groups else "",
    ),
)
