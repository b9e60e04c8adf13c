"""An ONNX graph as a TFLite file, in float32 or int8: the form that Vela reads.

Tensors of four axes lie channels last from where an op on planes makes them, and stay so until an op needs ONNX's order. A
convolution's padding is TFLite's SAME where that pads alike, and else an op of its own. A batch normalisation behind a
convolution is folded into it. Each op's tensor is named after the ONNX node that it stands for. In int8 the scales are set
and not calibrated: they place a graph, they do not compute it. In float32 it computes what the graph does, which
``benchmarks/oracles/oracles.py`` checks.

Rejected: onnx2tf and TensorFlow, which are some 600 MB and bring a NumPy of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import onnx_ir as ir
from ai_edge_litert import schema_py_generated as tfl

from attnbench.graph.composites import composites
from attnbench.npu.nodes import is_constant

LAST = (0, 2, 3, 1)
FIRST = (0, 3, 1, 2)
TO_LAST = {0: 0, 1: 3, 2: 1, 3: 2}
"""Where each of ONNX's axes lies when channels lie last."""
SCALE = 0.05
UNIT = {"LOGISTIC": (1 / 256, -128), "SOFTMAX": (1 / 256, -128), "TANH": (1 / 128, 0)}
"""The scales and zero points that TFLite asks of the outputs of some ops."""


class NotConverted(Exception):
    """An op, or a form of it, that this does not write as TFLite's."""


KEEP = frozenset(
    "RESHAPE TRANSPOSE CONCATENATION STRIDED_SLICE SPLIT_V GATHER PAD PADV2 MIRROR_PAD BROADCAST_TO TILE MAX_POOL_2D "
    "REDUCE_MAX REDUCE_MIN RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR MAXIMUM MINIMUM "
    "RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1".split()
)
"""The ops whose output is quantised as their first input is."""


@dataclass(frozen=True)
class Held:
    """A tensor of the file: its number, ONNX's shape, and whether its channels lie last."""

    at: int
    shape: tuple[int, ...]
    last: bool = False


