"""EfficientNet-B0 for image classification, its squeeze-and-excitation taken out and a slot left where it stood.

Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019. Sixteen MBConv blocks, which
widen, filter by depth and narrow again. Layout and names are torchvision's (``models/efficientnet.py``): with ``se_swish``
in all ``slots`` it is the network as published, 5,288,548 parameters; without, 4,652,008. Stochastic depth is left out, as
it acts in training only.
"""

from itertools import islice

from torch import nn

from attnbench.hosts import Host
from attnbench.hosts._inverted_layouts import EFFICIENTNET_B0, efficientnet_b0_blocks
from attnbench.hosts.classifier import Classifier
from attnbench.hosts.conv_norm import conv_norm
from attnbench.hosts.inverted import InvertedBlock


class EfficientNetB0(Classifier):
    """A 3x3 convolution, the blocks of the table, a 1x1 convolution to 1280 channels and a classifier of 1000 classes."""

    def __init__(self) -> None:
        stages: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=nn.SiLU)]
        blocks = enumerate(efficientnet_b0_blocks())
        for *_, depth, _ in EFFICIENTNET_B0:
            stages.append(nn.Sequential(*(InvertedBlock(one, f"blocks.{number}") for number, one in islice(blocks, depth))))
        stages.append(conv_norm(EFFICIENTNET_B0[-1][1], 1280, 1, activation=nn.SiLU))
        super().__init__(nn.Sequential(*stages), 1280)


ENTRIES = (
    Host(
        name="efficientnet_b0",
        build=EfficientNetB0,
        summary="image classification: 16 MBConv blocks with a slot where SE stands",
        source="github.com/pytorch/vision torchvision/models/efficientnet.py (efficientnet_b0)",
        layout=("attnbench.hosts._inverted_layouts:efficientnet_b0",),
    ),
)
