"""A quantised graph as the network that it stands for, with how each node computes: in which integers, or still in floats.

A file can say int8 in three ways, and each is read as the op that is meant: Q/DQ pairs around an op of floats (onnxruntime's
QDQ form, and what torch exports of fake quantisation), an op of integers (QLinearConv and its like, ONNX's own and those of
``com.microsoft``), and integers whose range is found while it runs (dynamic quantisation). What is left is the float
graph, under the nodes' own names, so that whatever judges floats judges this, too.

A node is *quantised* where all that it reads was quantised and what it gives is quantised again. Data that only moves stays
quantised without another Q/DQ pair. What follows an op with weights before its result is quantised (an activation, a sum, a
batch norm) belongs to it, and so does a composite that has Q/DQ pairs at its edges alone. An op with weights that gives the
graph's result may leave it in floats. Every other node that computes on floats *stayed float*.
"""

import logging
from collections.abc import Iterable

import onnx_ir as ir
from onnx_ir.passes import common

from attnbench.graph.canonicalise import tidy
from attnbench.graph.composites import composites
from attnbench.graph.folding import fold
from attnbench.graph.integers import (
    ANY_DOMAIN,
    CONVERTERS,
    FLOATS,
    FORM,
    INTEGER_OPS,
    RESULTS,
    SCALES,
    ZERO_POINTS,
    Computes,
    Integers,
    computes,
    dequantised,
    form_of,
    input_of,
    integers_of,
    is_quantised_op,
)
from attnbench.graph.quiet import quiet

MOVES = frozenset(
    "Reshape Transpose Flatten Squeeze Unsqueeze Slice Split Gather Expand MaxPool DepthToSpace SpaceToDepth Identity "
    "Dropout Pad".split()
)
"""Ops that give values that they read, or 0."""

WEIGHTED = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
FOLLOWERS = frozenset(("Relu", "Clip", "LeakyRelu", "PRelu", "BatchNormalization", "Add", "HardSwish", "HardSigmoid"))
"""What a tool chain may compute together with the op with weights before it."""


def lifted(model: ir.Model) -> ir.Model:
    """The network that a quantised graph stands for, as a copy; the model itself where it is not quantised."""
    if form_of(model) or not any(is_quantised_op(node) for node in model.graph):
        return model
    copy = model.clone()
    lift = _Lift(copy)
    lift.run()
    tidy(copy)
    _infer(copy)
    lift.settle()
    copy.meta[FORM] = lift.form
    return copy


def _infer(model: ir.Model) -> None:
    """Shapes of what ops gave that no inference knows."""
    open_ones = [v for node in model.graph for v in node.outputs if v.shape is None or not v.shape.is_static()]
    if open_ones:
        for value in open_ones:
            value.shape = None
        with quiet(logging.CRITICAL, "onnx_ir"):
            common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
        fold(model)


