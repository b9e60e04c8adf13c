"""Second-order channel attention: a gate per channel from how the channels vary together.

The covariance of the channels, its square root by Newton-Schulz iterations and the means of the root's rows describe
the channels to an SE bottleneck. Dai, Cai, Zhang, Xia, Zhang: Second-order Attention Network for Single Image
Super-Resolution, CVPR 2019.

From the authors' ``san.py`` (``daitao/SAN``): five iterations, reduction 8. They multiply by an explicit matrix of
positions by positions to take the mean off; here the mean is taken off, which is the same and needs no such matrix.
Their centre crop of maps beyond 1000 positions a side is left out.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, no_hidden_channel

MIDDLE = 3
"""Iterations between the first and the last of the five."""


class SecondOrderAttention(nn.Module):
    """Scales each channel by a gate from the square root of the channels' covariance."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // reduction
        self.gate = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        flat = x.flatten(2)
        centred = flat - flat.mean(-1, keepdim=True)
        covariance = torch.matmul(centred, centred.transpose(1, 2)) / flat.shape[-1]
        described = square_root(covariance).mean(1)
        return x * self.gate(described[:, :, None, None])


def square_root(matrix: torch.Tensor) -> torch.Tensor:
    """Square root of positive semidefinite matrices ``[N, C, C]`` by coupled Newton-Schulz iterations.

    Source: Li, Xie, Wang, Gao, Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square Root
    Normalization, CVPR 2018, algorithm 1.
    """
    identity = torch.eye(matrix.shape[-1], device=matrix.device)
    trace = (matrix * identity).sum((1, 2), keepdim=True)
    normal = matrix / trace
    step = 0.5 * (3 * identity - normal)
    root, inverse = torch.matmul(normal, step), step
    for _ in range(MIDDLE):
        step = 0.5 * (3 * identity - torch.matmul(inverse, root))
        root, inverse = torch.matmul(root, step), torch.matmul(step, inverse)
    return 0.5 * torch.matmul(root, 3 * identity - torch.matmul(inverse, root)) * trace.sqrt()


def _params(plane: Plane, reduction: int) -> int:
    c, q = plane.channels, plane.channels // reduction
    return 2 * c * q + q + c


def _macs(plane: Plane, reduction: int) -> int:
    c, q = plane.channels, plane.channels // reduction
    return c * c * plane.positions + (3 + 3 * MIDDLE) * c**3 + 2 * c * q


def _refuses(plane: Plane, reduction: int) -> str:
    single = "needs at least two positions: one has no variance" if plane.positions < 2 else ""
    return no_hidden_channel(plane, reduction) or single


ENTRIES = (
    AttentionModule(
        name="soca",
        build=SecondOrderAttention,
        summary="gate per channel from the square root of the channels' covariance",
        paper="Dai et al., Second-order Attention Network for Single Image Super-Resolution, CVPR 2019",
        source="github.com/daitao/SAN TestCode/code/model/san.py",
        options={"reduction": 8},
        params=_params,
        macs=_macs,
        refuses=_refuses,
    ),
)
