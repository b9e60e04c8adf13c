"""Parameters and MACs of a torch module, by fvcore with handles of our own, and the cross-check with the ONNX graph.

Out of the box fvcore adds pooling and normalisation elements to multiply-accumulates, and passes over element-wise ops and
fused attention in silence. Here each handle says which of the two it counts, and an op without a handle is named. A module
is traced once: what fvcore answers by default is counted beside.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis, jit_handles
from fvcore.nn.flop_count import _DEFAULT_SUPPORTED_OPS as FVCORE_HANDLES
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from attnbench.graph.cost import einsum_macs
from attnbench.graph.part import TorchCounts

MACS, ELEMENTS, DEFAULT, CALLS = "macs", "elements", "default", "calls"

Handle = Callable[[Sequence[Any], Sequence[Any]], Counter[str]]
Count = Callable[[Sequence[Any], Sequence[Any]], Any]

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
    return trace(module, shape).counts


def trace(module: nn.Module, shape: tuple[int, ...], device: str = "cpu") -> Trace:
    """Count a module and keep each step, op by op. A module on ``meta`` has shapes alone: nothing is computed."""
    written = _Steps()
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the fused kernel hides its matrix products
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    try:
        with torch.no_grad(), _Shapes() if device == "meta" else nullcontext():  # type: ignore[no-untyped-call]
            analysis = FlopCountAnalysis(module.eval(), torch.zeros(shape, device=device)).set_op_handle(**written.handles())
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
            analysis.by_operator()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    unknown = tuple(sorted(op.removeprefix("aten::") for op in analysis.unsupported_ops()))
    steps = tuple(written.steps(module))
    return Trace(TorchCounts(parameters_of(module), sum(step.macs for step in steps), unknown), steps)


_UNARY = {getattr(torch.ops.aten, op).default for op in "gelu hardsigmoid hardswish hardtanh relu sigmoid silu".split()}


def _alike(one: Any, other: Any) -> bool:
    return isinstance(other, torch.Tensor) and (one.shape, one.dtype) == (other.shape, other.dtype)


_SHAPED = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
_SHAPED.impl("convolution_overrideable", torch.ops.aten.convolution.default, "Meta")  # type: ignore[no-untyped-call]
"""A convolution on ``meta`` has a shape: torch 2.9 hands it to this op, which has none there."""


class _Shapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What ops give on ``meta``. Has convolutions traced, whose short cut there passes the tracer by.

    Of the commonest ops that keep a shape it is given here: torch works it out in Python, for a millisecond each.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else its first use imports torch's compiler, for a second or two

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _UNARY or (func is torch.ops.aten.add.Tensor and _alike(*args)):
            return torch.empty_like(args[0])
        if func is torch.ops.aten.native_batch_norm.default:
            return torch.empty_like(args[0]), *args[3:5]
        if func is not torch.ops.aten.convolution.default:
            return func(*args, **kwargs or {})
        with torch._C._SetExcludeDispatchKeyGuard(torch._C._dispatch_key_parse("Tracer"), False):  # noqa: SLF001
            return torch.ops.aten._convolution.default(*args, False, False, True, True)  # noqa: SLF001


class _Steps:
    """What fvcore's walk over a traced graph comes by, added up for equal ops of a layer."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, str, str], Counter[str]] = {}

    def handles(self) -> dict[str, Handle]:
        """For fvcore: what takes each op that is counted down."""
        return {f"aten::{op}": partial(self._add, op, kind, count) for op, (kind, count) in COUNTED.items()}

    def _add(self, op: str, kind: str, count: Count, inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
        path = outputs[0].node().scopeName().rpartition("/")[2]
        shapes = " ".join(filter(None, map(_shape_text, _flat(inputs))))
        own = self.found.setdefault((path, op.strip("_"), shapes, _shape_text(outputs[0])), Counter())
        own[CALLS] += 1
        own[kind] += _number(count(inputs, outputs))
        if plain := FVCORE_HANDLES.get(f"aten::{op}"):
            with suppress(AssertionError, IndexError, NotImplementedError):  # shapes that fvcore itself does not take
                own[DEFAULT] += _number(plain(inputs, outputs))
        return Counter()

    def steps(self, module: nn.Module) -> Iterator[CountStep]:
        """Each op that comes to something, in the order of the layers."""
        places = {path: place for place, (path, _) in enumerate(module.named_modules())}
        for key, own in sorted(self.found.items(), key=lambda one: places[one[0][0]]):
            if own[MACS] or own[ELEMENTS] or own[DEFAULT]:
                yield CountStep(*key, own[MACS], own[ELEMENTS], own[CALLS], own[DEFAULT])


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


def _nothing(_inputs: Sequence[Any], _outputs: Sequence[Any]) -> int:
    return 0


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


COUNTED: Mapping[str, tuple[str, Count]] = {
    "_convolution": (MACS, jit_handles.conv_flop_jit),
    "addmm": (MACS, jit_handles.addmm_flop_jit),
    "linear": (MACS, jit_handles.linear_flop_jit),
    "matmul": (MACS, _matmul),
    "mm": (MACS, _matmul),
    "bmm": (MACS, _matmul),
    "einsum": (MACS, _einsum),
    "scaled_dot_product_attention": (MACS, _attention),
    **dict.fromkeys((*ELEMENTWISE, *WINDOWS), (ELEMENTS, _written)),
    **dict.fromkeys(READS_INPUT, (ELEMENTS, _read)),
    **{op: (ELEMENTS, partial(_in_steps, steps)) for op, steps in STEPS.items()},
    **dict.fromkeys(MOVES, (ELEMENTS, _nothing)),
}
"""Each op with what it is counted as, and how."""
