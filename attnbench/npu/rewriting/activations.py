"""Hard sigmoid, hard swish and clipping in whichever spelling the target takes."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from attnbench.graph.composites import composites
from attnbench.npu.rewriting.place import Maker, Place, Way, array_of, floats_of, sides, standard

Gate = Callable[[Maker, ir.Node, ir.Value, float, float, str], ir.Value]
ALPHA, BETA = 1 / 6, 0.5
SWISH_SINCE = 14
"""The opset that brought HardSwish."""

NEAR = 1e-6


def hard_activations(model: ir.Model) -> list[Place]:
    """HardSigmoid and HardSwish that are written out, replaced by the op or the spelling that the target takes.

    Exact: ``clip(x + 3, 0, 6) / 6 = clip(x / 6 + 1/2, 0, 1)``, which is HardSigmoid with alpha 1/6 and beta 1/2, and
    HardSwish is ``x`` times that. Where the target takes no clipping, ``clip(y, 0, 1) = 1 - relu(1 - relu(y))``. Other
    constants than 3, 6 and 1/6 are left alone.
    """
    found = [
        _place(one.nodes, one.inputs[0], swish=one.op == "HardSwish")
        for one in composites(model)
        if one.op in ("HardSigmoid", "HardSwish") and len(one.inputs) == 1 and _written_exactly(one.nodes)
    ]
    return [place for place in found if sides(place.nodes[-1].outputs[0]) is not None]


def hard_ops(model: ir.Model) -> list[Place]:
    """The ops HardSigmoid and HardSwish, replaced by the spelling that the target takes.

    Exact as in ``hard_activations``, with any positive alpha for 1/6 and any beta for 1/2.
    """
    found = []
    for node in standard(model.graph, "HardSigmoid"):
        alpha, beta = node.attributes.get_float("alpha", 0.2) or 0.0, node.attributes.get_float("beta", 0.5) or 0.0
        if alpha > 0 and node.inputs[0] is not None:
            found.append(_place((node,), node.inputs[0], alpha, beta))
    found += [_place((n,), n.inputs[0], swish=True) for n in standard(model.graph, "HardSwish") if n.inputs[0] is not None]
    return [place for place in found if sides(place.nodes[-1].outputs[0]) is not None]


def clips(model: ir.Model) -> list[Place]:
    """Clipping to constant bounds around 0, replaced by Relu, Mul and Add.

    Exact between the bounds, where ``relu(x) - relu(x - high)`` is ``x``, and beyond them to the rounding of ``x``: off by
    6e-8 of ``x`` at most, which is little as long as ``x`` is not hundreds of times the bound, or infinite. A bound below 0
    is met by the same with ``-x``.
    """
    found = []
    for node in standard(model.graph, "Clip"):
        bounds = _bounds(node)
        if bounds is not None and sides(node.outputs[0]) is not None and bounds[0] <= 0 < bounds[1]:
            found.append(Place("clipping by Relu", (node,), (_clipping(node, *bounds),)))
    return found


def _place(
    nodes: tuple[ir.Node, ...], x: ir.Value, alpha: float = ALPHA, beta: float = BETA, *, swish: bool = False
) -> Place:
    gates: Sequence[Gate] = (_op, _clipped, _clamped)
    entry = _Entry(nodes, x)
    ways = tuple(_gated(nodes[-1], entry, gate, alpha, beta, swish=swish) for gate in gates)
    graph = nodes[-1].graph
    if swish and graph is not None and graph.opset_imports.get("", 0) >= SWISH_SINCE:
        ways = (_swish(nodes[-1], entry), *ways)
    return Place("hard swish" if swish else "hard sigmoid", nodes, ways)


class _Entry:
    """The tensor that goes into some nodes, as it is when asked: what makes it may be rewritten before they are."""

    def __init__(self, nodes: Sequence[ir.Node], x: ir.Value) -> None:
        self.node, self.index = next((node, i) for node in nodes for i, value in enumerate(node.inputs) if value is x)

    def __call__(self) -> ir.Value:
        value = self.node.inputs[self.index]
        assert value is not None  # noqa: S101  it was one when the place was found
        return value


def _swish(node: ir.Node, entry: "_Entry") -> Way:
    def way(maker: Maker) -> dict[ir.Value, ir.Value]:
        x = entry()
        return {node.outputs[0]: maker.node(node, "HardSwish", [x], sides(x) or ())}

    return way


def _gated(node: ir.Node, entry: "_Entry", gate: Gate, alpha: float, beta: float, *, swish: bool) -> Way:
    def way(maker: Maker) -> dict[ir.Value, ir.Value]:
        x = entry()
        given = gate(maker, node, x, alpha, beta, "gate" if swish else "")
        return {node.outputs[0]: maker.node(node, "Mul", [x, given], sides(x) or ()) if swish else given}

    return way


def _op(maker: Maker, node: ir.Node, x: ir.Value, alpha: float, beta: float, last: str) -> ir.Value:
    given = {"alpha": float(np.float32(alpha)), "beta": float(np.float32(beta))}  # as a file would hold them
    return maker.node(node, "HardSigmoid", [x], sides(x) or (), last, **given)


def _clipped(maker: Maker, node: ir.Node, x: ir.Value, alpha: float, beta: float, last: str) -> ir.Value:
    """``clip(x + beta/alpha, 0, 1/alpha) * alpha``."""
    write, top = _Writer(maker, node, x), _plain(1 / alpha)
    raised = write.plus(x, _plain(beta / alpha), "raised")
    bounds = {"min": 0.0, "max": top} if maker.opset < 11 else {}
    limits = [] if bounds else [maker.number(0.0, 0), maker.number(top, 0)]
    return write.times(maker.node(node, "Clip", [raised, *limits], write.shape, "clipped", **bounds), alpha, last)


def _clamped(maker: Maker, node: ir.Node, x: ir.Value, alpha: float, beta: float, last: str) -> ir.Value:
    """``1 - relu(1 - relu(alpha x + beta))``, exact to 6e-8 of 1 for any size of x, with sums for differences."""
    write = _Writer(maker, node, x)
    raised = write.plus(write.times(x, alpha, "scaled"), beta, "raised")
    left = write.plus(write.times(write.relu(raised, "from_0"), -1, "negative"), 1, "below_1")
    return write.plus(write.times(write.relu(left, "to_1"), -1, "back"), 1, last)


def _clipping(node: ir.Node, low: float, high: float) -> Way:
    def way(maker: Maker) -> dict[ir.Value, ir.Value]:
        x = node.inputs[0]
        assert x is not None  # noqa: S101  a Clip has an input
        write = _Writer(maker, node, x)
        more, less = write.relu(x, "above_0"), write.relu(write.plus(x, -high, "from_high"), "above_high")
        if low < 0:
            flipped = write.times(x, -1, "flipped")
            more = write.sum(more, write.relu(write.plus(flipped, low, "from_low"), "below_low"), "more")
            less = write.sum(less, write.relu(flipped, "below_0"), "less")
        return {node.outputs[0]: write.sum(more, write.times(less, -1, "negative"), "")}

    return way


class _Writer:
    """Writes Relu, and Mul and Add with one number, on tensors of one shape."""

    def __init__(self, maker: Maker, node: ir.Node, x: ir.Value) -> None:
        self.maker, self.node, self.shape = maker, node, sides(x) or ()

    def relu(self, x: ir.Value, name: str) -> ir.Value:
        return self.maker.node(self.node, "Relu", [x], self.shape, name)

    def sum(self, x: ir.Value, other: ir.Value, name: str) -> ir.Value:
        return self.maker.node(self.node, "Add", [x, other], self.shape, name)

    def plus(self, x: ir.Value, number: float, name: str) -> ir.Value:
        return self.sum(x, self.maker.number(number, len(self.shape)), name)

    def times(self, x: ir.Value, number: float, name: str) -> ir.Value:
        return self.maker.node(self.node, "Mul", [x, self.maker.number(number, len(self.shape))], self.shape, name)


def _bounds(node: ir.Node) -> tuple[float, float] | None:
    """The finite bounds of a Clip; ``None`` where one is missing, not constant or so large that it bounds nothing."""
    if len(node.inputs) > 1:
        arrays = [floats_of(value) for value in (*node.inputs[1:], None)[:2]]
        if any(array is None or array.size != 1 for array in arrays):
            return None
        low, high = (float(array.reshape(-1)[0]) for array in arrays if array is not None)
    elif "min" in node.attributes and "max" in node.attributes:
        low, high = node.attributes["min"].as_float(), node.attributes["max"].as_float()
    else:
        return None
    return (low, high) if max(abs(low), abs(high)) < 1e6 else None


def _written_exactly(nodes: Sequence[ir.Node]) -> bool:
    """Whether the constants of a composite, which is recognised from afar, are the definition's to float precision."""
    for node in nodes:
        constants = [array for array in map(array_of, node.inputs) if array is not None]
        seen: list[tuple[float, tuple[float, ...]]] = []
        seen += [(float(number), (0.0, ALPHA, 3.0, 6.0)) for array in constants for number in array.reshape(-1)]
        if node.op_type == "HardSigmoid":
            seen += [(node.attributes.get_float("alpha", 0.2) or 0.0, (ALPHA,))]
            seen += [(node.attributes.get_float("beta", 0.5) or 0.0, (BETA,))]
        if any(array.size != 1 for array in constants):
            return False
        if any(min(abs(number - known) for known in wanted) > NEAR * max(1.0, abs(number)) for number, wanted in seen):
            return False
    return True


def _plain(number: float) -> float:
    """A number that came out of single precision as the whole one that it stands for, if it does."""
    return float(round(number)) if abs(number - round(number)) < NEAR * max(1.0, abs(number)) else number
