"""FcaNet: SE whose pooling keeps more than the mean: groups of channels are described by one frequency of the plane each.

The mean is the lowest frequency of the discrete cosine transform. The channels are parted, and each part is weighed by
another cosine pattern before it is summed; SE's two linear layers and a sigmoid make the gates. Qin, Zhang, Wu, Li: FcaNet:
Frequency Channel Attention Networks, ICCV 2021.

From the authors' ``layer.py`` (``cfzd/FcaNet``): the frequencies that did best alone on ImageNet, in a space of 7x7,
stretched to the plane; linear layers without bias. The patterns are constants and no parameters. A plane below 7 takes them
as they are.
"""

import math

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, no_hidden_channel

BEST = (
    (0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0), (5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5),
    (2, 2), (4, 6), (6, 3), (3, 3), (5, 3), (5, 5), (2, 1), (6, 1), (5, 2), (5, 4), (3, 2), (3, 1), (4, 1), (2, 3), (2, 0),
    (6, 5), (1, 3),
)  # fmt: skip
"""Frequencies along height and width, the best first (the authors' ``top32``)."""

SPACE = 7


class FrequencyGate(nn.Module):
    """Scales each channel by a gate read from all channels' shares of a frequency."""

    patterns: torch.Tensor

    def __init__(self, channels: int, height: int, width: int, reduction: int, frequencies: int) -> None:
        super().__init__()
        chosen = [_wave(height, u)[:, None] * _wave(width, v) for u, v in BEST[:frequencies]]
        patterns = torch.stack(chosen).repeat_interleave(channels // frequencies, 0)
        self.register_buffer("patterns", patterns, persistent=False)
        hidden = channels // reduction
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x * self.gate((x * self.patterns).sum((2, 3)))[:, :, None, None]


def _wave(length: int, frequency: int) -> torch.Tensor:
    """A column of the orthonormal cosine transform of this length."""
    stretched = frequency * (length // SPACE or 1)
    positions = torch.arange(length) + 0.5
    return torch.cos(math.pi * stretched * positions / length) * math.sqrt((2 if frequency else 1) / length)


def _refuses(plane: Plane, reduction: int, frequencies: int) -> str:
    parted = f"needs channels divisible by its {frequencies} frequencies" if plane.channels % frequencies else ""
    return no_hidden_channel(plane, reduction) or parted


ENTRIES = (
    AttentionModule(
        name="fca",
        build=FrequencyGate,
        summary="SE on several frequencies of the plane in place of the mean",
        paper="Qin et al., FcaNet: Frequency Channel Attention Networks, ICCV 2021",
        source="github.com/cfzd/FcaNet model/layer.py (MultiSpectralAttentionLayer)",
        options={"reduction": 16, "frequencies": 16},
        choices={"frequencies": (1, 2, 4, 8, 16, 32)},
        params=lambda p, reduction, frequencies: 2 * p.channels * (p.channels // reduction),  # noqa: ARG005
        macs=lambda p, reduction, frequencies: 2 * p.channels * (p.channels // reduction),  # noqa: ARG005
        refuses=_refuses,
    ),
)
