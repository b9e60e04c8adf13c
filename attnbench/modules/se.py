"""Squeeze-and-Excitation: a gate per channel, computed from the mean of each channel.

Global average pooling describes each channel by one number; two layers with a bottleneck between them turn these into a
sigmoid gate that scales the channels. Hu, Shen, Sun: Squeeze-and-Excitation Networks, CVPR 2018.

The authors write the two layers as 1x1 convolutions with bias (``models/SE-ResNet-50.prototxt``); the most copied port
(``moskomule/senet.pytorch``) as ``nn.Linear`` without. They compute the same function on other graphs: the linear form
needs two reshapes, which an NPU may refuse. ``pool=max`` describes a channel by its maximum, as in the paper's ablations.
"""

import torch
from torch import nn

from attnbench.core.grammar import OptionValue
from attnbench.modules import AttentionModule, Plane, no_hidden_channel
from attnbench.modules._rewrite import fill

POOLS: dict[str, type[nn.Module]] = {"avg": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}


class SE(nn.Module):
    """Scales each channel by a gate read from all channel means (or maxima), with 1x1 convolutions."""

    def __init__(self, channels: int, reduction: int, minimum: int = 1, bias: bool = True, pool: str = "avg") -> None:
        super().__init__()
        hidden = max(channels // reduction, minimum)
        self.pool = POOLS[pool](1)
        self.reduce = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.expand = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        gate = torch.sigmoid(self.expand(torch.relu(self.reduce(self.pool(x)))))
        return x * gate

    def adopt(self, original: "LinearSE") -> None:
        """Take the linear form's weights over: its matrices as 1x1 kernels, biases zero. Then both compute the same."""
        for mine, theirs in ((self.reduce, original.reduce), (self.expand, original.expand)):
            fill(mine.weight, theirs.weight)
            if mine.bias is not None:
                nn.init.zeros_(mine.bias)


class LinearSE(nn.Module):
    """The same gate with linear layers on the flattened means, as most PyTorch ports have it."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Linear(channels, channels // reduction, bias=False)
        self.expand = nn.Linear(channels // reduction, channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        batch, channels = x.shape[:2]
        means = self.pool(x).view(batch, channels)
        gate = torch.sigmoid(self.expand(torch.relu(self.reduce(means))))
        return x * gate.view(batch, channels, 1, 1)


def npu_se(channels: int, reduction: int, minimum: int) -> SE:
    """SE as the design report's section 4.1 has it: no bias, and never fewer than ``minimum`` hidden channels."""
    return SE(channels, reduction, minimum, bias=False)


def _refuses(plane: Plane, reduction: int, pool: str) -> str:
    if pool not in POOLS:
        return f"pool must be one of {', '.join(POOLS)}, not {pool}"
    return no_hidden_channel(plane, reduction)


def _weights(plane: Plane, reduction: int, **_options: OptionValue) -> int:
    return 2 * plane.channels * (plane.channels // reduction)


def _hidden(plane: Plane, reduction: int, minimum: int) -> int:
    return max(plane.channels // reduction, minimum)


ENTRIES = (
    AttentionModule(
        name="se",
        build=SE,
        summary="gate per channel from all channel means; two biased 1x1 convolutions",
        paper="Hu et al., Squeeze-and-Excitation Networks, CVPR 2018",
        source="github.com/hujie-frank/SENet models/SE-ResNet-50.prototxt",
        options={"reduction": 16, "pool": "avg"},
        params=lambda p, reduction, **_: _weights(p, reduction) + p.channels // reduction + p.channels,
        macs=_weights,
        refuses=_refuses,
        rewrite_of=("se_linear",),
    ),
    AttentionModule(
        name="se_linear",
        build=LinearSE,
        summary="SE with linear layers without bias, as most PyTorch ports have it",
        paper="Hu et al., Squeeze-and-Excitation Networks, CVPR 2018",
        source="github.com/moskomule/senet.pytorch senet/se_module.py",
        options={"reduction": 16},
        params=_weights,
        macs=_weights,
        refuses=no_hidden_channel,
    ),
    AttentionModule(
        name="se_npu",
        build=npu_se,
        summary="SE for an NPU: 1x1 convolutions without bias, at least 8 hidden channels",
        paper="Hu et al., Squeeze-and-Excitation Networks, CVPR 2018",
        source="design report, section 4.1 (NPUSEBlock)",
        options={"reduction": 16, "minimum": 8},
        params=lambda p, reduction, minimum: 2 * p.channels * _hidden(p, reduction, minimum),
        macs=lambda p, reduction, minimum: 2 * p.channels * _hidden(p, reduction, minimum),
    ),
)
