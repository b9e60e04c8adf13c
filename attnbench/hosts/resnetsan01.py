"""ResNetSAN01: monocular depth with a ResNet-18 encoder and a decoder of two heads.

The decoder has the shape of monodepth2's (Godard et al., ICCV 2019): per level a convolution, nearest upsampling by two,
concatenation with the encoder's feature, and a second convolution. An *integer* and a *fractional* head end in sigmoids;
depth = integer * max_depth + fractional. Public code: ``YoungseokOh/packnet-sfm-resnet-san``; it pads with zeros and
rectifies with ReLU, where monodepth2 pads by reflection and uses ELU (``block=elu``). ``output=disparity`` is monodepth2's
plain decoder: one head a scale, with a sigmoid.
"""

import torch
from torch import nn

from attnbench.hosts import Host
from attnbench.hosts.initialise import initialise
from attnbench.hosts.pyramid import check_sides, doubled
from attnbench.hosts.resnet_encoder import ResNet18Encoder
from attnbench.hosts.site import Site
from attnbench.modules.se import npu_se

DECODER_CHANNELS = (16, 32, 64, 128, 256)


def conv_block(inputs: int, outputs: int, block: str) -> nn.Sequential:
    """A 3x3 convolution that keeps the size: zero padding and ReLU, or reflection padding and ELU."""
    if block == "elu":
        return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(inputs, outputs, 3), nn.ELU())
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU())


def head(inputs: int, block: str) -> nn.Conv2d:
    """A 3x3 convolution to one channel, padded as the blocks are."""
    return nn.Conv2d(inputs, 1, 3, padding=1, padding_mode="reflect" if block == "elu" else "zeros")


class PlainSkip(nn.Module):
    """Concatenation of the decoder's and the encoder's feature."""

    def __init__(self, encoder: int, decoder: int) -> None:
        super().__init__()
        self.outputs = encoder + decoder

    def forward(self, decoded: torch.Tensor, feature: torch.Tensor) -> torch.Tensor:
        """Two maps of one size to one with the channels of both."""
        return torch.cat([decoded, feature], 1)


class AttentiveSkip(nn.Module):
    """The design report's AttentiveSkipFusion (section 4.3): SE with reduction 8 on the concatenation, then 1x1 + BN + ReLU.

    The 1x1 convolution brings the concatenation back to the decoder's own channels. So that the decoder stays valid,
    the convolution behind it, upconv(i, 1), takes that many channels instead of those of both features; all else is
    unchanged. The fused map is [encoder, decoder] in the report's order.
    """

    def __init__(self, encoder: int, decoder: int) -> None:
        super().__init__()
        self.outputs = decoder
        self.attention = npu_se(encoder + decoder, reduction=8, minimum=8)
        self.conv = nn.Conv2d(encoder + decoder, decoder, 1, bias=False)
        self.norm = nn.BatchNorm2d(decoder)

    def forward(self, decoded: torch.Tensor, feature: torch.Tensor) -> torch.Tensor:
        """Two maps of one size to one with the decoder's channels."""
        fused = self.attention(torch.cat([feature, decoded], 1))
        return torch.relu(self.norm(self.conv(fused)))


class Level(nn.Module):
    """One level of the decoder: upconv(i, 0), upsampling, skip, upconv(i, 1), site."""

    def __init__(self, number: int, inputs: int, encoder: int, block: str, skip: str) -> None:
        super().__init__()
        channels = DECODER_CHANNELS[number]
        self.narrow = conv_block(inputs, channels, block)
        self.skip_site, self.fuse = None, None
        width = channels
        if encoder:
            self.skip_site = Site(f"skip.{number}")
            self.fuse = (AttentiveSkip if skip == "attentive" else PlainSkip)(encoder, channels)
            width = self.fuse.outputs
        self.merge = conv_block(width, channels, block)
        self.site = Site(f"decoder.upconv{number}")

    def forward(self, x: torch.Tensor, feature: torch.Tensor | None) -> torch.Tensor:
        """The coarser map and the encoder's feature to a map of twice the size."""
        x = doubled(self.narrow(x))
        if self.fuse is not None and self.skip_site is not None and feature is not None:
            x = self.fuse(x, self.skip_site(feature))
        return self.site(self.merge(x))


