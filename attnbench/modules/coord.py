"""Coordinate attention: one gate along the height and one along the width, so that position is kept.

Means over each row and each column pass a shared bottleneck and become two gates, one per row and one per column, for
every channel. Hou, Zhou, Feng: Coordinate Attention for Efficient Mobile Network Design, CVPR 2021.

From the authors' ``coordatt.py`` (``houqb/CoordAttention``): reduction 32 with at least 8 channels, biased convolutions,
and h-swish written out as ``x * relu6(x + 3) / 6``.
"""

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule, Plane


class CoordinateAttention(nn.Module):
    """Scales each position by the product of a row gate and a column gate."""

    def __init__(self, channels: int, reduction: int, minimum: int) -> None:
        super().__init__()
        hidden = max(minimum, channels // reduction)
        self.rows = nn.AdaptiveAvgPool2d((None, 1))
        self.columns = nn.AdaptiveAvgPool2d((1, None))
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.BatchNorm2d(hidden)
        self.row_gate = nn.Conv2d(hidden, channels, 1)
        self.column_gate = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        height, width = x.shape[2:]
        means = torch.cat([self.rows(x), self.columns(x).permute(0, 1, 3, 2)], 2)
        hidden = self.norm(self.reduce(means))
        hidden = hidden * (functional.relu6(hidden + 3) / 6)
        rows, columns = torch.split(hidden, [height, width], 2)
        row_gate = torch.sigmoid(self.row_gate(rows))
        column_gate = torch.sigmoid(self.column_gate(columns.permute(0, 1, 3, 2)))
        return x * column_gate * row_gate


def _hidden(plane: Plane, reduction: int, minimum: int) -> int:
    return max(minimum, plane.channels // reduction)


ENTRIES = (
    AttentionModule(
        name="coord",
        build=CoordinateAttention,
        summary="a gate per row and one per column, from means along the other axis",
        paper="Hou et al., Coordinate Attention for Efficient Mobile Network Design, CVPR 2021",
        year=2021,
        source="github.com/houqb/CoordAttention coordatt.py",
        options={"reduction": 32, "minimum": 8},
        params=lambda p, reduction, minimum: (
            3 * p.channels * _hidden(p, reduction, minimum) + 3 * _hidden(p, reduction, minimum) + 2 * p.channels
        ),
        macs=lambda p, reduction, minimum: 2 * p.channels * _hidden(p, reduction, minimum) * (p.height + p.width),
    ),
)
