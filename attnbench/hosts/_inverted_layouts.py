"""Where the sites of hosts of inverted residual blocks stand, whose width or form is an option: see ``_layouts``."""

from collections.abc import Iterable
from typing import NamedTuple

from attnbench.core.grammar import OptionValue
from attnbench.hosts import Places, SitePlane
from attnbench.modules import in_eights


class Inverted(NamedTuple):
    """An inverted residual block: channels in, widened and out, its kernel and stride, and what is special about it."""

    inputs: int
    hidden: int
    outputs: int
    kernel: int
    stride: int
    slot: bool = False
    activation: str = "relu6"

    @property
    def shortcut(self) -> bool:
        """Whether the input is added."""
        return self.stride == 1 and self.inputs == self.outputs


MOBILENET_V2 = (
    (1, 16, 3, 1, 1), (6, 24, 3, 2, 2), (6, 32, 3, 3, 2), (6, 64, 3, 4, 2), (6, 96, 3, 3, 1), (6, 160, 3, 3, 2),
    (6, 320, 3, 1, 1),
)  # fmt: skip
MNASNET = ((3, 24, 3, 3, 2), (3, 40, 5, 3, 2), (6, 80, 5, 3, 2), (6, 96, 3, 2, 1), (6, 192, 5, 4, 2), (6, 320, 3, 1, 1))
EFFICIENTNET_B0 = (
    (1, 16, 3, 1, 1), (6, 24, 3, 2, 2), (6, 40, 5, 2, 2), (6, 80, 3, 3, 2), (6, 112, 5, 3, 1), (6, 192, 5, 4, 2),
    (6, 320, 3, 1, 1),
)  # fmt: skip
"""The papers' tables, MnasNet-B1's after its first block: expansion, outputs, kernel, blocks, stride of the first."""

MOBILENET_V3 = {
    "large": (
        (16, 16, 3, 1, "", "relu"), (64, 24, 3, 2, "", "relu"), (72, 24, 3, 1, "", "relu"), (72, 40, 5, 2, "se", "relu"),
        (120, 40, 5, 1, "se", "relu"), (120, 40, 5, 1, "se", "relu"), (240, 80, 3, 2, "", "hardswish"),
        (200, 80, 3, 1, "", "hardswish"), (184, 80, 3, 1, "", "hardswish"), (184, 80, 3, 1, "", "hardswish"),
        (480, 112, 3, 1, "se", "hardswish"), (672, 112, 3, 1, "se", "hardswish"), (672, 160, 5, 2, "se", "hardswish"),
        (960, 160, 5, 1, "se", "hardswish"), (960, 160, 5, 1, "se", "hardswish"),
    ),
    "small": (
        (16, 16, 3, 2, "se", "relu"), (72, 24, 3, 2, "", "relu"), (88, 24, 3, 1, "", "relu"),
        (96, 40, 5, 2, "se", "hardswish"),
        (240, 40, 5, 1, "se", "hardswish"), (240, 40, 5, 1, "se", "hardswish"), (120, 48, 5, 1, "se", "hardswish"),
        (144, 48, 5, 1, "se", "hardswish"), (288, 96, 5, 2, "se", "hardswish"), (576, 96, 5, 1, "se", "hardswish"),
        (576, 96, 5, 1, "se", "hardswish"),
    ),
}  # fmt: skip
"""The paper's tables 1 and 2: widened channels, output channels, kernel, stride, gate, activation."""


def table_blocks(
    table: Iterable[tuple[int, int, int, int, int]], first: int, width: float, activation: str, *, slot: bool = False
) -> list[Inverted]:
    """The blocks of a table at a width; so many channels enter the first at a width of 1."""
    blocks, inputs = [], in_eights(first * width)
    for expansion, channels, kernel, depth, stride in table:
        outputs = in_eights(channels * width)
        for index in range(depth):
            blocks.append(Inverted(inputs, inputs * expansion, outputs, kernel, 1 if index else stride, slot, activation))
            inputs = outputs
    return blocks


def mobilenet_v2_blocks(width: float) -> list[Inverted]:
    """MobileNetV2's seventeen blocks at a width."""
    return table_blocks(MOBILENET_V2, 32, width, "relu6")


def mnasnet_blocks(width: float) -> list[Inverted]:
    """MnasNet-B1's sixteen inverted blocks at a width, behind its separable one."""
    return table_blocks(MNASNET, 16, width, "relu")


def efficientnet_b0_blocks() -> list[Inverted]:
    """EfficientNet-B0's sixteen blocks, each with a slot."""
    return table_blocks(EFFICIENTNET_B0, 32, 1.0, "silu", slot=True)


def mobilenet_v3_blocks(form: str) -> list[Inverted]:
    """MobileNetV3's blocks, large or small."""
    blocks, inputs = [], 16
    for hidden, outputs, kernel, stride, gate, activation in MOBILENET_V3[form]:
        blocks.append(Inverted(inputs, hidden, outputs, kernel, stride, bool(gate), activation))
        inputs = outputs
    return blocks


