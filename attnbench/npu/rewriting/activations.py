"""Hard sigmoid, hard swish and clipping in whichever spelling the target takes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter.pattern import RewriteRule

from attnbench.graph.composites import Composite, composites
from attnbench.npu.rewriting.matching import LocalRewrite, Match
from attnbench.npu.rewriting.values import constant_array, constant_floats, float_shape, inputs_of, opset_of
from attnbench.npu.rewriting.writing import Writer, number

ALPHA, BETA = 1 / 6, 0.5
SWISH_SINCE = 14
"""The opset that brought HardSwish."""

NEAR = 1e-6


def _as_op(op: Any, x: Any, out: Any, outputs: Sequence[str] | int = 1) -> Any:
    alpha, beta = (float(np.float32(value)) for value in _line(out.producer()))  # as a file would hold them
    return op.HardSigmoid(x, alpha=alpha, beta=beta, _outputs=outputs)


def _as_clip(op: Any, x: Any, out: Any, outputs: Sequence[str] | int = 1) -> Any:
    """``clip(x + beta/alpha, 0, 1/alpha) * alpha``."""
    (alpha, beta), rank = _line(out.producer()), len(out.shape)
    raised, top = op.Add(x, number(op, _whole(beta / alpha), rank), _outputs=["raised"]), _whole(1 / alpha)
    if opset_of(out.producer()) < 11:
        clipped = op.Clip(raised, min=0.0, max=top, _outputs=["clipped"])
    else:
        clipped = op.Clip(raised, number(op, 0, 0), number(op, top, 0), _outputs=["clipped"])
    return op.Mul(clipped, number(op, alpha, rank), _outputs=outputs)


def _as_relus(op: Any, x: Any, out: Any, outputs: Sequence[str] | int = 1) -> Any:
    """``1 - relu(1 - relu(alpha x + beta))``, exact to 6e-8 of 1 for any size of x, with sums for differences."""
    alpha, beta, one, minus = (number(op, value, len(out.shape)) for value in (*_line(out.producer()), 1, -1))
    raised = op.Add(op.Mul(x, alpha, _outputs=["scaled"]), beta, _outputs=["raised"])
    negative = op.Mul(op.Relu(raised, _outputs=["from_0"]), minus, _outputs=["negative"])
    above = op.Relu(op.Add(negative, one, _outputs=["below_1"]), _outputs=["to_1"])
    return op.Add(op.Mul(above, minus, _outputs=["back"]), one, _outputs=outputs)


def _as_swish(op: Any, x: Any, **_: Any) -> Any:
    return op.HardSwish(x)


def _gated(op: Any, x: Any, out: Any, gate: Callable[..., Any]) -> Any:
    return op.Mul(x, gate(op, x, out, ["gate"]))


SIGMOIDS: tuple[Callable[..., Any], ...] = (_as_op, _as_clip, _as_relus)
SWISHES: tuple[Callable[..., Any], ...] = (_as_swish, *(partial(_gated, gate=gate) for gate in SIGMOIDS))
"""How a hard sigmoid and a hard swish are written, the best first."""


def hard_activations(model: ir.Model) -> list[Match]:
    """HardSigmoid and HardSwish that are written out, replaced by the op or the spelling that the target takes.

    Exact: ``clip(x + 3, 0, 6) / 6 = clip(x / 6 + 1/2, 0, 1)``, which is HardSigmoid with alpha 1/6 and beta 1/2, and
    HardSwish is ``x`` times that. Where the target takes no clipping, ``clip(y, 0, 1) = 1 - relu(1 - relu(y))``. Other
    constants than 3, 6 and 1/6 are left alone.
    """
    spellings = {"HardSigmoid": ("hard sigmoid", SIGMOIDS), "HardSwish": ("hard swish", SWISHES)}
    found = []
    for one in composites(model):
        if one.op in spellings and len(one.inputs) == 1 and _written_exactly(one) and float_shape(one.output) is not None:
            name, written = spellings[one.op]
            new = [way for way in written if way is not _as_swish or opset_of(one.nodes[-1]) >= SWISH_SINCE]
            found.append(Match(name, one.nodes, tuple(partial(_spelled, one, written=way) for way in new)))
    return found


def _spelled(one: Composite, writer: Writer, written: Callable[..., Any]) -> dict[ir.Value, ir.Value]:
    (x,) = inputs_of(one.nodes)
    return {one.output: writer.write(one.nodes[-1], partial(written, x=x, out=one.output))}


def _line(node: ir.Node) -> tuple[float, float]:
    """The alpha and beta of a HardSigmoid, or of what is written out."""
    if node.op_type != "HardSigmoid":
        return ALPHA, BETA
    return node.attributes.get_float("alpha", 0.2) or 0.0, node.attributes.get_float("beta", 0.5) or 0.0


def _rises(_: Any, out: Any, **__: Any) -> bool:
    return _line(out.producer())[0] > 0


def _written_exactly(one: Composite) -> bool:
    """Whether the constants of a composite, which is recognised from afar, are the definition's to float precision."""

    def near(value: float, *exact: float) -> bool:
        return min(abs(value - right) for right in exact) <= NEAR * max(1.0, abs(value))

    for node in one.nodes:
        constants = [array for array in map(constant_array, node.inputs) if array is not None]
        if not all(array.size == 1 and near(float(array.item()), 0.0, ALPHA, 3.0, 6.0) for array in constants):
            return False
        if node.op_type == "HardSigmoid" and not (near(_line(node)[0], ALPHA) and near(_line(node)[1], BETA)):
            return False
    return True


