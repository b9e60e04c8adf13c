"""Efficient local attention: coordinate attention's two gates without its bottleneck: a short kernel along each axis.

Means over each row and each column pass a depthwise one-dimensional convolution and a group norm, which both axes share,
and a sigmoid makes the gates. Xu, Wan: ELA: Efficient Local Attention for Deep Convolutional Neural Networks, 2024.

Sizes are those of the paper's base form (ELA-B): kernel 7, a kernel a channel, 16 groups in the norm. The module of the same
name in ``timm`` (``layers/coord_attn.py``) gives each axis weights of its own and a SiLU.
"""

import torch
from torch import nn

from attnbench.modules import AttentionModule, Plane, even_kernel


class EfficientLocalAttention(nn.Module):
    """Scales each position by the product of a row gate and a column gate."""

    def __init__(self, channels: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.neighbours = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        self.norm = nn.GroupNorm(groups, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to the same shape."""
        rows, columns = self._gate(x.mean(3)), self._gate(x.mean(2))
        return x * rows.unsqueeze(3) * columns.unsqueeze(2)

    def _gate(self, means: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.norm(self.neighbours(means)))


def _refuses(plane: Plane, kernel: int, groups: int) -> str:
    parted = f"needs channels divisible by its {groups} groups" if plane.channels % groups else ""
    single = "needs more than one value in a group of its norm" if plane.channels == groups and plane.positions == 1 else ""
    return even_kernel(plane, kernel) or parted or single


ENTRIES = (
    AttentionModule(
        name="ela",
        build=EfficientLocalAttention,
        summary="row and column gates from short depthwise kernels over the means, without a bottleneck",
        paper="Xu and Wan, ELA: Efficient Local Attention for Deep Convolutional Neural Networks, 2024",
        source="arXiv 2403.01123 (ELA-B); compare timm layers/coord_attn.py (EfficientLocalAttn)",
        options={"kernel": 7, "groups": 16},
        params=lambda p, kernel, groups: (kernel + 2) * p.channels,  # noqa: ARG005
        macs=lambda p, kernel, groups: kernel * p.channels * (p.height + p.width),  # noqa: ARG005
        refuses=_refuses,
    ),
)
