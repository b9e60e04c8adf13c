"""Attention maps as taps: the input goes on as it is, and a map of where it is active comes out beside it.

A map is the sum over the channels of the p-th power of magnitudes, scaled to an L2 norm of 1 over the plane. Zagoruyko and
Komodakis: Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via Attention
Transfer, ICLR 2017. The authors' code takes the mean of squares over the channels, which after the scaling is the same map.
``reduce`` is theirs, too: sum, mean or maximum over the channels. Odd powers are of magnitudes, so that signs never cancel.

Three forms of one map, because they cost unlike much and NPUs take unlike many of their ops:

- ``at``: step by step as the distillation report writes it down (section 2.2.2): Abs, Pow, ReduceSum, ReduceL2, Add, Div;
- ``at_reduce``: the two ops that ONNX has for it, ReduceSumSquare (of p 1 ReduceL1) and LpNormalization;
- ``at_conv``: a square, and a 1x1 convolution of ones for the sum; the norm is the root of a global mean. For deployment.

The maps of taps are ``[N, 1, H, W]``: runtimes and NPUs keep four axes.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from attnbench.modules import AttentionModule, Plane

EPSILON = 1e-8
"""What the report adds to the norm, so that a map of zeros stays one."""

REDUCTIONS = ("sum", "mean", "max")


def attention_map(features: torch.Tensor, p: int = 2, reduce: str = "sum") -> torch.Tensor:
    """Where features are active: ``[N, C, H, W]`` to ``[N, H, W]``, each map of norm 1, or of zeros where nothing is active.

    ``reduce`` over the channels is ``sum``, ``mean`` or ``max``. Raises ``ValueError`` for another, and for p below 1.
    """
    if reason := _refuses(None, p, reduce):
        raise ValueError(reason)
    return normalised(activity(features, p, reduce)).squeeze(1)


def activity(features: torch.Tensor, p: int, reduce: str) -> torch.Tensor:
    """The map before it is scaled: ``[N, C, H, W]`` to ``[N, 1, H, W]``."""
    strength = features.abs().pow(p)
    if reduce == "max":
        return strength.amax(1, keepdim=True)
    return strength.mean(1, keepdim=True) if reduce == "mean" else strength.sum(1, keepdim=True)


def normalised(maps: torch.Tensor, epsilon: float | torch.Tensor = EPSILON) -> torch.Tensor:
    """Each map over its L2 norm, which is taken over the last two axes."""
    return maps / (torch.linalg.vector_norm(maps, dim=(-2, -1), keepdim=True) + epsilon)


class AttentionTap(nn.Module):
    """The map in the report's own steps.

    Epsilon is a tensor: torch's exporter takes a number of 1e-8 for 0 and drops its addition; a map of zeros is then NaN.
    """

    epsilon: torch.Tensor

    def __init__(self, p: int, reduce: str) -> None:
        super().__init__()
        self.p, self.reduce = p, reduce
        self.register_buffer("epsilon", torch.full((1, 1, 1, 1), EPSILON), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``[N, C, H, W]`` to the same tensor and its map ``[N, 1, H, W]``."""
        return x, normalised(activity(x, self.p, self.reduce), self.epsilon)


