"""Position-sensitive axial attention: softmax attention along columns, then along rows, that knows how far apart places are.

Queries, keys and values each meet a learned vector for the distance between two places, so that the scores are three
products and the output is two sums, all batch-normalised. Stands where a 3x3 convolution would: a block, not a gate. Wang,
Zhu, Green et al.: Axial-DeepLab: Stand-Alone Axial-Attention for Panoptic Segmentation, ECCV 2020.

From the authors' ``axialnet.py`` (``csrhddlam/axial-deeplab``): 8 heads, half the channels for queries and keys, ReLU
behind the row attention, a stride as mean pooling behind that. The vectors belong to one size of map.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class PositionSensitiveAttention(nn.Module):
    """Attention within each line of ``[lines, C, positions]``."""

    index: torch.Tensor

    def __init__(self, channels: int, length: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, channels // heads
        self.project = nn.Conv1d(channels, 2 * channels, 1, bias=False)
        self.project_norm = nn.BatchNorm1d(2 * channels)
        self.score_norm = nn.BatchNorm2d(3 * heads)
        self.output_norm = nn.BatchNorm1d(2 * channels)
        self.relative = nn.Parameter(torch.randn(2 * self.width, 2 * length - 1) * self.width**-0.5)
        places = torch.arange(length)
        self.register_buffer("index", places[:, None] - places + length - 1, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        lines, channels, length = x.shape
        half, parts = self.width // 2, [self.width // 2, self.width // 2, self.width]
        mixed = self.project_norm(self.project(x)).reshape(lines, self.heads, 2 * self.width, length)
        query, key, value = torch.split(mixed, list(parts), 2)
        distance = self.relative.index_select(1, self.index.flatten()).reshape(2 * self.width, length, length)
        for_query, for_key, for_value = torch.split(distance, [half, half, self.width], 0)
        scores = torch.cat(
            [
                torch.matmul(query.transpose(2, 3), key),
                torch.einsum("bgci,cij->bgij", query, for_query),
                torch.einsum("bgci,cij->bgij", key, for_key).transpose(2, 3),
            ],
            1,
        )
        scores = self.score_norm(scores).reshape(lines, 3, self.heads, length, length).sum(1)
        weights = torch.softmax(scores, 3)
        content = torch.matmul(weights, value.transpose(2, 3)).transpose(2, 3)
        place = torch.einsum("bgij,cij->bgci", weights, for_value)
        stacked = torch.cat([content, place], -1).reshape(lines, 2 * channels, length)
        return self.output_norm(stacked).reshape(lines, channels, 2, length).sum(2)


class AxialBlock(nn.Module):
    """``relu(row attention(column attention(x)))``, pooled where there is a stride."""

    def __init__(self, channels: int, height: int, width: int, heads: int, stride: int = 1) -> None:
        super().__init__()
        self.columns = PositionSensitiveAttention(channels, height, heads)
        self.rows = PositionSensitiveAttention(channels, width, heads)
        self.narrow = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to ``[N, C, H / stride, W / stride]``."""
        batch, channels, height, width = x.shape
        lines = self.columns(x.permute(0, 3, 1, 2).reshape(batch * width, channels, height))
        x = lines.reshape(batch, width, channels, height).permute(0, 3, 2, 1)
        lines = self.rows(x.reshape(batch * height, channels, width))
        return torch.relu(self.narrow(lines.reshape(batch, height, channels, width).transpose(1, 2)))


def _params(plane: Plane, heads: int) -> int:
    c = plane.channels
    axes = (2 * c * c + 8 * c + 6 * heads + 2 * (c // heads) * (2 * length - 1) for length in (plane.height, plane.width))
    return sum(axes)


def _macs(plane: Plane, heads: int) -> int:  # noqa: ARG001  heads share out the same products
    c = plane.channels
    return sum((2 * c * c + 7 * c // 2 * length) * plane.positions for length in (plane.height, plane.width))


def _refuses(plane: Plane, heads: int) -> str:
    return f"needs channels divisible by {2 * heads} (twice its heads)" if plane.channels % (2 * heads) else ""


ENTRIES = (
    AttentionModule(
        name="axial_position",
        build=AxialBlock,
        summary="position-sensitive softmax attention along columns, then along rows, then ReLU; a block",
        paper="Wang et al., Axial-DeepLab: Stand-Alone Axial-Attention for Panoptic Segmentation, ECCV 2020",
        source="github.com/csrhddlam/axial-deeplab lib/models/axialnet.py",
        options={"heads": 8},
        params=_params,
        macs=_macs,
        refuses=_refuses,
    ),
)
