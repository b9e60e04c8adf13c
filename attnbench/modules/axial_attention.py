"""Axial attention: softmax attention along each column, then along each row.

Two attentions over H and W positions stand in for one over H x W. Ho, Kalchbrenner, Weissenborn, Salimans: Axial
Attention in Multidimensional Transformers, 2019.

Queries, keys, values and output are biased layers an axis, as in the authors' code (``google-research`` axial); each
attention adds its input. Their blocks have layer normalisation and a perceptron beside that, which are left to
``transformer_block``.
"""

import math

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class LineAttention(nn.Module):
    """Multi-head softmax attention within each line of ``[N, lines, positions, C]``."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.project = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        shape = (*x.shape[:3], self.heads, x.shape[3] // self.heads)
        query, key, value = (layer(x).reshape(shape).transpose(2, 3) for layer in (self.query, self.key, self.value))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(shape[-1])
        return self.project(torch.matmul(torch.softmax(scores, -1), value).transpose(2, 3).reshape(x.shape))


class AxialAttention(nn.Module):
    """``y = x + attention along columns``, then ``y + attention along rows``."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.columns = LineAttention(channels, heads)
        self.rows = LineAttention(channels, heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        x = x + self.columns(x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
        return x + self.rows(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _macs(plane: Plane, heads: int) -> int:  # noqa: ARG001  heads share out the same products
    c, n = plane.channels, plane.positions
    return 8 * c * c * n + 2 * c * n * (plane.height + plane.width)


ENTRIES = (
    AttentionModule(
        name="axial_attention",
        build=AxialAttention,
        summary="softmax attention along columns, then along rows",
        paper="Ho et al., Axial Attention in Multidimensional Transformers, 2019",
        source="github.com/google-research/google-research axial",
        options={"heads": 8},
        params=lambda p, heads: 8 * (p.channels**2 + p.channels),  # noqa: ARG005
        macs=_macs,
        refuses=lambda p, heads: f"needs channels divisible by {heads} heads" if p.channels % heads else "",
    ),
)
