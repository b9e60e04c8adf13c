"""Ops that an exporter wrote out as several, recognised before their parts are judged.

A tool chain that takes GELU as a whole may know no ``Erf`` alone. Each composite is matched by its structure (with the
rewriter of ``onnxscript``, operands of commutative ops in either order), and only where nothing else reads what is inside
it. Composites carry the name of the ONNX op that does the same.

A sum by a constant or a batch normalisation behind a convolution is part of the convolution: a tool chain puts it into
weights and bias when it reads the graph, which is exact arithmetic on constants. Such a composite is *fused*: its parts are
never judged by themselves.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import pattern
from onnxscript.rewriter.pattern import RewriteRule

from attnbench.graph.canonicalise import reduction_axes


@dataclass(frozen=True)
class Composite:
    """The nodes of one composite, in the graph's order, the op they are together, what goes in, and its attributes."""

    op: str
    nodes: tuple[ir.Node, ...]
    inputs: tuple[ir.Value, ...]
    attributes: Mapping[str, Any]
    fused: bool = False

    @property
    def output(self) -> ir.Value:
        """What comes out."""
        return self.nodes[-1].outputs[0]


def composites(model: ir.Model) -> list[Composite]:
    """The composites of a graph, the fused and then the larger first where they overlap."""
    order = {node: index for index, node in enumerate(model.graph)}
    found = []
    for node in model.graph:
        if (fused := _fused(node)) is not None:
            found.append(fused)
        rules = _rules().get(node.op_type, ())
        near = _ops_behind(node, REACH) if rules else ()
        for op, needed, rule in rules:
            match = rule.match(model, model.graph, node) if needed in near else None
            if match:
                nodes = tuple(sorted(match.nodes, key=order.__getitem__))
                attributes = _attributes(op, nodes)
                if attributes is not None:
                    found.append(Composite(op, nodes, _inputs(nodes), attributes))
    taken: set[ir.Node] = set()
    kept = []
    for one in sorted(found, key=lambda c: (-c.fused, -len(c.nodes))):
        if not taken & set(one.nodes):
            taken |= set(one.nodes)
            kept.append(one)
    return sorted(kept, key=lambda c: order[c.nodes[0]])


REACH, MOST_INPUTS = 3, 3
"""How many steps before a composite's last node the op stands that tells it, and the inputs that its nodes have at most."""


def _ops_behind(node: ir.Node, steps: int) -> set[str]:
    """The ops of what a node reads, and of what that reads, so many steps back: matching every pattern takes long."""
    producers = [v.producer() for v in node.inputs if v is not None] if len(node.inputs) <= MOST_INPUTS else []
    found = {producer.op_type for producer in producers if producer is not None}
    if steps > 1:
        found.update(*(_ops_behind(producer, steps - 1) for producer in producers if producer is not None))
    return found


def _inputs(nodes: tuple[ir.Node, ...]) -> tuple[ir.Value, ...]:
    inside = set(nodes)
    read = (value for node in nodes for value in node.inputs if value is not None)
    return tuple(dict.fromkeys(v for v in read if v.producer() not in inside and v.const_value is None))


def _attributes(op: str, nodes: tuple[ir.Node, ...]) -> dict[str, float | int] | None:
    """The attributes that the one op would have; ``None`` where it would not be that op after all."""
    if op == "HardSigmoid":
        return {"alpha": 1 / 6, "beta": 0.5}
    if op != "LayerNormalization":
        return {}
    means = [node for node in nodes if node.op_type == "ReduceMean"]
    shape = means[0].inputs[0].shape if means[0].inputs[0] is not None else None
    axes = reduction_axes(means[0])
    if shape is None or axes is None:
        return None
    behind = sorted(axis % len(shape) for axis in axes)
    whole_tail = behind == list(range(len(shape) - len(behind), len(shape)))
    return {"axis": behind[0] - len(shape)} if whole_tail else None


def _fused(node: ir.Node) -> Composite | None:
    """A convolution with the sums by constants and the batch normalisations that follow it."""
    if node.op_type not in ("Conv", "ConvTranspose") or node.domain not in ("", "ai.onnx") or len(node.inputs) < 2:
        return None
    nodes = [node]
    while (follower := _folds_into(nodes[-1])) is not None:
        nodes.append(follower)
    if len(nodes) == 1:
        return None
    inputs = [value for value in node.inputs if value is not None]
    if len(inputs) == 2:
        channels = nodes[-1].outputs[0].shape.numpy()[1]  # type: ignore[union-attr]
        inputs.append(
            ir.Value(name="bias", shape=ir.Shape([channels]), const_value=ir.tensor(np.zeros(channels, np.float32)))
        )
    return Composite(node.op_type, tuple(nodes), tuple(inputs), dict(node.attributes), fused=True)


def _folds_into(node: ir.Node) -> ir.Node | None:
    """What alone reads a convolution's result, where it adds one constant a channel to it, or scales each by constants."""
    value = node.outputs[0]
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or value.shape is None or not value.shape.is_static():
        return None
    reader = uses[0].node
    if reader.graph is not node.graph or reader.domain not in ("", "ai.onnx"):
        return None
    others = [ir.convenience.get_const_tensor(v) if v is not None else None for v in reader.inputs if v is not value]
    if not others or any(constant is None for constant in others):
        return None
    if reader.op_type == "BatchNormalization":
        return reader if uses[0].idx == 0 and not reader.attributes.get_int("training_mode", 0) else None
    rank, channels = len(value.shape), int(value.shape[1])  # type: ignore[arg-type]
    shape = tuple(int(side) for side in others[0].shape)  # type: ignore[union-attr,arg-type]
    full = (1,) * (rank - len(shape)) + shape
    fits = len(full) == rank and prod(shape) in (1, channels) and full[1] in (1, prod(shape))
    return reader if reader.op_type == "Add" and fits and (prod(shape) == 1 or full[1] == channels) else None


