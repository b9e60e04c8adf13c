"""YOLOv5s for object detection, as of version 7.0: CSP backbone, a neck that goes up and down again, three heads.

Jocher et al., Ultralytics YOLOv5 (``models/yolov5s.yaml``, ``models/common.py`` in ``ultralytics/yolov5``); there is no
paper. With 80 classes it has 7,235,389 parameters, or 7,225,885 once each batch norm is fused into its convolution.

The outputs are the heads' raw maps: boxes are decoded outside the network, as deployments on an NPU do. The residual
branches end in batch norm *and* SiLU, so ``residual-branch`` is behind the activation here. The last map of the coarsest
resolution is the pooling pyramid's, which is therefore a stage's end. The authors' layers 16, 19 and 22, the inputs of the
neck's last three blocks, are ``joined.p3`` to ``joined.p5``.
"""

import torch
from torch import nn

from attnbench.hosts import Host
from attnbench.hosts.conv_norm import conv_norm
from attnbench.hosts.initialise import initialise
from attnbench.hosts.pyramid import check_sides, doubled
from attnbench.hosts.site import Site

ANCHORS = 3
"""Boxes per position of a head's map."""


def conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, site: Site | None = None) -> nn.Sequential:
    """A convolution, its norm with the authors' epsilon, and SiLU."""
    return conv_norm(inputs, outputs, kernel, stride, activation=nn.SiLU, site=site, eps=1e-3)


class YoloBottleneck(nn.Module):
    """A 1x1 and a 3x3 convolution; the input is added where ``branch`` names the site before the addition."""

    def __init__(self, channels: int, branch: str) -> None:
        super().__init__()
        self.shortcut = bool(branch)
        self.reduce = conv(channels, channels)
        self.filter = conv(channels, channels, 3, site=Site(branch) if branch else None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, channels, H, W]`` to the same shape."""
        branch = self.filter(self.reduce(x))
        return x + branch if self.shortcut else branch


class C3(nn.Module):
    """Half the channels pass bottlenecks, the other half pass by; a 1x1 convolution joins them. Ends in a site."""

    def __init__(self, inputs: int, outputs: int, depth: int, name: str, *, shortcut: bool) -> None:
        super().__init__()
        hidden = outputs // 2
        self.enter = conv(inputs, hidden)
        self.bypass = conv(inputs, hidden)
        branches = [f"{name}.{index}.branch" if shortcut else "" for index in range(depth)]
        self.blocks = nn.Sequential(*(YoloBottleneck(hidden, branch) for branch in branches))
        self.join = conv(2 * hidden, outputs, site=Site(name))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H, W]``."""
        return self.join(torch.cat([self.blocks(self.enter(x)), self.bypass(x)], 1))


