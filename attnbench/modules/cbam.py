"""CBAM: a gate per channel, then a gate per position.

The channel gate feeds mean and maximum of each channel through one shared bottleneck; the spatial gate convolves mean and
maximum over the channels with a 7x7 kernel. Woo, Park, Lee, Kweon: CBAM: Convolutional Block Attention Module, ECCV 2018.

In the authors' code (``Jongchan/attention-module``, ``MODELS/cbam.py``) the bottleneck is two biased linear layers, run
twice with the same weights, and the 7x7 convolution has no bias and is batch-normalised. The design report's form drops
biases and normalisation, uses 1x1 convolutions, and leaves the spatial gate out above 256 channels (section 4.2).
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane


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


def channel_extremes(x: torch.Tensor) -> torch.Tensor:
    """Maximum and mean over the channels, in the authors' order: ``[N, C, H, W]`` to ``[N, 2, H, W]``."""
    return torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)


def _refuses(plane: Plane, reduction: int, kernel: int) -> str:
    if plane.channels < reduction:
        return f"needs at least {reduction} channels (channels / reduction is 0)"
    return "" if kernel % 2 else f"kernel must be odd, not {kernel}"


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
        year=2018,
        source="github.com/Jongchan/attention-module MODELS/cbam.py",
        options={"reduction": 16, "kernel": 7},
        params=lambda p, reduction, kernel: (
            2 * p.channels * (p.channels // reduction) + p.channels // reduction + p.channels + 2 * kernel**2 + 2
        ),
        macs=lambda p, reduction, kernel: 4 * p.channels * (p.channels // reduction) + 2 * kernel**2 * p.positions,
        refuses=_refuses,
    ),
    AttentionModule(
        name="cbam_npu",
        build=NpuCBAM,
        summary="CBAM for an NPU: no bias, spatial gate only up to 256 channels",
        paper="Woo et al., CBAM: Convolutional Block Attention Module, ECCV 2018",
        year=2018,
        source="design report, section 4.2 (NPUCBAMBlock)",
        options={"reduction": 16, "minimum": 8, "kernel": 7, "spatial_limit": 256},
        params=_npu_params,
        macs=_npu_macs,
        refuses=lambda _p, kernel, **_: "" if kernel % 2 else f"kernel must be odd, not {kernel}",
    ),
)
