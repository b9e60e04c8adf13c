"""What a predicate can ask of a node: shapes, windows, axes, constants. What cannot be known is said, never guessed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any

import onnx_ir as ir
from msgspec import Meta

from attnbench.graph.canonicalise import reduction_axes
from attnbench.graph.integers import computes

LETTERS = "NCHW"


@dataclass(frozen=True)
class Reading:
    """What a predicate saw, and whether that is within the limit."""

    within: bool
    measured: str


Predicate = Callable[[ir.Node, Any], Reading]
Unit = Annotated[int, Meta(ge=1)]
"""What something is to be a multiple of."""


class Unmeasured(Exception):
    """A fact that the graph does not hold, such as a side that is only known when it runs."""


def shape_of(value: ir.Value | None) -> tuple[int, ...]:
    """A tensor's static shape. Raises ``Unmeasured``."""
    if value is None:
        raise Unmeasured("an input that is absent")
    if value.shape is None or not all(isinstance(side, int) for side in value.shape):
        raise Unmeasured(f"a shape that is not static ({value.shape})")
    return tuple(int(side) for side in value.shape)  # type: ignore[arg-type]


def input_shape(node: ir.Node, index: int = 0) -> tuple[int, ...]:
    """The static shape of an input."""
    if index >= len(node.inputs):
        raise Unmeasured(f"no input {index}")
    return shape_of(node.inputs[index])


def output_shape(node: ir.Node) -> tuple[int, ...]:
    """The static shape of the first output."""
    return shape_of(node.outputs[0])


def channels_of(shape: Sequence[int]) -> int:
    """The channels of ``[N, C, ...]``."""
    if len(shape) < 2:
        raise Unmeasured(f"rank {len(shape)}, which has no channels")
    return shape[1]


def plane_of(shape: Sequence[int]) -> tuple[int, ...]:
    """The sides behind batch and channels."""
    return tuple(shape[2:])


