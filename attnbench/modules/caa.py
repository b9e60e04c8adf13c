"""Context anchor attention: a gate per channel and position from a long row and a long column of the smoothed map.

The map is averaged over 7x7 windows, mixed by a 1x1 convolution, seen along rows and columns by depthwise kernels, mixed
again, and a sigmoid makes the gate. Cai, Lai, Wang et al.: Poly Kernel Inception Network for Remote Sensing Detection, CVPR
2024.

From the authors' ``pkinet.py`` (``NUST-Machine-Intelligence-Laboratory/PKINet``, class ``CAA``): kernels of 11, biased
where no norm follows, SiLU behind each norm.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, even_kernel


class ContextAnchor(nn.Module):
    """``x * sigmoid(mix(column(row(mix(smoothed x)))))``."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(7, 1, 3)
        self.enter = _mix(channels)
        self.row = nn.Conv2d(channels, channels, (1, kernel), padding=(0, kernel // 2), groups=channels)
        self.column = nn.Conv2d(channels, channels, (kernel, 1), padding=(kernel // 2, 0), groups=channels)
        self.leave = _mix(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x * torch.sigmoid(self.leave(self.column(self.row(self.enter(self.pool(x))))))


def _mix(channels: int) -> nn.Sequential:
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)
    return nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), norm, nn.SiLU())


def _macs(plane: Plane, kernel: int) -> int:
    return (2 * plane.channels**2 + 2 * kernel * plane.channels) * plane.positions


ENTRIES = (
    AttentionModule(
        name="caa",
        build=ContextAnchor,
        summary="gate from a long row and a long column kernel over the smoothed map, between 1x1 convolutions",
        paper="Cai et al., Poly Kernel Inception Network for Remote Sensing Detection, CVPR 2024",
        source="github.com/NUST-Machine-Intelligence-Laboratory/PKINet mmrotate/models/backbones/pkinet.py (CAA)",
        options={"kernel": 11},
        params=lambda p, kernel: 2 * p.channels**2 + (2 * kernel + 6) * p.channels,
        macs=_macs,
        refuses=even_kernel,
    ),
)
