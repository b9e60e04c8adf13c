"""CBAM: a gate per channel, then a gate per position.

The channel gate feeds mean and maximum of each channel through one shared bottleneck; the spatial gate convolves mean and
maximum over the channels with a 7x7 kernel. Woo, Park, Lee, Kweon: CBAM: Convolutional Block Attention Module, ECCV 2018.

In the authors' code (``Jongchan/attention-module``, ``MODELS/cbam.py``) the bottleneck is two biased linear layers, run
twice with the same weights, and the 7x7 convolution has no bias and is batch-normalised. The design report's form drops
biases and normalisation, uses 1x1 convolutions, and leaves the spatial gate out above 256 channels (section 4.2).

``cbam_chunked`` is the authors' CBAM to the last gate, for an NPU that takes no linear layer and reduces no more than 256
channels: the mean over more is a 1x1 convolution, and their maximum is taken in pairs until 256 are left, with
``max(a, b) = b + relu(a - b)``.
"""

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule, Plane, even_kernel, no_hidden_channel
from attnbench.modules._rewrite import fill_in_order

REDUCED_AT_MOST = 256
"""Most channels that the NPU of the design report reduces at once (section 2.3)."""


class CBAM(nn.Module):
    """The authors' CBAM: linear channel gate, batch-normalised spatial gate."""

    def __init__(self, channels: int, reduction: int, kernel: int) -> None:
        super().__init__()
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.peak = nn.AdaptiveMaxPool2d(1)
        hidden = channels // reduction
        self.bottleneck = nn.Sequential(nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        gate = torch.sigmoid(self.bottleneck(self.mean(x)) + self.bottleneck(self.peak(x)))
        x = x * gate[:, :, None, None]
        return x * torch.sigmoid(self.spatial(channel_extremes(x)))


class NpuCBAM(nn.Module):
    """The report's CBAM: 1x1 convolutions, no bias, spatial gate only up to ``spatial_limit`` channels."""

    def __init__(self, channels: int, reduction: int, minimum: int, kernel: int, spatial_limit: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, minimum)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.peak = nn.AdaptiveMaxPool2d(1)
        self.bottleneck = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )
        self.spatial = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False) if channels <= spatial_limit else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        x = x * torch.sigmoid(self.bottleneck(self.mean(x)) + self.bottleneck(self.peak(x)))
        if self.spatial is None:
            return x
        mean, peak = x.mean(1, keepdim=True), x.amax(1, keepdim=True)
        return x * torch.sigmoid(self.spatial(torch.cat([mean, peak], 1)))


