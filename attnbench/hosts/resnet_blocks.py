"""ResNet's two residual blocks, each with a site on its branch and one at its end.

He et al.: Deep Residual Learning for Image Recognition, CVPR 2016. Submodules have torchvision's names, so that its
weights load; sites have no parameters.
"""

from collections.abc import Sequence

import torch
from torch import nn

from attnbench.hosts.site import Site


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, branch: str, end: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = projection(inputs, width, stride)
        self.branch, self.end = Site(branch), Site(end)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, width, H / stride, W / stride]``."""
        hidden = torch.relu(self.bn1(self.conv1(x)))
        hidden = self.branch(self.bn2(self.conv2(hidden)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.end(torch.relu(hidden + shortcut))


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution beside a shortcut; the 3x3 has the stride, as in torchvision ("v1.5")."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, branch: str, end: str) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = projection(inputs, outputs, stride)
        self.branch, self.end = Site(branch), Site(end)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, 4 * width, H / stride, W / stride]``."""
        hidden = torch.relu(self.bn1(self.conv1(x)))
        hidden = torch.relu(self.bn2(self.conv2(hidden)))
        hidden = self.branch(self.bn3(self.conv3(hidden)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.end(torch.relu(hidden + shortcut))


def projection(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The shortcut's 1x1 convolution and norm where a block changes the shape, else nothing."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def stage(
    block: type[BasicBlock | Bottleneck],
    inputs: int,
    width: int,
    stride: int,
    branches: Sequence[str],
    ends: Sequence[str],
) -> nn.Sequential:
    """Blocks in a row, one for each pair of site names; the first has the stride."""
    blocks: list[nn.Module] = []
    for branch, end in zip(branches, ends, strict=True):
        first = not blocks
        blocks.append(block(inputs if first else width * block.expansion, width, stride if first else 1, branch, end))
    return nn.Sequential(*blocks)
