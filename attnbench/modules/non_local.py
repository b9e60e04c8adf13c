"""Non-local block: every position attends to the map at half its resolution, in the embedded Gaussian form.

Queries, keys and values have half the channels; keys and values come from the max-pooled map; the result is projected
back, normalised and added. Wang, Girshick, Gupta, He: Non-local Neural Networks, CVPR 2018.

From the authors' ``nonlocal_helper.py`` (``facebookresearch/video-nonlocal-net``): pooling before the keys and values,
scaled scores, batch normalisation at the end. Its scale starts at 0 there; here at 1, so that the comparison with torch
covers the whole block.
"""

import math

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, too_narrow


class NonLocal(nn.Module):
    """``x + norm(project(softmax(q k / sqrt(d)) v))``."""

    def __init__(self, channels: int, reduction: int, pooled: bool) -> None:
        super().__init__()
        self.width = channels // reduction
        self.pool = nn.MaxPool2d(2) if pooled else nn.Identity()
        self.query = nn.Conv2d(channels, self.width, 1)
        self.key = nn.Conv2d(channels, self.width, 1)
        self.value = nn.Conv2d(channels, self.width, 1)
        self.project = nn.Conv2d(self.width, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        context = self.pool(x)
        query, key, value = self.query(x).flatten(2), self.key(context).flatten(2), self.value(context).flatten(2)
        weights = torch.softmax(torch.matmul(query.transpose(1, 2), key) / math.sqrt(self.width), -1)
        attended = torch.matmul(value, weights.transpose(1, 2)).reshape(x.shape[0], self.width, *x.shape[2:])
        return x + self.norm(self.project(attended))


def _refuses(plane: Plane, reduction: int, pooled: bool) -> str:
    small = pooled and min(plane.height, plane.width) < 2
    return too_narrow(plane, reduction) or ("needs a map of 2x2 at least, to pool it" if small else "")


def _params(plane: Plane, reduction: int, pooled: bool) -> int:  # noqa: ARG001  the closed forms take all options
    c, q = plane.channels, plane.channels // reduction
    return 3 * (c * q + q) + q * c + c + 2 * c


def _macs(plane: Plane, reduction: int, pooled: bool) -> int:
    c, q, n = plane.channels, plane.channels // reduction, plane.positions
    k = (plane.height // 2) * (plane.width // 2) if pooled else n
    return 2 * c * q * n + 2 * c * q * k + 2 * q * n * k


ENTRIES = (
    AttentionModule(
        name="non_local",
        build=NonLocal,
        summary="softmax attention from every position to the pooled map, added to the input",
        paper="Wang et al., Non-local Neural Networks, CVPR 2018",
        source="github.com/facebookresearch/video-nonlocal-net lib/models/nonlocal_helper.py",
        options={"reduction": 2, "pooled": True},
        params=_params,
        macs=_macs,
        refuses=_refuses,
    ),
)