SIXTH = struct.unpack("f", struct.pack("f", 1 / 6))[0]
"""As a file of 32-bit attributes has it; attributes are matched as they are, without a tolerance."""


def _near(wanted: float) -> Any:
    """One constant number, of whatever rank: exporters write ``[1]`` as well as a scalar."""

    def close(_: Any, value: ir.Value | None) -> bool:
        constant = None if value is None else ir.convenience.get_const_tensor(value)
        if constant is None or constant.size != 1 or constant.dtype not in _FLOATS:
            return False
        return abs(float(constant.numpy().item()) - wanted) <= 1e-3 * abs(wanted) + 1e-8

    return pattern.Var(None, check=close)


_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16)


def _raised(op: Any, x: Any) -> Any:
    """``clip(x + 3, 0, 6)``: hard sigmoid is a sixth of it, hard swish a sixth of ``x`` times it."""
    return op.Clip(op.Add(x, _near(3)), _near(0), _near(6))


def _erf(op: Any, scaled: Any) -> Any:
    """``1 + erf(x / sqrt(2))``: GELU is half of ``x`` times it."""
    return op.Add(op.Erf(scaled), _near(1))


def _normalised(op: Any, x: Any, epsilon: Any) -> Any:
    centred = op.Sub(x, op.ReduceMean(x, _allow_other_inputs=True))
    variance = op.ReduceMean(op.Pow(centred, _near(2)), _allow_other_inputs=True)
    return op.Div(centred, op.Sqrt(op.Add(variance, epsilon)))


_ROOT = 2**0.5

_PATTERNS: tuple[tuple[str, str, str, Callable[..., Any]], ...] = (
    ("HardSigmoid", "Mul", "Clip", lambda op, x: op.Mul(_raised(op, x), _near(1 / 6))),
    ("HardSigmoid", "Div", "Clip", lambda op, x: op.Div(_raised(op, x), _near(6))),
    ("HardSwish", "Mul", "HardSigmoid", lambda op, x: op.Mul(x, op.HardSigmoid(x, alpha=SIXTH))),
    ("HardSwish", "Mul", "Clip", lambda op, x: op.Mul(x, op.Div(_raised(op, x), _near(6)))),
    ("HardSwish", "Mul", "Clip", lambda op, x: op.Mul(x, op.Mul(_raised(op, x), _near(1 / 6)))),
    ("HardSwish", "Div", "Clip", lambda op, x: op.Div(op.Mul(x, _raised(op, x)), _near(6))),
    ("HardSwish", "Mul", "Clip", lambda op, x: op.Mul(op.Mul(x, _raised(op, x)), _near(1 / 6))),
    ("Swish", "Mul", "Sigmoid", lambda op, x: op.Mul(x, op.Sigmoid(x))),
    ("Mish", "Mul", "Tanh", lambda op, x: op.Mul(x, op.Tanh(op.Softplus(x)))),
    ("Gelu", "Mul", "Erf", lambda op, x: op.Mul(op.Mul(x, _erf(op, op.Div(x, _near(_ROOT)))), _near(0.5))),
    ("Gelu", "Mul", "Erf", lambda op, x: op.Mul(op.Mul(x, _near(0.5)), _erf(op, op.Div(x, _near(_ROOT))))),
    ("Gelu", "Mul", "Erf", lambda op, x: op.Mul(x, op.Mul(_erf(op, op.Div(x, _near(_ROOT))), _near(0.5)))),
    ("Gelu", "Mul", "Erf", lambda op, x: op.Mul(op.Mul(x, _erf(op, op.Mul(x, _near(1 / _ROOT)))), _near(0.5))),
    ("Gelu", "Mul", "Erf", lambda op, x: op.Mul(op.Mul(x, _near(0.5)), _erf(op, op.Mul(x, _near(1 / _ROOT))))),
    ("LayerNormalization", "Add", "Sqrt", lambda op, x, e, scale, bias: op.Add(op.Mul(_normalised(op, x, e), scale), bias)),
    ("LayerNormalization", "Mul", "Sqrt", lambda op, x, e, scale: op.Mul(_normalised(op, x, e), scale)),
    ("LayerNormalization", "Div", "Sqrt", _normalised),
    ("Attention", "MatMul", "Softmax", lambda op, q, k, v: op.MatMul(op.Softmax(op.MatMul(q, k)), v)),
    ("Attention", "MatMul", "Softmax", lambda op, q, k, v, scale: op.MatMul(op.Softmax(op.Mul(op.MatMul(q, k), scale)), v)),
    ("Attention", "MatMul", "Softmax", lambda op, q, k, v, scale: op.MatMul(op.Softmax(op.Div(op.MatMul(q, k), scale)), v)),
    ("Attention", "MatMul", "Softmax", lambda op, q, k, v, mask: op.MatMul(op.Softmax(op.Add(op.MatMul(q, k), mask)), v)),
)
"""What each is, the op of its last node, one of its ops within ``REACH`` steps before that, and how it is written."""


@cache
def _rules() -> dict[str, list[tuple[str, str, RewriteRule]]]:
    """The patterns by the op of their last node, with the operands of commutative ops in every order."""
    found: dict[str, list[tuple[str, str, RewriteRule]]] = {}
    for op, last, needed, written in _PATTERNS:
        found.setdefault(last, []).extend((op, needed, rule) for rule in RewriteRule(written, _unused).commute())
    return found


def _unused(op: Any, **_bound: Any) -> Any:
    """The rewriter asks for a replacement; only its matching is used here."""
    return op.Identity()
