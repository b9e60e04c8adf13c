"""Full self-attention over all positions of a feature map: every position attends to every other.

Queries, keys and values are 1x1 convolutions; the softmax of their scaled products weighs the values. Vaswani et al.,
Attention Is All You Need, NeurIPS 2017, applied to a map as in the design report (section 2.1): one head, no residual.

The attention map has N^2 entries: at 384x640 that is 60.4 billion, 242 GB in single precision. The products are written
out as matrix products; a fused kernel would hide them from every counter.
"""

import math

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, too_narrow


class SelfAttention(nn.Module):
    """Softmax attention between all positions; queries and keys have ``channels / reduction`` channels."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.width = channels // reduction
        self.query = nn.Conv2d(channels, self.width, 1)
        self.key = nn.Conv2d(channels, self.width, 1)
        self.value = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        query, key, value = self.query(x).flatten(2), self.key(x).flatten(2), self.value(x).flatten(2)
        scores = torch.matmul(query.transpose(1, 2) / math.sqrt(self.width), key)
        attention = torch.softmax(scores, -1)
        return torch.matmul(attention, value.transpose(1, 2)).transpose(1, 2).reshape(x.shape)


def _params(plane: Plane, reduction: int) -> int:
    c, q = plane.channels, plane.channels // reduction
    return 2 * (c * q + q) + c * c + c


def _macs(plane: Plane, reduction: int) -> int:
    c, q, n = plane.channels, plane.channels // reduction, plane.positions
    return (2 * q + c) * c * n + (q + c) * n * n


ENTRIES = (
    AttentionModule(
        name="self_attention",
        build=SelfAttention,
        summary="softmax attention between all positions, one head",
        paper="Vaswani et al., Attention Is All You Need, NeurIPS 2017",
        source="design report, section 2.1",
        options={"reduction": 1},
        params=_params,
        macs=_macs,
        refuses=too_narrow,
    ),
)
