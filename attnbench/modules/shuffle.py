"""Shuffle attention: within each group of channels, half are gated as channels and half as positions, then all are mixed.

The channel half is scaled by a gate from its means, the spatial half by one from its own normalised values, each with a
weight and a bias a channel; a channel shuffle lets the groups meet. Zhang, Yang: SA-Net: Shuffle Attention for Deep
Convolutional Neural Networks, ICASSP 2021.

From the authors' ``sa_resnet.py`` (``wofmanaf/SA-Net``): 64 groups, which share their weights.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class ShuffleAttention(nn.Module):
    """Gates the two halves of each group by channel and by position, and shuffles the channels."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        half = channels // (2 * groups)
        self.channel_weight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.channel_bias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.position_weight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.position_bias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.norm = nn.GroupNorm(half, half)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        batch, channels, height, width = x.shape
        grouped = x.reshape(batch * self.groups, channels // self.groups, height, width)
        by_channel, by_position = grouped.chunk(2, 1)
        means = by_channel.mean((2, 3), keepdim=True)
        by_channel = by_channel * torch.sigmoid(self.channel_weight * means + self.channel_bias)
        by_position = by_position * torch.sigmoid(self.position_weight * self.norm(by_position) + self.position_bias)
        gated = torch.cat([by_channel, by_position], 1).reshape(batch, channels, height, width)
        return gated.reshape(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(x.shape)


def _refuses(plane: Plane, groups: int) -> str:
    return f"needs channels divisible by {2 * groups} (twice its groups)" if plane.channels % (2 * groups) else ""


ENTRIES = (
    AttentionModule(
        name="shuffle",
        build=ShuffleAttention,
        summary="per group, half gated by channel and half by position, then a channel shuffle",
        paper="Zhang and Yang, SA-Net: Shuffle Attention for Deep Convolutional Neural Networks, ICASSP 2021",
        source="github.com/wofmanaf/SA-Net models/sa_resnet.py",
        options={"groups": 64},
        params=lambda p, groups: 6 * (p.channels // (2 * groups)),
        macs=lambda p, groups: 0,  # noqa: ARG005
        refuses=_refuses,
    ),
)
