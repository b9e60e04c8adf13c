"""MobileViT for image classification: inverted residual blocks, and a transformer over patches in each of the last stages.

Mehta, Rastegari: MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer, ICLR 2022. Layers are
those of the authors' code (``apple/ml-cvnets``), with four heads and SiLU throughout.
"""

from functools import partial

from torch import nn

from attnbench.hosts import Host
from attnbench.hosts._inverted_layouts import MOBILEVIT, Inverted
from attnbench.hosts.classifier import CLASSES, MeanClassifier
from attnbench.hosts.conv_norm import conv_norm
from attnbench.hosts.inverted import InvertedBlock
from attnbench.hosts.site import Site
from attnbench.modules.mobilevit import MobileViT


class MobileViTNet(MeanClassifier):
    """A 3x3 stem, five stages, a 1x1 convolution and a classifier of 1000 classes."""

    def __init__(self, form: str) -> None:
        stages, expansion, last = MOBILEVIT[form]
        layers: list[nn.Module] = [conv_norm(3, 16, 3, 2, activation=nn.SiLU)]
        inputs = 16
        for number, (channels, depth, stride, dim) in enumerate(stages, 1):
            for index in range(1 if dim else depth):
                block = Inverted(inputs, inputs * expansion, channels, 3, 1 if index else stride, activation="silu")
                layers.append(InvertedBlock(block, f"stage{number}.{index}"))
                inputs = channels
            if dim:
                layers += [MobileViT(channels, dim, depth, 4, 2), Site(f"stage{number}.vit")]
        layers.append(conv_norm(inputs, last, 1, activation=nn.SiLU))
        super().__init__(nn.Sequential(*layers), nn.Linear(last, CLASSES))


ENTRIES = (
    Host(
        name="mobilevit_xxs",
        build=partial(MobileViTNet, "xxs"),
        summary="image classification for mobiles: 7 inverted residual blocks and 3 transformers over patches",
        source="github.com/apple/ml-cvnets cvnets/models/classification/mobilevit.py (xx_small)",
        layout=("attnbench.hosts._inverted_layouts:mobilevit", "xxs"),
        multiple=64,
    ),
    Host(
        name="mobilevit_xs",
        build=partial(MobileViTNet, "xs"),
        summary="image classification for mobiles: 7 inverted residual blocks and 3 transformers over patches",
        source="github.com/apple/ml-cvnets cvnets/models/classification/mobilevit.py (x_small)",
        layout=("attnbench.hosts._inverted_layouts:mobilevit", "xs"),
        multiple=64,
    ),
    Host(
        name="mobilevit_s",
        build=partial(MobileViTNet, "s"),
        summary="image classification for mobiles: 7 inverted residual blocks and 3 transformers over patches",
        source="github.com/apple/ml-cvnets cvnets/models/classification/mobilevit.py (small)",
        layout=("attnbench.hosts._inverted_layouts:mobilevit", "s"),
        multiple=64,
    ),
)
