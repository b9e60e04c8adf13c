"""Dual attention: positions attend to positions and channels to channels, and the two results are added.

The position branch is softmax attention with an eighth of the channels for queries and keys; the channel branch weighs
channels by the softmax of how unlike their products are, with no layer at all. Each branch adds the input. Fu et al.:
Dual Attention Network for Scene Segmentation, CVPR 2019.

From the authors' ``da_att.py`` (``junfu1115/DANet``), the two modules without the 3x3 convolutions of the head around
them. The weights of the branches start at 0 there; here at 1, so that the comparison with torch covers the whole block.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, too_narrow


class PositionAttention(nn.Module):
    """``scale * attention over positions + x``."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        width = channels // reduction
        self.query = nn.Conv2d(channels, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        query, key, value = self.query(x).flatten(2), self.key(x).flatten(2), self.value(x).flatten(2)
        weights = torch.softmax(torch.matmul(query.transpose(1, 2), key), -1)
        return self.scale * torch.matmul(value, weights.transpose(1, 2)).reshape(x.shape) + x


class ChannelAttention(nn.Module):
    """``scale * attention over channels + x``."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        flat = x.flatten(2)
        energy = torch.matmul(flat, flat.transpose(1, 2))
        weights = torch.softmax(energy.amax(-1, keepdim=True) - energy, -1)
        return self.scale * torch.matmul(weights, flat).reshape(x.shape) + x


class DualAttention(nn.Module):
    """The sum of both branches."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.positions = PositionAttention(channels, reduction)
        self.channels = ChannelAttention()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return self.positions(x) + self.channels(x)


def _params(plane: Plane, reduction: int) -> int:
    c, q = plane.channels, plane.channels // reduction
    return 2 * (c * q + q) + c * c + c + 2


def _macs(plane: Plane, reduction: int) -> int:
    c, q, n = plane.channels, plane.channels // reduction, plane.positions
    return (2 * q + c) * c * n + (q + c) * n * n + 2 * c * c * n


ENTRIES = (
    AttentionModule(
        name="danet",
        build=DualAttention,
        summary="softmax attention over positions plus attention over channels",
        paper="Fu et al., Dual Attention Network for Scene Segmentation, CVPR 2019",
        source="github.com/junfu1115/DANet encoding/nn/da_att.py",
        options={"reduction": 8},
        params=_params,
        macs=_macs,
        refuses=too_narrow,
    ),
)
