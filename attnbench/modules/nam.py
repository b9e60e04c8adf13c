"""NAM: a gate per channel and position from batch normalisation's own scales, without a layer of its own.

A channel whose normalisation scales it up varies much and counts for more: the normalised map, weighted by each scale's
share of all, goes through a sigmoid. Liu, Shao, Teng, Hoffmann: NAM: Normalization-based Attention Module, 2021.

From the authors' ``attention.py`` (``Christian-lyc/NAM``), which holds the channel part only. It detaches the scales;
here gradients flow through them, as the paper's equation 2 says.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule


class NAM(nn.Module):
    """``x * sigmoid(share of the scale * batch-normalised x)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        scales = self.norm.weight.abs()
        share = (scales / scales.sum()).view(1, -1, 1, 1)
        return x * torch.sigmoid(self.norm(x) * share)


ENTRIES = (
    AttentionModule(
        name="nam",
        build=NAM,
        summary="gate from batch normalisation weighted by its own scales; channel part",
        paper="Liu et al., NAM: Normalization-based Attention Module, 2021",
        source="github.com/Christian-lyc/NAM MODELS/attention.py",
        params=lambda p: 2 * p.channels,
        macs=lambda p: 0,  # noqa: ARG005
    ),
)