class Writer:
    """Writes the ops of one graph; ``operators`` has the handlers by op type."""

    def __init__(self, model: ir.Model, *, int8: bool) -> None:
        self.model, self.int8 = model, int8
        self.graph = tfl.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.buffers, self.codes = [tfl.BufferT()], []
        self.held: dict[ir.Value, Held] = {}
        self.scales: dict[int, tuple[float, int]] = {}
        self.node, self.count = "", 0

    # tensors and ops

    def tensor(
        self, name: str, shape: Sequence[int], data: np.ndarray | None = None, quant: Any = None, kind: Any = None
    ) -> int:
        """A tensor's number; ``quant`` are scales, zero points and the axis that the scales are for."""
        made = tfl.TensorT()
        made.name, made.shape = name, list(shape)
        made.type = kind if kind is not None else tfl.TensorType.INT8 if self.int8 else tfl.TensorType.FLOAT32
        if self.int8 and quant is not None:
            made.quantization = tfl.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [float(s) for s in quant[0]], list(quant[1])
            made.quantization.quantizedDimension = quant[2]
        if data is not None:
            made.buffer = len(self.buffers)
            self.buffers.append(tfl.BufferT())
            self.buffers[-1].data = np.frombuffer(np.ascontiguousarray(data).tobytes(), dtype=np.uint8)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def numbers(self, values: Any) -> int:
        """A constant of int32, such as axes or a shape."""
        array = np.asarray(values, dtype=np.int32)
        return self.tensor(f"{self.node}|c{len(self.graph.tensors)}", array.shape, array, kind=tfl.TensorType.INT32)

    def weights(self, array: np.ndarray, axis: int | None = None) -> tuple[int, np.ndarray]:
        """A constant with its scales: one, or one for each place along an axis."""
        array = np.asarray(array, dtype=np.float32)
        others = tuple(i for i in range(array.ndim) if i != axis) if axis is not None else None
        scale = np.maximum(np.abs(array).max(axis=others, initial=0.0), 1e-6).reshape(-1) / 127
        if self.int8:
            sides = [-1 if i == axis else 1 for i in range(array.ndim)] if axis is not None else [1] * array.ndim
            array = np.clip(np.round(array / scale.reshape(sides)), -127, 127).astype(np.int8)
        quant = (scale, [0] * len(scale), axis or 0)
        return self.tensor(f"{self.node}|w{len(self.graph.tensors)}", array.shape, array, quant), scale

    def bias(self, array: np.ndarray, x: Held, scales: np.ndarray) -> int:
        """A bias, of int32 in int8 graphs, in the scales of the weights times that of what they multiply."""
        if not self.int8:
            return self.weights(array)[0]
        scale = scales * self.scales.get(x.at, (SCALE, 0))[0]
        data = np.clip(np.round(array / scale), -(2**31) + 1, 2**31 - 1).astype(np.int32)
        quant = (scale, [0] * len(scale), 0)
        return self.tensor(f"{self.node}|b{len(self.graph.tensors)}", array.shape, data, quant, tfl.TensorType.INT32)

    def op(
        self, kind: str, inputs: Sequence[int], shape: Sequence[int], last: bool = False, kind_of: Any = None, **options: Any
    ) -> Held:
        """One op with one output; the options are those of TFLite's table of the op."""
        return self.ops(kind, inputs, [shape], last, kind_of, **options)[0]

    def ops(
        self, kind: str, inputs: Sequence[int], shapes: Any, last: bool, kind_of: Any = None, **options: Any
    ) -> list[Held]:
        """One op with its outputs."""
        scale, zero = self.scales.get(inputs[0], (SCALE, 0)) if kind in KEEP else UNIT.get(kind, (SCALE, 0))
        outputs = []
        for shape in shapes:
            self.count += 1
            sides = [shape[i] for i in LAST] if last else list(shape)
            outputs.append(self.tensor(f"{self.node}|{self.count}", sides, None, ([scale], [zero], 0), kind_of))
            self.scales[outputs[-1]] = scale, zero
        made = tfl.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = self._code(kind), list(inputs), outputs
        name = OPTIONS.get(kind, "".join(word.capitalize() for word in kind.split("_"))) + "Options"
        if hasattr(tfl.BuiltinOptions, name):
            made.builtinOptionsType = getattr(tfl.BuiltinOptions, name)
            made.builtinOptions = getattr(tfl, f"{name}T")()
            for key, value in options.items():
                setattr(made.builtinOptions, key, value)
        self.graph.operators.append(made)
        return [Held(at, tuple(shape), last) for at, shape in zip(outputs, shapes, strict=True)]

    def _code(self, kind: str) -> int:
        code = getattr(tfl.BuiltinOperator, kind)
        known = [one.builtinCode for one in self.codes]
        if code not in known:
            made = tfl.OperatorCodeT()
            made.builtinCode, made.deprecatedBuiltinCode = code, min(code, 127)
            made.version = FIRST_VERSION.get(kind, 1)
            self.codes.append(made)
            known.append(code)
        return known.index(code)

    # layouts

    def moved(self, x: Held, *, last: bool) -> Held:
        """The tensor with its channels last, or in ONNX's order; a reshape does where only sides of 1 move."""
        if x.last == last or len(x.shape) != len(LAST):
            return x
        now = [x.shape[i] for i in LAST] if x.last else list(x.shape)
        then = [x.shape[i] for i in LAST] if last else list(x.shape)
        if [side for side in now if side > 1] == [side for side in then if side > 1] and self._in_order(x, last):
            return self.op("RESHAPE", [x.at, self.numbers(then)], x.shape, last, newShape=then)
        return self.op("TRANSPOSE", [x.at, self.numbers(LAST if last else FIRST)], x.shape, last)

    @staticmethod
    def _in_order(x: Held, last: bool) -> bool:
        order = LAST if last else FIRST
        now = [x.shape[i] for i in LAST] if x.last else list(x.shape)
        long = [i for i in order if now[i] > 1]
        return long == sorted(long)

    def plain(self, value: ir.Value) -> Held:
        """An operand in ONNX's order."""
        return self.moved(self.known(value), last=False)

    def planes(self, value: ir.Value) -> Held:
        """An operand of four axes with its channels last."""
        return self.moved(self.known(value), last=True)

    def known(self, value: ir.Value) -> Held:
        """An operand as it lies; a constant is written where it is read."""
        if value not in self.held:
            array = array_of(value)
            return Held(self.weights(array)[0], array.shape)
        return self.held[value]

    def reshape(self, x: Held, shape: Sequence[int]) -> Held:
        """A change of shape, in ONNX's order."""
        x = self.moved(x, last=False)
        return x if x.shape == tuple(shape) else self.op("RESHAPE", [x.at, self.numbers(shape)], shape, newShape=list(shape))

    # the file

    def write(self) -> bytes:
        """The file's bytes. Raises ``NotConverted``."""
        from tflite_ops import HANDLERS  # noqa: PLC0415  the handlers name this class

        inside = {node: one for one in composites(self.model) if one.op == "Gelu" for node in one.nodes}
        self.graph.inputs = []
        for value in self.model.graph.inputs:
            if is_constant(value):
                continue
            shape = shape_of(value)
            self.node = value.name or "input"
            four = len(shape) == len(LAST)
            at = self.tensor(self.node, [shape[i] for i in LAST] if four else shape, None, ([SCALE], [0], 0))
            self.graph.inputs.append(at)
            self.held[value] = Held(at, shape, four)
        for node in self.model.graph:
            if all(is_constant(value) for value in node.outputs) or node.outputs[0] in self.held:
                continue
            self.node, self.count = node.name or node.op_type, 0
            if node in inside:
                if node is inside[node].nodes[-1]:
                    x = self.known(inside[node].inputs[0])
                    self.held[node.outputs[0]] = self.op("GELU", [x.at], x.shape, x.last)
                continue
            if node.op_type not in HANDLERS:
                raise NotConverted(node.op_type)
            handler: Callable[[Writer, ir.Node], Any] = HANDLERS[node.op_type]
            made = handler(self, node)
            for value, one in zip(node.outputs, made if isinstance(made, list) else [made], strict=True):
                self.held[value] = one
        self.graph.outputs = [self.plain(value).at for value in self.model.graph.outputs]
        return self._packed()

    def _packed(self) -> bytes:
        made = tfl.ModelT()
        made.version, made.operatorCodes, made.subgraphs, made.buffers = 3, self.codes, [self.graph], self.buffers
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(made.Pack(builder), b"TFL3")
        return bytes(builder.Output())


OPTIONS = {
    "CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "AVERAGE_POOL_2D": "Pool2D", "MAX_POOL_2D": "Pool2D",
    "BATCH_MATMUL": "BatchMatMul", "MEAN": "Reducer", "REDUCE_MAX": "Reducer", "REDUCE_MIN": "Reducer", "SUM": "Reducer",
    "MAXIMUM": "MaximumMinimum", "MINIMUM": "MaximumMinimum", "SELECT_V2": "SelectV2",
}  # fmt: skip
"""The names of options that are not those of their op."""


FIRST_VERSION = {"BROADCAST_TO": 2}
"""The first version of an op that LiteRT knows, where that is not 1."""


def shape_of(value: ir.Value | None) -> tuple[int, ...]:
    """A static shape."""
    if value is None or value.shape is None or not value.shape.is_static():
        raise NotConverted("a shape that is not static")
    return tuple(int(side) for side in value.shape)


def array_of(value: ir.Value | None) -> np.ndarray:
    """A constant's values."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is None:
        raise NotConverted("an operand that is neither computed nor constant")
    return tensor.numpy()
