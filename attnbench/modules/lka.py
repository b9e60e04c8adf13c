"""Large kernel attention: a gate per channel and position from a 21x21 neighbourhood, made of small convolutions.

A depthwise 5x5, a depthwise 7x7 with dilation 3 and a 1x1 convolution in a row make the gate, without a sigmoid. Guo,
Lu, Liu, Cheng, Hu: Visual Attention Network, Computational Visual Media 2023.

From the authors' ``van.py`` (``Visual-Attention-Network/VAN-Classification``). ``projected`` is their whole attention
layer: a 1x1 convolution and GELU before, a 1x1 convolution after, and the input added.

``lska`` makes the gate of rows and columns: each depthwise kernel is a 1xk and a kx1 one behind each other. Lau, Po, Rehman:
Large Separable Kernel Attention, Expert Systems with Applications 2024; kernels and dilations of each reach from
``StevenLauHKHK/Large-Separable-Kernel-Attention``.
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


SEPARATED = {7: (3, 3, 2), 11: (3, 5, 2), 23: (5, 7, 3), 35: (5, 11, 3), 41: (5, 13, 3), 53: (5, 17, 3)}
"""By the reach: the near kernel, the far kernel, and the far one's dilation."""


class LargeSeparableKernelAttention(nn.Module):
    """``x`` times four one-dimensional depthwise convolutions and a 1x1 convolution of ``x``."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        near, far, dilation = SEPARATED[kernel]
        reach = dilation * (far // 2)
        self.near_row = nn.Conv2d(channels, channels, (1, near), padding=(0, near // 2), groups=channels)
        self.near_column = nn.Conv2d(channels, channels, (near, 1), padding=(near // 2, 0), groups=channels)
        self.far_row = nn.Conv2d(channels, channels, (1, far), padding=(0, reach), groups=channels, dilation=dilation)
        self.far_column = nn.Conv2d(channels, channels, (far, 1), padding=(reach, 0), groups=channels, dilation=dilation)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x * self.mix(self.far_column(self.far_row(self.near_column(self.near_row(x)))))


def _taps(kernel: int) -> int:
    near, far, _ = SEPARATED[kernel]
    return 2 * (near + far)


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
    AttentionModule(
        name="lska",
        build=LargeSeparableKernelAttention,
        summary="gate from rows and columns of depthwise kernels, near and dilated, and a 1x1 convolution",
        paper="Lau et al., Large Separable Kernel Attention, Expert Systems with Applications 2024",
        year=2023,
        source="github.com/StevenLauHKHK/Large-Separable-Kernel-Attention",
        options={"kernel": 7},
        choices={"kernel": (7, 11, 23, 35, 41, 53)},
        params=lambda p, kernel: p.channels**2 + (_taps(kernel) + 5) * p.channels,
        macs=lambda p, kernel: (p.channels**2 + _taps(kernel) * p.channels) * p.positions,
    ),
)