class ChunkedCBAM(nn.Module):
    """The authors' CBAM with 1x1 convolutions for its linear layers, and no reduction over more than 256 channels.

    The weights that take differences, seconds and means are buffers and no parameters: nothing of them is learned.
    """

    average: torch.Tensor

    def __init__(self, channels: int, reduction: int, kernel: int) -> None:
        super().__init__()
        hidden = channels // reduction
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.peak = nn.AdaptiveMaxPool2d(1)
        self.bottleneck = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(1))
        self.halves = nn.Sequential(*(PairMaximum(width) for width in halvings(channels)))
        self.register_buffer("average", torch.full((1, channels, 1, 1), 1 / channels), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        x = x * torch.sigmoid(self.bottleneck(self.mean(x)) + self.bottleneck(self.peak(x)))
        peak = self.halves(x).amax(1, keepdim=True)
        mean = functional.conv2d(x, self.average) if len(self.halves) else x.mean(1, keepdim=True)
        return x * torch.sigmoid(self.spatial(torch.cat([peak, mean], 1)))

    def adopt(self, original: CBAM) -> None:
        """Take all weights and statistics over, matrices as 1x1 kernels. Then both compute the same."""
        fill_in_order(self, original)


class PairMaximum(nn.Module):
    """The larger of each two neighbouring channels, ``[N, C, H, W]`` to half the channels: ``b + relu(a - b)``."""

    difference: torch.Tensor
    second: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pairs = channels // 2
        for name, weights in (("difference", [1.0, -1.0]), ("second", [0.0, 1.0])):
            weight = torch.tensor(weights).reshape(1, 2, 1, 1).repeat(self.pairs, 1, 1, 1)
            self.register_buffer(name, weight, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to ``[N, C/2, H, W]``."""
        difference = functional.conv2d(x, self.difference, groups=self.pairs)
        return functional.conv2d(x, self.second, groups=self.pairs) + torch.relu(difference)


def halvings(channels: int) -> list[int]:
    """The numbers of channels, from all on, that must be halved for no more than 256 to be left."""
    found = []
    while channels > REDUCED_AT_MOST:
        found.append(channels)
        channels //= 2
    return found


def channel_extremes(x: torch.Tensor) -> torch.Tensor:
    """Maximum and mean over the channels, in the authors' order: ``[N, C, H, W]`` to ``[N, 2, H, W]``."""
    return torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)


def _refuses(plane: Plane, reduction: int, kernel: int) -> str:
    return no_hidden_channel(plane, reduction) or even_kernel(plane, kernel)


def _chunked_refuses(plane: Plane, reduction: int, kernel: int) -> str:
    odd = next((width for width in halvings(plane.channels) if width % 2), 0)
    if odd:
        return f"channels above {REDUCED_AT_MOST} must be halved evenly until no more are left, and {odd} is odd"
    return _refuses(plane, reduction, kernel)


def _params(plane: Plane, reduction: int, kernel: int) -> int:
    hidden = plane.channels // reduction
    return 2 * plane.channels * hidden + hidden + plane.channels + 2 * kernel**2 + 2


def _macs(plane: Plane, reduction: int, kernel: int) -> int:
    return 4 * plane.channels * (plane.channels // reduction) + 2 * kernel**2 * plane.positions


def _chunked_macs(plane: Plane, reduction: int, kernel: int) -> int:
    """CBAM's MACs, two for each channel that enters a halving, and one a channel for the mean, at every position."""
    halved = halvings(plane.channels)
    constant = 2 * sum(halved) + (plane.channels if halved else 0)
    return _macs(plane, reduction, kernel) + constant * plane.positions


def _npu_params(plane: Plane, reduction: int, minimum: int, kernel: int, spatial_limit: int) -> int:
    spatial = 2 * kernel**2 if plane.channels <= spatial_limit else 0
    return 2 * plane.channels * max(plane.channels // reduction, minimum) + spatial


def _npu_macs(plane: Plane, reduction: int, minimum: int, kernel: int, spatial_limit: int) -> int:
    spatial = 2 * kernel**2 * plane.positions if plane.channels <= spatial_limit else 0
    return 4 * plane.channels * max(plane.channels // reduction, minimum) + spatial


ENTRIES = (
    AttentionModule(
        name="cbam",
        build=CBAM,
        summary="gate per channel from means and maxima, then gate per position from a 7x7 convolution",
        paper="Woo et al., CBAM: Convolutional Block Attention Module, ECCV 2018",
        source="github.com/Jongchan/attention-module MODELS/cbam.py",
        options={"reduction": 16, "kernel": 7},
        params=_params,
        macs=_macs,
        refuses=_refuses,
    ),
    AttentionModule(
        name="cbam_npu",
        build=NpuCBAM,
        summary="CBAM for an NPU: no bias, spatial gate only up to 256 channels",
        paper="Woo et al., CBAM: Convolutional Block Attention Module, ECCV 2018",
        source="design report, section 4.2 (NPUCBAMBlock)",
        options={"reduction": 16, "minimum": 8, "kernel": 7, "spatial_limit": 256},
        least={"spatial_limit": 0},
        params=_npu_params,
        macs=_npu_macs,
        refuses=even_kernel,
    ),
    AttentionModule(
        name="cbam_chunked",
        build=ChunkedCBAM,
        summary="CBAM for an NPU, gate for gate: 1x1 convolutions; mean and maximum over more than 256 channels in steps",
        paper="Woo et al., CBAM: Convolutional Block Attention Module, ECCV 2018",
        source="exact rewrite of github.com/Jongchan/attention-module MODELS/cbam.py",
        options={"reduction": 16, "kernel": 7},
        params=_params,
        macs=_chunked_macs,
        refuses=_chunked_refuses,
        rewrite_of=("cbam",),
    ),
)
