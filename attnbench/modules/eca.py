"""ECA: a gate per channel from the means of its neighbours, with a handful of weights.

A one-dimensional convolution slides over the vector of channel means, so each gate sees ``k`` neighbouring channels
instead of all. Wang et al.: ECA-Net: Efficient Channel Attention for Deep CNNs, CVPR 2020.

The paper derives ``k`` from the number of channels (gamma 2, b 1); the authors' code (``BangguWu/ECANet``) takes it as an
argument. ``kernel=0`` follows the paper. The design report's form (section 2.6) views the means as an image one pixel
high and fixes ``k`` at 5, which trades the Conv1d for reshapes.

``eca_banded`` is for deployment: the convolution over channels is a product with a banded matrix, which one 1x1 convolution
stores whole. An NPU then needs neither a Conv1d nor a reshape, and pays C*C weights for ``k``.
"""

import math

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane
from attnbench.modules._rewrite import fill


def adaptive_kernel(channels: int, gamma: int = 2, b: int = 1) -> int:
    """The paper's kernel size for so many channels (section 3.2, equation 12): odd, growing with log2 of the channels."""
    size = int(abs((math.log2(channels) + b) / gamma))
    return size if size % 2 else size + 1


class ECA(nn.Module):
    """Scales each channel by a gate read from ``kernel`` neighbouring channel means."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        size = kernel or adaptive_kernel(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.neighbours = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        means = self.pool(x).squeeze(-1).transpose(-1, -2)
        gate = torch.sigmoid(self.neighbours(means).transpose(-1, -2).unsqueeze(-1))
        return x * gate


class NpuECA(nn.Module):
    """The same gate with a 1xk Conv2d on the means viewed as one row of an image."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        size = kernel or adaptive_kernel(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.neighbours = nn.Conv2d(1, 1, (1, size), padding=(0, size // 2), bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        batch, channels = x.shape[:2]
        row = self.pool(x).view(batch, 1, 1, channels)
        gate = torch.sigmoid(self.neighbours(row)).view(batch, channels, 1, 1)
        return x * gate.expand_as(x)


class BandedECA(nn.Module):
    """ECA's gate with one dense 1x1 convolution, whose matrix has the kernel along its diagonal and zeros elsewhere.

    The matrix is a parameter of C*C weights, because that is what is stored and multiplied. The form is for deployment:
    training it would fill the zeros, and it would be ECA no more.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel or adaptive_kernel(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        self.adopt(ECA(channels, self.kernel))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        return x * torch.sigmoid(self.mix(self.pool(x)))

    def adopt(self, original: ECA | NpuECA) -> None:
        """Take the kernel of ECA in either form over, as a banded matrix. Then both compute the same."""
        taps = original.neighbours.weight.detach().flatten()
        if len(taps) != self.kernel:
            raise ValueError(f"a kernel of {len(taps)} does not fit one of {self.kernel}")
        fill(self.mix.weight, banded(taps, len(self.mix.weight)))


def banded(taps: torch.Tensor, size: int) -> torch.Tensor:
    """The ``size`` x ``size`` matrix that a convolution of zero-padded vectors with these (odd) taps multiplies by."""
    matrix, half = taps.new_zeros(size, size), len(taps) // 2
    for step in range(max(-half, 1 - size), min(half, size - 1) + 1):
        matrix.diagonal(step).fill_(taps[half + step])
    return matrix


def _kernel(plane: Plane, kernel: int) -> int:
    return kernel or adaptive_kernel(plane.channels)


def _refuses(plane: Plane, kernel: int) -> str:
    return "" if _kernel(plane, kernel) % 2 else f"kernel must be odd, not {kernel}"


ENTRIES = (
    AttentionModule(
        name="eca",
        build=ECA,
        summary="gate per channel from the means of k neighbouring channels; Conv1d, k from the paper's rule",
        paper="Wang et al., ECA-Net: Efficient Channel Attention for Deep CNNs, CVPR 2020",
        source="github.com/BangguWu/ECANet models/eca_module.py",
        options={"kernel": 0},
        least={"kernel": 0},
        params=_kernel,
        macs=lambda p, kernel: p.channels * _kernel(p, kernel),
        refuses=_refuses,
    ),
    AttentionModule(
        name="eca_npu",
        build=NpuECA,
        summary="ECA with a 1xk Conv2d on a view of the means",
        paper="Wang et al., ECA-Net: Efficient Channel Attention for Deep CNNs, CVPR 2020",
        source="design report, section 2.6 (ECABlock)",
        options={"kernel": 5},
        least={"kernel": 0},
        params=_kernel,
        macs=lambda p, kernel: p.channels * _kernel(p, kernel),
        refuses=_refuses,
    ),
    AttentionModule(
        name="eca_banded",
        build=BandedECA,
        summary="ECA for deployment on an NPU: one 1x1 convolution with a banded C x C matrix",
        paper="Wang et al., ECA-Net: Efficient Channel Attention for Deep CNNs, CVPR 2020",
        source="exact rewrite of github.com/BangguWu/ECANet models/eca_module.py",
        options={"kernel": 0},
        least={"kernel": 0},
        params=lambda p, **_: p.channels**2,
        macs=lambda p, **_: p.channels**2,
        refuses=_refuses,
        rewrite_of=("eca", "eca_npu"),
    ),
)
