"""Attention gate: a gate per position from the sum of two projections, for the skips of a U-Net.

Skip and gating signal are projected to half the channels and added; ReLU, a 1x1 convolution and a sigmoid make one gate
a position. Oktay et al.: Attention U-Net: Learning Where to Look for the Pancreas, MIDL 2018.

Layers are those of the usual additive gate (``LeeJunHyun/Image_Segmentation`` ``network.py``). A module of this
registry has one input, so that skip and gating signal are the same map; with a decoder's signal the gate costs the
same, plus bringing that signal to the skip's size.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, too_narrow


class AttentionGate(nn.Module):
    """``x * sigmoid(psi(relu(gating projection + skip projection)))``."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // reduction
        self.gating = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden))
        self.skip = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden))
        self.psi = nn.Sequential(nn.Conv2d(hidden, 1, 1), nn.BatchNorm2d(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x * torch.sigmoid(self.psi(torch.relu(self.gating(x) + self.skip(x))))


def _params(plane: Plane, reduction: int) -> int:
    c, q = plane.channels, plane.channels // reduction
    return 2 * (c * q + 3 * q) + q + 3


ENTRIES = (
    AttentionModule(
        name="attention_gate",
        build=AttentionGate,
        summary="gate per position from two projections of skip and gating signal; here both are the input",
        paper="Oktay et al., Attention U-Net: Learning Where to Look for the Pancreas, MIDL 2018",
        source="github.com/LeeJunHyun/Image_Segmentation network.py",
        options={"reduction": 2},
        params=_params,
        macs=lambda p, reduction: p.positions * (2 * p.channels + 1) * (p.channels // reduction),
        refuses=too_narrow,
    ),
)