class ReducedAttentionTap(nn.Module):
    """The map by the reductions that ONNX has; in torch, which lacks them, by the same steps as above."""

    axes: torch.Tensor

    def __init__(self, p: int) -> None:
        super().__init__()
        self.p = p
        self.register_buffer("axes", torch.tensor([1]), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``[N, C, H, W]`` to the same tensor and its map ``[N, 1, H, W]``."""
        if not torch.onnx.is_in_onnx_export():
            return x, normalised(activity(x, self.p, "sum"))
        batch, _, height, width = x.shape
        read = (x * x if self.p == 4 else x, self.axes)
        op, shape = "ReduceL1" if self.p == 1 else "ReduceSumSquare", (batch, 1, height, width)
        active = torch.onnx.ops.symbolic(op, read, {"keepdims": 1}, dtype=x.dtype, shape=shape, version=18)
        row, norm = active.reshape(batch, height * width), "LpNormalization"  # which takes one axis
        unit = torch.onnx.ops.symbolic(norm, (row,), {"axis": 1, "p": 2}, dtype=x.dtype, shape=row.shape, version=18)
        return x, unit.reshape(shape)


class ConvolvedAttentionTap(nn.Module):
    """The map by products, a convolution and a global pooling, which stay in the layout that convolutions run in.

    Squares of sums of squares need the range of float32; ``reduce=mean`` needs less of it than the sum does.
    """

    weight: torch.Tensor
    scale: torch.Tensor
    epsilon: torch.Tensor

    def __init__(self, channels: int, height: int, width: int, p: int, reduce: str) -> None:
        super().__init__()
        self.p = p
        weight = torch.full((1, channels, 1, 1), 1 / channels if reduce == "mean" else 1.0)
        for name, value in (
            ("weight", weight),
            ("scale", torch.full((1, 1, 1, 1), math.sqrt(height * width))),
            ("epsilon", torch.full((1, 1, 1, 1), EPSILON)),
        ):
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``[N, C, H, W]`` to the same tensor and its map ``[N, 1, H, W]``."""
        strength = x.abs() if self.p == 1 else x * x
        active = functional.conv2d(strength * strength if self.p == 4 else strength, self.weight)
        root = torch.sqrt(functional.adaptive_avg_pool2d(active * active, 1))
        return x, active / (root * self.scale + self.epsilon)

    def adopt(self, original: nn.Module) -> None:
        """Nothing to take over: no form has learned weights."""


def _refuses(_plane: Plane | None, p: int, reduce: str) -> str:
    if reduce not in REDUCTIONS:
        return f"reduce is one of {', '.join(REDUCTIONS)}, not {reduce}"
    return "" if p >= 1 else f"p must be at least 1, not {p}"


def _reduced_refuses(_plane: Plane, p: int, reduce: str) -> str:
    return "" if p in (1, 2, 4) and reduce == "sum" else "needs p of 1, 2 or 4 and reduce=sum: ONNX has no op for others"


def _convolved_refuses(_plane: Plane, p: int, reduce: str) -> str:
    fits = p in (1, 2, 4) and reduce in ("sum", "mean")
    return "" if fits else "needs p of 1, 2 or 4, and sum or mean: a convolution computes no others"


ENTRIES = (
    AttentionModule(
        name="at",
        build=AttentionTap,
        summary="tap: map of where the input is active, by Abs, Pow, ReduceSum, ReduceL2, Add and Div",
        paper="Zagoruyko and Komodakis, Paying More Attention to Attention, ICLR 2017",
        source="distillation report, section 2.2.2; github.com/szagoruyko/attention-transfer cifar.py",
        options={"p": 2, "reduce": "sum"},
        params=lambda _plane, **_: 0,
        macs=lambda _plane, **_: 0,
        refuses=_refuses,
        tap=True,
    ),
    AttentionModule(
        name="at_reduce",
        build=lambda p, reduce: ReducedAttentionTap(p),  # noqa: ARG005  it is a sum
        summary="tap: the map of at, by ReduceSumSquare and LpNormalization",
        paper="Zagoruyko and Komodakis, Paying More Attention to Attention, ICLR 2017",
        source="exact rewrite of the distillation report, section 2.2.2",
        options={"p": 2, "reduce": "sum"},
        params=lambda _plane, **_: 0,
        macs=lambda _plane, **_: 0,
        refuses=_reduced_refuses,
        tap=True,
    ),
    AttentionModule(
        name="at_conv",
        build=ConvolvedAttentionTap,
        summary="tap: the map of at for deployment on an NPU, by a square, a 1x1 convolution of ones and a global pooling",
        paper="Zagoruyko and Komodakis, Paying More Attention to Attention, ICLR 2017",
        source="exact rewrite of the distillation report, section 2.2.2",
        options={"p": 2, "reduce": "sum"},
        params=lambda _plane, **_: 0,
        macs=lambda plane, **_: plane.channels * plane.positions,
        refuses=_convolved_refuses,
        rewrite_of=("at", "at_reduce"),
        tap=True,
    ),
)
