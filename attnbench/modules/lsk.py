"""Large selective kernel: a gate from a near and a far view of the map, weighed against each other at each position.

A depthwise 5x5 and, behind it, a dilated depthwise 7x7 are the views; mean and maximum over the channels of both give two
weights a position, and the weighed sum is mixed into the gate, without a sigmoid. Li, Hou, Zheng et al.: Large Selective
Kernel Network for Remote Sensing Object Detection, ICCV 2023.

From the authors' ``lsknet.py`` (``zcablii/Large-Selective-Kernel-Network``, class ``LSKblock``), without the projections
around.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule


class LargeSelectiveKernel(nn.Module):
    """``x`` times the mixed sum of two views, each weighed at every position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, 7, padding=9, groups=channels, dilation=3)
        self.narrow_near = nn.Conv2d(channels, half, 1)
        self.narrow_far = nn.Conv2d(channels, half, 1)
        self.weigh = nn.Conv2d(2, 2, 7, padding=3)
        self.mix = nn.Conv2d(half, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        near = self.near(x)
        near, far = self.narrow_near(near), self.narrow_far(self.far(near))
        both = torch.cat([near, far], 1)
        weights = torch.sigmoid(self.weigh(torch.cat([both.mean(1, keepdim=True), both.amax(1, keepdim=True)], 1)))
        return x * self.mix(near * weights[:, :1] + far * weights[:, 1:])


ENTRIES = (
    AttentionModule(
        name="lsk",
        build=LargeSelectiveKernel,
        summary="gate from a near and a far depthwise view, weighed against each other at each position",
        paper="Li et al., Large Selective Kernel Network for Remote Sensing Object Detection, ICCV 2023",
        source="github.com/zcablii/Large-Selective-Kernel-Network mmrotate/models/backbones/lsknet.py",
        params=lambda p: 3 * p.channels * (p.channels // 2) + 2 * (p.channels // 2) + 77 * p.channels + 198,
        macs=lambda p: (3 * p.channels * (p.channels // 2) + 74 * p.channels + 196) * p.positions,
        refuses=lambda p: "needs an even number of channels" if p.channels % 2 else "",
    ),
)
