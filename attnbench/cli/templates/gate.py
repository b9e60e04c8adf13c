"""A module of one's own: any ``nn.Module`` that keeps the shape of its input will do.

Measure it by name:  attnbench sweep study.toml
Or without a study:  attnbench sweep --module gate.py:ChannelGate --place encoder.layer3 --size 64x96 --quick
Ask an NPU's rules:  attnbench check --module gate.py:ChannelGate --channels 256 --plane 24x40
"""

import torch
from torch import nn


class ChannelGate(nn.Module):
    """One learned factor a channel, between 0 and 1.

    ``channels`` is that of the place; ask for ``height`` and ``width``, too, if you need them. What else ``__init__`` takes
    are options: ``gate.py:ChannelGate[scale=2.0]``.
    """

    def __init__(self, channels: int, scale: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((1, channels, 1, 1), scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` is [N, C, H, W], and so is what comes out."""
        return x * torch.sigmoid(self.factor)
