"""MobileNetV2 for image classification: seventeen inverted residual blocks, which widen, filter by depth and narrow again.

Sandler et al.: MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018. Layout and names are torchvision's
(``models/mobilenetv2.py``), so that its state dicts load. Coordinate attention's authors put their module at
``after-depthwise`` (``mbv2_ca.py`` in ``houqb/CoordAttention``).
"""

import torch
from torch import nn

from attnbench.hosts import Host
from attnbench.hosts.classifier import Classifier
from attnbench.hosts.conv_norm import conv_norm
from attnbench.hosts.site import Site

ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""The paper's table 2: expansion, output channels, number of blocks, stride of the first."""


class InvertedResidual(nn.Module):
    """A 1x1 convolution that widens, a depthwise 3x3, a 1x1 that narrows; the input is added where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, name: str) -> None:
        super().__init__()
        self.shortcut = stride == 1 and inputs == outputs
        hidden = inputs * expansion
        layers: list[nn.Module] = []
        filtered = None
        if expansion != 1:
            layers.append(conv_norm(inputs, hidden, 1, activation=nn.ReLU6))
            filtered = Site(f"{name}.depthwise")
        layers.append(conv_norm(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6, site=filtered))
        layers += [nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        if self.shortcut:
            layers.append(Site(f"{name}.branch"))
        self.conv = nn.Sequential(*layers)
        self.end = Site(f"{name}.end")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H / stride, W / stride]``."""
        branch = self.conv(x)
        return self.end(x + branch if self.shortcut else branch)


class MobileNetV2(Classifier):
    """A 3x3 convolution, the blocks of the table, a 1x1 convolution to 1280 channels and a classifier of 1000 classes."""

    def __init__(self) -> None:
        layers: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=nn.ReLU6)]
        inputs = 32
        for expansion, outputs, depth, stride in ROWS:
            for index in range(depth):
                name = f"features.{len(layers)}"
                layers.append(InvertedResidual(inputs, outputs, 1 if index else stride, expansion, name))
                inputs = outputs
        layers.append(conv_norm(inputs, 1280, 1, activation=nn.ReLU6))
        super().__init__(nn.Sequential(*layers), 1280)


ENTRIES = (
    Host(
        name="mobilenet_v2",
        build=MobileNetV2,
        summary="image classification for mobiles: 17 inverted residual blocks",
        source="github.com/pytorch/vision torchvision/models/mobilenetv2.py",
        sites={
            "features.2.depthwise": (96, 4),
            "features.3.depthwise": (144, 4),
            "features.4.depthwise": (144, 8),
            "features.{5..6}.depthwise": (192, 8),
            "features.7.depthwise": (192, 16),
            "features.{8..11}.depthwise": (384, 16),
            "features.{12..13}.depthwise": (576, 16),
            "features.14.depthwise": (576, 32),
            "features.{15..17}.depthwise": (960, 32),
            "features.3.branch": (24, 4),
            "features.{5..6}.branch": (32, 8),
            "features.{8..10}.branch": (64, 16),
            "features.{12..13}.branch": (96, 16),
            "features.{15..16}.branch": (160, 32),
            "features.1.end": (16, 2),
            "features.{2..3}.end": (24, 4),
            "features.{4..6}.end": (32, 8),
            "features.{7..10}.end": (64, 16),
            "features.{11..13}.end": (96, 16),
            "features.{14..16}.end": (160, 32),
            "features.17.end": (320, 32),
        },
        placements={
            "residual-branch": ("*.branch",),
            "block-ends": ("*.end",),
            "after-depthwise": ("*.depthwise",),
            "stage-ends": ("features.1.end", "features.3.end", "features.6.end", "features.13.end", "features.17.end"),
            "projections": ("projections.narrow", "projections.wide"),
            "projections.narrow": (
                "features.[12].end",
                "features.3.branch",
                "features.4.end",
                "features.[56].branch",
                "features.7.end",
                "features.[89].branch",
                "features.10.branch",
            ),
            "projections.wide": (
                "features.11.end",
                "features.1[23].branch",
                "features.14.end",
                "features.1[56].branch",
                "features.17.end",
            ),
        },
    ),
)
