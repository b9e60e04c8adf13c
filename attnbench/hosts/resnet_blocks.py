"""ResNet's two residual blocks, each with a site on its branch and one at its end; the bottleneck's 3x3 may be replaced.

He et al.: Deep Residual Learning for Image Recognition, CVPR 2016. Submodules have torchvision's names, so that its
weights load; sites have no parameters.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from attnbench.hosts import REPLACED
from attnbench.hosts._layouts import Stage
from attnbench.hosts.site import Site


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, width: int, stride: int, branch: str, end: str, shortcut: str = "conv") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = projection(inputs, width, stride, shortcut)
        self.branch, self.end = Site(branch), Site(end)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, width, H / stride, W / stride]``."""
        hidden = torch.relu(self.bn1(self.conv1(x)))
        hidden = self.branch(self.bn2(self.conv2(hidden)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.end(torch.relu(hidden + shortcut))


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution beside a shortcut; the 3x3 has the stride, as in torchvision ("v1.5").

    ``stride_at="1x1"`` gives it to the first 1x1, as the authors' Caffe model has it. ``slot`` puts a slot behind the 3x3,
    as in RegNetY.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        branch: str,
        end: str,
        shortcut: str = "conv",
        *,
        outputs: int,
        groups: int = 1,
        stride_at: str = "3x3",
        slot: bool = False,
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_at == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(inputs, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = projection(inputs, outputs, stride, shortcut)
        block = branch.removesuffix(".branch")
        self.filter = Site(block + REPLACED, 0, (self.conv2, self.bn2, nn.ReLU()), second)
        self.slot = Site(f"{block}.slot", inputs) if slot else nn.Identity()
        self.branch, self.end = Site(branch), Site(end)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H / stride, W / stride]``."""
        hidden = self.slot(self.filter(torch.relu(self.bn1(self.conv1(x)))))
        hidden = self.branch(self.bn3(self.conv3(hidden)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.end(torch.relu(hidden + shortcut))


class Padded(nn.Module):
    """A shortcut without parameters: every second position, and zeros for the channels that are new."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.before = stride, (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H / stride, W / stride]``."""
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


def projection(inputs: int, outputs: int, stride: int, form: str = "conv") -> nn.Module | None:
    """The shortcut where a block changes the shape, else nothing: a 1x1 convolution and its norm.

    ``pool`` takes means of 2x2 before it in place of its stride (ResNet-D), ``pad`` pads with zeros (the CIFAR ResNets).
    """
    if stride == 1 and inputs == outputs:
        return None
    if form == "pad":
        return Padded(inputs, outputs, stride)
    pooled = form == "pool" and stride > 1
    narrow = [nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)] if pooled else []
    conv = nn.Conv2d(inputs, outputs, 1, 1 if pooled else stride, bias=False)
    return nn.Sequential(*narrow, conv, nn.BatchNorm2d(outputs))


Block = Callable[[int, int, int, str, str], nn.Module]
"""Builds a block: channels in, channels inside, stride, and the names of the sites on its branch and at its end."""


def stages_of(rows: Sequence[Stage], name: str, inputs: int, block: Callable[[Stage], Block]) -> list[nn.Sequential]:
    """The stages of a table, whose sites are ``NAME1.0.branch``, ``NAME1.0.end`` and so on."""
    made = []
    for number, one in enumerate(rows, 1):
        branches, ends = ([f"{name}{number}.{index}.{place}" for index in range(one.depth)] for place in ("branch", "end"))
        made.append(stage(block(one), inputs, one.width, one.outputs, one.stride, branches, ends))
        inputs = one.outputs
    return made


def stage(
    block: Block,
    inputs: int,
    width: int,
    outputs: int,
    stride: int,
    branches: Sequence[str],
    ends: Sequence[str],
) -> nn.Sequential:
    """Blocks in a row, one for each pair of site names; the first has the stride."""
    blocks: list[nn.Module] = []
    for branch, end in zip(branches, ends, strict=True):
        first = not blocks
        blocks.append(block(inputs if first else outputs, width, stride if first else 1, branch, end))
    return nn.Sequential(*blocks)
