"""What a graph costs by arithmetic: MACs, element operations, bytes moved, weights, and the peak of live activations.

Conventions, the same for every op and every table:

- *MACs* are the multiply-accumulates of convolutions and matrix products. Nothing else has MACs. FLOPs are twice that.
- *Element operations* count what the rest computes: one per output element of an element-wise op, one per element that
  a window, a reduction or a normalisation reads; softmax takes five per element (max, subtract, exp, sum, divide). A value
  sampled between pixels takes four, one per neighbour: a deformable convolution has MACs and these. Ops that only move
  data have none.
- *Bytes moved* is what each node reads and writes when every node goes to memory by itself, weights included; views of
  the same buffer (Reshape...) move nothing.
- *Activation peak* is the largest sum of tensors alive at one node, in the graph's order, without in-place tricks:
  exact, and the same on every machine.

What no table here knows is *uncounted* and named; it is never a silent 0.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from attnbench.core.errors import CaseFailure
from attnbench.graph.liveness import VIEWS, Step, peak
from attnbench.graph.load import static_shape

ELEMENTWISE = frozenset(
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh BatchNormalization Cast Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp "
    "Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg "
    "Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Tan Tanh "
    "ThresholdedRelu Where Xor".split()
)
READS_INPUT = frozenset(
    "ArgMax ArgMin CumSum GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization InstanceNormalization "
    "LayerNormalization LpNormalization ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
    "ReduceProd ReduceSum ReduceSumSquare".split()
)
WINDOWS = frozenset(("AveragePool", "MaxPool", "LpPool"))
SOFTMAX = frozenset(("Softmax", "LogSoftmax"))
SOFTMAX_STEPS = 5
MOVES = frozenset(
    "Concat ConstantOfShape DepthToSpace Expand Gather Pad Resize Shape Size Slice SpaceToDepth Split Tile Transpose "
    "Upsample Constant".split()
)
INTERPOLATION = {"nearest": 0, "linear": 4, "cubic": 16}


@dataclass(frozen=True)
class NodeCost:
    """One node's cost; ``macs`` and ``elements`` are ``None`` where no table knows the op."""

    node: str
    op: str
    macs: int | None
    elements: int | None
    bytes_moved: int


@dataclass(frozen=True)
class GraphCost:
    """A graph's cost: the nodes', and what only the whole graph has."""

    nodes: tuple[NodeCost, ...]
    weight_elements: int
    weight_bytes: int
    activation_peak: int
    largest_activation: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all nodes that are counted."""
        return sum(node.macs or 0 for node in self.nodes)

    @property
    def elements(self) -> int:
        """Element operations of all nodes that are counted."""
        return sum(node.elements or 0 for node in self.nodes)

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written, node by node."""
        return sum(node.bytes_moved for node in self.nodes)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """The ops that no table knows, by name."""
        return tuple(sorted({node.op for node in self.nodes if node.macs is None}))


def graph_cost(model: ir.Model) -> GraphCost:
    """Count a graph whose shapes are all static."""
    weights = [value for value in model.graph.initializers.values() if value.dtype == ir.DataType.FLOAT]
    return GraphCost(
        nodes=tuple(node_cost(node) for node in model.graph),
        weight_elements=sum(prod(static_shape(value)) for value in weights),
        weight_bytes=sum(size_of(value) for value in weights),
        activation_peak=activation_peak(model),
        largest_activation=max(size_of(value) for node in model.graph for value in node.outputs),
    )


def node_cost(node: ir.Node) -> NodeCost:
    """Count one node."""
    op, standard = node.op_type, node.domain in ("", "ai.onnx")
    macs: int | None = 0
    elements: int | None = None
    if standard and op in MACS:
        macs, elements = MACS[op](node), _sampling(node) if op == "DeformConv" else 0
    elif standard:
        elements = _elements(node)
    if elements is None:
        macs = None
    name = op if standard else f"{node.domain}::{op}"
    bytes_moved = 0 if op in VIEWS else sum(map(size_of, (*node.inputs, *node.outputs)))
    return NodeCost(node.name or "", name, macs, elements, bytes_moved)


def size_of(value: ir.Value | None) -> int:
    """Bytes of a tensor; 0 for an absent input."""
    if value is None:
        return 0
    if value.dtype is None:
        raise CaseFailure("count", f"tensor '{value.name}' has no type")
    return int(prod(static_shape(value)) * value.dtype.itemsize)  # itemsize is a fraction for sub-byte types


