"""VoVNetV2 for image classification: each block's convolutions stand in a row and are joined once, at its end.

Lee, Park: CenterMask: Real-Time Anchor-Free Instance Segmentation, CVPR 2020; layers are those of timm's ``vovnet.py``
(``ese_vovnet39b``). The gate behind a stage's last block is taken out and a slot left: with ``ese`` in all ``slots`` it is
the network as published.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from attnbench.hosts import Host
from attnbench.hosts.classifier import CLASSES, MeanClassifier
from attnbench.hosts.conv_norm import conv_norm
from attnbench.hosts.site import Site

LAYERS = 5
"""3x3 convolutions in a block."""


class OneShotBlock(nn.Module):
    """3x3 convolutions in a row, joined with the input by a 1x1; the input is added but in a stage's first block."""

    def __init__(self, inputs: int, width: int, outputs: int, name: str, *, shortcut: bool, slot: bool) -> None:
        super().__init__()
        conv = partial(conv_norm, activation=nn.ReLU)
        self.layers = nn.ModuleList(conv(width if index else inputs, width, 3) for index in range(LAYERS))
        self.join = conv(inputs + LAYERS * width, outputs, 1)
        self.slot = Site(f"{name}.slot", inputs) if slot else nn.Identity()
        self.branch = Site(f"{name}.branch") if shortcut else None
        self.end = Site(f"{name}.end")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H, W]``."""
        maps = [x]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        joined = self.slot(self.join(torch.cat(maps, 1)))
        return self.end(joined if self.branch is None else x + self.branch(joined))


class VoVNet(MeanClassifier):
    """Three convolutions of stride 4 together, four stages with pooling between them, and a classifier of 1000 classes."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], outputs: Sequence[int]) -> None:
        conv = partial(conv_norm, activation=nn.ReLU)
        features, inputs = nn.Sequential(conv(3, 64, 3, 2), conv(64, 64, 3), conv(64, 128, 3, 2)), 128
        for number, (depth, width, given) in enumerate(zip(depths, widths, outputs, strict=True), 1):
            layers: list[nn.Module] = [nn.MaxPool2d(3, 2, ceil_mode=True)] if number > 1 else []
            for index in range(depth):
                name, last = f"stage{number}.{index}", index == depth - 1
                layers.append(OneShotBlock(inputs, width, given, name, shortcut=index > 0, slot=last))
                inputs = given
            features.append(nn.Sequential(*layers))
        super().__init__(features, nn.Linear(inputs, CLASSES))


ENTRIES = (
    Host(
        name="vovnet39",
        build=partial(VoVNet, (1, 1, 2, 2), (128, 160, 192, 224), (256, 512, 768, 1024)),
        summary="image classification: 6 one-shot blocks with a slot where effective SE stands",
        source="github.com/huggingface/pytorch-image-models timm/models/vovnet.py (ese_vovnet39b)",
        multiple=32,
        sites={
            "stage1.0.slot": (256, 4, 128),
            "stage2.0.slot": (512, 8, 256),
            "stage3.1.slot": (768, 16, 768),
            "stage4.1.slot": (1024, 32, 1024),
            "stage3.1.branch": (768, 16),
            "stage4.1.branch": (1024, 32),
            "stage1.0.end": (256, 4),
            "stage2.0.end": (512, 8),
            "stage3.{0..1}.end": (768, 16),
            "stage4.{0..1}.end": (1024, 32),
        },
        placements={
            "slots": ("*.slot",),
            "residual-branch": ("*.branch",),
            "block-ends": ("*.end",),
            "stage-ends": ("stage1.0.end", "stage2.0.end", "stage3.1.end", "stage4.1.end"),
        },
    ),
)
