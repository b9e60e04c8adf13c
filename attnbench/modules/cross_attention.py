"""Cross-attention: every position attends to a coarse context, the map averaged over windows.

Queries come from the map; keys and values from its means over windows of ``window`` x ``window`` positions, which stand
in for the second input that cross-attention has elsewhere. Vaswani et al.: Attention Is All You Need, NeurIPS 2017;
context by reduction as in Wang et al.: Pyramid Vision Transformer, ICCV 2021.

Multi-head with biased projections; the input is added. What does not fill a window at the lower and right edge is left
out of the context.
"""

import math

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class CrossAttention(nn.Module):
    """``x + project(softmax(q(x) k(context)) v(context))``."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.context = nn.AvgPool2d(window)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        context = self.context(x)
        query, key, value = self._heads(self.query(x)), self._heads(self.key(context)), self._heads(self.value(context))
        scores = torch.matmul(query.transpose(-1, -2), key) / math.sqrt(query.shape[2])
        attended = torch.matmul(value, torch.softmax(scores, -1).transpose(-1, -2))
        return x + self.project(attended.reshape(x.shape))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, heads, C / heads, positions]``."""
        return x.reshape(x.shape[0], self.heads, x.shape[1] // self.heads, x.shape[2] * x.shape[3])


def _refuses(plane: Plane, heads: int, window: int) -> str:
    if plane.channels % heads:
        return f"needs channels divisible by {heads} heads"
    small = min(plane.height, plane.width) < window
    return f"needs a map of {window}x{window} at least, one window of context" if small else ""


def _macs(plane: Plane, heads: int, window: int) -> int:  # noqa: ARG001  heads share out the same products
    c, n = plane.channels, plane.positions
    k = (plane.height // window) * (plane.width // window)
    return 2 * c * c * n + 2 * c * c * k + 2 * c * n * k


ENTRIES = (
    AttentionModule(
        name="cross_attention",
        build=CrossAttention,
        summary="softmax attention from every position to the map averaged over windows",
        paper="Vaswani et al., Attention Is All You Need, NeurIPS 2017",
        source="the paper; context as in github.com/whai362/PVT (spatial reduction)",
        options={"heads": 8, "window": 4},
        params=lambda p, heads, window: 4 * (p.channels**2 + p.channels),  # noqa: ARG005
        macs=_macs,
        refuses=_refuses,
    ),
)
