"""ParNet block: a 3x3 and a 1x1 convolution beside a gate per channel, summed.

The third branch scales the normalised input by a gate from its channel means (skip-squeeze-excitation); the sum goes
through SiLU. It holds a full convolution: a block, not a gate. Goyal, Bochkovskiy, Deng, Koltun: Non-deep Networks,
NeurIPS 2022.

From the authors' ``repvgg.py`` (``imankgoyal/NonDeepNetworks``): convolutions without bias, each branch
batch-normalised.
"""

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule


class ParNetBlock(nn.Module):
    """``silu(3x3 branch + 1x1 branch + gated branch)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.narrow = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.norm = nn.BatchNorm2d(channels)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1, bias=False), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        normal = self.norm(x)
        return functional.silu(self.wide(x) + self.narrow(x) + normal * self.gate(normal))


ENTRIES = (
    AttentionModule(
        name="parnet",
        build=ParNetBlock,
        summary="3x3 and 1x1 convolutions beside a gated skip, summed; a block, not a gate",
        paper="Goyal et al., Non-deep Networks, NeurIPS 2022",
        year=2021,
        source="github.com/imankgoyal/NonDeepNetworks imagenet/timm/models/simplenet_impl/repvgg.py",
        params=lambda p: 11 * p.channels**2 + 6 * p.channels,
        macs=lambda p: 10 * p.channels**2 * p.positions + p.channels**2,
    ),
)
