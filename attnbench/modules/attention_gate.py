"""Attention gate: a gate per position from the sum of two projections, for the skips of a U-Net.

Skip and gating signal are projected to half the channels and added; ReLU, a 1x1 convolution and a sigmoid make one gate
a position. Oktay et al.: Attention U-Net: Learning Where to Look for the Pancreas, MIDL 2018.

Layers are those of the usual additive gate (``LeeJunHyun/Image_Segmentation`` ``network.py``). A module of this
registry has one input, so that skip and gating signal are the same map; with a decoder's signal the gate costs the
same, plus bringing that signal to the skip's size.

``attention_gate_grid`` is the authors' own form (``ozan-oktay/Attention-Gated-Networks`` ``GridAttentionBlock2D``): the skip
is projected by a 2x2 convolution of stride 2, the gate is made at half the size and brought back by bilinear interpolation,
and what it scaled passes a 1x1 convolution and a norm. The gating signal, which is half as large there, is here the mean of
each 2x2 window.
"""

import torch
from torch import nn
from torch.nn import functional

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


class GridAttentionGate(nn.Module):
    """``norm(project(x * gate))``, with the gate made at half the size."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // reduction
        self.pool = nn.AvgPool2d(2)
        self.theta = nn.Conv2d(channels, hidden, 2, 2, bias=False)
        self.phi = nn.Conv2d(channels, hidden, 1)
        self.psi = nn.Conv2d(hidden, 1, 1)
        self.project = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        gate = torch.sigmoid(self.psi(torch.relu(self.theta(x) + self.phi(self.pool(x)))))
        gate = functional.interpolate(gate, x.shape[2:], mode="bilinear")
        return self.project(x * gate)


def _grid_params(plane: Plane, reduction: int) -> int:
    c, q = plane.channels, plane.channels // reduction
    return 4 * c * q + c * q + q + q + 1 + c * c + c + 2 * c


def _grid_macs(plane: Plane, reduction: int) -> int:
    c, q = plane.channels, plane.channels // reduction
    return (plane.height // 2) * (plane.width // 2) * (5 * c * q + q) + c * c * plane.positions


def _grid_refuses(plane: Plane, reduction: int) -> str:
    small = min(plane.height, plane.width) < 2
    return too_narrow(plane, reduction) or ("needs a map of 2x2 at least, to halve it" if small else "")


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
    AttentionModule(
        name="attention_gate_grid",
        build=GridAttentionGate,
        summary="attention gate made at half the size and interpolated, with the authors' output projection",
        paper="Oktay et al., Attention U-Net: Learning Where to Look for the Pancreas, MIDL 2018",
        source="github.com/ozan-oktay/Attention-Gated-Networks models/layers/grid_attention_layer.py",
        options={"reduction": 2},
        params=_grid_params,
        macs=_grid_macs,
        refuses=_grid_refuses,
    ),
)
