"""Efficient attention: keys weigh positions and queries weigh channels, so that no map of position by position is made.

Softmax is taken of the queries over their channels and of the keys over the positions; multiplying keys with values
first makes cost linear in the positions. Shen, Zhang, Zhao, Yi, Li: Efficient Attention: Attention with Linear
Complexities, WACV 2021.

From the authors' ``efficient_attention.py`` (``cmsflash/efficient-attention``), which leaves the numbers of channels
and heads to the caller: here half the channels for keys and values, eight heads where they divide these.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class EfficientAttention(nn.Module):
    """``x + project(softmax(q) (softmax(k) v))``, head by head."""

    def __init__(self, channels: int, reduction: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.width = channels // reduction
        self.query = nn.Conv2d(channels, self.width, 1)
        self.key = nn.Conv2d(channels, self.width, 1)
        self.value = nn.Conv2d(channels, self.width, 1)
        self.project = nn.Conv2d(self.width, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        shape = (x.shape[0], self.heads, self.width // self.heads, x.shape[2] * x.shape[3])
        query, key, value = self.query(x).reshape(shape), self.key(x).reshape(shape), self.value(x).reshape(shape)
        context = torch.matmul(torch.softmax(key, -1), value.transpose(-1, -2))
        attended = torch.matmul(context.transpose(-1, -2), torch.softmax(query, -2))
        return x + self.project(attended.reshape(x.shape[0], self.width, *x.shape[2:]))


def _refuses(plane: Plane, reduction: int, heads: int) -> str:
    width = plane.channels // reduction
    return f"needs channels / {reduction} divisible by {heads} heads" if not width or width % heads else ""


def _params(plane: Plane, reduction: int, heads: int) -> int:  # noqa: ARG001  heads share out the same weights
    c, d = plane.channels, plane.channels // reduction
    return 3 * (c * d + d) + d * c + c


def _macs(plane: Plane, reduction: int, heads: int) -> int:
    c, d, n = plane.channels, plane.channels // reduction, plane.positions
    return 4 * c * d * n + 2 * d * d * n // heads


ENTRIES = (
    AttentionModule(
        name="efficient_attention",
        build=EfficientAttention,
        summary="softmax over positions for keys and over channels for queries; linear in the positions",
        paper="Shen et al., Efficient Attention: Attention with Linear Complexities, WACV 2021",
        source="github.com/cmsflash/efficient-attention efficient_attention.py",
        options={"reduction": 2, "heads": 8},
        params=_params,
        macs=_macs,
        refuses=_refuses,
    ),
)
