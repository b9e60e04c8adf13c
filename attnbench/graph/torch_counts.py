"""Parameters and MACs of a torch module, by fvcore with handles of our own, and the cross-check with the ONNX graph.

Out of the box fvcore adds pooling and normalisation elements to multiply-accumulates, and passes over element-wise ops and
fused attention in silence. Here each handle says which of the two it counts, and an op without a handle is named. A module
is traced once: what fvcore answers by default is counted beside.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis, jit_handles
from fvcore.nn.flop_count import _DEFAULT_SUPPORTED_OPS as FVCORE_HANDLES
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attnbench.graph.cost import einsum_macs
from attnbench.graph.part import TorchCounts

MACS, ELEMENTS, DEFAULT, CALLS = "macs", "elements", "default", "calls"

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
STEPS = {"softmax": 5, "grid_sampler": 4, "upsample_bilinear2d": 4}
"""Element operations for each element written: max, subtract, exp, sum, divide; the four neighbours of a sampled point."""
MOVES = (
    "alias cat chunk clone constant_pad_nd contiguous detach expand expand_as flatten flip gather index index_select narrow "
    "new_zeros pad pixel_shuffle reflection_pad2d repeat reshape roll select slice split split_with_sizes squeeze stack t "
    "to transpose unbind unsqueeze upsample_nearest2d view feature_dropout dropout permute zeros ones eye zeros_like size"
).split()


@dataclass(frozen=True)
class CountStep:
    """One op of a module as it was traced: where, on which shapes, and what it comes to. Equal ops of a layer are one.

    ``calls`` is how many they are, ``default`` what fvcore adds for them without handles of ours.
    """

    path: str
    op: str
    inputs: str
    output: str
    macs: int
    elements: int
    calls: int = 1
    default: int = 0


@dataclass(frozen=True)
class Trace:
    """A module traced: its counts, and how they come about in the order of its layers."""

    counts: TorchCounts
    steps: tuple[CountStep, ...]


def parameters_of(module: nn.Module) -> int:
    """Number of parameters; a shared one counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_torch(module: nn.Module, shape: tuple[int, ...]) -> TorchCounts:
    """Count a module by tracing it once on zeros of this shape; it runs for real, so its tensors must fit in memory."""
    return _counts(module, _traced(module, shape))


def trace(module: nn.Module, shape: tuple[int, ...]) -> Trace:
    """Count a module and keep each step, op by op."""
    analysis = _traced(module, shape)
    return Trace(_counts(module, analysis), tuple(_steps(module, analysis)))


def _counts(module: nn.Module, analysis: FlopCountAnalysis) -> TorchCounts:
    unknown = tuple(sorted(op.removeprefix("aten::") for op in analysis.unsupported_ops()))
    totals: Mapping[str, Any] = analysis.by_operator()
    return TorchCounts(
        parameters_of(module), int(sum(n for key, n in totals.items() if key.startswith(f"{MACS}|"))), unknown
    )


def _steps(module: nn.Module, analysis: FlopCountAnalysis) -> Iterator[CountStep]:
    by_module = analysis.by_module_and_operator()
    for path, counted in by_module.items():
        own = Counter(counted)
        for child, _ in module.get_submodule(path).named_children():
            own.subtract(by_module.get(f"{path}.{child}" if path else child, {}))
        found: dict[str, dict[str, int]] = {}
        for label, number in own.items():
            kind, _, rest = label.partition("|")
            found.setdefault(rest, {})[kind] = int(number)
        for rest, numbers in found.items():
            macs, elements, default = (numbers.get(kind, 0) for kind in (MACS, ELEMENTS, DEFAULT))
            if macs or elements or default:
                op, inputs, output = rest.split("|")
                yield CountStep(path, op, inputs, output, macs, elements, numbers[CALLS], default)


class _Written(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of what ops write, each tensor's memory once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **kwargs or {})
        read = {_memory(a) for a in tree_leaves(args) if isinstance(a, torch.Tensor)}
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor) and _memory(tensor) not in read:
                self.size += tensor.untyped_storage().nbytes()
        return found


def _memory(tensor: torch.Tensor) -> int:
    """What a tensor shares with its views."""
    return tensor.untyped_storage()._cdata  # noqa: SLF001  on meta, nothing has an address


def bytes_written(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Bytes of all that a module on the device ``meta`` writes for zeros of this shape; a trace keeps that much memory."""
    with torch.no_grad(), torch.device("meta"), _Written() as written:
        module.eval()(torch.zeros(shape))
    return written.size


def _traced(module: nn.Module, shape: tuple[int, ...]) -> FlopCountAnalysis:
    """The module's analysis, run once and kept."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the fused kernel hides its matrix products
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    try:
        with torch.no_grad():
            analysis = FlopCountAnalysis(module.eval(), torch.zeros(shape)).set_op_handle(**_handles())
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
            analysis.by_operator()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return analysis


def _handles() -> dict[str, Handle]:
    handles: dict[str, Handle] = {}
    for op, count in (
        ("_convolution", jit_handles.conv_flop_jit),
        ("addmm", jit_handles.addmm_flop_jit),
        ("linear", jit_handles.linear_flop_jit),
        ("matmul", _matmul),
        ("mm", _matmul),
        ("bmm", _matmul),
        ("einsum", _einsum),
        ("scaled_dot_product_attention", _attention),
    ):
        handles[f"aten::{op}"] = _as(MACS, op, count)
    handles |= {f"aten::{op}": _as(ELEMENTS, op, _written) for op in (*ELEMENTWISE, *WINDOWS)}
    handles |= {f"aten::{op}": _as(ELEMENTS, op, _read) for op in READS_INPUT}
    for op, steps in STEPS.items():
        handles[f"aten::{op}"] = _as(ELEMENTS, op, partial(_in_steps, steps))
    handles |= {f"aten::{op}": _as(ELEMENTS, op, lambda _inputs, _outputs: 0) for op in MOVES}
    return handles


def _as(kind: str, op: str, count_op: Callable[[Sequence[Any], Sequence[Any]], Any]) -> Handle:
    """A handle whose counts carry their own derivation for a key: kind, op, shapes read, shape written."""
    plain = FVCORE_HANDLES.get(f"aten::{op}")

    def handle(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
        rest = f"{op.strip('_')}|{' '.join(filter(None, map(_shape_text, _flat(inputs))))}|{_shape_text(outputs[0])}"
        counted = Counter({f"{kind}|{rest}": _number(count_op(inputs, outputs)), f"{CALLS}|{rest}": 1})
        if plain is not None:
            with suppress(AssertionError, IndexError, NotImplementedError):  # shapes that fvcore itself does not take
                counted[f"{DEFAULT}|{rest}"] = _number(plain(inputs, outputs))
        return counted

    return handle


def _number(counted: Any) -> int:
    return int(sum(counted.values()) if isinstance(counted, Counter) else counted)


def _flat(inputs: Sequence[Any]) -> Iterator[Any]:
    """The inputs of an op, with those in lists one by one."""
    for value in inputs:
        if value.node().kind() == "prim::ListConstruct":
            yield from value.node().inputs()
        else:
            yield value


def _shape(value: Any) -> list[int]:
    return jit_handles.get_shape(value) or []


def _shape_text(value: Any) -> str:
    return "x".join(map(str, _shape(value)))


def _einsum(inputs: Sequence[Any], _outputs: Sequence[Any]) -> int:
    return einsum_macs(inputs[0].toIValue(), [_shape(value) for value in inputs[1].node().inputs()])


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
