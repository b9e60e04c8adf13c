"""Large kernel attention: a gate per channel and position from a 21x21 neighbourhood, made of small convolutions.

A depthwise 5x5, a depthwise 7x7 with dilation 3 and a 1x1 convolution in a row make the gate, without a sigmoid. Guo,
Lu, Liu, Cheng, Hu: Visual Attention Network, Computational Visual Media 2023.

From the authors' ``van.py`` (``Visual-Attention-Network/VAN-Classification``). ``projected`` is their whole attention
layer: a 1x1 convolution and GELU before, a 1x1 convolution after, and the input added.
"""

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule, Plane


class LargeKernelAttention(nn.Module):
    """``x`` times three convolutions of ``x``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, 7, padding=9, groups=channels, dilation=3)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x * self.mix(self.far(self.near(x)))


class ProjectedLKA(nn.Module):
    """VAN's attention layer: projection, GELU, large kernel attention, projection, and the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, channels, 1)
        self.attend = LargeKernelAttention(channels)
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x + self.leave(self.attend(functional.gelu(self.enter(x))))


def lka(channels: int, projected: bool) -> nn.Module:
    """The gate alone, or VAN's whole attention layer."""
    return ProjectedLKA(channels) if projected else LargeKernelAttention(channels)


def _params(plane: Plane, projected: bool) -> int:
    c = plane.channels
    return (3 if projected else 1) * c * c + (79 if projected else 77) * c


def _macs(plane: Plane, projected: bool) -> int:
    c = plane.channels
    return ((3 if projected else 1) * c * c + 74 * c) * plane.positions


ENTRIES = (
    AttentionModule(
        name="lka",
        build=lka,
        summary="gate from depthwise 5x5, dilated depthwise 7x7 and 1x1 convolutions",
        paper="Guo et al., Visual Attention Network, Computational Visual Media 2023",
        year=2022,
        source="github.com/Visual-Attention-Network/VAN-Classification models/van.py",
        options={"projected": False},
        params=_params,
        macs=_macs,
    ),
)
