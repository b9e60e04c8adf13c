"""RetinaNet for object detection: a ResNet-50, a plain feature pyramid over it, and two heads that all scales share.

Lin, Goyal, Girshick, He, Dollar: Focal Loss for Dense Object Detection, ICCV 2017; the pyramid is Lin et al.'s, CVPR 2017.
Layers are torchvision's (``models/detection/retinanet.py``, ``retinanet_resnet50_fpn``): 91 classes, nine anchors. It
freezes the norms of the ResNet and does not count their 53,120 weights; here they are parameters. The outputs are raw maps.
"""

import torch
from torch import nn

from attnbench.hosts import Host
from attnbench.hosts.initialise import initialise
from attnbench.hosts.pyramid import check_sides, doubled
from attnbench.hosts.resnet import resnet
from attnbench.hosts.site import Site

ANCHORS, WIDTH = 9, 256


class Pyramid(nn.Module):
    """Three features of a ResNet to five of 256 channels, at strides 8 to 128; each of the first three ends in a site."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(channels, WIDTH, 1) for channels in (512, 1024, 2048))
        self.smooth = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(3))
        self.ends = nn.ModuleList(Site(f"fpn.p{number}") for number in (3, 4, 5))
        self.coarser = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, 2, 1) for _ in range(2))

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Three features, finest first, to five."""
        maps = [layer(feature) for layer, feature in zip(self.lateral, features, strict=True)]
        for level in (1, 0):
            maps[level] = maps[level] + doubled(maps[level + 1])
        found = [end(layer(x)) for end, layer, x in zip(self.ends, self.smooth, maps, strict=True)]
        found.append(self.coarser[0](found[-1]))
        found.append(self.coarser[1](torch.relu(found[-1])))
        return found


class Head(nn.Sequential):
    """Four 3x3 convolutions with ReLU and one to so many channels."""

    def __init__(self, channels: int) -> None:
        tower = [layer for _ in range(4) for layer in (nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU())]
        super().__init__(*tower, nn.Conv2d(WIDTH, channels, 3, padding=1))


class RetinaNet(nn.Module):
    """The ResNet without its classifier, the pyramid and both heads."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = resnet((3, 4, 6, 3), 4)
        del self.body.fc
        self.pyramid = Pyramid()
        self.kinds, self.boxes = Head(ANCHORS * classes), Head(ANCHORS * 4)
        initialise(self)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """``[N, 3, H, W]`` to a class map and a box map at each of five strides from 8 on.

        Raises ``InputError`` for sides that are not multiples of 32.
        """
        check_sides(image, "retinanet")
        hidden = self.body.maxpool(torch.relu(self.body.bn1(self.body.conv1(image))))
        features = []
        for number in (1, 2, 3, 4):
            hidden = self.body.get_submodule(f"layer{number}")(hidden)
            features.append(hidden)
        found: list[torch.Tensor] = []
        for feature in self.pyramid(features[1:]):
            found += [self.kinds(feature), self.boxes(feature)]
        return tuple(found)


ENTRIES = (
    Host(
        name="retinanet",
        build=RetinaNet,
        summary="object detection: ResNet-50, a plain feature pyramid, shared heads of raw maps",
        source="github.com/pytorch/vision torchvision/models/detection/retinanet.py (retinanet_resnet50_fpn)",
        layout=("attnbench.hosts._layouts:retinanet",),
        multiple=32,
        options={"classes": 91},
    ),
)