def inverted(blocks: Iterable[Inverted], name: str, start: int) -> Places:
    """Sites of inverted residual blocks, numbered from ``start`` on, behind a stem of stride 2."""
    sites: dict[str, SitePlane] = {}
    stride, last = 2, dict[int, str]()
    for number, block in enumerate(blocks, start):
        stride *= block.stride
        if block.slot:
            sites[f"{name}{number}.slot"] = SitePlane(block.hidden, stride, block.inputs)
        elif block.hidden != block.inputs:
            sites[f"{name}{number}.depthwise"] = SitePlane(block.hidden, stride)
        if block.shortcut:
            sites[f"{name}{number}.branch"] = SitePlane(block.outputs, stride)
        sites[f"{name}{number}.end"] = SitePlane(block.outputs, stride)
        last[stride] = f"{name}{number}.end"
    slots = [site for site in sites if site.endswith(".slot")]
    filtered = [site for site in sites if site.endswith((".depthwise", ".slot"))]
    placements = {
        "residual-branch": ("*.branch",),
        "block-ends": ("*.end",),
        "after-depthwise": tuple(filtered) if slots else ("*.depthwise",),
        "stage-ends": tuple(last.values()),
        **({"slots": ("*.slot",)} if slots else {}),
    }
    return Places(sites, placements)


def mobilenet_v2(*, width: OptionValue) -> Places:
    """MobileNetV2's sites. ECA stands at ``projections``, with another kernel where there are 96 channels or more."""
    blocks = mobilenet_v2_blocks(float(width))
    sites, placements = inverted(blocks, "features.", 1)
    parted: dict[str, list[str]] = {"projections.narrow": [], "projections.wide": []}
    for number, block in enumerate(blocks, 1):
        group = "projections.wide" if block.outputs >= 96 else "projections.narrow"
        parted[group].append(f"features.{number}.{'branch' if block.shortcut else 'end'}")
    own = {name: tuple(members) for name, members in parted.items() if members}
    return Places(sites, {**placements, "projections": tuple(own), **own})


def efficientnet_b0() -> Places:
    """EfficientNet-B0's sites, slots first; a block that does not expand has no place ``after-depthwise``."""
    blocks = efficientnet_b0_blocks()
    found, kinds = inverted(blocks, "blocks.", 0), ("slot", "branch", "end")
    groups = {
        "slots": ("*.slot",),
        "after-depthwise": tuple(f"blocks.{at}.slot" for at, block in enumerate(blocks) if block.hidden != block.inputs),
        "projections": tuple(f"blocks.{at}.{'branch' if block.shortcut else 'end'}" for at, block in enumerate(blocks)),
    }
    sites = dict(sorted(found.sites.items(), key=lambda one: kinds.index(one[0].rpartition(".")[2])))
    return Places(sites, groups | {name: one for name, one in found.placements.items() if name not in groups})


def mnasnet(*, width: OptionValue) -> Places:
    """MnasNet's sites."""
    return inverted(mnasnet_blocks(float(width)), "blocks.", 0)


def mobilenet_v3(form: str) -> Places:
    """MobileNetV3's sites, with slots where its authors put a gate."""
    return inverted(mobilenet_v3_blocks(form), "blocks.", 0)


MOBILEVIT = {
    "xxs": (((16, 1, 1, 0), (24, 3, 2, 0), (48, 2, 2, 64), (64, 4, 2, 80), (80, 3, 2, 96)), 2, 320),
    "xs": (((32, 1, 1, 0), (48, 3, 2, 0), (64, 2, 2, 96), (80, 4, 2, 120), (96, 3, 2, 144)), 4, 384),
    "s": (((32, 1, 1, 0), (64, 3, 2, 0), (96, 2, 2, 144), (128, 4, 2, 192), (160, 3, 2, 240)), 4, 640),
}
"""By the form: stages (channels, blocks or layers, stride, channels of the transformer), expansion, last channels."""


def mobilevit(form: str) -> Places:
    """MobileViT's sites: those of its inverted residual blocks, and one behind each transformer."""
    stages, expansion, _ = MOBILEVIT[form]
    sites: dict[str, SitePlane] = {}
    inputs, now, last = 16, 2, dict[int, str]()
    for number, (channels, depth, stride, dim) in enumerate(stages, 1):
        for index in range(1 if dim else depth):
            block = Inverted(inputs, inputs * expansion, channels, 3, 1 if index else stride)
            now *= block.stride
            name = f"stage{number}.{index}"
            sites[f"{name}.depthwise"] = SitePlane(block.hidden, now)
            if block.shortcut:
                sites[f"{name}.branch"] = SitePlane(channels, now)
            sites[f"{name}.end"] = SitePlane(channels, now)
            last[now], inputs = f"{name}.end", channels
        if dim:
            last[now] = f"stage{number}.vit"
            sites[last[now]] = SitePlane(channels, now)
    groups = {"residual-branch": ("*.branch",), "block-ends": ("*.end", "*.vit"), "after-depthwise": ("*.depthwise",)}
    return Places(sites, {**groups, "stage-ends": tuple(last.values())})
