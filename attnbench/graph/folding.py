"""What does not depend on a graph's input, worked out; and the shapes of what does. Each helps the other, to a fixed point.

ONNX's shape inference reads shapes out of constants, and folding makes constants of shapes, so one after the other is
repeated until nothing changes. Nothing is evaluated whose result could be large: a file of a hundred bytes can ask for
terabytes. What cannot be known stays open.
"""

import logging
from math import prod

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript import optimizer

from attnbench.graph.canonicalise import tidy
from attnbench.graph.quiet import quiet

SMALL = 1 << 20
"""Elements up to which a constant is folded; shape arithmetic is far below."""

SMALL_WORK = 1 << 12
"""The same for ops that compute more than one step an element."""

ROUNDS = 12
"""Folding and inferring at most; a chain of shapes that are computed from shapes takes one round a link."""

_KEPT = frozenset("QuantizeLinear DequantizeLinear DynamicQuantizeLinear Bernoulli ImageDecoder".split())
"""What is left as it is: what says how tensors are quantised, and what differs from run to run."""

_BOUNDED = frozenset("Compress NonZero Unique".split())
"""Ops whose result has no known shape, but no more elements than a few times what goes in."""

_LABOURING = frozenset(
    "Conv ConvInteger ConvTranspose DFT DeformConv Det Einsum GRU Gemm GridSample LSTM MatMul MatMulInteger MaxPool "
    "AveragePool LpPool LRN MaxRoiPool NonMaxSuppression QLinearConv QLinearMatMul RNN Resize RoiAlign STFT TopK Upsample "
    "Attention Col2Im CumSum TfIdfVectorizer StringNormalizer MelWeightMatrix".split()
)


def fold(model: ir.Model) -> ir.Model:
    """Fold constants and infer shapes in place until neither finds more, and drop what then nothing reads."""
    with quiet(logging.CRITICAL, "onnxscript", "onnx_ir"):
        for _ in range(ROUNDS):
            changed = _folded(model)
            tidy(model)
            if not changed or not _forget_open_shapes(model):
                break
            common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    return model


def _folded(model: ir.Model) -> bool:
    try:
        return bool(optimizer.fold_constants(model, should_fold=_is_small, output_size_limit=SMALL).modified)
    except RuntimeError:  # an evaluator of onnxscript that does not expect such a node; the graph is whole between nodes
        return False


def _is_small(node: ir.Node) -> bool:
    """Whether a node of constants may be evaluated: all that goes in and comes out is known to be small."""
    if node.op_type in _KEPT or node.domain not in ("", "ai.onnx"):
        return False
    most = SMALL_WORK if node.op_type in _LABOURING else SMALL
    if not all(_elements(value) <= most for value in node.inputs if value is not None):
        return False
    return node.op_type in _BOUNDED or all(_elements(value) <= most for value in node.outputs)


def _elements(value: ir.Value) -> float:
    """The elements of a tensor; infinite where its shape is not known, or is none."""
    if value.const_value is not None:
        return value.const_value.size
    if value.shape is None or not value.shape.is_static():
        return float("inf")
    sides = value.shape.numpy()
    return float(prod(sides)) if min(sides, default=0) >= 0 else float("inf")


def _forget_open_shapes(model: ir.Model) -> bool:
    """Drop shapes that are not static, so that they are inferred anew; whether there were any."""
    found = False
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if value.shape is None or not value.shape.is_static():
                value.shape, found = None, True
    return found
