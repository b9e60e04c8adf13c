"""RegNet for image classification: bottlenecks as wide inside as behind, with grouped 3x3 convolutions, in four stages.

Radosavovic, Kosaraju, Girshick, He, Dollar: Designing Network Design Spaces, CVPR 2020. Depths and widths are those that
the authors' rule comes to, as in torchvision's ``models/regnet.py``. RegNetY has a gate behind the 3x3, which is taken out
and a slot left: with ``se_regnet`` in all ``slots`` it is the network as published.
"""

from collections.abc import Sequence
from functools import partial

from torch import nn

from attnbench.hosts import Host
from attnbench.hosts._layouts import Stage, regnet_stages
from attnbench.hosts.classifier import CLASSES, MeanClassifier
from attnbench.hosts.conv_norm import conv_norm
from attnbench.hosts.resnet_blocks import Block, Bottleneck, stages_of


class RegNet(MeanClassifier):
    """A 3x3 stem of 32 channels, four stages and a classifier of 1000 classes."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], group: int, *, slots: bool = False) -> None:
        stem = conv_norm(3, 32, 3, 2, activation=nn.ReLU)
        stages = regnet_stages(depths, widths)

        def block(one: Stage) -> Block:
            return partial(Bottleneck, outputs=one.outputs, groups=one.width // group, slot=slots)

        features = nn.Sequential(stem, *stages_of(stages, "block", 32, block))
        super().__init__(features, nn.Linear(stages[-1].outputs, CLASSES))


ENTRIES = (
    Host(
        name="regnet_x_400mf",
        build=partial(RegNet, (1, 2, 7, 12), (32, 64, 160, 400), 16),
        summary="image classification: 22 bottlenecks with grouped convolutions",
        source="github.com/pytorch/vision torchvision/models/regnet.py (regnet_x_400mf)",
        layout=("attnbench.hosts._layouts:regnet", (1, 2, 7, 12), (32, 64, 160, 400)),
    ),
    Host(
        name="regnet_x_800mf",
        build=partial(RegNet, (1, 3, 7, 5), (64, 128, 288, 672), 16),
        summary="image classification: 16 bottlenecks with grouped convolutions",
        source="github.com/pytorch/vision torchvision/models/regnet.py (regnet_x_800mf)",
        layout=("attnbench.hosts._layouts:regnet", (1, 3, 7, 5), (64, 128, 288, 672)),
    ),
    Host(
        name="regnet_x_1_6gf",
        build=partial(RegNet, (2, 4, 10, 2), (72, 168, 408, 912), 24),
        summary="image classification: 18 bottlenecks with grouped convolutions",
        source="github.com/pytorch/vision torchvision/models/regnet.py (regnet_x_1_6gf)",
        layout=("attnbench.hosts._layouts:regnet", (2, 4, 10, 2), (72, 168, 408, 912)),
    ),
    Host(
        name="regnet_y_400mf",
        build=partial(RegNet, (1, 3, 6, 6), (48, 104, 208, 440), 8, slots=True),
        summary="image classification: 16 bottlenecks with grouped convolutions and a slot where SE stands",
        source="github.com/pytorch/vision torchvision/models/regnet.py (regnet_y_400mf)",
        layout=("attnbench.hosts._layouts:regnet", (1, 3, 6, 6), (48, 104, 208, 440), 32),
    ),
    Host(
        name="regnet_y_800mf",
        build=partial(RegNet, (1, 3, 8, 2), (64, 144, 320, 784), 16, slots=True),
        summary="image classification: 14 bottlenecks with grouped convolutions and a slot where SE stands",
        source="github.com/pytorch/vision torchvision/models/regnet.py (regnet_y_800mf)",
        layout=("attnbench.hosts._layouts:regnet", (1, 3, 8, 2), (64, 144, 320, 784), 32),
    ),
    Host(
        name="regnet_y_1_6gf",
        build=partial(RegNet, (2, 6, 17, 2), (48, 120, 336, 888), 24, slots=True),
        summary="image classification: 27 bottlenecks with grouped convolutions and a slot where SE stands",
        source="github.com/pytorch/vision torchvision/models/regnet.py (regnet_y_1_6gf)",
        layout=("attnbench.hosts._layouts:regnet", (2, 6, 17, 2), (48, 120, 336, 888), 32),
    ),
)
