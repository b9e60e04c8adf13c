"""How a file says int8, and how a node of such a network computes: in which integers, or still in floats."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

FORM = "quantised form"
"""Under this a lifted model's ``meta`` says in which form the file was quantised, and a node's how it computes."""

CONVERTERS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")

INTEGER_OPS = {
    "QLinearConv": ("Conv", (0, 3, 8)),
    "QLinearMatMul": ("MatMul", (0, 3)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QGemm": ("Gemm", (0, 3, 6)),
    "QLinearSigmoid": ("Sigmoid", (0,)),
    "QLinearLeakyRelu": ("LeakyRelu", (0,)),
    "QLinearSoftmax": ("Softmax", (0,)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearReduceMean": ("ReduceMean", (0,)),
    "QLinearConcat": ("Concat", None),
    "QLinearWhere": ("Where", (0, 1, 4)),
    "ConvInteger": ("Conv", (0, 1)),
    "MatMulInteger": ("MatMul", (0, 1)),
    "DynamicQuantizeMatMul": ("MatMul", (0, 1)),
    "MatMulIntegerToFloat": ("MatMul", (0, 1)),
}
"""Ops of integers: the op that each stands for, and which of its inputs are that op's; the rest are scales and zero points.

Source: ONNX's operators, and ONNX Runtime's contributed ones (docs/ContribOperators.md)."""

ZERO_POINTS = {
    "QLinearConv": {0: 2, 3: 5},
    "QLinearMatMul": {0: 2, 3: 5},
    "QLinearAdd": {0: 2, 3: 5},
    "QLinearMul": {0: 2, 3: 5},
    "QGemm": {0: 2, 3: 5},
    "QLinearWhere": {1: 3, 4: 6},
    "ConvInteger": {0: 2, 1: 3},
    "MatMulInteger": {0: 2, 1: 3},
    "DynamicQuantizeMatMul": {1: 3},
    "MatMulIntegerToFloat": {0: 4, 1: 5},
}
"""Where the zero point of an input stands; by default, behind it and its scale."""

RESULTS = dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), 7) | {
    "QLinearConcat": 1,
    "QGemm": 8,
    "QLinearWhere": 8,
}
"""Where the zero point of the result stands; by default, the last of five inputs."""

SCALES = {
    "QLinearConv": 4,
    "QLinearMatMul": 4,
    "QGemm": 4,
    "DynamicQuantizeMatMul": 2,
    "MatMulIntegerToFloat": 3,
}
"""Where the scale of the weights stands: one, or one a channel."""

ANY_DOMAIN = ("", "ai.onnx", "com.microsoft")

FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)


@dataclass(frozen=True)
class Integers:
    """How one tensor is quantised: its type, whether its zero point is not 0, and whether it has several scales."""

    type: str
    shifted: bool = False
    by_channel: bool = False
    at_run_time: bool = False


@dataclass(frozen=True)
class Computes:
    """How a node of a quantised network computes: how what it reads is quantised, or that it ``stayed_float``."""

    activations: tuple[Integers, ...] = ()
    weights: tuple[Integers, ...] = ()
    stayed_float: str = ""

    @property
    def types(self) -> tuple[str, ...]:
        """The element types, of activations first."""
        given = tuple(dict.fromkeys(one.type for one in (*self.activations, *self.weights)))
        return given or ((self.stayed_float,) if self.stayed_float else ())

    def __str__(self) -> str:
        """In short, such as ``int8``, ``uint8, weights int8 by channel``, ``float32``."""
        own = " and ".join(dict.fromkeys(one.type for one in self.activations)) or self.stayed_float
        if not self.weights:
            return own
        types = " and ".join(dict.fromkeys(one.type for one in self.weights))
        ways = " by channel" if any(one.by_channel for one in self.weights) else ""
        return own if types == own and not ways else f"{own}, weights {types}{ways}" if own else f"weights {types}{ways}"


def is_quantised_op(node: ir.Node) -> bool:
    """Whether a node converts between floats and integers, or is an op of integers."""
    known = node.op_type in CONVERTERS or node.op_type in INTEGER_OPS
    return node.domain in ANY_DOMAIN and (known or node.op_type.startswith(("QLinear", "QAttention")))


def computes(node: ir.Node) -> Computes | None:
    """How a node of a lifted model computes; ``None`` in a network of floats, or for what computes on no numbers."""
    found = node.meta.get(FORM)
    return found if isinstance(found, Computes) else None


def form_of(model: ir.Model) -> str:
    """How a lifted model's file was quantised: ``Q/DQ``, ``integer ops``, ``dynamic``, or empty where it was not."""
    return str(model.meta.get(FORM, ""))


def merged(nodes: Iterable[ir.Node]) -> Computes | None:
    """How nodes that are one op compute together."""
    found = [one for node in nodes if (one := computes(node)) is not None]
    if not found:
        return None
    floats = next((one.stayed_float for one in found if one.stayed_float), "")
    if floats:
        return Computes(stayed_float=floats)
    return Computes(
        tuple(dict.fromkeys(x for one in found for x in one.activations)),
        tuple(dict.fromkeys(x for one in found for x in one.weights)),
    )


def integers_of(kind: ir.DataType | None, zero: ir.Value | None, scale: ir.Value | None) -> Integers:
    """How a tensor is quantised, by the type, the zero point and the scale of what converts it."""
    held = None if zero is None or zero.const_value is None else zero.const_value.numpy()
    shifted = zero is not None and (held is None or bool(np.any(held.astype(np.int64))))
    several = scale is not None and scale.shape is not None and len(scale.shape) > 0 and scale.shape != [1]
    return Integers("integers" if kind is None else kind.name.lower(), shifted, several)


def dequantised(graph: ir.Graph, node: ir.Node, place: int = 0, scale: int | None = 1, zero: int | None = 2) -> ir.Value:
    """A quantised constant of a node as floats, worked out where somebody asks for them; without a scale, unscaled."""
    source = node.inputs[place]
    held = source.const_value  # type: ignore[union-attr]
    scales, zeros = (input_of(node, index) if index is not None else None for index in (scale, zero))
    axis = node.attributes.get_int("axis", 1) if node.op_type == "DequantizeLinear" else 0

    def floats() -> ir.TensorProtocol:
        whole = held.numpy().astype(np.float32)  # type: ignore[union-attr]
        for value, combine in ((zeros, np.subtract), (scales, np.multiply)):
            if value is not None and value.const_value is not None:
                part = value.const_value.numpy().astype(np.float32)
                if part.size == 1:
                    part = part.reshape(())
                elif whole.ndim and part.ndim == 1 and part.size == whole.shape[axis % whole.ndim]:
                    part = part.reshape([-1 if side == axis % whole.ndim else 1 for side in range(whole.ndim)])
                whole = combine(whole, part)
        return ir.tensor(whole.astype(np.float32))

    shape = ir.Shape(held.numpy().shape)  # type: ignore[union-attr]
    name = f"{node.outputs[0].name}_{place}_as_float"
    made = ir.LazyTensor(floats, dtype=ir.DataType.FLOAT, shape=shape, name=name)
    value = ir.Value(name=name, shape=shape, type=ir.TensorType(ir.DataType.FLOAT), const_value=made)
    graph.register_initializer(value)
    return value


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """An input of a node, if it has it."""
    return node.inputs[index] if index < len(node.inputs) else None
