"""SimAM: a gate per channel and position, from how far a value lies from the mean of its channel; no weights at all.

A value that stands out of its channel has a low energy in closed form and passes; one near the mean is damped to a half
and more. Yang, Zhang, Li, Xie: SimAM: A Simple, Parameter-Free Attention Module, ICML 2021.

From the authors' ``simam_module.py`` (``ZjjConan/SimAM``), whose regulariser is 1e-4. On a map of one position the
variance is 0/0.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule


class SimAM(nn.Module):
    """``x * sigmoid((x - mean)^2 / (4 (variance + lambda)) + 0.5)``, mean and variance over the positions."""

    def __init__(self, regulariser: float) -> None:
        super().__init__()
        self.regulariser = regulariser

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        others = x.shape[2] * x.shape[3] - 1
        distance = (x - x.mean((2, 3), keepdim=True)).square()
        variance = distance.sum((2, 3), keepdim=True) / others
        return x * torch.sigmoid(distance / (4 * (variance + self.regulariser)) + 0.5)


ENTRIES = (
    AttentionModule(
        name="simam",
        build=SimAM,
        summary="gate from each value's distance to its channel's mean; no weights",
        paper="Yang et al., SimAM: A Simple, Parameter-Free Attention Module, ICML 2021",
        source="github.com/ZjjConan/SimAM networks/attentions/simam_module.py",
        options={"regulariser": 1e-4},
        params=lambda p, regulariser: 0,  # noqa: ARG005
        macs=lambda p, regulariser: 0,  # noqa: ARG005
        refuses=lambda p, regulariser: "needs at least two positions" if p.positions < 2 else "",  # noqa: ARG005
    ),
)
