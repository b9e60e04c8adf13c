"""A2: a few vectors are gathered from the whole map by attention, and given back to each position by attention.

Gathering weighs positions with a softmax over all of them; giving back weighs the gathered vectors with a softmax over
these, at each position. Cost grows with the number of positions, not with its square. Chen et al.: A2-Nets: Double
Attention Networks, NeurIPS 2018.

The authors published no code in PyTorch; sizes (a quarter of the channels for features and for vectors) and the
residual are those of the paper's section 3 and figure 2. A common port takes the softmax over the batch.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, too_narrow


class DoubleAttention(nn.Module):
    """``x + project(gathered vectors, given back by attention)``."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.width = channels // reduction
        self.features = nn.Conv2d(channels, self.width, 1)
        self.gather = nn.Conv2d(channels, self.width, 1)
        self.give = nn.Conv2d(channels, self.width, 1)
        self.project = nn.Conv2d(self.width, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        gather = torch.softmax(self.gather(x).flatten(2), -1)
        give = torch.softmax(self.give(x).flatten(2), 1)
        vectors = torch.matmul(self.features(x).flatten(2), gather.transpose(1, 2))
        given = torch.matmul(vectors, give).reshape(x.shape[0], self.width, *x.shape[2:])
        return x + self.project(given)


def _macs(plane: Plane, reduction: int) -> int:
    c, q, n = plane.channels, plane.channels // reduction, plane.positions
    return 4 * c * q * n + 2 * q * q * n


ENTRIES = (
    AttentionModule(
        name="a2",
        build=DoubleAttention,
        summary="vectors gathered from all positions by attention and given back to each by attention",
        paper="Chen et al., A2-Nets: Double Attention Networks, NeurIPS 2018",
        source="the paper, section 3; no PyTorch code by the authors",
        options={"reduction": 4},
        params=lambda p, reduction: 4 * p.channels * (p.channels // reduction) + 3 * (p.channels // reduction) + p.channels,
        macs=_macs,
        refuses=too_narrow,
    ),
)
