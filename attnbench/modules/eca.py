"""ECA: a gate per channel from the means of its neighbours, with a handful of weights.

A one-dimensional convolution slides over the vector of channel means, so each gate sees ``k`` neighbouring channels
instead of all. Wang et al.: ECA-Net: Efficient Channel Attention for Deep CNNs, CVPR 2020.

The paper derives ``k`` from the number of channels (gamma 2, b 1); the authors' code (``BangguWu/ECANet``) takes it as an
argument. ``kernel=0`` follows the paper. The design report's form (section 2.6) views the means as an image one pixel
high and fixes ``k`` at 5, which trades the Conv1d for reshapes.
"""

import math

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


def adaptive_kernel(channels: int, gamma: int = 2, b: int = 1) -> int:
    """The paper's kernel size for so many channels (section 3.2, equation 12): odd, growing with log2 of the channels."""
    size = int(abs((math.log2(channels) + b) / gamma))
    return size if size % 2 else size + 1


class ECA(nn.Module):
    """Scales each channel by a gate read from ``kernel`` neighbouring channel means."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        size = kernel or adaptive_kernel(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.neighbours = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        means = self.pool(x).squeeze(-1).transpose(-1, -2)
        gate = torch.sigmoid(self.neighbours(means).transpose(-1, -2).unsqueeze(-1))
        return x * gate


class NpuECA(nn.Module):
    """The same gate with a 1xk Conv2d on the means viewed as one row of an image."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        size = kernel or adaptive_kernel(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.neighbours = nn.Conv2d(1, 1, (1, size), padding=(0, size // 2), bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        batch, channels = x.shape[:2]
        row = self.pool(x).view(batch, 1, 1, channels)
        gate = torch.sigmoid(self.neighbours(row)).view(batch, channels, 1, 1)
        return x * gate.expand_as(x)


def _kernel(plane: Plane, kernel: int) -> int:
    return kernel or adaptive_kernel(plane.channels)


def _refuses(plane: Plane, kernel: int) -> str:
    return "" if _kernel(plane, kernel) % 2 else f"kernel must be odd, not {kernel}"


ENTRIES = (
    AttentionModule(
        name="eca",
        build=ECA,
        summary="gate per channel from the means of k neighbouring channels; Conv1d, k from the paper's rule",
        paper="Wang et al., ECA-Net: Efficient Channel Attention for Deep CNNs, CVPR 2020",
        year=2020,
        source="github.com/BangguWu/ECANet models/eca_module.py",
        options={"kernel": 0},
        params=_kernel,
        macs=lambda p, kernel: p.channels * _kernel(p, kernel),
        refuses=_refuses,
    ),
    AttentionModule(
        name="eca_npu",
        build=NpuECA,
        summary="ECA with a 1xk Conv2d on a view of the means",
        paper="Wang et al., ECA-Net: Efficient Channel Attention for Deep CNNs, CVPR 2020",
        year=2020,
        source="design report, section 2.6 (ECABlock)",
        options={"kernel": 5},
        params=_kernel,
        macs=lambda p, kernel: p.channels * _kernel(p, kernel),
        refuses=_refuses,
    ),
)
