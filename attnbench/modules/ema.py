"""EMA: coordinate gates in each group of channels, and a gate per position from two views attending to each other.

Each group is gated along rows and columns by a shared 1x1 convolution, and beside that seen through a 3x3 convolution;
the softmax of each view's means weighs the other view's positions, and the sum of both is the gate. Ouyang et al.:
Efficient Multi-Scale Attention Module with Cross-Spatial Learning, ICASSP 2023.

From the authors' ``EMA_attention_module`` (``YOLOonMe/EMA-attention-module``): 32 groups, which share their weights.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class EfficientMultiScale(nn.Module):
    """Gates each position of each group by the attention of two views to each other."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        width = channels // groups
        self.rows = nn.AdaptiveAvgPool2d((None, 1))
        self.columns = nn.AdaptiveAvgPool2d((1, None))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix = nn.Conv2d(width, width, 1)
        self.norm = nn.GroupNorm(width, width)
        self.local = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        batch, channels, height, width = x.shape
        grouped = x.reshape(batch * self.groups, channels // self.groups, height, width)
        means = self.mix(torch.cat([self.rows(grouped), self.columns(grouped).permute(0, 1, 3, 2)], 2))
        rows, columns = torch.split(means, [height, width], 2)
        one = self.norm(grouped * torch.sigmoid(rows) * torch.sigmoid(columns.permute(0, 1, 3, 2)))
        two = self.local(grouped)
        gate = torch.matmul(self._weights(one), two.flatten(2)) + torch.matmul(self._weights(two), one.flatten(2))
        gate = torch.sigmoid(gate.reshape(batch * self.groups, 1, height, width))
        return (grouped * gate).reshape(x.shape)

    def _weights(self, view: torch.Tensor) -> torch.Tensor:
        """Softmax over the channels of a view's means, ``[N, 1, C]``."""
        return torch.softmax(self.pool(view).flatten(2).transpose(1, 2), -1)


def _macs(plane: Plane, groups: int) -> int:
    c, n = plane.channels // groups, plane.positions
    return groups * ((plane.height + plane.width) * c * c + 9 * c * c * n + 2 * c * n)


ENTRIES = (
    AttentionModule(
        name="ema",
        build=EfficientMultiScale,
        summary="per group, row and column gates and a 3x3 view, each weighing the other",
        paper="Ouyang et al., Efficient Multi-Scale Attention Module with Cross-Spatial Learning, ICASSP 2023",
        source="github.com/YOLOonMe/EMA-attention-module",
        options={"groups": 32},
        params=lambda p, groups: 10 * (p.channels // groups) ** 2 + 4 * (p.channels // groups),
        macs=_macs,
        refuses=lambda p, groups: f"needs channels divisible by its {groups} groups" if p.channels % groups else "",
    ),
)
