"""Vision transformers for image classification: twelve transformer blocks over patches of 16x16 and a class token.

Dosovitskiy et al.: An Image is Worth 16x16 Words, ICLR 2021; the small ones are DeiT's (Touvron et al., ICML 2021). Layers
are torchvision's (``models/vision_transformer.py``). Positions are learned for 224x224 and interpolated at other sizes.

Sites stand at the patches and behind every third block, on the map of the patch tokens. A plain transformer makes no map:
taking the class token off and putting it back is in the baseline as well.
"""

from functools import partial

import torch
from torch import nn
from torch.nn import functional

from attnbench.hosts import Host
from attnbench.hosts.classifier import CLASSES
from attnbench.hosts.initialise import initialise
from attnbench.hosts.site import Site
from attnbench.modules.transformer_block import TokenBlock

DEPTH, LEARNED = 12, 224


class VisionTransformer(nn.Module):
    """Patches, positions, blocks, and a classifier of 1000 classes on the class token."""

    def __init__(self, channels: int, heads: int, patch: int = 16) -> None:
        super().__init__()
        self.side = LEARNED // patch
        self.embed = nn.Conv2d(3, channels, patch, patch)
        self.patches = Site("patches")
        self.token = nn.Parameter(torch.zeros(1, 1, channels))
        self.positions = nn.Parameter(0.02 * torch.randn(1, self.side**2 + 1, channels))
        self.blocks = nn.ModuleList(TokenBlock(channels, heads, 4) for _ in range(DEPTH))
        self.ends = nn.ModuleList(Site(f"blocks.{number}.end") for number in (3, 6, 9, 12))
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.classifier = nn.Linear(channels, CLASSES)
        initialise(self, LEARNED)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[N, 3, H, W]`` to ``[N, 1000]`` scores before the softmax."""
        maps = self.patches(self.embed(image))
        tokens = torch.cat([self.token.expand(len(image), -1, -1), maps.flatten(2).transpose(1, 2)], 1)
        tokens = tokens + self._positions(maps.shape[2], maps.shape[3])
        for number, block in enumerate(self.blocks, 1):
            tokens = block(tokens)
            if number % 3 == 0:
                first, rest = tokens[:, :1], tokens[:, 1:].transpose(1, 2).reshape(maps.shape)
                tokens = torch.cat([first, self.ends[number // 3 - 1](rest).flatten(2).transpose(1, 2)], 1)
        return self.classifier(self.norm(tokens[:, 0]))

    def _positions(self, height: int, width: int) -> torch.Tensor:
        if (height, width) == (self.side, self.side):
            return self.positions
        grid = self.positions[:, 1:].transpose(1, 2).reshape(1, -1, self.side, self.side)
        grid = functional.interpolate(grid, (height, width), mode="bilinear")
        return torch.cat([self.positions[:, :1], grid.flatten(2).transpose(1, 2)], 1)


ENTRIES = (
    Host(
        name="vit_b_16",
        build=partial(VisionTransformer, 768, 12),
        summary="image classification: transformer of 12 blocks, 768 channels, patches of 16x16",
        source="github.com/pytorch/vision torchvision/models/vision_transformer.py (vit_b_16)",
        multiple=16,
        sites={"patches": (768, 16), "blocks.{3,6,9,12}.end": (768, 16)},
        placements={"block-ends": ("*.end",)},
    ),
    Host(
        name="vit_b_32",
        build=partial(VisionTransformer, 768, 12, 32),
        summary="image classification: transformer of 12 blocks, 768 channels, patches of 32x32",
        source="github.com/pytorch/vision torchvision/models/vision_transformer.py (vit_b_32)",
        multiple=32,
        sites={"patches": (768, 32), "blocks.{3,6,9,12}.end": (768, 32)},
        placements={"block-ends": ("*.end",)},
    ),
    Host(
        name="deit_tiny",
        build=partial(VisionTransformer, 192, 3),
        summary="image classification: transformer of 12 blocks, 192 channels, patches of 16x16",
        source="github.com/facebookresearch/deit models.py (deit_tiny_patch16_224)",
        multiple=16,
        sites={"patches": (192, 16), "blocks.{3,6,9,12}.end": (192, 16)},
        placements={"block-ends": ("*.end",)},
    ),
    Host(
        name="deit_small",
        build=partial(VisionTransformer, 384, 6),
        summary="image classification: transformer of 12 blocks, 384 channels, patches of 16x16",
        source="github.com/facebookresearch/deit models.py (deit_small_patch16_224)",
        multiple=16,
        sites={"patches": (384, 16), "blocks.{3,6,9,12}.end": (384, 16)},
        placements={"block-ends": ("*.end",)},
    ),
)
