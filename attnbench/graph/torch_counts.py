"""Parameters and MACs of a torch module, by fvcore with handles of our own, and the cross-check with the ONNX graph.

Out of the box fvcore adds pooling and normalisation elements to multiply-accumulates, and passes over element-wise ops and
fused attention in silence. Here each handle says which of the two it counts, and an op without a handle is named.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis, jit_handles
from torch import nn

from attnbench.graph.part import TorchCounts

MACS, ELEMENTS = "macs", "elements"

Handle = Callable[[Sequence[Any], Sequence[Any]], Counter[str]]

ELEMENTWISE = (
    "abs add add_ batch_norm celu clamp clamp_ clamp_min cos div div_ elu elu_ erf exp floor floor_divide gelu "
    "hardsigmoid hardswish hardtanh hardtanh_ leaky_relu log maximum minimum mish mul mul_ neg pow prelu reciprocal relu "
    "relu_ relu6 rsqrt rsub selu sigmoid sigmoid_ sign silu silu_ sin softplus sqrt square sub sub_ tan tanh where"
).split()
READS_INPUT = (
    "adaptive_avg_pool2d adaptive_max_pool2d adaptive_avg_pool1d adaptive_max_pool1d amax amin argmax cumsum group_norm "
    "instance_norm layer_norm linalg_vector_norm max mean min norm std sum var"
).split()
WINDOWS = ("avg_pool2d", "max_pool2d")
STEPS = {"softmax": 5, "grid_sampler": 4}
"""Element operations for each element written: max, subtract, exp, sum, divide; the four neighbours of a sampled point."""
MOVES = (
    "alias cat chunk clone constant_pad_nd contiguous detach expand expand_as flatten flip gather index index_select narrow "
    "new_zeros pad pixel_shuffle reflection_pad2d repeat reshape roll select slice split split_with_sizes squeeze stack t "
    "to transpose unbind unsqueeze upsample_nearest2d view feature_dropout dropout permute zeros ones eye zeros_like size"
).split()


@dataclass(frozen=True)
class CountStep:
    """One op of a module as it was traced: where, on which shapes, and what it comes to. Equal ops of a layer are one."""

    path: str
    op: str
    inputs: str
    output: str
    macs: int
    elements: int


def parameters_of(module: nn.Module) -> int:
    """Number of parameters; a shared one counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_torch(module: nn.Module, shape: tuple[int, ...]) -> TorchCounts:
    """Count a module by tracing it once on zeros of this shape; it runs for real, so its tensors must fit in memory."""
    analysis = _traced(module, shape, _handles())
    unknown = tuple(sorted(op.removeprefix("aten::") for op in analysis.unsupported_ops()))
    return TorchCounts(parameters_of(module), _sum(analysis.by_operator(), MACS), unknown)


def derivation(module: nn.Module, shape: tuple[int, ...]) -> list[CountStep]:
    """How a module's MACs and element operations come about, op by op, in the order of its layers."""
    by_module = _traced(module, shape, _handles()).by_module_and_operator()
    steps = []
    for path, counted in by_module.items():
        own = Counter(counted)
        for child, _ in module.get_submodule(path).named_children():
            own.subtract(by_module.get(f"{path}.{child}" if path else child, {}))
        for label, number in own.items():
            if number:
                kind, op, inputs, output = label.split("|")
                macs, elements = (number, 0) if kind == MACS else (0, number)
                steps.append(CountStep(path, op, inputs, output, macs, elements))
    return steps


def fvcore_default(module: nn.Module, shape: tuple[int, ...]) -> int:
    """What fvcore answers without any handles of ours: MACs, and elements of norms and adaptive pooling among them."""
    return int(sum(_traced(module, shape, {}).by_operator().values()))


def _traced(module: nn.Module, shape: tuple[int, ...], handles: dict[str, Handle]) -> FlopCountAnalysis:
    """The module's analysis, run once and kept."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the fused kernel hides its matrix products
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    try:
        with torch.no_grad():
            analysis = FlopCountAnalysis(module.eval(), torch.zeros(shape)).set_op_handle(**handles)
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
            analysis.by_operator()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return analysis


def _sum(totals: Mapping[str, Any], kind: str) -> int:
    return int(sum(number for label, number in totals.items() if label.startswith(f"{kind}|")))


def _handles() -> dict[str, Handle]:
    handles: dict[str, Handle] = {}
    for op, count in (
        ("_convolution", jit_handles.conv_flop_jit),
        ("addmm", jit_handles.addmm_flop_jit),
        ("linear", jit_handles.linear_flop_jit),
        ("matmul", _matmul),
        ("mm", _matmul),
        ("bmm", _matmul),
        ("einsum", jit_handles.einsum_flop_jit),
        ("scaled_dot_product_attention", _attention),
    ):
        handles[f"aten::{op}"] = _as(MACS, op, count)
    handles |= {f"aten::{op}": _as(ELEMENTS, op, _written) for op in (*ELEMENTWISE, *WINDOWS)}
    handles |= {f"aten::{op}": _as(ELEMENTS, op, _read) for op in READS_INPUT}
    for op, steps in STEPS.items():
        handles[f"aten::{op}"] = _as(ELEMENTS, op, partial(_in_steps, steps))
    handles |= {f"aten::{op}": _as(ELEMENTS, op, lambda _inputs, _outputs: 0) for op in MOVES}
    return handles


def _as(kind: str, op: str, count: Callable[[Sequence[Any], Sequence[Any]], Any]) -> Handle:
    """A handle whose count carries its own derivation for a key: kind, op, shapes read, shape written."""

    def handle(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
        counted = count(inputs, outputs)
        read = " ".join(filter(None, map(_shape_text, inputs)))
        label = f"{kind}|{op.strip('_')}|{read}|{_shape_text(outputs[0])}"
        return Counter({label: int(sum(counted.values()) if isinstance(counted, Counter) else counted)})

    return handle


def _shape(value: Any) -> list[int]:
    return jit_handles.get_shape(value) or []


def _shape_text(value: Any) -> str:
    return "x".join(map(str, _shape(value)))


def _written(_inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    shape = _shape(outputs[0])
    return prod(shape) if shape else 0  # numbers of the tracer's own shape arithmetic have no shape


def _in_steps(steps: int, inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return steps * _written(inputs, outputs)


def _read(inputs: Sequence[Any], _outputs: Sequence[Any]) -> int:
    return prod(_shape(inputs[0]))


def _matmul(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return prod(_shape(outputs[0])) * _shape(inputs[0])[-1]


def _attention(inputs: Sequence[Any], _outputs: Sequence[Any]) -> int:
    query, key, value = (_shape(value) for value in inputs[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
