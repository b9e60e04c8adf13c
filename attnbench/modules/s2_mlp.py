"""S2-MLPv2: positions mix by shifting groups of channels by one; three such maps are weighed per channel.

The channels are tripled; a third is shifted down, up, right and left by quarters, a third in the other order, a third
not at all; split attention adds them up. No convolution reaches another position. Yu, Li, Cai, Sun, Li: S2-MLPv2:
Improved Spatial-Shift MLP Architecture for Vision, 2021.

The authors published no code; layers are those of the paper's section 3 (the split attention's layers have no bias).
What is shifted in at an edge is the edge itself, as in the paper's algorithm 1.
"""

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule

MAPS = 3


class SpatialShift(nn.Module):
    """Shifted maps of the expanded input, weighed by split attention and projected."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, MAPS * channels)
        self.squeeze = nn.Linear(channels, channels, bias=False)
        self.weigh = nn.Linear(channels, MAPS * channels, bias=False)
        self.project = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        batch, channels = x.shape[:2]
        one, two, three = self.expand(x.permute(0, 2, 3, 1)).chunk(MAPS, -1)
        maps = (shifted(one, (1, 1, 2, 2)), shifted(two, (2, 2, 1, 1)), three)
        summed = sum(one.sum(1).sum(1) for one in maps)  # in two steps: float32 loses digits over a whole large map
        weights = self.weigh(functional.gelu(self.squeeze(summed))).reshape(batch, MAPS, 1, 1, channels)
        mixed = sum(one * gate for one, gate in zip(maps, torch.softmax(weights, 1).unbind(1), strict=True))
        return self.project(mixed).permute(0, 3, 1, 2)


def shifted(x: torch.Tensor, axes: tuple[int, int, int, int]) -> torch.Tensor:
    """Quarters of the channels of ``[N, H, W, C]`` moved by one: forwards and backwards along an axis each, in turn."""
    quarters = x.chunk(4, -1)
    return torch.cat(
        [moved(part, axis, back=bool(i % 2)) for i, (part, axis) in enumerate(zip(quarters, axes, strict=True))], -1
    )


def moved(x: torch.Tensor, axis: int, back: bool) -> torch.Tensor:
    """Everything one further along an axis, the edge repeated."""
    length = x.shape[axis]
    if back:
        return torch.cat([x.narrow(axis, 1, length - 1), x.narrow(axis, length - 1, 1)], axis)
    return torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, length - 1)], axis)


ENTRIES = (
    AttentionModule(
        name="s2_mlpv2",
        build=SpatialShift,
        summary="channels shifted by one position in four directions, three such maps weighed per channel",
        paper="Yu et al., S2-MLPv2: Improved Spatial-Shift MLP Architecture for Vision, 2021",
        source="the paper, section 3; no code by the authors",
        params=lambda p: 8 * p.channels**2 + 4 * p.channels,
        macs=lambda p: 4 * p.channels**2 * p.positions + 4 * p.channels**2,
        refuses=lambda p: "needs channels divisible by 4" if p.channels % 4 else "",
    ),
)
