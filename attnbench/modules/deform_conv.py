"""Modulated deformable convolution: a 3x3 convolution whose nine taps go where the input sends them, each with a weight.

One convolution reads from the map an offset (down, right) and a gate for each tap and position; the taps are sampled between
the pixels, zero outside the map, gated and convolved. Zhu, Hu, Lin, Dai: Deformable ConvNets v2: More Deformable, Better
Results, CVPR 2019.

From ``chengdazhi/Deformable-Convolution-V2-PyTorch``, ``modules/deform_conv.py`` (``ModulatedDeformConvPack``): offsets and
gates from one biased 27-channel convolution that starts at zero, so that an untrained module is half a plain convolution.
An export leaves one ONNX ``DeformConv``, which opset 19 brought; in torch the samples are taken by ``grid_sample``. It is
timed as it starts, with taps on whole pixels in order: learned offsets jump about in memory and may cost more.
"""

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule

TAPS = 9


class DeformConv(nn.Module):
    """A 3x3 convolution C to C over taps that offsets move and gates weigh, both read from the map itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.guide = nn.Conv2d(channels, 3 * TAPS, 3, padding=1)
        self.convolve = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.guide.weight)
        nn.init.zeros_(self.guide.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        offsets, gates = torch.split(self.guide(x), [2 * TAPS, TAPS], 1)
        gates = torch.sigmoid(gates)
        weight, bias = self.convolve.weight, self.convolve.bias
        if torch.onnx.is_in_onnx_export():
            return torch.onnx.ops.symbolic(
                "DeformConv",
                (x, weight, offsets, bias, gates),
                {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
                dtype=x.dtype,
                shape=x.shape,
                version=19,
            )
        taps = sampled(x, offsets) * gates[:, None]
        return functional.conv2d(taps.flatten(1, 2), weight.reshape(len(weight), -1, 1, 1), bias)


def sampled(x: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """The map at the nine taps of each position: ``[N, C, H, W]`` and ``[N, 18, H, W]`` to ``[N, C, 9, H, W]``.

    Offsets are pairs (down, right) in pixels, tap by tap from the top left, as in ONNX's ``DeformConv``. Between pixels the
    four around count by their nearness; a pixel outside the map is zero.
    """
    batch, channels, height, width = x.shape
    tap = torch.arange(TAPS, device=x.device)[:, None, None]
    rows = offsets[:, 0::2] + tap // 3 - 1 + torch.arange(height, device=x.device)[:, None]
    columns = offsets[:, 1::2] + tap % 3 - 1 + torch.arange(width, device=x.device)
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], -1)  # edges of the map at -1 and 1
    points = functional.grid_sample(x, grid.flatten(1, 2), "bilinear", "zeros", align_corners=False)
    return points.reshape(batch, channels, TAPS, height, width)


ENTRIES = (
    AttentionModule(
        name="deform_conv",
        build=DeformConv,
        summary="3x3 convolution whose taps are moved and gated by what a second 3x3 convolution reads (DCNv2)",
        paper="Zhu et al., Deformable ConvNets v2: More Deformable, Better Results, CVPR 2019",
        source="github.com/chengdazhi/Deformable-Convolution-V2-PyTorch modules/deform_conv.py",
        params=lambda p: 9 * p.channels**2 + p.channels + 27 * (9 * p.channels + 1),
        macs=lambda p: (9 * p.channels**2 + 243 * p.channels) * p.positions,
        opset=19,
    ),
)
