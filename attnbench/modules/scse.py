"""scSE: a gate per channel and a gate per position side by side, of which the larger result counts.

The channel gate is SE with a wide bottleneck; the spatial gate is one 1x1 convolution down to a single map. Roy, Navab,
Wachinger: Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional Networks, MICCAI 2018.

From the authors' ``squeeze_and_excitation.py`` (``ai-med/squeeze_and_excitation``): linear layers with bias, reduction
2, and the element-wise maximum of the two. Many copies add them instead.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, too_narrow


class ConcurrentSE(nn.Module):
    """The larger of the channel-gated and the position-gated map."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // reduction
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.channel = nn.Sequential(nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.position = nn.Conv2d(channels, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        by_channel = x * torch.sigmoid(self.channel(self.pool(x)))[:, :, None, None]
        return torch.maximum(by_channel, x * torch.sigmoid(self.position(x)))


ENTRIES = (
    AttentionModule(
        name="scse",
        build=ConcurrentSE,
        summary="SE and a gate per position side by side; the larger of the two results",
        paper="Roy et al., Concurrent Spatial and Channel Squeeze & Excitation, MICCAI 2018",
        source="github.com/ai-med/squeeze_and_excitation squeeze_and_excitation.py (ChannelSpatialSELayer)",
        options={"reduction": 2},
        params=lambda p, reduction: (2 * p.channels + 1) * (p.channels // reduction) + p.channels + p.channels + 1,
        macs=lambda p, reduction: 2 * p.channels * (p.channels // reduction) + p.channels * p.positions,
        refuses=too_narrow,
    ),
)
