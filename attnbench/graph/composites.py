"""Ops that an exporter wrote out as several, recognised before their parts are judged.

A tool chain that takes GELU as a whole may know no ``Erf`` alone. Each composite is matched by its structure (with the
rewriter of ``onnxscript``, operands of commutative ops in either order), and only where nothing else reads what is inside
it. Composites carry the name of the ONNX op that does the same.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import onnx_ir as ir
from onnxscript.rewriter.pattern import Constant, RewriteRule

from attnbench.graph.canonicalise import reduction_axes


@dataclass(frozen=True)
class Composite:
    """The nodes of one composite, in the graph's order, the op they are together, what goes in, and its attributes."""

    op: str
    nodes: tuple[ir.Node, ...]
    inputs: tuple[ir.Value, ...]
    attributes: Mapping[str, float | int]

    @property
    def output(self) -> ir.Value:
        """What comes out."""
        return self.nodes[-1].outputs[0]


def composites(model: ir.Model) -> list[Composite]:
    """The composites of a graph, the larger first where they overlap."""
    order = {node: index for index, node in enumerate(model.graph)}
    found = []
    for node in model.graph:
        for op, last, rule in _rules():
            match = rule.match(model, model.graph, node) if last == node.op_type else None
            if match:
                nodes = tuple(sorted(match.nodes, key=order.__getitem__))
                attributes = _attributes(op, nodes)
                if attributes is not None:
                    found.append(Composite(op, nodes, _inputs(nodes), attributes))
    taken: set[ir.Node] = set()
    kept = []
    for one in sorted(found, key=lambda c: -len(c.nodes)):
        if not taken & set(one.nodes):
            taken |= set(one.nodes)
            kept.append(one)
    return sorted(kept, key=lambda c: order[c.nodes[0]])


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


SIXTH = struct.unpack("f", struct.pack("f", 1 / 6))[0]
"""As a file of 32-bit attributes has it; attributes are matched as they are, without a tolerance."""


def _near(value: float) -> Constant:
    return Constant(value, rel_tol=1e-3)


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

_PATTERNS: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("HardSigmoid", "Mul", lambda op, x: op.Mul(_raised(op, x), _near(1 / 6))),
    ("HardSigmoid", "Div", lambda op, x: op.Div(_raised(op, x), _near(6))),
    ("HardSwish", "Mul", lambda op, x: op.Mul(x, op.HardSigmoid(x, alpha=SIXTH))),
    ("HardSwish", "Mul", lambda op, x: op.Mul(x, op.Div(_raised(op, x), _near(6)))),
    ("HardSwish", "Mul", lambda op, x: op.Mul(x, op.Mul(_raised(op, x), _near(1 / 6)))),
    ("HardSwish", "Div", lambda op, x: op.Div(op.Mul(x, _raised(op, x)), _near(6))),
    ("HardSwish", "Mul", lambda op, x: op.Mul(op.Mul(x, _raised(op, x)), _near(1 / 6))),
    ("Swish", "Mul", lambda op, x: op.Mul(x, op.Sigmoid(x))),
    ("Mish", "Mul", lambda op, x: op.Mul(x, op.Tanh(op.Softplus(x)))),
    ("Gelu", "Mul", lambda op, x: op.Mul(op.Mul(x, _erf(op, op.Div(x, _near(_ROOT)))), _near(0.5))),
    ("Gelu", "Mul", lambda op, x: op.Mul(op.Mul(x, _near(0.5)), _erf(op, op.Div(x, _near(_ROOT))))),
    ("Gelu", "Mul", lambda op, x: op.Mul(x, op.Mul(_erf(op, op.Div(x, _near(_ROOT))), _near(0.5)))),
    ("Gelu", "Mul", lambda op, x: op.Mul(op.Mul(x, _erf(op, op.Mul(x, _near(1 / _ROOT)))), _near(0.5))),
    ("Gelu", "Mul", lambda op, x: op.Mul(op.Mul(x, _near(0.5)), _erf(op, op.Mul(x, _near(1 / _ROOT))))),
    ("LayerNormalization", "Add", lambda op, x, e, scale, bias: op.Add(op.Mul(_normalised(op, x, e), scale), bias)),
    ("LayerNormalization", "Mul", lambda op, x, e, scale: op.Mul(_normalised(op, x, e), scale)),
    ("LayerNormalization", "Div", _normalised),
    ("Attention", "MatMul", lambda op, q, k, v: op.MatMul(op.Softmax(op.MatMul(q, k)), v)),
    ("Attention", "MatMul", lambda op, q, k, v, scale: op.MatMul(op.Softmax(op.Mul(op.MatMul(q, k), scale)), v)),
    ("Attention", "MatMul", lambda op, q, k, v, scale: op.MatMul(op.Softmax(op.Div(op.MatMul(q, k), scale)), v)),
    ("Attention", "MatMul", lambda op, q, k, v, mask: op.MatMul(op.Softmax(op.Add(op.MatMul(q, k), mask)), v)),
)
"""What each is, the op of its last node, and how it is written."""


@cache
def _rules() -> tuple[tuple[str, str, RewriteRule], ...]:
    """The patterns with the operands of commutative ops in every order."""
    return tuple((op, last, rule) for op, last, written in _PATTERNS for rule in RewriteRule(written, _unused).commute())


def _unused(op: Any, **_bound: Any) -> Any:
    """The rewriter asks for a replacement; only its matching is used here."""
    return op.Identity()
