"""What networks share that go down to a coarse map and up again: doubling a map, and the sizes that allow it."""

import torch
from torch.nn import functional

from attnbench.core.errors import InputError

COARSEST = 32
"""The last stride; the way up meets the features of the way down again only where it divides the sides."""


def doubled(x: torch.Tensor) -> torch.Tensor:
    """``[N, C, H, W]`` to ``[N, C, 2H, 2W]``, each position four times."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def check_sides(image: torch.Tensor, host: str) -> None:
    """Raise ``InputError`` for an image whose sides are not multiples of 32."""
    height, width = image.shape[2:]
    if height % COARSEST or width % COARSEST:
        raise InputError(f"{host} takes sides that are multiples of {COARSEST}, not {height}x{width}")
