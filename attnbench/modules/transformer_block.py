"""Transformer block: self-attention over all positions and a perceptron at each, both behind layer normalisation.

``x + attention(norm(x))``, then ``x + perceptron(norm(x))``, with positions as tokens. Vaswani et al.: Attention Is All
You Need, NeurIPS 2017, in the pre-norm order of Dosovitskiy et al.: An Image is Worth 16x16 Words, ICLR 2021.

Layers are those of ``vit_jax/models_vit.py`` (``google-research/vision_transformer``). The products are written out:
torch's fused kernels would hide them from every counter, and ``nn.MultiheadAttention`` its fast path.
"""

import math

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class TokenBlock(nn.Module):
    """A pre-norm encoder block on tokens ``[N, tokens, C]``."""

    def __init__(self, channels: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(channels, eps=1e-6)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(channels, eps=1e-6),
            nn.Linear(channels, expansion * channels),
            nn.GELU(),
            nn.Linear(expansion * channels, channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        x = x + self._attend(self.attention_norm(x))
        return x + self.perceptron(x)

    def _attend(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, positions, channels = tokens.shape
        split = self.query_key_value(tokens).reshape(batch, positions, 3, self.heads, channels // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(channels // self.heads)
        attended = torch.matmul(torch.softmax(scores, -1), value)
        return self.project(attended.transpose(1, 2).reshape(tokens.shape))


class TransformerBlock(TokenBlock):
    """The block on the positions of a map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return super().forward(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)


def _params(plane: Plane, heads: int, expansion: int) -> int:  # noqa: ARG001  heads share out the same weights
    c, e = plane.channels, expansion
    return (4 + 2 * e) * c * c + (3 + 1 + e + 1 + 4) * c


def _macs(plane: Plane, heads: int, expansion: int) -> int:  # noqa: ARG001
    c, n = plane.channels, plane.positions
    return (4 + 2 * expansion) * c * c * n + 2 * c * n * n


ENTRIES = (
    AttentionModule(
        name="transformer_block",
        build=TransformerBlock,
        summary="pre-norm self-attention over all positions, then a perceptron at each",
        paper="Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021",
        year=2020,
        source="github.com/google-research/vision_transformer vit_jax/models_vit.py (Encoder1DBlock)",
        options={"heads": 8, "expansion": 4},
        params=_params,
        macs=_macs,
        refuses=lambda p, heads, **_: f"needs channels divisible by {heads} heads" if p.channels % heads else "",
    ),
)
