"""ResNet's convolutional part, as a feature pyramid. He et al.: Deep Residual Learning for Image Recognition, CVPR 2016.

Shapes and parameter names' order follow the common ImageNet model up to its last stage; there is no classifier.
"""

import torch
from torch import nn

from attnbench.hosts.resnet_blocks import BasicBlock, stage
from attnbench.hosts.site import Site


class ResNet18Encoder(nn.Module):
    """Five features of 64, 64, 128, 256 and 512 channels at strides 2 to 32, each behind a site.

    The blocks inside a stage have sites of their own; the last block's end is the stage's.
    """

    channels = (64, 64, 128, 256, 512)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.stem = Site("encoder.stem")
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList()
        for number, (inputs, outputs) in enumerate(zip(self.channels, self.channels[1:], strict=False), start=1):
            branches = [f"encoder.block{number}.{index}.branch" for index in range(2)]
            ends = [f"encoder.block{number}.0.end", f"encoder.layer{number}"]
            self.stages.append(stage(BasicBlock, inputs, outputs, outputs, 1 if number == 1 else 2, branches, ends))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """``[N, 3, H, W]`` to the five features."""
        features = [self.stem(torch.relu(self.bn1(self.conv1(x))))]
        hidden = self.pool(features[0])
        for blocks in self.stages:
            hidden = blocks(hidden)
            features.append(hidden)
        return features