def activation_peak(model: ir.Model) -> int:
    """Largest sum of live tensors over the nodes in order; a view shares its source's buffer, weights do not count."""
    graph = model.graph
    weights = set(graph.initializers.values())
    steps = [
        Step(node.op_type, [value for value in node.inputs if value is not None and value not in weights], node.outputs)
        for node in graph
    ]
    sizes = {value: size_of(value) for value in (*graph.inputs, *(output for step in steps for output in step.writes))}
    return peak(steps, graph.inputs, graph.outputs, sizes)


def _conv(node: ir.Node) -> int:
    weight = static_shape(_input(node, 1))
    return prod(static_shape(node.outputs[0])) * prod(weight[1:])


def _conv_transpose(node: ir.Node) -> int:
    weight = static_shape(_input(node, 1))
    return prod(static_shape(_input(node, 0))) * prod(weight[1:])


def _gemm(node: ir.Node) -> int:
    left = static_shape(_input(node, 0))
    inner = left[0] if node.attributes.get_int("transA", 0) else left[1]
    return prod(static_shape(node.outputs[0])) * inner


def _matmul(node: ir.Node) -> int:
    return prod(static_shape(node.outputs[0])) * static_shape(_input(node, 0))[-1]


def _einsum(node: ir.Node) -> int:
    return einsum_macs(
        node.attributes["equation"].as_string(), [static_shape(_input(node, i)) for i in range(len(node.inputs))]
    )


def einsum_macs(equation: str, shapes: Sequence[Sequence[int]]) -> int:
    """Multiply-accumulates of an einsum, whose operands are taken in pairs from the left, as matrix products are.

    What only one of a pair has and nobody needs later is summed beforehand; a pair that shares no sum is only multiplied.
    Both have none. fvcore reads numpy's text for it, which rounds to four digits.
    """
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms, most = left.split(","), max(map(len, shapes), default=0)
    spare = "".join(chr(0x3B1 + number) for number in range(most))  # letters that no equation has, for "..."
    named = [
        term.replace("...", spare[most - (len(shape) - len(term.replace("...", ""))) :] if "..." in term else "")
        for term, shape in zip(terms, shapes, strict=True)
    ]
    letters = Counter("".join(named))
    kept = set(output.replace("...", spare)) if arrow else {a for a, times in letters.items() if times == 1 or a in spare}
    sides = {
        a: side for term, shape in zip(named, shapes, strict=True) for a, side in zip(term, shape, strict=True) if side > 1
    }
    total, one = 0, set(named[0])
    for number, term in enumerate(named[1:], 2):
        other, needed = set(term), kept.union(*named[number:])
        if (one & other) - needed:
            total += prod(sides.get(a, 1) for a in (one & other) | ((one | other) & needed))
        one = (one | other) & needed
    return total


MACS: dict[str, Callable[[ir.Node], int]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DeformConv": _conv,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": _matmul,
}


def _sampling(node: ir.Node) -> int:
    """What a deformable convolution samples, and its gates where it has them, for each tap, input channel and position."""
    batch, channels = static_shape(_input(node, 0))[:2]
    taps = prod(static_shape(_input(node, 1))[2:])
    positions = prod(static_shape(node.outputs[0])[2:])
    gated = len(node.inputs) > 4 and node.inputs[4] is not None
    return batch * channels * taps * positions * (INTERPOLATION["linear"] + gated)


def _elements(node: ir.Node) -> int | None:
    op = node.op_type
    if op in VIEWS or op in MOVES:
        mode = node.attributes.get_string("mode", "nearest") if op in ("Resize", "Upsample") else "nearest"
        return INTERPOLATION.get(mode or "nearest", 0) * prod(static_shape(node.outputs[0]))
    written = prod(static_shape(node.outputs[0]))
    if op in ELEMENTWISE:
        return written * max(1, len(node.inputs) - 1 if op in ("Sum", "Max", "Min", "Mean") else 1)
    if op in READS_INPUT:
        return prod(static_shape(_input(node, 0)))
    if op in WINDOWS:
        return written * prod(node.attributes["kernel_shape"].as_ints())
    if op in SOFTMAX:
        return SOFTMAX_STEPS * written
    return None


def _input(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    if value is None:
        raise CaseFailure("count", f"node '{node.name}' lacks input {index}")
    return value
