"""Axial convolution: long, thin depthwise kernels along each axis instead of attention along it.

A column kernel, a row kernel and the input are summed, normalised and rectified, so one block sees a plus of 33 taps
inside a 17x17 window; the full 33x33 window takes two in a row. It stands in for axial attention (Ho et al., 2019) where
the hardware has no attention; the form is the design report's (section 2.5), which swaps the comments on the two kernels
and counts the reach of two blocks as that of one.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, even_kernel


class AxialConv(nn.Module):
    """Sum of a kx1 and a 1xk depthwise convolution and the input, batch-normalised, rectified."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        half = kernel // 2
        self.column = nn.Conv2d(channels, channels, (kernel, 1), padding=(half, 0), groups=channels)
        self.row = nn.Conv2d(channels, channels, (1, kernel), padding=(0, half), groups=channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return torch.relu(self.norm(self.column(x) + self.row(x) + x))


ENTRIES = (
    AttentionModule(
        name="axial_conv",
        build=AxialConv,
        summary="depthwise kx1 and 1xk convolutions plus identity, batch norm, ReLU",
        paper="after Ho et al., Axial Attention in Multidimensional Transformers, arXiv 1912.12180",
        year=2019,
        source="design report, section 2.5 (AxialConvBlock)",
        options={"kernel": 17},
        params=lambda p, kernel: 2 * p.channels * (kernel + 1) + 2 * p.channels,
        macs=lambda p, kernel: 2 * kernel * p.channels * p.positions,
        refuses=even_kernel,
    ),
)
