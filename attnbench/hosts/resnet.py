"""ResNet for image classification: residual blocks in four stages, global pooling and one linear layer.

He et al.: Deep Residual Learning for Image Recognition, CVPR 2016. Layout and names are those of torchvision's
``models/resnet.py``, whose bottleneck has its stride in the 3x3 convolution where the authors' Caffe model has it in the
first 1x1 (``stride_at=1x1``); a state dict of torchvision loads. SE, CBAM and ECA stand at ``residual-branch`` in their
authors' own ResNets; selective kernels, split attention and involution take the place of ``conv3x3``.

With ``groups=32,width=4`` it is ResNeXt (Xie et al., CVPR 2017), with ``width=128`` the wide ResNet (Zagoruyko, Komodakis,
BMVC 2016). ``stem=deep,shortcut=pool`` is ResNet-D (He et al.: Bag of Tricks for Image Classification, CVPR 2019), and
``stem=tiered`` timm's ResNet-T. ``axial_resnet`` is the narrow one of Axial-DeepLab, whose attention stands at ``conv3x3``.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from attnbench.hosts import REPLACED, Host
from attnbench.hosts._layouts import STEMS, Stage, cifar_stages, resnet_stages
from attnbench.hosts.classifier import CLASSES
from attnbench.hosts.initialise import initialise
from attnbench.hosts.resnet_blocks import BasicBlock, Block, Bottleneck, stages_of
from attnbench.hosts.site import Site

BRANCH_SCALE = 0.25
"""The weight of the last norm of each branch before any training: with 1, the 33 blocks of ResNet-101 amplify the
rounding of single precision to 1e-4 of the output, which is all that an export may differ from torch."""


class ResNet(nn.Module):
    """A stem, stages of blocks that each halve the sides but the first, and a classifier."""

    def __init__(
        self,
        stem: nn.Module,
        channels: int,
        stages: Sequence[nn.Sequential],
        outputs: int,
        classes: int,
        *,
        pooled: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = stem
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pooled else nn.Identity()
        for number, blocks in enumerate(stages, 1):
            self.add_module(f"layer{number}", blocks)
        self.depth = len(stages)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(outputs, classes)
        for module in self.modules():
            if isinstance(module, BasicBlock | Bottleneck):
                nn.init.constant_((module.bn2 if isinstance(module, BasicBlock) else module.bn3).weight, BRANCH_SCALE)
        initialise(self)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[N, 3, H, W]`` to ``[N, classes]`` scores before the softmax."""
        hidden = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        for number in range(1, self.depth + 1):
            hidden = self.get_submodule(f"layer{number}")(hidden)
        return self.fc(torch.flatten(self.avgpool(hidden), 1))


