"""MobileViT block: a transformer over patches between convolutions; like positions of all patches see each other.

A 3x3 and a 1x1 convolution lead to tokens; within 2x2 patches, the positions of the same corner attend to each other; a
1x1 convolution leads back, and a 3x3 one fuses the result with the input. Mehta, Rastegari: MobileViT: Light-weight,
General-purpose, and Mobile-friendly Vision Transformer, ICLR 2022.

From the authors' ``mobilevit_block.py`` (``apple/ml-cvnets``). ``dim=0`` takes one and a half times the channels, as
their small model has it beyond its first stage. They resize a map that patches do not fill; that is refused here.
"""

import math

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane

PATCH = 2


class Layer(nn.Module):
    """A pre-norm transformer layer with SiLU on ``[N, groups, tokens, C]``."""

    def __init__(self, dim: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, expansion * dim), nn.SiLU(), nn.Linear(expansion * dim, dim)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        batch, groups, tokens, dim = x.shape
        split = self.query_key_value(self.attention_norm(x)).reshape(batch, groups, tokens, 3, self.heads, dim // self.heads)
        query, key, value = split.permute(3, 0, 1, 4, 2, 5).unbind(0)
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(dim // self.heads)
        attended = torch.matmul(torch.softmax(scores, -1), value).transpose(2, 3).reshape(x.shape)
        x = x + self.project(attended)
        return x + self.perceptron(x)


class MobileViT(nn.Module):
    """Convolutions, a transformer over patches, and a fusing convolution."""

    def __init__(self, channels: int, dim: int, depth: int, heads: int, expansion: int) -> None:
        super().__init__()
        width = dim or 3 * channels // 2
        self.local = nn.Sequential(_conv(channels, channels, 3), nn.Conv2d(channels, width, 1, bias=False))
        self.layers = nn.Sequential(*(Layer(width, heads, expansion) for _ in range(depth)), nn.LayerNorm(width))
        self.back = _conv(width, channels, 1)
        self.fuse = _conv(2 * channels, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        maps = self.local(x)
        batch, width, rows, columns = maps.shape[0], maps.shape[1], maps.shape[2] // PATCH, maps.shape[3] // PATCH
        patches = maps.reshape(batch, width, rows, PATCH, columns, PATCH).permute(0, 3, 5, 2, 4, 1)
        tokens = self.layers(patches.reshape(batch, PATCH * PATCH, rows * columns, width))
        patches = tokens.reshape(batch, PATCH, PATCH, rows, columns, width).permute(0, 5, 3, 1, 4, 2)
        return self.fuse(torch.cat([x, self.back(patches.reshape(maps.shape))], 1))


def _conv(before: int, after: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(after), nn.SiLU())


def _dim(plane: Plane, dim: int) -> int:
    return dim or 3 * plane.channels // 2


def _refuses(plane: Plane, dim: int, heads: int, **_: int) -> str:
    if plane.height % PATCH or plane.width % PATCH:
        return f"needs height and width divisible by its patches of {PATCH}x{PATCH}"
    return f"needs {_dim(plane, dim)} channels inside divisible by {heads} heads" if _dim(plane, dim) % heads else ""


def _params(plane: Plane, dim: int, depth: int, heads: int, expansion: int) -> int:  # noqa: ARG001  heads share weights
    c, d = plane.channels, _dim(plane, dim)
    f = expansion * d
    return 27 * c * c + 6 * c + 2 * c * d + 2 * d + depth * (4 * d * d + 9 * d + 2 * d * f + f)


def _macs(plane: Plane, dim: int, depth: int, heads: int, expansion: int) -> int:  # noqa: ARG001
    c, d, n = plane.channels, _dim(plane, dim), plane.positions
    attention = 2 * d * n * n // PATCH**2
    return (27 * c * c + 2 * c * d) * n + depth * ((4 + 2 * expansion) * d * d * n + attention)


ENTRIES = (
    AttentionModule(
        name="mobilevit",
        build=MobileViT,
        summary="convolutions around a transformer over the like positions of 2x2 patches; a block",
        paper="Mehta and Rastegari, MobileViT, ICLR 2022",
        year=2021,
        source="github.com/apple/ml-cvnets cvnets/modules/mobilevit_block.py",
        options={"dim": 0, "depth": 2, "heads": 4, "expansion": 2},
        least={"dim": 0},
        params=_params,
        macs=_macs,
        refuses=_refuses,
    ),
)
