"""Linear attention: the softmax replaced by a feature map, so that the cost grows with N and not with N^2.

With phi(x) = elu(x) + 1, keys and values are summed into one small matrix first, which each query then reads; the sum of
the keys normalises. Katharopoulos et al.: Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention,
ICML 2020 (``idiap/fast-transformers``). Queries, keys, values and output are biased 1x1 convolutions.
"""

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule, Plane

EPSILON = 1e-6  # the authors' guard of the normaliser


class LinearAttention(nn.Module):
    """Attention between all positions through ``heads`` matrices of (channels / heads) squared."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        batch, channels, height, width = x.shape
        shape = (batch, self.heads, channels // self.heads, height * width)
        query = functional.elu(self.query(x)).view(shape) + 1
        key = functional.elu(self.key(x)).view(shape) + 1
        summary = torch.matmul(self.value(x).view(shape), key.transpose(2, 3))
        weight = torch.matmul(key.sum(3).unsqueeze(2), query)
        attended = torch.matmul(summary, query) / (weight + EPSILON)
        return self.project(attended.view(batch, channels, height, width))


def _macs(plane: Plane, heads: int) -> int:
    c, n = plane.channels, plane.positions
    return 4 * c * c * n + 2 * n * c * c // heads + n * c


ENTRIES = (
    AttentionModule(
        name="linear_attention",
        build=LinearAttention,
        summary="attention through elu(x)+1 feature maps, linear in the number of positions",
        paper="Katharopoulos et al., Transformers are RNNs, ICML 2020",
        source="github.com/idiap/fast-transformers attention/linear_attention.py",
        options={"heads": 1},
        params=lambda p, heads: 4 * (p.channels**2 + p.channels),  # noqa: ARG005  heads share out the same weights
        macs=_macs,
        refuses=lambda p, heads: f"channels must be a multiple of {heads} heads" if p.channels % heads else "",
    ),
)
