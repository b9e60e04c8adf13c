"""MobileNetV3 and MnasNet for image classification: inverted residual blocks with other kernels, activations and gates.

Howard et al.: Searching for MobileNetV3, ICCV 2019; Tan et al.: MnasNet: Platform-Aware Neural Architecture Search for
Mobile, CVPR 2019 (the form without gates, B1). Layers are torchvision's (``models/mobilenetv3.py``, ``models/mnasnet.py``).
MobileNetV3 has its gates taken out and a slot left: with ``se_mobile`` in all ``slots`` it is the network as published.
"""

from collections.abc import Iterable
from functools import partial

import torch
from torch import nn

from attnbench.hosts import Host
from attnbench.hosts._inverted_layouts import Inverted, mnasnet_blocks, mobilenet_v3_blocks
from attnbench.hosts.classifier import CLASSES
from attnbench.hosts.conv_norm import conv_norm
from attnbench.hosts.initialise import initialise
from attnbench.hosts.site import Site
from attnbench.modules import in_eights

ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hardswish": nn.Hardswish, "silu": nn.SiLU}


class InvertedBlock(nn.Module):
    """A 1x1 that widens, a depthwise convolution, a slot or site, a 1x1 that narrows; the input is added where it fits."""

    def __init__(self, block: Inverted, name: str, eps: float = 1e-5) -> None:
        super().__init__()
        self.shortcut = block.shortcut
        conv = partial(conv_norm, activation=ACTIVATIONS[block.activation], eps=eps)
        layers: list[nn.Module] = [conv(block.inputs, block.hidden, 1)] if block.hidden != block.inputs else []
        layers.append(conv(block.hidden, block.hidden, block.kernel, block.stride, block.hidden))
        if block.slot:
            layers.append(Site(f"{name}.slot", block.inputs))
        elif block.hidden != block.inputs:
            layers.append(Site(f"{name}.depthwise"))
        layers.append(
            conv_norm(block.hidden, block.outputs, 1, site=Site(f"{name}.branch") if self.shortcut else None, eps=eps)
        )
        self.block = nn.Sequential(*layers)
        self.end = Site(f"{name}.end")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H / stride, W / stride]``."""
        branch = self.block(x)
        return self.end(x + branch if self.shortcut else branch)


class InvertedNet(nn.Module):
    """A stem, the blocks, a last 1x1 convolution, and a classifier of 1000 classes."""

    def __init__(
        self, stem: nn.Module, blocks: Iterable[Inverted], last: nn.Module, classifier: nn.Module, eps: float
    ) -> None:
        super().__init__()
        self.stem, self.last, self.classifier = stem, last, classifier
        self.blocks = nn.Sequential(*(InvertedBlock(one, f"blocks.{number}", eps) for number, one in enumerate(blocks)))
        initialise(self)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[N, 3, H, W]`` to ``[N, 1000]`` scores before the softmax."""
        return self.classifier(self.last(self.blocks(self.stem(image))).mean((2, 3)))


def mobilenet_v3(form: str) -> InvertedNet:
    """MobileNetV3, large or small."""
    blocks = mobilenet_v3_blocks(form)
    conv = partial(conv_norm, activation=nn.Hardswish, eps=1e-3)
    features, hidden = 6 * blocks[-1].outputs, {"large": 1280, "small": 1024}[form]
    classifier = nn.Sequential(nn.Linear(features, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, CLASSES))
    return InvertedNet(conv(3, 16, 3, 2), blocks, conv(blocks[-1].outputs, features, 1), classifier, 1e-3)


def mnasnet(*, width: float) -> InvertedNet:
    """MnasNet-B1 at a width; its stem is a convolution and a separable one."""
    blocks = mnasnet_blocks(width)
    conv = partial(conv_norm, activation=nn.ReLU)
    stem, inputs = in_eights(32 * width), blocks[0].inputs
    entrance = nn.Sequential(conv(3, stem, 3, 2), conv(stem, stem, 3, 1, stem), conv_norm(stem, inputs, 1))
    classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, CLASSES))
    return InvertedNet(entrance, blocks, conv(blocks[-1].outputs, 1280, 1), classifier, 1e-5)


ENTRIES = (
    Host(
        name="mobilenet_v3_large",
        build=partial(mobilenet_v3, "large"),
        summary="image classification for mobiles: 15 inverted residual blocks with slots where SE stands in 8",
        source="github.com/pytorch/vision torchvision/models/mobilenetv3.py (mobilenet_v3_large)",
        layout=("attnbench.hosts._inverted_layouts:mobilenet_v3", "large"),
    ),
    Host(
        name="mobilenet_v3_small",
        build=partial(mobilenet_v3, "small"),
        summary="image classification for mobiles: 11 inverted residual blocks with slots where SE stands in 9",
        source="github.com/pytorch/vision torchvision/models/mobilenetv3.py (mobilenet_v3_small)",
        layout=("attnbench.hosts._inverted_layouts:mobilenet_v3", "small"),
    ),
    Host(
        name="mnasnet",
        build=mnasnet,
        summary="image classification for mobiles: 16 inverted residual blocks, kernels 3 and 5",
        source="github.com/pytorch/vision torchvision/models/mnasnet.py",
        layout=("attnbench.hosts._inverted_layouts:mnasnet",),
        options={"width": 1.0},
    ),
)
