"""Criss-cross attention: every position attends to its row and its column, twice, and so to the whole map.

One pass reaches H + W - 1 positions; a second one with the same weights reaches all of them. Huang et al.: CCNet:
Criss-Cross Attention for Semantic Segmentation, ICCV 2019.

From the authors' ``functions.py`` (``speedinghzl/CCNet``): an eighth of the channels for queries and keys, the position
itself counted once (along the row), the input added. The weight of the sum starts at 0 there and at 1 here.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, too_narrow

FAR_BELOW = -1e9
"""Stands for minus infinity: a position's own place in its column, which its row counts already."""


class CrissCross(nn.Module):
    """``x + scale * attention over the row and the column``, several times with the same weights."""

    def __init__(self, channels: int, reduction: int, recurrence: int) -> None:
        super().__init__()
        width = channels // reduction
        self.recurrence = recurrence
        self.query = nn.Conv2d(channels, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        for _ in range(self.recurrence):
            x = self._attend(x)
        return x

    def _attend(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[2:]
        query, key, value = self.query(x), self.key(x), self.value(x)
        down = torch.matmul(query.permute(0, 3, 2, 1), key.permute(0, 3, 1, 2))  # [N, W, H, H]
        down = down + FAR_BELOW * torch.eye(height, device=x.device)
        along = torch.matmul(query.permute(0, 2, 3, 1), key.permute(0, 2, 1, 3))  # [N, H, W, W]
        weights = torch.softmax(torch.cat([down.transpose(1, 2), along], -1), -1)
        down, along = torch.split(weights, [height, width], -1)
        columns = torch.matmul(down.transpose(1, 2), value.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
        rows = torch.matmul(along, value.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.scale * (columns + rows)


def _params(plane: Plane, reduction: int, recurrence: int) -> int:  # noqa: ARG001  the passes share their weights
    c, q = plane.channels, plane.channels // reduction
    return 2 * (c * q + q) + c * c + c + 1


def _macs(plane: Plane, reduction: int, recurrence: int) -> int:
    c, q, n = plane.channels, plane.channels // reduction, plane.positions
    return recurrence * ((2 * q + c) * c * n + (q + c) * n * (plane.height + plane.width))


ENTRIES = (
    AttentionModule(
        name="criss_cross",
        build=CrissCross,
        summary="softmax attention over each position's row and column, twice with the same weights",
        paper="Huang et al., CCNet: Criss-Cross Attention for Semantic Segmentation, ICCV 2019",
        source="github.com/speedinghzl/CCNet cc_attention/functions.py",
        options={"reduction": 8, "recurrence": 2},
        params=_params,
        macs=_macs,
        refuses=too_narrow,
    ),
)
