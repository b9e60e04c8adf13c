"""ResNet for image classification: residual blocks in four stages, global pooling and one linear layer.

He et al.: Deep Residual Learning for Image Recognition, CVPR 2016. Layout and names are those of torchvision's
``models/resnet.py``, whose bottleneck has its stride in the 3x3 convolution where the authors' Caffe model has it in the
first 1x1; a state dict of torchvision loads. SE, CBAM and ECA stand at ``residual-branch`` in their authors' own ResNets.
"""

from functools import partial

import torch
from torch import nn

from attnbench.hosts import Host
from attnbench.hosts.classifier import CLASSES
from attnbench.hosts.initialise import initialise
from attnbench.hosts.resnet_blocks import BasicBlock, Bottleneck, stage

BRANCH_SCALE = 0.25
"""The weight of the last norm of each branch before any training: with 1, the 33 blocks of ResNet-101 amplify the
rounding of single precision to 1e-4 of the output, which is all that an export may differ from torch."""


class ResNet(nn.Module):
    """A stem of stride 4, four stages of so many blocks at strides 4 to 32, and a classifier of 1000 classes."""

    def __init__(self, block: type[BasicBlock | Bottleneck], depths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _layer(block, 1, depths[0])
        self.layer2 = _layer(block, 2, depths[1])
        self.layer3 = _layer(block, 3, depths[2])
        self.layer4 = _layer(block, 4, depths[3])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * block.expansion, CLASSES)
        for module in self.modules():
            if isinstance(module, BasicBlock | Bottleneck):
                nn.init.constant_((module.bn2 if isinstance(module, BasicBlock) else module.bn3).weight, BRANCH_SCALE)
        initialise(self)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[N, 3, H, W]`` to ``[N, 1000]`` scores before the softmax."""
        hidden = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        hidden = self.layer4(self.layer3(self.layer2(self.layer1(hidden))))
        return self.fc(torch.flatten(self.avgpool(hidden), 1))


def _layer(block: type[BasicBlock | Bottleneck], number: int, depth: int) -> nn.Sequential:
    width = 32 * 2**number
    inputs = 64 if number == 1 else width // 2 * block.expansion
    branches, ends = ([f"layer{number}.{index}.{place}" for index in range(depth)] for place in ("branch", "end"))
    return stage(block, inputs, width, 1 if number == 1 else 2, branches, ends)


ENTRIES = (
    Host(
        name="resnet18",
        build=partial(ResNet, BasicBlock, (2, 2, 2, 2)),
        summary="image classification: 8 basic blocks in four stages",
        source="github.com/pytorch/vision torchvision/models/resnet.py (resnet18)",
        sites={
            "layer1.{0..1}.{branch,end}": (64, 4),
            "layer2.{0..1}.{branch,end}": (128, 8),
            "layer3.{0..1}.{branch,end}": (256, 16),
            "layer4.{0..1}.{branch,end}": (512, 32),
        },
        placements={
            "residual-branch": ("*.branch",),
            "block-ends": ("*.end",),
            "stage-ends": ("layer1", "layer2", "layer3", "layer4"),
            "layer1": ("layer1.1.end",),
            "layer2": ("layer2.1.end",),
            "layer3": ("layer3.1.end",),
            "layer4": ("layer4.1.end",),
        },
    ),
    Host(
        name="resnet34",
        build=partial(ResNet, BasicBlock, (3, 4, 6, 3)),
        summary="image classification: 16 basic blocks in four stages",
        source="github.com/pytorch/vision torchvision/models/resnet.py (resnet34)",
        sites={
            "layer1.{0..2}.{branch,end}": (64, 4),
            "layer2.{0..3}.{branch,end}": (128, 8),
            "layer3.{0..5}.{branch,end}": (256, 16),
            "layer4.{0..2}.{branch,end}": (512, 32),
        },
        placements={
            "residual-branch": ("*.branch",),
            "block-ends": ("*.end",),
            "stage-ends": ("layer1", "layer2", "layer3", "layer4"),
            "layer1": ("layer1.2.end",),
            "layer2": ("layer2.3.end",),
            "layer3": ("layer3.5.end",),
            "layer4": ("layer4.2.end",),
        },
    ),
    Host(
        name="resnet50",
        build=partial(ResNet, Bottleneck, (3, 4, 6, 3)),
        summary="image classification: 16 bottlenecks in four stages",
        source="github.com/pytorch/vision torchvision/models/resnet.py (resnet50)",
        sites={
            "layer1.{0..2}.{branch,end}": (256, 4),
            "layer2.{0..3}.{branch,end}": (512, 8),
            "layer3.{0..5}.{branch,end}": (1024, 16),
            "layer4.{0..2}.{branch,end}": (2048, 32),
        },
        placements={
            "residual-branch": ("*.branch",),
            "block-ends": ("*.end",),
            "stage-ends": ("layer1", "layer2", "layer3", "layer4"),
            "layer1": ("layer1.2.end",),
            "layer2": ("layer2.3.end",),
            "layer3": ("layer3.5.end",),
            "layer4": ("layer4.2.end",),
        },
    ),
    Host(
        name="resnet101",
        build=partial(ResNet, Bottleneck, (3, 4, 23, 3)),
        summary="image classification: 33 bottlenecks in four stages",
        source="github.com/pytorch/vision torchvision/models/resnet.py (resnet101)",
        sites={
            "layer1.{0..2}.{branch,end}": (256, 4),
            "layer2.{0..3}.{branch,end}": (512, 8),
            "layer3.{0..22}.{branch,end}": (1024, 16),
            "layer4.{0..2}.{branch,end}": (2048, 32),
        },
        placements={
            "residual-branch": ("*.branch",),
            "block-ends": ("*.end",),
            "stage-ends": ("layer1", "layer2", "layer3", "layer4"),
            "layer1": ("layer1.2.end",),
            "layer2": ("layer2.3.end",),
            "layer3": ("layer3.22.end",),
            "layer4": ("layer4.2.end",),
        },
    ),
)
