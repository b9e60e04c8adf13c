"""Gather-Excite: a gate per channel from the whole extent of its map, with or without learned weights.

GE-theta-minus averages each channel and applies a sigmoid, without a single weight; GE-theta gathers with a depthwise
convolution as large as the map; GE-theta-plus excites through SE's bottleneck behind that. Hu, Shen, Albanie, Sun,
Vedaldi: Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks, NeurIPS 2018.

Global extent, as in the authors' models (``hujie-frank/GENet``, files GEPF, GEP and GEPP). The learned forms belong to
one size of map: their weights are as many as the map has entries.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, too_narrow


class GatherExcite(nn.Module):
    """Scales each channel by a gate gathered from all of its positions; ``form`` is minus, theta or plus."""

    def __init__(self, channels: int, height: int, width: int, form: str, reduction: int) -> None:
        super().__init__()
        gather: list[nn.Module] = [nn.AdaptiveAvgPool2d(1)]
        if form != "minus":
            whole = nn.Conv2d(channels, channels, (height, width), groups=channels, bias=False)
            gather = [whole, nn.BatchNorm2d(channels)]
        if form == "plus":
            hidden = channels // reduction
            gather += [nn.ReLU(), nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)]
        self.gather = nn.Sequential(*gather)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x * torch.sigmoid(self.gather(x))


def _refuses(plane: Plane, form: str, reduction: int) -> str:
    return too_narrow(plane, reduction) if form == "plus" else ""


def _params(plane: Plane, form: str, reduction: int) -> int:
    c, q = plane.channels, plane.channels // reduction
    gather = 0 if form == "minus" else c * plane.positions + 2 * c
    return gather + (2 * c * q + q + c if form == "plus" else 0)


def _macs(plane: Plane, form: str, reduction: int) -> int:
    c, q = plane.channels, plane.channels // reduction
    return (0 if form == "minus" else c * plane.positions) + (2 * c * q if form == "plus" else 0)


ENTRIES = (
    AttentionModule(
        name="ge",
        build=GatherExcite,
        summary="gate per channel gathered over the whole map: form minus (mean), theta (depthwise) or plus (and SE)",
        paper="Hu et al., Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks, NeurIPS 2018",
        source="github.com/hujie-frank/GENet models RN50-GEPF, GEP, GEPP",
        options={"form": "theta", "reduction": 16},
        choices={"form": ("minus", "theta", "plus")},
        params=_params,
        macs=_macs,
        refuses=_refuses,
    ),
)