class Stem(nn.Module):
    """Three 3x3 convolutions for one 7x7, the first of stride 2; the middle one may be replaced if it keeps its channels."""

    def __init__(self, form: str, outputs: int) -> None:
        super().__init__()
        first, second = STEMS[form]
        self.enter = nn.Sequential(nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        self.conv = nn.Conv2d(first, second, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(second)
        layers = (self.conv, self.norm, nn.ReLU())
        self.middle = Site(f"stem{REPLACED}", 0, layers) if first == second else nn.Sequential(*layers)
        self.leave = nn.Conv2d(second, outputs, 3, 1, 1, bias=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[N, 3, H, W]`` to ``[N, outputs, H / 2, W / 2]``."""
        return self.leave(self.middle(self.enter(image)))


def resnet(
    depths: Sequence[int],
    expansion: int,
    base: int = 64,
    channels: int = 64,
    *,
    stem: str = "7x7",
    shortcut: str = "conv",
    stride_at: str = "3x3",
    groups: int = 1,
    width: int = 64,
) -> ResNet:
    """A network of basic blocks (expansion 1) or bottlenecks, with so many channels behind its stem."""
    stages = resnet_stages(depths, expansion, base, width=width, groups=groups)

    def block(one: Stage) -> Block:
        if expansion == 1:
            return partial(BasicBlock, shortcut=shortcut)
        return partial(Bottleneck, shortcut=shortcut, outputs=one.outputs, groups=groups, stride_at=stride_at)

    entrance = nn.Conv2d(3, channels, 7, 2, 3, bias=False) if stem == "7x7" else Stem(stem, channels)
    return ResNet(entrance, channels, stages_of(stages, "layer", channels, block), stages[-1].outputs, CLASSES)


def cifar(*, depth: int, shortcut: str) -> ResNet:
    """The network for images of 32x32 and ten classes: one 3x3 convolution for a stem."""
    made = stages_of(cifar_stages(depth), "layer", 16, lambda _one: partial(BasicBlock, shortcut=shortcut))
    return ResNet(nn.Conv2d(3, 16, 3, 1, 1, bias=False), 16, made, 64, 10, pooled=False)


ENTRIES = (
    Host(
        name="resnet18",
        build=partial(resnet, (2, 2, 2, 2), 1),
        summary="image classification: 8 basic blocks in four stages",
        source="github.com/pytorch/vision torchvision/models/resnet.py (resnet18)",
        layout=("attnbench.hosts._layouts:resnet", (2, 2, 2, 2), 1),
        options={"stem": "7x7", "shortcut": "conv"},
        choices={"stem": ("7x7", "deep", "tiered"), "shortcut": ("conv", "pool")},
    ),
    Host(
        name="resnet34",
        build=partial(resnet, (3, 4, 6, 3), 1),
        summary="image classification: 16 basic blocks in four stages",
        source="github.com/pytorch/vision torchvision/models/resnet.py (resnet34)",
        layout=("attnbench.hosts._layouts:resnet", (3, 4, 6, 3), 1),
        options={"stem": "7x7", "shortcut": "conv"},
        choices={"stem": ("7x7", "deep", "tiered"), "shortcut": ("conv", "pool")},
    ),
    Host(
        name="resnet26",
        build=partial(resnet, (2, 2, 2, 2), 4),
        summary="image classification: 8 bottlenecks in four stages",
        source="github.com/huggingface/pytorch-image-models timm/models/resnet.py (resnet26)",
        layout=("attnbench.hosts._layouts:resnet", (2, 2, 2, 2), 4),
        options={"stem": "7x7", "shortcut": "conv", "stride_at": "3x3", "groups": 1, "width": 64},
        choices={"stem": ("7x7", "deep", "tiered"), "shortcut": ("conv", "pool"), "stride_at": ("3x3", "1x1")},
    ),
    Host(
        name="resnet50",
        build=partial(resnet, (3, 4, 6, 3), 4),
        summary="image classification: 16 bottlenecks in four stages",
        source="github.com/pytorch/vision torchvision/models/resnet.py (resnet50)",
        layout=("attnbench.hosts._layouts:resnet", (3, 4, 6, 3), 4),
        options={"stem": "7x7", "shortcut": "conv", "stride_at": "3x3", "groups": 1, "width": 64},
        choices={"stem": ("7x7", "deep", "tiered"), "shortcut": ("conv", "pool"), "stride_at": ("3x3", "1x1")},
    ),
    Host(
        name="resnet101",
        build=partial(resnet, (3, 4, 23, 3), 4),
        summary="image classification: 33 bottlenecks in four stages",
        source="github.com/pytorch/vision torchvision/models/resnet.py (resnet101)",
        layout=("attnbench.hosts._layouts:resnet", (3, 4, 23, 3), 4),
        options={"stem": "7x7", "shortcut": "conv", "stride_at": "3x3", "groups": 1, "width": 64},
        choices={"stem": ("7x7", "deep", "tiered"), "shortcut": ("conv", "pool"), "stride_at": ("3x3", "1x1")},
    ),
    Host(
        name="resnet152",
        build=partial(resnet, (3, 8, 36, 3), 4),
        summary="image classification: 50 bottlenecks in four stages",
        source="github.com/pytorch/vision torchvision/models/resnet.py (resnet152)",
        layout=("attnbench.hosts._layouts:resnet", (3, 8, 36, 3), 4),
        options={"stem": "7x7", "shortcut": "conv", "stride_at": "3x3", "groups": 1, "width": 64},
        choices={"stem": ("7x7", "deep", "tiered"), "shortcut": ("conv", "pool"), "stride_at": ("3x3", "1x1")},
    ),
    Host(
        name="axial_resnet26",
        build=partial(resnet, (1, 2, 4, 1), 2, 64, 32),
        summary="image classification: 8 narrow bottlenecks, where axial attention takes the place of the 3x3",
        source="github.com/csrhddlam/axial-deeplab lib/models/axialnet.py (axial26s)",
        layout=("attnbench.hosts._layouts:resnet", (1, 2, 4, 1), 2, 64),
    ),
    Host(
        name="resnet_cifar",
        build=cifar,
        summary="classification of 32x32 images: three stages of basic blocks",
        source="He et al., CVPR 2016, section 4.2; github.com/akamaster/pytorch_resnet_cifar10 resnet.py",
        layout=("attnbench.hosts._layouts:cifar",),
        options={"depth": 20, "shortcut": "pad"},
        choices={"depth": (20, 32, 44, 56, 110), "shortcut": ("pad", "conv")},
    ),
)