class _Lift:
    """One graph on its way: by quantised tensor what it stands for, and by node how what it reads is quantised."""

    def __init__(self, model: ir.Model) -> None:
        self.model, self.graph = model, model.graph
        self.form = ""
        self.real: dict[ir.Value, ir.Value] = {}
        self.how: dict[ir.Value, Integers] = {}
        self.reads: dict[ir.Node, dict[int, Integers]] = {}
        self.sums: set[ir.Value] = set()
        self.scales: set[ir.Value] = set()
        self.edges: set[ir.Value] = set()
        self.made: set[ir.Node] = set()
        self.moved: set[ir.Value] = set()
        self.takes: dict[ir.Node, bool] = {}
        self.gives: dict[ir.Node, bool] = {}

    def run(self) -> None:
        """Take out what converts, and put in the place of each op of integers the op that it stands for."""
        for node in list(self.graph):
            first = node.inputs[0] if node.inputs else None
            self._note_reads(node)
            if node.domain not in ANY_DOMAIN or first is None:
                continue
            if node.op_type in CONVERTERS:
                self._convert(node, first)
            elif node.op_type in INTEGER_OPS:
                self._replace(node)
            elif not self._rescales(node):
                self._carry(node, first)
        for index, output in enumerate(self.graph.outputs):
            if output in self.real:
                self.graph.outputs[index] = self.real[output]
                self.edges.add(self.real[output])
        for value in self.graph.inputs:
            if value in self.how:
                value.dtype = ir.DataType.FLOAT

    def _note_reads(self, node: ir.Node) -> None:
        """Keep how a node's inputs are quantised, and let it read what they stand for."""
        for index, value in enumerate(node.inputs):
            if value in self.how:
                self.reads.setdefault(node, {})[index] = self.how[value]
            if value in self.real and not is_quantised_op(node):
                node.replace_input_with(index, self.real[value])

    def _convert(self, node: ir.Node, source: ir.Value) -> None:
        out, scale, zero = node.outputs[0], input_of(node, 1), input_of(node, 2)
        self.form = self.form or ("dynamic" if node.op_type == "DynamicQuantizeLinear" else "Q/DQ")
        if node.op_type == "DynamicQuantizeLinear":
            self.how[out] = Integers("uint8", shifted=True, at_run_time=True)
            self.scales.add(node.outputs[1])
        elif node.op_type == "QuantizeLinear":
            given = ir.DataType(node.attributes.get_int("output_dtype", 0) or ir.DataType.UINT8)
            self.how[out] = integers_of(given if zero is None else zero.dtype, zero, scale)
        elif source.const_value is not None:
            if source.dtype != ir.DataType.INT32:  # which is a bias, in the grid of the sums it is added to
                self.how[out] = integers_of(source.dtype, zero, scale)
            self.real[out] = dequantised(self.graph, node)
            return
        else:
            self.how[out] = self.how.setdefault(source, integers_of(source.dtype, zero, scale))
        if node.op_type == "DequantizeLinear":
            out.dtype = out.dtype or ir.DataType.FLOAT  # which no inference knows of an op of com.microsoft
        self.real[out] = self.real.get(source, source)

    def _replace(self, node: ir.Node) -> None:
        """An op of integers by the op that it stands for, under its name."""
        op, places = INTEGER_OPS[node.op_type]
        self.form = "integer ops" if self.form in ("", "Q/DQ") else self.form
        inputs: list[ir.Value | None] = []
        reads: dict[int, Integers] = {}
        for place in range(2, len(node.inputs), 3) if places is None else places:
            value = input_of(node, place)
            if value is None:
                continue
            if (how := self._read_as(node, place, value)) is not None:
                reads[len(inputs)] = how
            inputs.append(self._as_float(node, place, value))
        kept = [attribute for name, attribute in node.attributes.items() if name not in ("channels_last", "opset")]
        made = ir.Node("", op, inputs, kept, num_outputs=1, name=node.name)
        before, after = node.outputs[0], made.outputs[0]
        after.name, after.shape, after.type = f"{before.name}_as_float", before.shape, ir.TensorType(ir.DataType.FLOAT)
        self.graph.insert_after(node, made)
        self.reads[made] = reads
        self.made.add(made)
        self.real[before] = after
        zero = input_of(node, RESULTS.get(node.op_type, 4)) if node.op_type.startswith("Q") else None
        if zero is not None:
            self.how[before] = integers_of(zero.dtype, zero, None)
        elif node.op_type in ("ConvInteger", "MatMulInteger"):
            self.sums.add(after)

    def _read_as(self, node: ir.Node, place: int, value: ir.Value) -> Integers | None:
        """How an input of an op of integers is quantised; ``None`` for a bias and a condition."""
        if node.op_type == "DynamicQuantizeMatMul" and place == 0:
            return Integers("uint8", shifted=True, at_run_time=True)
        if value in self.how or value.dtype in (*FLOATS, ir.DataType.INT32, ir.DataType.BOOL):
            return self.how.get(value)
        zero = input_of(node, ZERO_POINTS.get(node.op_type, {}).get(place, place + 2))
        scale = input_of(node, SCALES[node.op_type]) if node.op_type in SCALES and value.const_value is not None else None
        return integers_of(value.dtype, zero, scale)

    def _as_float(self, node: ir.Node, place: int, value: ir.Value) -> ir.Value:
        """The floats that an input of an op of integers stands for."""
        if value.const_value is None or value in self.real or value.dtype in (*FLOATS, ir.DataType.BOOL):
            return self.real.get(value, value)
        zero = None if value.dtype == ir.DataType.INT32 else ZERO_POINTS.get(node.op_type, {}).get(place, place + 2)
        scale = None if value.dtype == ir.DataType.INT32 else SCALES.get(node.op_type, place + 1)
        if node.op_type in ("ConvInteger", "MatMulInteger"):
            scale = None
        self.real[value] = dequantised(self.graph, node, place, scale, zero)
        return self.real[value]

    def _rescales(self, node: ir.Node) -> bool:
        """Take out what brings a sum of integers back to floats: a cast, and a product by scales."""
        reads, out = [value for value in node.inputs if value is not None], node.outputs[0]
        sums = [value for value in reads if value in self.sums]
        others = [value for value in reads if value not in self.sums]
        fixed = all(value in self.scales or value.const_value is not None for value in others)
        if node.op_type == "Cast" and sums:
            self.real[out] = sums[0]
            return True
        if node.op_type != "Mul" or not fixed:
            return False
        if sums:
            self.real[out] = sums[0]
            self.sums.discard(sums[0])
            return True
        if any(value in self.scales for value in others):
            self.scales.add(out)
            return True
        return False

    def _carry(self, node: ir.Node, first: ir.Value) -> None:
        """What moves quantised data gives quantised data; what computes on the integers themselves is read as on floats."""
        how = self.reads.get(node, {}).get(0)
        for out in node.outputs if how is not None else ():
            of_integers = first in self.moved or first.dtype not in FLOATS
            if of_integers and (out.dtype is None or out.dtype.name.lower() == how.type):  # type: ignore[union-attr]
                out.dtype = ir.DataType.FLOAT
                self.moved.add(out)
            if out in self.moved or (node.op_type in MOVES and (out.dtype or ir.DataType.FLOAT) in FLOATS):
                self.how[out] = how  # type: ignore[assignment]

    def settle(self) -> None:
        """Say of each node how it computes. What is before a node, and what is behind it, is known when it is asked for."""
        nodes = list(self.graph)
        for node in nodes:
            self.takes[node] = self._reads_integers(node, ())
        for node in reversed(nodes):
            self.gives[node] = self._gives_integers(node)
        for node in nodes:
            if any(v is not None and v.dtype in FLOATS and v.const_value is None for v in node.inputs):
                whole = node in self.made or (self.takes[node] and self.gives[node])
                node.meta[FORM] = self._integers_of((node,)) if whole else Computes(stayed_float=_float_type(node))
        for composite in composites(self.model):
            inside = composite.nodes
            if all(self._reads_integers(node, inside) for node in inside) and self.gives[inside[-1]]:
                found = self._integers_of(inside)
                for node in inside:
                    node.meta[FORM] = found

    def _reads_integers(self, node: ir.Node, inside: Iterable[ir.Node]) -> bool:
        """Whether all that a node reads is quantised, or comes from what it belongs to."""
        for index, value in enumerate(node.inputs):
            if value is None or value.const_value is not None or value.dtype not in FLOATS:
                continue
            producer = value.producer()
            if index in self.reads.get(node, {}) or (producer is not None and producer in inside):
                continue
            if producer is None or not self._leads(producer, node) or not self.takes.get(producer):
                return False
        return True

    def _leads(self, producer: ir.Node, node: ir.Node) -> bool:
        """Whether a node is computed with the one before it, which nothing else reads, or moves what that gives."""
        if sum(len(list(value.uses())) for value in producer.outputs) != 1:
            return False
        return node.op_type in MOVES or (node.op_type in FOLLOWERS and producer.op_type in (*WEIGHTED, *FOLLOWERS))

    def _gives_integers(self, node: ir.Node) -> bool:
        """Whether what a node gives is quantised, by itself or with what belongs to it."""
        uses = [use for value in node.outputs for use in value.uses()]
        for use in uses:
            if use.idx in self.reads.get(use.node, {}):
                continue
            if not self._leads(node, use.node) or not self.gives.get(use.node):
                return False
        edges = [value for value in node.outputs if value.is_graph_output()]
        return all(value in self.edges or node.op_type in (*WEIGHTED, *MOVES) for value in edges) and bool(uses or edges)

    def _integers_of(self, nodes: tuple[ir.Node, ...]) -> Computes:
        """How quantised nodes compute together: by what they read and give, and by that of what they belong to."""
        activations: dict[Integers, None] = {}
        weights: dict[Integers, None] = {}
        for node in nodes:
            for index, how in self.reads.get(node, {}).items():
                value = node.inputs[index]
                (weights if value is not None and value.const_value is not None else activations)[how] = None
        ends = [use for value in nodes[-1].outputs for use in value.uses()]
        given = [self.reads.get(use.node, {}).get(use.idx) for use in ends]
        activations |= dict.fromkeys(one for one in given if one is not None)
        if not activations:
            sources = [value.producer() for value in nodes[0].inputs if value is not None]
            return next((one for source in sources if source is not None and (one := computes(source))), Computes())
        return Computes(tuple(activations), tuple(weights))


def _float_type(node: ir.Node) -> str:
    found = (value.dtype for value in node.inputs if value is not None and value.dtype in FLOATS)
    return next(kind.numpy().name for kind in found if kind is not None)
