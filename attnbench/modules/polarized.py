"""Polarised self-attention: a gate per channel and one per position, each keeping its own axis at full resolution.

The channel gate collapses the positions by a softmax of them, the position gate the channels by a softmax of these.
Liu, Liu, Fan, Huang: Polarized Self-Attention: Towards High-quality Pixel-wise Regression, Neurocomputing 2022.

From the authors' ``PSA.py`` (``DeLightCMU/PSA``): convolutions without bias, half the channels inside. In the parallel
layout both gated maps are added; in the sequential one the second gate reads what the first has scaled, and the channel
gate is a bottleneck with layer normalisation. Paper and code differ in the position gate: the paper's equation 2 takes the
softmax of the pooled query, over channels (``form=paper``); the code takes one over the positions, of the product in the
parallel layout and of the values in the sequential one (``form=code``). Outputs differ by more than 1.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


class PolarizedAttention(nn.Module):
    """``x * channel gate + x * position gate``."""

    def __init__(self, channels: int, form: str) -> None:
        super().__init__()
        half = channels // 2
        self.form = form
        self.channel_query = nn.Conv2d(channels, 1, 1, bias=False)
        self.channel_value = nn.Conv2d(channels, half, 1, bias=False)
        self.channel_gate: nn.Module = nn.Conv2d(half, channels, 1, bias=False)
        self.position_query = nn.Conv2d(channels, half, 1, bias=False)
        self.position_value = nn.Conv2d(channels, half, 1, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return self._by_channel(x) + self._by_position(x)

    def _by_channel(self, x: torch.Tensor) -> torch.Tensor:
        weights = torch.softmax(self.channel_query(x).flatten(2), -1)
        context = torch.matmul(self.channel_value(x).flatten(2), weights.transpose(1, 2)).unsqueeze(-1)
        return x * torch.sigmoid(self.channel_gate(context))

    def _by_position(self, x: torch.Tensor) -> torch.Tensor:
        query = self.pool(self.position_query(x)).flatten(2).transpose(1, 2)
        gate = self._weighed(query, self.position_value(x).flatten(2)).reshape(x.shape[0], 1, *x.shape[2:])
        return x * torch.sigmoid(gate)

    def _weighed(self, query: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """The values ``[N, C / 2, positions]`` summed over their channels with the weights that a query gives."""
        if self.form == "paper":
            return torch.matmul(torch.softmax(query, -1), value)
        return torch.softmax(torch.matmul(query, value), -1)


class SequentialPolarizedAttention(PolarizedAttention):
    """A channel gate with a bottleneck, and then a position gate."""

    def __init__(self, channels: int, form: str) -> None:
        super().__init__(channels, form)
        half, hidden = channels // 2, channels // 8
        self.channel_gate = nn.Sequential(
            nn.Conv2d(half, hidden, 1), nn.LayerNorm([hidden, 1, 1]), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return self._by_position(self._by_channel(x))

    def _weighed(self, query: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        if self.form == "paper":
            return super()._weighed(query, value)
        return torch.matmul(query, torch.softmax(value, -1))


def _macs(plane: Plane, form: str) -> int:  # noqa: ARG001  the forms differ in a softmax
    c, h, n = plane.channels, plane.channels // 2, plane.positions
    return c * n + 3 * c * h * n + 2 * h * n + h * c


def _sequential_params(plane: Plane, form: str) -> int:  # noqa: ARG001
    c, h, q = plane.channels, plane.channels // 2, plane.channels // 8
    return c + 3 * c * h + h * q + q + 2 * q + q * c + c


def _sequential_macs(plane: Plane, form: str) -> int:
    c, h, q = plane.channels, plane.channels // 2, plane.channels // 8
    return _macs(plane, form) - h * c + h * q + q * c


ENTRIES = (
    AttentionModule(
        name="psa",
        build=PolarizedAttention,
        summary="a channel gate and a position gate, each by a softmax over the other axis; parallel layout",
        paper="Liu et al., Polarized Self-Attention: Towards High-quality Pixel-wise Regression, 2021",
        source="github.com/DeLightCMU/PSA semantic-segmentation/network/PSA.py (PSA_p); the softmax by form",
        options={"form": "paper"},
        choices={"form": ("paper", "code")},
        params=lambda p, form: p.channels + 4 * p.channels * (p.channels // 2),  # noqa: ARG005
        macs=_macs,
        refuses=lambda p, form: "needs at least 2 channels" if p.channels < 2 else "",  # noqa: ARG005
    ),
    AttentionModule(
        name="psa_sequential",
        build=SequentialPolarizedAttention,
        summary="polarised self-attention, the position gate behind the channel gate",
        paper="Liu et al., Polarized Self-Attention: Towards High-quality Pixel-wise Regression, 2021",
        source="github.com/DeLightCMU/PSA semantic-segmentation/network/PSA.py (PSA_s); the softmax by form",
        options={"form": "paper"},
        choices={"form": ("paper", "code")},
        params=_sequential_params,
        macs=_sequential_macs,
        refuses=lambda p, form: "needs at least 8 channels" if p.channels < 8 else "",  # noqa: ARG005
    ),
)