class ResNetSAN01(nn.Module):
    """The whole network. Heads are built for the exported scales only: ``scales`` counts them from full resolution on."""

    def __init__(self, block: str, skip: str, scales: int, output: str, max_depth: float) -> None:
        super().__init__()
        self.encoder = ResNet18Encoder()
        self.output, self.max_depth = output, max_depth
        widths = self.encoder.channels
        self.levels = nn.ModuleList()
        for number in range(4, -1, -1):
            inputs = widths[-1] if number == 4 else DECODER_CHANNELS[number + 1]
            self.levels.append(Level(number, inputs, widths[number - 1] if number else 0, block, skip))
        self.integer = nn.ModuleList(head(DECODER_CHANNELS[scale], block) for scale in range(scales))
        parts = 0 if output == "disparity" else scales
        self.fractional = nn.ModuleList(head(DECODER_CHANNELS[scale], block) for scale in range(parts))
        initialise(self, size=64)  # as ever, so that a seed's weights and outputs stay what they were

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """``[N, 3, H, W]`` to integer and fractional maps per scale, full resolution first, to depths or disparities.

        Raises ``InputError`` for sides that are not multiples of 32.
        """
        check_sides(image, "resnetsan01")
        features = self.encoder(image)
        x, decoded = features[-1], {}
        for level, number in zip(self.levels, range(4, -1, -1), strict=True):
            x = level(x, features[number - 1] if number else None)
            decoded[number] = x
        if self.output == "disparity":
            return tuple(torch.sigmoid(one(decoded[scale])) for scale, one in enumerate(self.integer))
        outputs: list[torch.Tensor] = []
        for scale, (integer, fractional) in enumerate(zip(self.integer, self.fractional, strict=True)):
            whole, part = torch.sigmoid(integer(decoded[scale])), torch.sigmoid(fractional(decoded[scale]))
            outputs += [whole * self.max_depth + part] if self.output == "depth" else [whole, part]
        return tuple(outputs)


ENTRIES = (
    Host(
        name="resnetsan01",
        build=ResNetSAN01,
        summary="monocular depth: ResNet-18 encoder, skip decoder, integer and fractional head",
        source="github.com/YoungseokOh/packnet-sfm-resnet-san packnet_sfm/networks/depth/ResNetSAN01.py",
        multiple=32,
        options={"block": "relu", "skip": "plain", "scales": 1, "output": "heads", "max_depth": 15.0},
        choices={
            "block": ("relu", "elu"),
            "skip": ("plain", "attentive"),
            "scales": (1, 2, 3, 4),
            "output": ("heads", "depth", "disparity"),
        },
        sites={
            "encoder.stem": (64, 2),
            "encoder.layer1": (64, 4),
            "encoder.layer2": (128, 8),
            "encoder.layer3": (256, 16),
            "encoder.layer4": (512, 32),
            "decoder.upconv4": (256, 16),
            "decoder.upconv3": (128, 8),
            "decoder.upconv2": (64, 4),
            "decoder.upconv1": (32, 2),
            "decoder.upconv0": (16, 1),
            "skip.4": (256, 16),
            "skip.3": (128, 8),
            "skip.2": (64, 4),
            "skip.1": (64, 2),
            "encoder.block1.{0..1}.branch": (64, 4),
            "encoder.block2.{0..1}.branch": (128, 8),
            "encoder.block3.{0..1}.branch": (256, 16),
            "encoder.block4.{0..1}.branch": (512, 32),
            "encoder.block1.0.end": (64, 4),
            "encoder.block2.0.end": (128, 8),
            "encoder.block3.0.end": (256, 16),
            "encoder.block4.0.end": (512, 32),
        },
        placements={
            "decoder.fusion": ("decoder.upconv4", "decoder.upconv3", "decoder.upconv2", "decoder.upconv1"),
            "encoder.all": ("encoder.stem", "encoder.layer1", "encoder.layer2", "encoder.layer3", "encoder.layer4"),
            "decoder.all": ("decoder.upconv*",),
            "skip.all": ("skip.*",),
            "residual-branch": ("encoder.block*.branch",),
            "block-ends": (
                "encoder.block1.0.end",
                "encoder.layer1",
                "encoder.block2.0.end",
                "encoder.layer2",
                "encoder.block3.0.end",
                "encoder.layer3",
                "encoder.block4.0.end",
                "encoder.layer4",
            ),
            "stage-ends": ("encoder.layer1", "encoder.layer2", "encoder.layer3", "encoder.layer4"),
            "skips": ("skip.*",),
        },
    ),
)
