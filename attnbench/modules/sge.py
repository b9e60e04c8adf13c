"""SGE: within each group of channels, a gate per position from how like the group's mean vector the position is.

The product of a position's vector with the group's mean vector, normalised over the positions, becomes a gate with one
weight and one bias a group. Li, Hu, Yang: Spatial Group-wise Enhance: Improving Semantic Feature Learning in
Convolutional Networks, 2019.

From the authors' ``resnet_sge.py`` (``implus/PytorchInsight``): 64 groups, weights from 0 and biases from 1. The
deviation of one position is 0/0.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class SpatialGroupEnhance(nn.Module):
    """Scales each position of each group by its normalised likeness to the group's mean."""

    def __init__(self, channels: int, groups: int) -> None:  # noqa: ARG002  a weight a group, whatever the channels
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(1, groups, 1, 1))
        self.bias = nn.Parameter(torch.ones(1, groups, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        batch, channels, height, width = x.shape
        grouped = x.reshape(batch * self.groups, channels // self.groups, height, width)
        likeness = (grouped * grouped.mean((2, 3), keepdim=True)).sum(1).flatten(1)
        centred = likeness - likeness.mean(1, keepdim=True)
        deviation = (centred.square().sum(1, keepdim=True) / (height * width - 1)).sqrt()
        normal = (centred / (deviation + 1e-5)).reshape(batch, self.groups, height, width)
        gate = torch.sigmoid(normal * self.weight + self.bias).reshape(batch * self.groups, 1, height, width)
        return (grouped * gate).reshape(x.shape)


def _refuses(plane: Plane, groups: int) -> str:
    if plane.channels % groups:
        return f"needs channels divisible by its {groups} groups"
    return "needs at least two positions" if plane.positions < 2 else ""


ENTRIES = (
    AttentionModule(
        name="sge",
        build=SpatialGroupEnhance,
        summary="per group, a gate per position from its likeness to the group's mean vector",
        paper="Li et al., Spatial Group-wise Enhance, 2019",
        source="github.com/implus/PytorchInsight classification/models/imagenet/resnet_sge.py",
        options={"groups": 64},
        params=lambda p, groups: 2 * groups,  # noqa: ARG005
        macs=lambda p, groups: 0,  # noqa: ARG005
        refuses=_refuses,
    ),
)
