"""ResNet's convolutional part, as a feature pyramid. He et al.: Deep Residual Learning for Image Recognition, CVPR 2016.

Shapes and parameter names' order follow the common ImageNet model up to its last stage; there is no classifier.
"""

import torch
from torch import nn

from attnbench.hosts.site import Site


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H / stride, W / stride]``."""
        hidden = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(hidden)) + self.shortcut(x))


class ResNet18Encoder(nn.Module):
    """Five features of 64, 64, 128, 256 and 512 channels at strides 2 to 32, each behind a site."""

    channels = (64, 64, 128, 256, 512)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList()
        self.sites = nn.ModuleList([Site("encoder.stem")])
        for number, (inputs, outputs) in enumerate(zip(self.channels, self.channels[1:], strict=False), start=1):
            stride = 1 if number == 1 else 2
            self.stages.append(nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1)))
            self.sites.append(Site(f"encoder.layer{number}"))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """``[N, 3, H, W]`` to the five features."""
        features = [self.sites[0](torch.relu(self.bn1(self.conv1(x))))]
        hidden = self.pool(features[0])
        for stage, site in zip(self.stages, list(self.sites)[1:], strict=True):
            hidden = site(stage(hidden))
            features.append(hidden)
        return features


def initialise(network: nn.Module, channels: int = 3) -> None:
    """Random weights that behave like trained ones: activations keep their scale, and nothing saturates or vanishes.

    He's normal initialisation of every convolution, then one pass over seeded noise that sets the batch norms' running
    statistics. Without it the residual sums of an untrained ResNet double their variance from block to block, and outputs
    saturate, which makes any comparison of two graphs needlessly blunt.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # a cumulative average: one pass gives its own statistics
    with torch.no_grad():
        network.train()(torch.randn(2, channels, 64, 64))
    for norm in norms:
        norm.momentum = 0.1
    network.eval()
