"""Effective SE: a gate per channel from all channel means, through one layer without a bottleneck.

Squeezing the means to fewer channels and back loses some of what they say; one full 1x1 convolution keeps it, and a
hard sigmoid makes the gate. Lee, Park: CenterMask: Real-Time Anchor-Free Instance Segmentation, CVPR 2020 (VoVNetV2).

From the authors' ``vovnet.py`` (``youngwanLEE/vovnet-detectron2``), where the argument ``reduction`` is taken and
ignored.
"""

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule


class EffectiveSE(nn.Module):
    """Scales each channel by a hard-sigmoid gate of a full 1x1 convolution of the means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x * functional.hardsigmoid(self.mix(self.pool(x)))


ENTRIES = (
    AttentionModule(
        name="ese",
        build=EffectiveSE,
        summary="gate per channel from all channel means; one full 1x1 convolution and a hard sigmoid",
        paper="Lee and Park, CenterMask: Real-Time Anchor-Free Instance Segmentation, CVPR 2020",
        source="github.com/youngwanLEE/vovnet-detectron2 vovnet/vovnet.py",
        params=lambda p: p.channels**2 + p.channels,
        macs=lambda p: p.channels**2,
    ),
)
