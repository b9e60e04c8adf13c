"""BAM: one gate per channel and position, the sum of a channel branch and a dilated spatial branch.

The channel branch is a normalised bottleneck over the means; the spatial branch sees far through two 3x3 convolutions
with dilation 4. Park, Woo, Lee, Kweon: BAM: Bottleneck Attention Module, BMVC 2018.

Shapes and layers are those of the authors' ``bam.py`` (``Jongchan/attention-module``). The gate is the paper's
(equations 1 to 3): ``x + x * sigmoid(channel + spatial)``; the published file multiplies the two branches instead of
adding them, and pools with a window of H x H, which is wrong for maps that are not square.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, too_narrow


class BAM(nn.Module):
    """``x + x * sigmoid(channel branch + spatial branch)``."""

    def __init__(self, channels: int, reduction: int, dilation: int) -> None:
        super().__init__()
        hidden = channels // reduction
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, channels),
        )
        dilated = [
            layer
            for _ in range(2)
            for layer in (
                nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation),
                nn.BatchNorm2d(hidden),
                nn.ReLU(),
            )
        ]
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU(), *dilated, nn.Conv2d(hidden, 1, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x + x * torch.sigmoid(self.channel(x)[:, :, None, None] + self.spatial(x))


def _params(plane: Plane, reduction: int, dilation: int) -> int:  # noqa: ARG001  the closed forms take all options
    c, q = plane.channels, plane.channels // reduction
    channel = c * q + q + 2 * q + q * c + c
    spatial = c * q + q + 2 * q + 2 * (9 * q * q + q + 2 * q) + q + 1
    return channel + spatial


def _macs(plane: Plane, reduction: int, dilation: int) -> int:  # noqa: ARG001
    c, q = plane.channels, plane.channels // reduction
    return 2 * c * q + plane.positions * (c * q + 18 * q * q + q)


ENTRIES = (
    AttentionModule(
        name="bam",
        build=BAM,
        summary="one gate from a channel bottleneck plus two dilated 3x3 convolutions, added to the input",
        paper="Park et al., BAM: Bottleneck Attention Module, BMVC 2018",
        source="github.com/Jongchan/attention-module MODELS/bam.py, combined as in the paper",
        options={"reduction": 16, "dilation": 4},
        params=_params,
        macs=_macs,
        refuses=too_narrow,
    ),
)
