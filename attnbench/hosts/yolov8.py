"""YOLOv8 for object detection: a CSP backbone with more joints than YOLOv5's, a neck that goes up and down, decoupled heads.

Jocher et al., Ultralytics YOLOv8 (``cfg/models/v8/yolov8.yaml``, ``nn/modules`` in ``ultralytics/ultralytics``); there is
no paper. The outputs are the heads' raw maps, a box map and a class map a scale: the fixed convolution that turns the
boxes' distributions into numbers (16 weights that are not learned) is left to the decoding outside, as deployments on an
NPU do.
"""

import torch
from torch import nn

from attnbench.hosts import Host
from attnbench.hosts._layouts import yolov8_sizes
from attnbench.hosts.initialise import initialise
from attnbench.hosts.pyramid import check_sides, doubled
from attnbench.hosts.site import Site
from attnbench.hosts.yolov5s import PoolingPyramid, conv

BINS = 16
"""Values that a side of a box is a distribution over."""


class ConvBottleneck(nn.Module):
    """Two 3x3 convolutions; the input is added where ``branch`` names the site before the addition."""

    def __init__(self, channels: int, branch: str) -> None:
        super().__init__()
        self.shortcut = bool(branch)
        self.first = conv(channels, channels, 3)
        self.second = conv(channels, channels, 3, site=Site(branch) if branch else None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, channels, H, W]`` to the same shape."""
        branch = self.second(self.first(x))
        return x + branch if self.shortcut else branch


class C2f(nn.Module):
    """Half the channels pass bottlenecks in a row; every step's map is joined by a 1x1 convolution. Ends in a site."""

    def __init__(self, inputs: int, outputs: int, depth: int, name: str, *, shortcut: bool = False) -> None:
        super().__init__()
        hidden = outputs // 2
        self.enter = conv(inputs, 2 * hidden)
        branches = [f"{name}.{index}.branch" if shortcut else "" for index in range(depth)]
        self.blocks = nn.ModuleList(ConvBottleneck(hidden, branch) for branch in branches)
        self.join = conv((2 + depth) * hidden, outputs, site=Site(name))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H, W]``."""
        maps = list(self.enter(x).chunk(2, 1))
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return self.join(torch.cat(maps, 1))


class YOLOv8(nn.Module):
    """Backbone, neck and, a scale, a head for boxes and one for ``classes`` classes."""

    def __init__(self, scale: str, classes: int) -> None:
        super().__init__()
        (c1, c2, c3, c4, c5), (few, more) = yolov8_sizes(scale)
        self.stem = conv(3, c1, 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(inputs, width, 3, 2), C2f(width, width, depth, f"backbone.p{number}", shortcut=True))
            for number, (inputs, width, depth) in enumerate(
                ((c1, c2, few), (c2, c3, more), (c3, c4, more), (c4, c5, few)), 2
            )
        )
        self.sppf = PoolingPyramid(c5, "backbone.sppf")
        self.skip4, self.skip3 = Site("skip.p4"), Site("skip.p3")
        self.up4 = C2f(c5 + c4, c4, few, "neck.p4_up")
        self.up3 = C2f(c4 + c3, c3, few, "neck.p3")
        self.narrow3, self.narrow4 = conv(c3, c3, 3, 2), conv(c4, c4, 3, 2)
        self.down4 = C2f(c3 + c4, c4, few, "neck.p4")
        self.down5 = C2f(c4 + c5, c5, few, "neck.p5")
        boxes, kinds = max(16, c3 // 4, 4 * BINS), max(c3, min(classes, 100))

        def heads(width: int, given: int) -> nn.ModuleList:
            return nn.ModuleList(
                nn.Sequential(conv(inputs, width, 3), conv(width, width, 3), nn.Conv2d(width, given, 1))
                for inputs in (c3, c4, c5)
            )

        self.boxes, self.kinds = heads(boxes, 4 * BINS), heads(kinds, classes)
        initialise(self)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """``[N, 3, H, W]`` to a box map and a class map at each of the strides 8, 16 and 32.

        Raises ``InputError`` for sides that are not multiples of 32.
        """
        check_sides(image, "yolov8")
        maps = [self.stem(image)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        p3, p4, p5 = maps[2], maps[3], self.sppf(maps[4])
        middle = self.up4(torch.cat([doubled(p5), self.skip4(p4)], 1))
        p3 = self.up3(torch.cat([doubled(middle), self.skip3(p3)], 1))
        p4 = self.down4(torch.cat([self.narrow3(p3), middle], 1))
        p5 = self.down5(torch.cat([self.narrow4(p4), p5], 1))
        found: list[torch.Tensor] = []
        for feature, box, kind in zip((p3, p4, p5), self.boxes, self.kinds, strict=True):
            found += [box(feature), kind(feature)]
        return tuple(found)


ENTRIES = (
    Host(
        name="yolov8",
        build=YOLOv8,
        summary="object detection: CSP backbone, PAN neck, decoupled heads of raw maps, in five sizes",
        source="github.com/ultralytics/ultralytics ultralytics/cfg/models/v8/yolov8.yaml",
        layout=("attnbench.hosts._layouts:yolov8",),
        multiple=32,
        options={"scale": "n", "classes": 80},
        choices={"scale": ("n", "s", "m", "l", "x")},
    ),
)