def _whole(value: float) -> float:
    """A number that came out of single precision as the whole one that it stands for, if it does."""
    return float(round(value)) if abs(value - round(value)) < NEAR * max(1.0, abs(value)) else value


def _is_around_zero(_: Any, out: Any, **__: Any) -> bool:
    bounds = _bounds(out.producer())
    return bounds is not None and bounds[0] <= 0 < bounds[1]


def _bounds(node: ir.Node) -> tuple[float, float] | None:
    """The finite bounds of a Clip; ``None`` where one is missing, not constant or so large that it bounds nothing."""
    if len(node.inputs) > 1:
        arrays = [constant_floats(value) for value in (*node.inputs[1:], None)[:2]]
        if any(array is None or array.size != 1 for array in arrays):
            return None
        low, high = (float(array.item()) for array in arrays if array is not None)
    elif "min" in node.attributes and "max" in node.attributes:
        low, high = node.attributes["min"].as_float(), node.attributes["max"].as_float()
    else:
        return None
    return (low, high) if max(abs(low), abs(high)) < 1e6 else None


def _clipped(op: Any, x: Any, out: Any) -> Any:
    """Clipping to constant bounds around 0, replaced by Relu, Mul and Add.

    Exact between the bounds, where ``relu(x) - relu(x - high)`` is ``x``, and beyond them to the rounding of ``x``: off by
    6e-8 of ``x`` at most, which is little as long as ``x`` is not hundreds of times the bound, or infinite. A bound below 0
    is met by the same with ``-x``.
    """
    rank, bounds = len(out.shape), _bounds(out.producer())
    assert bounds is not None  # noqa: S101  they were checked
    low, high = bounds
    more = op.Relu(x, _outputs=["above_0"])
    less = op.Relu(op.Add(x, number(op, -high, rank), _outputs=["from_high"]), _outputs=["above_high"])
    if low < 0:
        flipped = op.Mul(x, number(op, -1, rank), _outputs=["flipped"])
        below = op.Relu(op.Add(flipped, number(op, low, rank), _outputs=["from_low"]), _outputs=["below_low"])
        more = op.Add(more, below, _outputs=["more"])
        less = op.Add(less, op.Relu(flipped, _outputs=["below_0"]), _outputs=["less"])
    return op.Add(more, op.Mul(less, number(op, -1, rank), _outputs=["negative"]))


HARD_SIGMOIDS = LocalRewrite(
    "hard sigmoid",
    *(RewriteRule(lambda op, x: op.HardSigmoid(x, _outputs=["out"]), way, _rises) for way in SIGMOIDS),
)
"""Exact as in ``hard_activations``, with any positive alpha for 1/6 and any beta for 1/2."""

HARD_SWISHES = LocalRewrite(
    "hard swish", *(RewriteRule(lambda op, x: op.HardSwish(x, _outputs=["out"]), way) for way in SWISHES)
)
CLIPS = LocalRewrite(
    "clipping by Relu",
    RewriteRule(lambda op, x: op.Clip(x, _allow_other_inputs=True, _outputs=["out"]), _clipped, _is_around_zero),
)
