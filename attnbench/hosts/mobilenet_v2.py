"""MobileNetV2 for image classification: seventeen inverted residual blocks, which widen, filter by depth and narrow again.

Sandler et al.: MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018. Layout and names are torchvision's
(``models/mobilenetv2.py``), so that its state dicts load. Coordinate attention's authors put their module at
``after-depthwise`` (``mbv2_ca.py`` in ``houqb/CoordAttention``).
"""

import torch
from torch import nn

from attnbench.hosts import Host
from attnbench.hosts._inverted_layouts import mobilenet_v2_blocks
from attnbench.hosts.classifier import Classifier
from attnbench.hosts.conv_norm import conv_norm
from attnbench.hosts.site import Site
from attnbench.modules import in_eights


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

    def __init__(self, width: float) -> None:
        blocks = mobilenet_v2_blocks(width)
        layers: list[nn.Module] = [conv_norm(3, blocks[0].inputs, 3, 2, activation=nn.ReLU6)]
        for number, block in enumerate(blocks, 1):
            expansion = block.hidden // block.inputs
            layers.append(InvertedResidual(block.inputs, block.outputs, block.stride, expansion, f"features.{number}"))
        last = in_eights(1280 * max(1.0, width))
        layers.append(conv_norm(blocks[-1].outputs, last, 1, activation=nn.ReLU6))
        super().__init__(nn.Sequential(*layers), last)


ENTRIES = (
    Host(
        name="mobilenet_v2",
        build=MobileNetV2,
        summary="image classification for mobiles: 17 inverted residual blocks",
        source="github.com/pytorch/vision torchvision/models/mobilenetv2.py",
        layout=("attnbench.hosts._inverted_layouts:mobilenet_v2",),
        options={"width": 1.0},
    ),
)
