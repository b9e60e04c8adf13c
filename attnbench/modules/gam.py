"""GAM: a gate per channel and position from a perceptron over the channels, then one from two large convolutions.

Nothing is pooled, so that no information is lost, and the price is a quarter of a hundred full convolutions: this is
the heaviest of the gates. Liu, Shao, Hoffmann: Global Attention Mechanism: Retain Information to Enhance
Channel-Spatial Interactions, 2021.

The authors published no code. Sizes are those of the paper's figures (rate 4, 7x7) as the usual port has them
(``dengbuqi/GAM_Pytorch``; other ports have the large convolutions in ``groups`` of 4); both gates are sigmoids, as in the
paper's figure 2, where that port leaves the first one out.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, even_kernel, too_narrow


class GlobalAttention(nn.Module):
    """``x`` times a channel gate a position, times a gate of two 7x7 convolutions."""

    def __init__(self, channels: int, rate: int, kernel: int, groups: int) -> None:
        super().__init__()
        hidden = channels // rate
        self.channel = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, hidden, kernel, padding=kernel // 2, groups=groups),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, kernel, padding=kernel // 2, groups=groups),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        x = x * torch.sigmoid(self.channel(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return x * torch.sigmoid(self.spatial(x))


def _params(plane: Plane, rate: int, kernel: int, groups: int) -> int:
    c, q = plane.channels, plane.channels // rate
    return 2 * c * q + q + c + 2 * kernel**2 * c * q // groups + q + c + 2 * q + 2 * c


def _macs(plane: Plane, rate: int, kernel: int, groups: int) -> int:
    c, q = plane.channels, plane.channels // rate
    return (2 * c * q + 2 * kernel**2 * c * q // groups) * plane.positions


def _refuses(plane: Plane, rate: int, kernel: int, groups: int) -> str:
    parted = plane.channels // rate % groups or plane.channels % groups
    apart = f"needs channels, and channels / {rate}, divisible by its {groups} groups" if parted else ""
    return even_kernel(plane, kernel) or too_narrow(plane, rate) or apart


ENTRIES = (
    AttentionModule(
        name="gam",
        build=GlobalAttention,
        summary="channel perceptron at every position, then two full 7x7 convolutions as a gate",
        paper="Liu et al., Global Attention Mechanism: Retain Information to Enhance Channel-Spatial Interactions, 2021",
        source="arXiv 2112.05561; no code by the authors",
        options={"rate": 4, "kernel": 7, "groups": 1},
        params=_params,
        macs=_macs,
        refuses=_refuses,
    ),
)