class PoolingPyramid(nn.Module):
    """SPPF: the map and three 5x5 maximum poolings in a row, joined by a 1x1 convolution. Ends in a site."""

    def __init__(self, channels: int, name: str) -> None:
        super().__init__()
        self.enter = conv(channels, channels // 2)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.join = conv(2 * channels, channels, site=Site(name))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, channels, H, W]`` to the same shape."""
        maps = [self.enter(x)]
        for _ in range(3):
            maps.append(self.pool(maps[-1]))
        return self.join(torch.cat(maps, 1))


class Backbone(nn.Module):
    """CSP-Darknet: features of 128, 256 and 512 channels at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 32, 6, 2)
        self.stages = nn.ModuleList()
        for number, (width, depth) in enumerate(((64, 1), (128, 2), (256, 3), (512, 1)), start=2):
            blocks = C3(width, width, depth, f"backbone.p{number}", shortcut=True)
            self.stages.append(nn.Sequential(conv(width // 2, width, 3, 2), blocks))
        self.sppf = PoolingPyramid(512, "backbone.sppf")

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """``[N, 3, H, W]`` to the three features, finest first."""
        maps = [self.stem(image)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[2], maps[3], self.sppf(maps[4])


class Neck(nn.Module):
    """PAN: from the coarsest feature up to the finest and back, each time joined with what has that resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.skip4, self.skip3 = Site("skip.p4"), Site("skip.p3")
        self.joined3, self.joined4, self.joined5 = Site("joined.p3"), Site("joined.p4"), Site("joined.p5")
        self.lateral5 = conv(512, 256)
        self.up4 = C3(512, 256, 1, "neck.p4_up", shortcut=False)
        self.lateral4 = conv(256, 128)
        self.up3 = C3(256, 128, 1, "neck.p3", shortcut=False)
        self.narrow3 = conv(128, 128, 3, 2)
        self.down4 = C3(256, 256, 1, "neck.p4", shortcut=False)
        self.narrow4 = conv(256, 256, 3, 2)
        self.down5 = C3(512, 512, 1, "neck.p5", shortcut=False)

    def forward(self, p3: torch.Tensor, p4: torch.Tensor, p5: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The backbone's features to three of the same shapes, finest first."""
        coarse = self.lateral5(p5)
        middle = self.lateral4(self.up4(torch.cat([doubled(coarse), self.skip4(p4)], 1)))
        p3 = self.up3(self.joined3(torch.cat([doubled(middle), self.skip3(p3)], 1)))
        p4 = self.down4(self.joined4(torch.cat([self.narrow3(p3), middle], 1)))
        p5 = self.down5(self.joined5(torch.cat([self.narrow4(p4), coarse], 1)))
        return p3, p4, p5


class YOLOv5s(nn.Module):
    """Backbone, neck and a 1x1 convolution per scale that predicts ``classes`` classes for three boxes per position."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone, self.neck = Backbone(), Neck()
        self.heads = nn.ModuleList(nn.Conv2d(width, ANCHORS * (classes + 5), 1) for width in (128, 256, 512))
        initialise(self)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """``[N, 3, H, W]`` to three raw maps of ``3 * (classes + 5)`` channels at strides 8, 16 and 32.

        Raises ``InputError`` for sides that are not multiples of 32.
        """
        check_sides(image, "yolov5s")
        features = self.neck(*self.backbone(image))
        return tuple(head(feature) for head, feature in zip(self.heads, features, strict=True))


ENTRIES = (
    Host(
        name="yolov5s",
        build=YOLOv5s,
        summary="object detection: CSP backbone, PAN neck, three heads of raw maps",
        source="github.com/ultralytics/yolov5 models/yolov5s.yaml (v7.0)",
        multiple=32,
        options={"classes": 80},
        sites={
            "backbone.p2": (64, 4),
            "backbone.p3": (128, 8),
            "backbone.p4": (256, 16),
            "backbone.p5": (512, 32),
            "backbone.sppf": (512, 32),
            "neck.p4_up": (256, 16),
            "neck.p3": (128, 8),
            "neck.p4": (256, 16),
            "neck.p5": (512, 32),
            "skip.p4": (256, 16),
            "skip.p3": (128, 8),
            "joined.p3": (256, 8),
            "joined.p4": (256, 16),
            "joined.p5": (512, 32),
            "backbone.p2.0.branch": (32, 4),
            "backbone.p3.{0..1}.branch": (64, 8),
            "backbone.p4.{0..2}.branch": (128, 16),
            "backbone.p5.0.branch": (256, 32),
        },
        placements={
            "backbone": ("backbone.p2", "backbone.p3", "backbone.p4", "backbone.p5", "backbone.sppf"),
            "neck": ("neck.*",),
            "heads": ("neck.p3", "neck.p4", "neck.p5"),
            "skips": ("skip.*",),
            "stage-ends": ("backbone.p2", "backbone.p3", "backbone.p4", "backbone.sppf"),
            "block-ends": ("backbone.p[2-5]", "neck.*"),
            "residual-branch": ("*.branch",),
        },
    ),
)
