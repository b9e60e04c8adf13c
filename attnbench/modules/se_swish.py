"""EfficientNet's squeeze-and-excitation: a gate per channel, its bottleneck measured by the block's input, SiLU inside.

The gate stands on a block's expanded channels, but its bottleneck is a quarter of the channels that came *into* the block,
so the same gate is narrower the more a block expands. Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional
Neural Networks, ICML 2019; the gate is Hu et al.'s, CVPR 2018.

From ``lukemelas/EfficientNet-PyTorch``, ``efficientnet_pytorch/model.py`` (``MBConvBlock``): biased 1x1 convolutions and
at least one hidden channel. Where a place offers no block input, the module's own channels stand for it, and the bottleneck
is wider than in the network: only at a host's slot is it EfficientNet's own.
"""

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule, Plane


class SwishSE(nn.Module):
    """Scales each channel by a gate read from all channel means; hidden width by the channels of the block's input."""

    def __init__(self, channels: int, block_input: int = 0, ratio: float = 0.25) -> None:
        super().__init__()
        hidden = _hidden(channels, block_input, ratio)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x * torch.sigmoid(self.expand(functional.silu(self.reduce(self.pool(x)))))


def _hidden(channels: int, block_input: int, ratio: float) -> int:
    return max(1, int((block_input or channels) * ratio))


def _params(plane: Plane, ratio: float) -> int:
    hidden = _hidden(plane.channels, plane.block_input, ratio)
    return 2 * plane.channels * hidden + hidden + plane.channels


ENTRIES = (
    AttentionModule(
        name="se_swish",
        build=SwishSE,
        summary="EfficientNet's SE: SiLU inside, hidden width a quarter of the channels that enter the block",
        paper="Tan and Le, EfficientNet, ICML 2019",
        source="github.com/lukemelas/EfficientNet-PyTorch efficientnet_pytorch/model.py",
        options={"ratio": 0.25},
        params=_params,
        macs=lambda p, ratio: 2 * p.channels * _hidden(p.channels, p.block_input, ratio),
    ),
)
