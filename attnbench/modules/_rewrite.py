"""What the rewrites share: taking an original's weights over. Its leading underscore keeps this file out of the registry.

Parameters are what is learned. A weight that only adds up, subtracts or picks is a buffer, so that ``params`` stays the
number of the original; it is no part of a state dict either. MACs count both, as the hardware does.
"""

import torch
from torch import nn


def fill(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    """Copy a weight, in place; a 1x1 convolution takes a linear layer's matrix.

    Raises ``ValueError`` where the shapes do not fit.
    """
    shaped = theirs[:, :, None, None] if (mine.dim(), theirs.dim()) == (4, 2) else theirs
    if shaped.shape != mine.shape:
        raise ValueError(f"a weight of shape {list(theirs.shape)} does not fit one of {list(mine.shape)}")
    with torch.no_grad():
        mine.copy_(shaped)


def fill_in_order(mine: nn.Module, theirs: nn.Module) -> None:
    """Copy all weights and statistics of a module that has the same layers in the same order, under any names."""
    for to, source in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True):
        fill(to, source)
