"""Triplet attention: a gate per position for each pair of axes, channel with width, channel with height, and the plane.

In each of three branches, mean and maximum over the remaining axis pass a 7x7 convolution and become a gate; the three
gated maps are averaged. Misra, Nalamada, Arasanipalai, Hou: Rotate to Attend: Convolutional Triplet Attention Module,
WACV 2021.

From the authors' ``triplet_attention.py`` (``landskape-ai/triplet-attention``): convolutions without bias,
batch-normalised with momentum 0.01. Weights do not grow with the channels; MACs do.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, even_kernel


class Gate(nn.Module):
    """A gate over the last two axes from maximum and mean over the second."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, A, B, C]`` to the same shape."""
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.norm(self.conv(pooled)))


class TripletAttention(nn.Module):
    """The mean of two or three gated maps, each seen from another side. Its weights do not depend on the channels."""

    def __init__(self, kernel: int, spatial: bool) -> None:
        super().__init__()
        self.channel_width = Gate(kernel)
        self.channel_height = Gate(kernel)
        self.plane = Gate(kernel) if spatial else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        over_height = self.channel_width(x.permute(0, 2, 1, 3)).permute(0, 2, 1, 3)
        over_width = self.channel_height(x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
        if self.plane is None:
            return (over_height + over_width) / 2
        return (over_height + over_width + self.plane(x)) / 3


def _macs(plane: Plane, kernel: int, spatial: bool) -> int:
    c, h, w = plane.channels, plane.height, plane.width
    return 2 * kernel**2 * (c * w + c * h + (h * w if spatial else 0))


ENTRIES = (
    AttentionModule(
        name="triplet",
        build=TripletAttention,
        summary="mean of three maps, each gated over two of the axes by a 7x7 convolution",
        paper="Misra et al., Rotate to Attend: Convolutional Triplet Attention Module, WACV 2021",
        source="github.com/landskape-ai/triplet-attention triplet_attention.py",
        options={"kernel": 7, "spatial": True},
        params=lambda p, kernel, spatial: (3 if spatial else 2) * (2 * kernel**2 + 2),  # noqa: ARG005
        macs=_macs,
        refuses=even_kernel,
    ),
)
