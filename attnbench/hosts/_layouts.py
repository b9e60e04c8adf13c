"""Where the sites of hosts stand whose depth, width or stem is an option: the tables they are built from, without torch.

A layout is called with what its entry names and with the host's options. The leading underscore keeps the file out of the
registry.
"""

from collections.abc import Sequence
from typing import NamedTuple

from attnbench.hosts import REPLACED, Places, SitePlane


class Stage(NamedTuple):
    """Residual blocks of one resolution: how many, channels inside and behind, and the stride of the first."""

    depth: int
    width: int
    outputs: int
    stride: int


def resnet_stages(depths: Sequence[int], expansion: int, base: int = 64, *, width: int = 64, groups: int = 1) -> list[Stage]:
    """The four stages of a ResNet; ``width`` is that of ResNeXt and wide ResNets: channels a group at 64 of the base."""
    stages = []
    for number, depth in enumerate(depths):
        planes = base * 2**number
        stages.append(Stage(depth, planes * width // 64 * groups, planes * expansion, 2 if number else 1))
    return stages


def residual(
    stages: Sequence[Stage], first: int, name: str, *, replaced: str = "", slots: int = 0
) -> tuple[dict[str, SitePlane], dict[str, tuple[str, ...]]]:
    """Sites of residual blocks from a stride on: branches, ends and each resolution's last end.

    ``replaced`` says which convolution of a block that may be replaced has the stride. ``slots`` are the channels that enter
    the first block, where blocks have slots.
    """
    sites: dict[str, SitePlane] = {}
    placements: dict[str, tuple[str, ...]] = {"residual-branch": ("*.branch",), "block-ends": ("*.end",)}
    stride, inputs, ends = first, slots, []
    for number, stage in enumerate(stages, 1):
        for index in range(stage.depth):
            block, divides = f"{name}{number}.{index}", 1 if index else stage.stride
            inner = stride * divides if replaced == "1x1" else stride
            if replaced:
                sites[block + REPLACED] = SitePlane(stage.width, inner, 0, stride * divides // inner)
            stride *= divides
            if slots:
                sites[f"{block}.slot"] = SitePlane(stage.width, stride, inputs)
                inputs = stage.outputs
            sites[f"{block}.branch"] = sites[f"{block}.end"] = SitePlane(stage.outputs, stride)
        ends.append(f"{name}{number}.{stage.depth - 1}.end")
        placements[f"{name}{number}"] = (ends[-1],)
    placements["stage-ends"] = tuple(f"{name}{number}" for number in range(1, len(stages) + 1))
    if replaced:
        placements["conv3x3"] = (f"*{REPLACED}",)
    if slots:
        placements["slots"] = ("*.slot",)
    return sites, placements


def resnet(
    depths: Sequence[int],
    expansion: int,
    base: int = 64,
    *,
    stem: str = "7x7",
    shortcut: str = "conv",  # noqa: ARG001  its form moves no site
    stride_at: str = "3x3",
    **widths: int,
) -> Places:
    """A ResNet's sites; basic blocks (expansion 1) have no convolution that may be replaced."""
    stages = resnet_stages(depths, expansion, base, **widths)
    sites, placements = residual(stages, 4, "layer", replaced=stride_at if expansion > 1 else "")
    if expansion > 1 and len(set(STEMS.get(stem, (0, 1)))) == 1:
        sites[f"stem{REPLACED}"] = SitePlane(STEMS[stem][1], 2)
        placements["conv3x3"] = (f"layer*{REPLACED}",)
    return Places(sites, placements)


STEMS = {"deep": (32, 32), "tiered": (24, 32)}
"""Channels of the first two of three 3x3 convolutions, of which a replaced one keeps its channels."""


def cifar(*, depth: int, shortcut: str) -> Places:  # noqa: ARG001
    """The sites of a ResNet for images of 32x32: three stages from stride 1 on."""
    return Places(*residual(cifar_stages(depth), 1, "layer"))


def cifar_stages(depth: int) -> list[Stage]:
    """Three stages of 16, 32 and 64 channels; a depth of 6n + 2 has n blocks in each."""
    return [Stage((depth - 2) // 6, 16 * 2**number, 16 * 2**number, 2 if number else 1) for number in range(3)]


def regnet(depths: Sequence[int], widths: Sequence[int], slots: int = 0) -> Places:
    """A RegNet's sites: four stages from stride 2 on, of blocks whose 3x3 may be replaced; ``slots`` as of ``residual``."""
    return Places(*residual(regnet_stages(depths, widths), 2, "block", replaced="3x3", slots=slots))


def regnet_stages(depths: Sequence[int], widths: Sequence[int]) -> list[Stage]:
    """Stages that each halve the sides; blocks have as many channels inside as behind."""
    return [Stage(depth, width, width, 2) for depth, width in zip(depths, widths, strict=True)]


def staged(depths: Sequence[int], widths: Sequence[int], *slot: str) -> Places:
    """Sites of four stages from stride 4 on whose blocks keep their channels; each block has these slots, too."""
    sites: dict[str, SitePlane] = {}
    ends: dict[str, tuple[str, ...]] = {}
    for number, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
        for block in (f"stage{number}.{index}" for index in range(depth)):
            stride = 2 ** (number + 1)
            sites |= {f"{block}.{name}": SitePlane(width, stride, width) for name in slot}
            sites |= {f"{block}.{name}": SitePlane(width, stride) for name in ("branch", "end")}
        ends[f"stage{number}"] = (f"stage{number}.{depth - 1}.end",)
    placements = {"residual-branch": ("*.branch",), "block-ends": ("*.end",), **ends, "stage-ends": tuple(ends)}
    return Places(sites, {**placements, **({"slots": ("*.slot",)} if slot else {})})


YOLOV8 = {
    "n": (0.33, 0.25, 1024),
    "s": (0.33, 0.5, 1024),
    "m": (0.67, 0.75, 768),
    "l": (1.0, 1.0, 512),
    "x": (1.0, 1.25, 512),
}
"""By the scale: depth, width and most channels before the width is applied."""


def yolov8_sizes(scale: str) -> tuple[list[int], tuple[int, int]]:
    """Channels at strides 2 to 32, and how many bottlenecks a block of 3 and one of 6 has."""
    depth, width, most = YOLOV8[scale]
    channels = [-(-int(min(full, most) * width) // 8) * 8 for full in (64, 128, 256, 512, 1024)]
    return channels, (max(1, round(3 * depth)), max(1, round(6 * depth)))


def yolov8(*, scale: str, classes: int) -> Places:  # noqa: ARG001  classes move no site
    """YOLOv8's sites, named as YOLOv5's are."""
    (_, c2, c3, c4, c5), (few, more) = yolov8_sizes(scale)
    backbone = {"p2": (c2, 4, few), "p3": (c3, 8, more), "p4": (c4, 16, more), "p5": (c5, 32, few)}
    sites = {f"backbone.{name}": SitePlane(channels, stride) for name, (channels, stride, _) in backbone.items()}
    sites["backbone.sppf"] = SitePlane(c5, 32)
    sites |= {
        f"neck.{name}": SitePlane(c, s) for name, c, s in (("p4_up", c4, 16), ("p3", c3, 8), ("p4", c4, 16), ("p5", c5, 32))
    }
    sites |= {"skip.p4": SitePlane(c4, 16), "skip.p3": SitePlane(c3, 8)}
    for name, (channels, stride, depth) in backbone.items():
        sites |= {f"backbone.{name}.{index}.branch": SitePlane(channels // 2, stride) for index in range(depth)}
    placements = {
        "backbone": ("backbone.p2", "backbone.p3", "backbone.p4", "backbone.p5", "backbone.sppf"),
        "neck": ("neck.*",),
        "skips": ("skip.*",),
        "stage-ends": ("backbone.p2", "backbone.p3", "backbone.p4", "backbone.sppf"),
        "block-ends": ("backbone.p[2-5]", "neck.*"),
        "residual-branch": ("*.branch",),
    }
    return Places(sites, placements)


def retinanet(*, classes: int) -> Places:  # noqa: ARG001
    """The sites of RetinaNet's ResNet-50, and those of its pyramid."""
    body = resnet((3, 4, 6, 3), 4)
    pyramid = {f"fpn.p{number}": SitePlane(256, 2**number) for number in (3, 4, 5)}
    return Places({**body.sites, **pyramid}, {**body.placements, "neck": tuple(pyramid)})
