"""EfficientNet-B0 for image classification, its squeeze-and-excitation taken out and a slot left where it stood.

Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019. Sixteen MBConv blocks, which
widen, filter by depth and narrow again. Layout and names are torchvision's (``models/efficientnet.py``): with ``se_swish``
in all ``slots`` it is the network as published, 5,288,548 parameters; without, 4,652,008. Stochastic depth is left out, as
it acts in training only.
"""

from itertools import islice

from torch import nn

from attnbench.hosts import Host
from attnbench.hosts._inverted_layouts import EFFICIENTNET_B0, table_blocks
from attnbench.hosts.classifier import Classifier
from attnbench.hosts.conv_norm import conv_norm
from attnbench.hosts.inverted import InvertedBlock


class EfficientNetB0(Classifier):
    """A 3x3 convolution, the blocks of the table, a 1x1 convolution to 1280 channels and a classifier of 1000 classes."""

    def __init__(self) -> None:
        stages: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=nn.SiLU)]
        blocks = enumerate(table_blocks(EFFICIENTNET_B0, 32, 1.0, "silu", slot=True))
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
        sites={
            "blocks.0.slot": (32, 2, 32),
            "blocks.1.slot": (96, 4, 16),
            "blocks.2.slot": (144, 4, 24),
            "blocks.3.slot": (144, 8, 24),
            "blocks.4.slot": (240, 8, 40),
            "blocks.5.slot": (240, 16, 40),
            "blocks.{6..8}.slot": (480, 16, 80),
            "blocks.{9..10}.slot": (672, 16, 112),
            "blocks.11.slot": (672, 32, 112),
            "blocks.{12..15}.slot": (1152, 32, 192),
            "blocks.2.branch": (24, 4),
            "blocks.4.branch": (40, 8),
            "blocks.{6..7}.branch": (80, 16),
            "blocks.{9..10}.branch": (112, 16),
            "blocks.{12..14}.branch": (192, 32),
            "blocks.0.end": (16, 2),
            "blocks.{1..2}.end": (24, 4),
            "blocks.{3..4}.end": (40, 8),
            "blocks.{5..7}.end": (80, 16),
            "blocks.{8..10}.end": (112, 16),
            "blocks.{11..14}.end": (192, 32),
            "blocks.15.end": (320, 32),
        },
        placements={
            "slots": ("*.slot",),
            "after-depthwise": ("blocks.[1-9].slot", "blocks.1[0-5].slot"),
            "projections": (
                "blocks.[01].end",
                "blocks.2.branch",
                "blocks.3.end",
                "blocks.4.branch",
                "blocks.5.end",
                "blocks.[67].branch",
                "blocks.8.end",
                "blocks.9.branch",
                "blocks.10.branch",
                "blocks.11.end",
                "blocks.1[2-4].branch",
                "blocks.15.end",
            ),
            "residual-branch": ("*.branch",),
            "block-ends": ("*.end",),
            "stage-ends": ("blocks.0.end", "blocks.2.end", "blocks.4.end", "blocks.10.end", "blocks.15.end"),
        },
    ),
)
