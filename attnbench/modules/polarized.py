"""Polarised self-attention: a gate per channel and one per position, each keeping its own axis at full resolution.

The channel gate collapses the positions by a softmax of them, the position gate the channels by a softmax of these.
Liu, Liu, Fan, Huang: Polarized Self-Attention: Towards High-quality Pixel-wise Regression, Neurocomputing 2022.

From the authors' ``PSA.py`` (``DeLightCMU/PSA``), the parallel layout: both gated maps are added; convolutions without
bias, half the channels inside.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class PolarizedAttention(nn.Module):
    """``x * channel gate + x * position gate``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.channel_query = nn.Conv2d(channels, 1, 1, bias=False)
        self.channel_value = nn.Conv2d(channels, half, 1, bias=False)
        self.channel_gate = nn.Conv2d(half, channels, 1, bias=False)
        self.position_query = nn.Conv2d(channels, half, 1, bias=False)
        self.position_value = nn.Conv2d(channels, half, 1, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        weights = torch.softmax(self.channel_query(x).flatten(2), -1)
        context = torch.matmul(self.channel_value(x).flatten(2), weights.transpose(1, 2)).unsqueeze(-1)
        by_channel = x * torch.sigmoid(self.channel_gate(context))
        weights = torch.softmax(self.pool(self.position_query(x)).flatten(2).transpose(1, 2), -1)
        gate = torch.matmul(weights, self.position_value(x).flatten(2)).reshape(x.shape[0], 1, *x.shape[2:])
        return by_channel + x * torch.sigmoid(gate)


def _macs(plane: Plane) -> int:
    c, h, n = plane.channels, plane.channels // 2, plane.positions
    return c * n + 3 * c * h * n + 2 * h * n + h * c


ENTRIES = (
    AttentionModule(
        name="psa",
        build=PolarizedAttention,
        summary="a channel gate and a position gate, each by a softmax over the other axis; parallel layout",
        paper="Liu et al., Polarized Self-Attention: Towards High-quality Pixel-wise Regression, 2021",
        source="github.com/DeLightCMU/PSA semantic-segmentation/network/PSA.py (PSA_p)",
        params=lambda p: p.channels + 4 * p.channels * (p.channels // 2),
        macs=_macs,
        refuses=lambda p: "needs at least 2 channels" if p.channels < 2 else "",
    ),
)
