"""Global context: one context vector, attended from all positions and the same for each of them, added to the map.

A 1x1 convolution and a softmax weigh the positions, their weighted mean passes a bottleneck with layer normalisation,
and the result is added everywhere. Cao, Xu, Lin, Wei, Hu: GCNet: Non-local Networks Meet Squeeze-Excitation Networks
and Beyond, ICCVW 2019.

From the authors' ``context_block.py`` (``xvjiarui/GCNet``): attention pooling and channel addition; the ratio is theirs
to choose (1/16 and 1/4 in the published models).
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, too_narrow


class GlobalContext(nn.Module):
    """``x + transform(sum over positions of softmax weight * x)``."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // reduction
        self.weight = nn.Conv2d(channels, 1, 1)
        self.transform = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.LayerNorm([hidden, 1, 1]), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        weights = torch.softmax(self.weight(x).flatten(2), -1)
        context = torch.matmul(x.flatten(2), weights.transpose(1, 2))
        return x + self.transform(context.unsqueeze(-1))


def _params(plane: Plane, reduction: int) -> int:
    c, q = plane.channels, plane.channels // reduction
    return c + 1 + c * q + q + 2 * q + q * c + c


ENTRIES = (
    AttentionModule(
        name="gc",
        build=GlobalContext,
        summary="one attended context vector through a normalised bottleneck, added to every position",
        paper="Cao et al., GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond, ICCVW 2019",
        source="github.com/xvjiarui/GCNet mmdet/ops/gcb/context_block.py",
        options={"reduction": 16},
        params=_params,
        macs=lambda p, reduction: 2 * p.channels * p.positions + 2 * p.channels * (p.channels // reduction),
        refuses=too_narrow,
    ),
)
