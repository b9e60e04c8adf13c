"""EfficientNet's squeeze-and-excitation: a gate per channel, its bottleneck measured by the block's input, SiLU inside.

The gate stands on a block's expanded channels, but its bottleneck is a quarter of the channels that came *into* the block,
so the same gate is narrower the more a block expands. Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional
Neural Networks, ICML 2019; the gate is Hu et al.'s, CVPR 2018.

From ``lukemelas/EfficientNet-PyTorch``, ``efficientnet_pytorch/model.py`` (``MBConvBlock``): biased 1x1 convolutions and
at least one hidden channel. Where a place offers no block input, the module's own channels stand for it, and the bottleneck
is wider than in the network: only at a host's slot is it EfficientNet's own.

Two more networks have gates of their own in their slots, after torchvision's ``SqueezeExcitation``: ``se_regnet``
(Radosavovic et al., CVPR 2020) has ReLU inside and the same bottleneck, ``se_mobile`` (Howard et al., Searching for
MobileNetV3, ICCV 2019) has ReLU inside, a hard sigmoid, and a quarter of its own channels in multiples of 8.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule, in_eights

Function = Callable[[torch.Tensor], torch.Tensor]


class BlockSE(nn.Module):
    """Scales each channel by a gate read from all channel means, through so many hidden channels."""

    def __init__(self, channels: int, hidden: int, activation: Function, gate: Function) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)
        self.activation, self.gate = activation, gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x * self.gate(self.expand(self.activation(self.reduce(self.pool(x)))))


def swish_se(channels: int, block_input: int = 0, ratio: float = 0.25) -> BlockSE:
    """EfficientNet's gate."""
    return BlockSE(channels, _hidden(channels, block_input, ratio), functional.silu, torch.sigmoid)


def regnet_se(channels: int, block_input: int = 0, ratio: float = 0.25) -> BlockSE:
    """RegNetY's gate."""
    return BlockSE(channels, _rounded(channels, block_input, ratio), torch.relu, torch.sigmoid)


def mobile_se(channels: int, ratio: float) -> BlockSE:
    """MobileNetV3's gate."""
    return BlockSE(channels, in_eights(channels * ratio), torch.relu, functional.hardsigmoid)


def _hidden(channels: int, block_input: int, ratio: float) -> int:
    return max(1, int((block_input or channels) * ratio))


def _rounded(channels: int, block_input: int, ratio: float) -> int:
    return max(1, round((block_input or channels) * ratio))


def _two(channels: int, hidden: int) -> int:
    return 2 * channels * hidden + hidden + channels


ENTRIES = (
    AttentionModule(
        name="se_swish",
        build=swish_se,
        summary="EfficientNet's SE: SiLU inside, hidden width a quarter of the channels that enter the block",
        paper="Tan and Le, EfficientNet, ICML 2019",
        source="github.com/lukemelas/EfficientNet-PyTorch efficientnet_pytorch/model.py",
        options={"ratio": 0.25},
        params=lambda p, ratio: _two(p.channels, _hidden(p.channels, p.block_input, ratio)),
        macs=lambda p, ratio: 2 * p.channels * _hidden(p.channels, p.block_input, ratio),
    ),
    AttentionModule(
        name="se_regnet",
        build=regnet_se,
        summary="RegNetY's SE: ReLU inside, hidden width a quarter of the channels that enter the block",
        paper="Radosavovic et al., Designing Network Design Spaces, CVPR 2020",
        source="github.com/pytorch/vision torchvision/models/regnet.py (SqueezeExcitation)",
        options={"ratio": 0.25},
        params=lambda p, ratio: _two(p.channels, _rounded(p.channels, p.block_input, ratio)),
        macs=lambda p, ratio: 2 * p.channels * _rounded(p.channels, p.block_input, ratio),
    ),
    AttentionModule(
        name="se_mobile",
        build=mobile_se,
        summary="MobileNetV3's SE: ReLU inside, a hard sigmoid, hidden width a quarter in multiples of 8",
        paper="Howard et al., Searching for MobileNetV3, ICCV 2019",
        source="github.com/pytorch/vision torchvision/models/mobilenetv3.py (SqueezeExcitation)",
        options={"ratio": 0.25},
        params=lambda p, ratio: _two(p.channels, in_eights(p.channels * ratio)),
        macs=lambda p, ratio: 2 * p.channels * in_eights(p.channels * ratio),
    ),
)
