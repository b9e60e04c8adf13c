"""Split attention: a grouped convolution gives several maps, and a softmax per channel weighs them into one.

The means of their sum pass a bottleneck and become one weight a channel and map. Stands where a 3x3 convolution would:
a block, not a gate. Zhang et al.: ResNeSt: Split-Attention Networks, CVPRW 2022.

From the authors' ``splat.py`` (``zhanghang1989/ResNeSt``): radix 2, reduction 4 with 32 channels at least, cardinality
1. A stride is a 3x3 mean pooling behind it, as in ``resnet.py`` there.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class SplitAttention(nn.Module):
    """The ``radix`` maps of one grouped convolution, weighed per channel."""

    def __init__(self, channels: int, radix: int, reduction: int, minimum: int, stride: int = 1) -> None:
        super().__init__()
        hidden = max(channels * radix // reduction, minimum)
        self.radix = radix
        self.split = nn.Sequential(
            nn.Conv2d(channels, channels * radix, 3, padding=1, groups=radix, bias=False),
            nn.BatchNorm2d(channels * radix),
            nn.ReLU(),
        )
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU()
        )
        self.weights = nn.Conv2d(hidden, channels * radix, 1)
        self.narrow = nn.AvgPool2d(3, stride, 1) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to ``[N, C, H / stride, W / stride]``."""
        batch, channels = x.shape[:2]
        maps = self.split(x).chunk(self.radix, 1)
        weights = self.weights(self.squeeze(sum(maps))).reshape(batch, self.radix, channels, 1, 1)
        gates = torch.softmax(weights, 1).unbind(1)
        return self.narrow(sum(one * gate for one, gate in zip(maps, gates, strict=True)))


def _hidden(plane: Plane, radix: int, reduction: int, minimum: int) -> int:
    return max(plane.channels * radix // reduction, minimum)


def _params(plane: Plane, radix: int, reduction: int, minimum: int) -> int:
    c, i = plane.channels, _hidden(plane, radix, reduction, minimum)
    return 9 * c * c + 2 * radix * c + c * i + i + 2 * i + radix * (i * c + c)


def _macs(plane: Plane, radix: int, reduction: int, minimum: int) -> int:
    c, i = plane.channels, _hidden(plane, radix, reduction, minimum)
    return 9 * c * c * plane.positions + (1 + radix) * c * i


ENTRIES = (
    AttentionModule(
        name="split",
        build=SplitAttention,
        summary="maps of a grouped 3x3 convolution weighed by a softmax per channel; a block",
        paper="Zhang et al., ResNeSt: Split-Attention Networks, CVPRW 2022",
        year=2020,
        source="github.com/zhanghang1989/ResNeSt resnest/torch/models/splat.py",
        options={"radix": 2, "reduction": 4, "minimum": 32},
        params=_params,
        macs=_macs,
        refuses=lambda p, radix, **_: f"needs channels divisible by its radix {radix}" if p.channels % radix else "",
    ),
)
