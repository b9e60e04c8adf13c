"""ConvNeXt and VAN for image classification: large depthwise kernels and perceptrons in four stages.

Liu et al.: A ConvNet for the 2020s, CVPR 2022, after torchvision's ``models/convnext.py``; Guo et al.: Visual Attention
Network, Computational Visual Media 2023, after the authors' ``models/van.py``
(``Visual-Attention-Network/VAN-Classification``). VAN has its attention, the large kernel, taken out and a slot left
between its two projections: with ``lka`` in all ``slots`` it is the network as published. Stochastic depth is left out, as
it acts in training only.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from attnbench.hosts import Host
from attnbench.hosts.classifier import CLASSES, MeanClassifier
from attnbench.hosts.site import Site


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of ``[N, C, H, W]``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """A depthwise 7x7, a norm and a perceptron, scaled channel by channel and added to the input."""

    def __init__(self, channels: int, name: str) -> None:
        super().__init__()
        self.filter = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.perceptron = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.1))
        self.branch, self.end = Site(f"{name}.branch"), Site(f"{name}.end")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        hidden = self.perceptron(self.norm(self.filter(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return self.end(x + self.branch(self.scale * hidden))


class ConvNeXt(MeanClassifier):
    """A 4x4 stem, four stages with norm and 2x2 convolution between them, and a classifier of 1000 classes."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int]) -> None:
        stages, inputs = nn.Sequential(), 3
        for number, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
            if number == 1:
                narrow = [nn.Conv2d(inputs, width, 4, 4), ChannelNorm(width, eps=1e-6)]
            else:
                narrow = [ChannelNorm(inputs, eps=1e-6), nn.Conv2d(inputs, width, 2, 2)]
            blocks = (ConvNeXtBlock(width, f"stage{number}.{index}") for index in range(depth))
            stages.append(nn.Sequential(*narrow, *blocks))
            inputs = width
        super().__init__(stages, nn.Sequential(nn.LayerNorm(inputs, eps=1e-6), nn.Linear(inputs, CLASSES)))


class VanBlock(nn.Module):
    """An attention layer with a slot, and a perceptron with a depthwise 3x3, each normalised, scaled and added."""

    def __init__(self, channels: int, expansion: int, name: str) -> None:
        super().__init__()
        hidden = channels * expansion
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.enter, self.leave = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.slot = Site(f"{name}.slot", channels)
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.GELU(),
            nn.Conv2d(hidden, channels, 1),
        )
        self.scale1, self.scale2 = (nn.Parameter(torch.full((channels, 1, 1), 0.1)) for _ in range(2))
        self.branch, self.end = Site(f"{name}.branch"), Site(f"{name}.end")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        normal = self.norm1(x)
        attended = normal + self.leave(self.slot(functional.gelu(self.enter(normal))))
        x = x + self.branch(self.scale1 * attended)
        return self.end(x + self.scale2 * self.perceptron(self.norm2(x)))


class Van(MeanClassifier):
    """Four stages, each behind a convolution that narrows, and a classifier of 1000 classes."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int]) -> None:
        stages, inputs = nn.Sequential(), 3
        for number, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
            kernel, stride = (7, 4) if number == 1 else (3, 2)
            narrow = [nn.Conv2d(inputs, width, kernel, stride, kernel // 2), nn.BatchNorm2d(width)]
            blocks = (VanBlock(width, 8 if number < 3 else 4, f"stage{number}.{index}") for index in range(depth))
            stages.append(nn.Sequential(*narrow, *blocks, ChannelNorm(width)))
            inputs = width
        super().__init__(stages, nn.Linear(inputs, CLASSES))


ENTRIES = (
    Host(
        name="convnext_tiny",
        build=partial(ConvNeXt, (3, 3, 9, 3), (96, 192, 384, 768)),
        summary="image classification: 18 blocks of a depthwise 7x7 and a perceptron",
        source="github.com/pytorch/vision torchvision/models/convnext.py (convnext_tiny)",
        layout=("attnbench.hosts._layouts:staged", (3, 3, 9, 3), (96, 192, 384, 768)),
        multiple=32,
    ),
    Host(
        name="convnext_small",
        build=partial(ConvNeXt, (3, 3, 27, 3), (96, 192, 384, 768)),
        summary="image classification: 36 blocks of a depthwise 7x7 and a perceptron",
        source="github.com/pytorch/vision torchvision/models/convnext.py (convnext_small)",
        layout=("attnbench.hosts._layouts:staged", (3, 3, 27, 3), (96, 192, 384, 768)),
        multiple=32,
    ),
    Host(
        name="van_b0",
        build=partial(Van, (3, 3, 5, 2), (32, 64, 160, 256)),
        summary="image classification: 13 blocks with a slot where the large kernel attention stands",
        source="github.com/Visual-Attention-Network/VAN-Classification models/van.py (van_b0)",
        layout=("attnbench.hosts._layouts:staged", (3, 3, 5, 2), (32, 64, 160, 256), "slot"),
    ),
    Host(
        name="van_b1",
        build=partial(Van, (2, 2, 4, 2), (64, 128, 320, 512)),
        summary="image classification: 10 blocks with a slot where the large kernel attention stands",
        source="github.com/Visual-Attention-Network/VAN-Classification models/van.py (van_b1)",
        layout=("attnbench.hosts._layouts:staged", (2, 2, 4, 2), (64, 128, 320, 512), "slot"),
    ),
    Host(
        name="van_b2",
        build=partial(Van, (3, 3, 12, 3), (64, 128, 320, 512)),
        summary="image classification: 21 blocks with a slot where the large kernel attention stands",
        source="github.com/Visual-Attention-Network/VAN-Classification models/van.py (van_b2)",
        layout=("attnbench.hosts._layouts:staged", (3, 3, 12, 3), (64, 128, 320, 512), "slot"),
    ),
)