def constant_of(value: ir.Value | None) -> list[Any] | None:
    """A constant tensor's elements, or ``None`` where it is not constant."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy().reshape(-1).tolist()


def is_constant(value: ir.Value | None) -> bool:
    """Whether a value is known before the graph runs: a weight, or what follows from weights and static shapes alone."""
    if value is None:
        return False
    known = _CONSTANTS.get()
    return _settled(original(value), {} if known is None else known)


@contextmanager
def constants_kept() -> Iterator[None]:
    """Within this, each value is asked once whether it is constant: for graphs that nobody changes meanwhile."""
    known = _CONSTANTS.get()
    token = _CONSTANTS.set({} if known is None else known)
    try:
        yield
    finally:
        _CONSTANTS.reset(token)


_CONSTANTS: ContextVar[dict[ir.Value, bool] | None] = ContextVar("constants", default=None)


def _settled(value: ir.Value, known: dict[ir.Value, bool]) -> bool:
    """Whether a value is constant, by a list of what is still open: graphs are deeper than calls may be."""
    todo = [value]
    while todo:
        one = todo.pop()
        if one in known:
            continue
        answer = _by_itself(one)
        if answer is None:
            producer = one.producer()
            reads = [read for read in producer.inputs if read is not None] if producer else []
            waiting = [read for read in reads if read not in known]
            if waiting and all(known.get(read, True) for read in reads):
                todo += [one, *waiting]
                continue
            answer = all(known.get(read) for read in reads)
        known[one] = answer
    return known[value]


def _by_itself(value: ir.Value) -> bool | None:
    """Whether a value is constant; ``None`` where that hangs on what its node reads."""
    producer = value.producer()
    if value.const_value is not None or producer is None:
        return value.const_value is not None
    if producer.op_type in _SHAPES:
        source = producer.inputs[0]
        return source is not None and source.shape is not None and all(isinstance(side, int) for side in source.shape)
    if producer.op_type in _RANDOM or any(a.type in _GRAPHS for a in producer.attributes.values()):
        return False
    return None


_SHAPES = ("Shape", "Size")
_RANDOM = ("RandomNormal", "RandomUniform", "Multinomial", "Bernoulli")
_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def variable_inputs(node: ir.Node) -> list[ir.Value]:
    """The inputs that are only known when the graph runs."""
    return [value for value in node.inputs if value is not None and not is_constant(value)]


class StandIn(ir.Value):
    """A tensor of a composite's stand-in, with the graph's own that it stands for."""

    def __init__(self, known: ir.Value) -> None:
        super().__init__(name=known.name, shape=known.shape, type=known.type, const_value=known.const_value)
        self.known = known


def original(value: ir.Value) -> ir.Value:
    """The graph's own tensor that a stand-in's tensor stands for, or the tensor itself."""
    return value.known if isinstance(value, StandIn) else value


def readers_of(node: ir.Node) -> list[ir.Node]:
    """The nodes that read what a node, or the composite that it stands for, gives."""
    return [use.node for output in node.outputs for use in original(output).uses()]


def types_of(node: ir.Node) -> set[str]:
    """The element types that a node computes on, as NumPy calls them: of its data, not of indices, conditions or shapes."""
    if node.op_type in _ANY_TYPE:
        return set()
    if (how := computes(node)) is not None:
        return set(how.types)
    data = [node.inputs[index] for index in _DATA.get(node.op_type, (0,)) if index < len(node.inputs)]
    return {
        value.dtype.numpy().name for value in data if value is not None and value.dtype not in (None, ir.DataType.STRING)
    }


_DATA = {"Where": (1, 2), "Expand": (0,), "Pow": (0,), "If": (), "Loop": (), "Scan": ()}
_ANY_TYPE = frozenset(
    "Cast CastLike Not And Or Xor BitwiseNot BitwiseAnd BitwiseOr BitwiseXor Shape Size ConstantOfShape Range NonZero "
    "QuantizeLinear DequantizeLinear QLinearConv QLinearMatMul ConvInteger MatMulInteger OneHot EyeLike".split()
)
"""Ops that are about types, or take others than numbers."""


def kernel_of(node: ir.Node) -> tuple[int, ...]:
    """A window's sides, from the attribute or the weight's shape."""
    if "kernel_shape" in node.attributes:
        return tuple(node.attributes["kernel_shape"].as_ints())
    return input_shape(node, 1)[2:]


def window_of(node: ir.Node, attribute: str) -> tuple[int, ...]:
    """Strides or dilations, 1 in each direction where the node has none."""
    if attribute in node.attributes:
        return tuple(node.attributes[attribute].as_ints())
    return (1,) * len(kernel_of(node))


def pads_of(node: ir.Node) -> tuple[int, ...]:
    """Padding at the begin and the end of each direction, as given or as ``auto_pad`` or ``output_shape`` imply it."""
    kernel, way = kernel_of(node), node.attributes.get_string("auto_pad", "NOTSET")
    implied = way in ("SAME_UPPER", "SAME_LOWER") or "output_shape" in node.attributes
    if not implied:
        given = tuple(node.attributes["pads"].as_ints()) if "pads" in node.attributes and way == "NOTSET" else ()
        return given or (0,) * 2 * len(kernel)
    strides, dilations = window_of(node, "strides"), window_of(node, "dilations")
    reach = [(side - 1) * far + 1 for side, far in zip(kernel, dilations, strict=True)]
    small, large = plane_of(input_shape(node)), plane_of(output_shape(node))
    more = [0] * len(kernel)
    if node.op_type == "ConvTranspose":
        small, large = large, small  # it undoes a convolution: what that would pad
        more = list(node.attributes["output_padding"].as_ints()) if "output_padding" in node.attributes else more
    sides = zip(small, large, strides, reach, more, strict=True)
    total = [max((out - 1) * stride + length + extra - into, 0) for into, out, stride, length, extra in sides]
    less = tuple(pad // 2 for pad in total)
    rest = tuple(pad - half for pad, half in zip(total, less, strict=True))
    more_first = way == "SAME_LOWER" or (node.op_type == "ConvTranspose" and way != "SAME_UPPER")
    return (*rest, *less) if more_first else (*less, *rest)


def groups_of(node: ir.Node) -> str:
    """``none``, ``depthwise`` (a group for each input channel) or ``grouped``."""
    group = node.attributes.get_int("group", 1) or 1
    if group == 1:
        return "none"
    return "depthwise" if group == channels_of(input_shape(node)) else "grouped"


def axes_of(node: ir.Node) -> tuple[int, ...]:
    """The axes of a reduction, concatenation, softmax, split or slice, counted from 0. Raises ``Unmeasured``."""
    rank = len(input_shape(node))
    if "axis" in node.attributes:
        return (node.attributes["axis"].as_int() % rank,)
    if node.op_type in _AXIS_DEFAULTS:
        return (_AXIS_DEFAULTS[node.op_type] % rank,)
    found: list[Any] | None
    if node.op_type == "Slice":
        starts, axes = (constant_of(node.inputs[i]) if len(node.inputs) > i else None for i in (1, 3))
        found = axes if axes is not None else list(range(len(starts or [])))
    elif node.op_type in ("Squeeze", "Unsqueeze"):
        found = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
        rank = max(rank, len(output_shape(node)))
    else:
        found = list(reduction_axes(node) or ()) or None
        if found is None and len(node.inputs) < 2:
            found = list(range(rank))  # a reduction without axes takes all
    if found is None:
        raise Unmeasured("axes that are not constant")
    return tuple(sorted(int(axis) % rank for axis in found))


_AXIS_DEFAULTS = {"Softmax": -1, "LogSoftmax": -1, "Split": 0, "Flatten": 1, "Gather": 0, "LayerNormalization": -1}


def broadcast_of(node: ir.Node) -> str:
    """How two operands meet: ``same``, ``scalar``, the smaller operand's pattern such as ``NC11``, ``mutual`` or ``other``.

    A pattern names the sides that the operand has in full; a side of 1 that is 1 in both counts as full.
    """
    shapes = [shape_of(value) for value in node.inputs if value is not None]
    whole = output_shape(node)
    smaller = [shape for shape in shapes if shape != whole]
    if not smaller:
        return "same"
    if len(smaller) > 1:
        return "mutual"
    if prod(smaller[0]) == 1:
        return "scalar"
    if len(whole) != len(LETTERS):
        return "other"
    sides = (1,) * (len(whole) - len(smaller[0])) + smaller[0]
    return "".join(letter if mine == full else "1" for letter, mine, full in zip(LETTERS, sides, whole, strict=True))


def text(sides: Sequence[int]) -> str:
    """Sides as a reader knows them: ``3x3``; a scalar has none."""
    return "x".join(map(str, sides)) or "scalar"
