"""SRM: a gate per channel from its own mean and deviation, with four weights a channel.

Each channel's mean and standard deviation are weighed by two weights of that channel alone, normalised and made a gate: no
channel sees another one. Lee, Kim, Nam: SRM: A Style-based Recalibration Module for Convolutional Neural Networks, ICCV
2019.

The weights start at 0 in the authors' code (``hyunjaelee410/style-based-recalibration-module``); here they are random, so
that the comparison with torch covers the whole module. On a map of one position the deviation is 0/0.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane

EPSILON = 1e-5  # the authors' guard of the root


class StyleRecalibration(nn.Module):
    """``x * sigmoid(norm(a * mean + b * deviation))``, all of it channel by channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, channels))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        mean = x.mean((2, 3), keepdim=True)
        variance = (x - mean).square().sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
        first, second = self.weight[:, None, :, None, None]
        return x * torch.sigmoid(self.norm(first * mean + second * (variance + EPSILON).sqrt()))


def _refuses(plane: Plane) -> str:
    return "needs at least two positions: one has no deviation" if plane.positions < 2 else ""


ENTRIES = (
    AttentionModule(
        name="srm",
        build=StyleRecalibration,
        summary="gate per channel from its own mean and deviation, without other channels",
        paper="Lee et al., SRM: A Style-based Recalibration Module for Convolutional Neural Networks, ICCV 2019",
        source="github.com/hyunjaelee410/style-based-recalibration-module models/recalibration_modules.py",
        params=lambda p: 4 * p.channels,
        macs=lambda p: 0,  # noqa: ARG005
        refuses=_refuses,
    ),
)
