"""MobileNeXt-1.0 for image classification: twenty sandglass blocks, which filter by depth, narrow, widen and filter again.

Zhou, Hou, Chen, Feng, Yan: Rethinking Bottleneck Structure for Efficient Mobile Network Design, ECCV 2020. Table and
blocks are those of the authors' code (``mobilenext/codebase/models/mnext.py`` in ``yitu-opensource/MobileNeXt``, where
``zhoudaquan/rethinking_bottleneck_design`` comes from), names included. They give 3,535,416 parameters and 311 M MACs at
224x224; the authors' README prints 3.5 M and 300 M. The paper's table has two blocks of 960 channels where the code has
three; with two it would be 3,204,856 parameters, which no published figure agrees with.

``after-depthwise`` is behind the *first* depthwise convolution of a block, its norm and ReLU6, in all blocks that begin
with one. No block here expands; coordinate attention's authors found this place the better of the two (README of
``houqb/CoordAttention``).
"""

import math

import torch
from torch import nn

from attnbench.hosts import Host
from attnbench.hosts.classifier import Classifier
from attnbench.hosts.conv_norm import conv_norm
from attnbench.hosts.site import Site

ROWS = (
    (2, 96, 1, 2),
    (6, 144, 1, 1),
    (6, 192, 3, 2),
    (6, 288, 3, 2),
    (6, 384, 4, 1),
    (6, 576, 4, 2),
    (6, 960, 3, 1),
    (6, 1280, 1, 1),
)
"""The authors' table: reduction, output channels, number of blocks, stride of the first."""


class SandglassBlock(nn.Module):
    """Two 1x1 convolutions, linear in between, with a depthwise 3x3 before and behind; the input is added where it fits.

    Both depthwise convolutions are there in blocks that keep their channels, in the very first one, and where a row of the
    table is one block of stride 1 (``alone``). Other blocks that change their channels have the last one if they have a
    stride, else none.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, reduction: int, name: str, *, alone: bool) -> None:
        super().__init__()
        self.shortcut = inputs == outputs
        first = self.shortcut or reduction == 2 or alone
        hidden = hidden_channels(inputs, outputs, reduction)
        layers: list[nn.Module] = []
        if first:
            filtered = nn.Sequential(nn.ReLU6(), Site(f"{name}.depthwise"))  # one layer, so that the names stay the authors'
            layers += [*conv_norm(inputs, inputs, 3, groups=inputs), filtered]
        layers += [*conv_norm(inputs, hidden, 1), *conv_norm(hidden, outputs, 1, activation=nn.ReLU6)]
        if first or stride == 2:
            layers += conv_norm(outputs, outputs, 3, stride, groups=outputs)
        if self.shortcut:
            layers.append(Site(f"{name}.branch"))
        self.conv = nn.Sequential(*layers)
        self.end = Site(f"{name}.end")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H / stride, W / stride]``."""
        branch = self.conv(x)
        return self.end(x + branch if self.shortcut else branch)


def hidden_channels(inputs: int, outputs: int, reduction: int) -> int:
    """Channels between the two 1x1 convolutions: ``inputs / reduction``, or a sixth of the outputs in multiples of 16."""
    hidden = inputs // reduction
    if hidden >= outputs / 6:
        return hidden
    wanted = math.ceil(outputs / 6)
    rounded = max(16, (wanted + 8) // 16 * 16)
    return rounded + 16 if rounded < 0.9 * wanted else rounded


class MobileNeXt(Classifier):
    """A 3x3 convolution, the blocks of the table, and a classifier of 1000 classes."""

    def __init__(self) -> None:
        layers: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=nn.ReLU6)]
        inputs = 32
        for reduction, outputs, depth, stride in ROWS:
            alone = depth == 1 and stride == 1
            for index in range(depth):
                name = f"features.{len(layers)}"
                layers.append(SandglassBlock(inputs, outputs, 1 if index else stride, reduction, name, alone=alone))
                inputs = outputs
        super().__init__(nn.Sequential(*layers), inputs)


ENTRIES = (
    Host(
        name="mobilenext",
        build=MobileNeXt,
        summary="image classification for mobiles: 20 sandglass blocks",
        source="github.com/yitu-opensource/MobileNeXt mobilenext/codebase/models/mnext.py",
        sites={
            "features.1.depthwise": (32, 2),
            "features.2.depthwise": (96, 4),
            "features.{4..5}.depthwise": (192, 8),
            "features.{7..8}.depthwise": (288, 16),
            "features.{10..12}.depthwise": (384, 16),
            "features.{14..16}.depthwise": (576, 32),
            "features.{18..20}.depthwise": (960, 32),
            "features.{4..5}.branch": (192, 8),
            "features.{7..8}.branch": (288, 16),
            "features.{10..12}.branch": (384, 16),
            "features.{14..16}.branch": (576, 32),
            "features.{18..19}.branch": (960, 32),
            "features.1.end": (96, 4),
            "features.2.end": (144, 4),
            "features.{3..5}.end": (192, 8),
            "features.{6..8}.end": (288, 16),
            "features.{9..12}.end": (384, 16),
            "features.{13..16}.end": (576, 32),
            "features.{17..19}.end": (960, 32),
            "features.20.end": (1280, 32),
        },
        placements={
            "residual-branch": ("*.branch",),
            "block-ends": ("*.end",),
            "after-depthwise": ("*.depthwise",),
            "stage-ends": ("features.2.end", "features.5.end", "features.12.end", "features.20.end"),
        },
    ),
)
