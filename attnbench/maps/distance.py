"""How far two attention maps are apart, on the three scales that are in use, and the loss that brings them together.

Of two maps of norm 1 at H x W positions, with the distance d: the cosine is 1 - d^2 / 2, and the loss of attention transfer
(as its authors' code has it) is d^2 / (H W). The three order maps alike; a figure without its scale says nothing. As maps
have no negative values, d is at most the root of 2.
"""

from typing import NamedTuple

import torch
from torch.nn import functional

from attnbench.modules.at import attention_map, normalised


class MapDistances(NamedTuple):
    """Each ``[N]``, one figure a pair of maps: their L2 distance, their cosine, and the loss of attention transfer."""

    l2: torch.Tensor
    cosine: torch.Tensor
    at_loss: torch.Tensor


def matched(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps ``[N, H, W]`` of two sizes at one: the smaller height and the smaller width of the two.

    A larger map is average-pooled (adaptively: windows overlap where sizes do not divide) and brought back to norm 1.

    Rejected: pooling the features before their magnitudes are taken, as RepDistiller does. There, what is active with both
    signs cancels.
    """
    size = min(one.shape[-2], other.shape[-2]), min(one.shape[-1], other.shape[-1])
    return _pooled(one, size), _pooled(other, size)


def map_distances(one: torch.Tensor, other: torch.Tensor) -> MapDistances:
    """The three distances of maps ``[N, H, W]``, such as ``attention_map`` gives, pair by pair, at one size."""
    one, other = matched(one, other)
    gap = one - other
    plane = (-2, -1)
    return MapDistances(torch.linalg.vector_norm(gap, dim=plane), (one * other).sum(plane), gap.square().mean(plane))


def attention_transfer_loss(student: torch.Tensor, teacher: torch.Tensor, p: int = 2, reduce: str = "sum") -> torch.Tensor:
    """The mean squared difference of the attention maps of features ``[N, C, H, W]``; channels and sizes may differ.

    Gradients reach both: compute the teacher's features under ``torch.no_grad()``. Source: ``at_loss`` in ``cifar.py`` of
    ``szagoruyko/attention-transfer``, whose training adds it for each layer, times an option. The paper's equation 2 has
    the norm of the difference in its place.
    """
    return map_distances(attention_map(student, p, reduce), attention_map(teacher, p, reduce)).at_loss.mean()


def _pooled(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return maps if maps.shape[-2:] == size else normalised(functional.adaptive_avg_pool2d(maps, size))
