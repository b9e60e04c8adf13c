"""Cases of int8: a variant is spliced in floats as ever, and quantised then; its host is calibrated once a size.

The host's tensors have the ranges that they have without any module, so that a variant and its baseline differ by the
module alone; what the module adds is calibrated in the variant. What the runtime makes of a Q/DQ graph is not what it says,
to the last bit: its kernels round elsewhere. It may stray from it as far as a whole step in every element would take it,
``A_STEP`` times as far as int8 itself strays from the float graph, or the case fails.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from attnbench.core.errors import CaseFailure
from attnbench.core.metrics import NOT_OF, measurement
from attnbench.core.naming import inserted_site, is_inserted
from attnbench.core.records import INT8, Case, Measurement
from attnbench.graph.quantise import Ranges, calibrate, noise, quantise, samples_in, signal_to_noise, strays
from attnbench.measure.machine import machine
from attnbench.runtimes import OptimisedNode

A_STEP = math.sqrt(12)
"""A whole step over the root mean square of what rounding to steps errs by, which is evenly spread over one. No module
comes near it by itself: ``benchmarks/calibration/parity_int8.py``."""

VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")
"""Instruction sets of x86 that add products of 8 bits without overflow."""

CONVERTERS = ("QuantizeLinear", "DequantizeLinear")
INTEGER_SUMS = ("ConvInteger", "MatMulInteger")
TO_FLOATS = ("DequantizeLinear", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
"""What computes on integers, or converts, and gives floats."""

CARRIERS = frozenset(
    "Reshape Transpose Squeeze Unsqueeze Flatten Slice Split Gather Concat MaxPool Resize Upsample Pad Expand Tile "
    "DepthToSpace SpaceToDepth Identity".split()
)
"""Ops that the runtime runs on integers or floats, whichever come."""


def reduces_range() -> bool:
    """Whether weights get 7 bits here."""
    found = machine()
    return found["architecture"] in ("x86_64", "AMD64") and not {*found["kernel_flags"]} & {*VNNI}


@dataclass
class Quantiser:
    """Quantises the graphs of a sweep, and keeps the ranges of each host and size, and of each case's own tensors."""

    seed: int
    calibration: str
    ranges: dict[Case, Ranges] = field(default_factory=dict)
    images: dict[Case, list[np.ndarray]] = field(default_factory=dict)
    reduce_range: bool = field(default_factory=reduces_range)

    def quantise(self, floats: Path, result: Path, cases: Sequence[Case], graph: Callable[[Case], bytes]) -> None:
        """Write a float graph of some cases in int8, each in the ranges that it has alone. Raises ``CaseFailure``.

        ``graph`` gives the float graph of a case by itself, with its weights beside where ``floats`` has them.
        """
        needed = cases[0].baseline, *cases
        for case in needed:
            if case not in self.ranges:
                alone = floats.with_suffix(".alone.onnx")
                alone.write_bytes(graph(case))
                if case.is_baseline:
                    self.images[case] = self._images(alone)
                self.ranges[case] = calibrate(alone, self.images[needed[0]])
                alone.unlink()
        ranges = {tensor: seen for case in reversed(needed) for tensor, seen in self.ranges[case].items()}
        quantise(floats, result, ranges, reduce_range=self.reduce_range)

    def figures(
        self, model: Path, floats: Path, case: Case, nodes: Sequence[OptimisedNode], graph: ir.Model
    ) -> Iterator[Measurement]:
        """What int8 makes of a case: what stayed float, what is converted, and how far it strays. Raises ``CaseFailure``.

        ``nodes`` are the runtime's graph, ``graph`` is the float one.
        """
        image = self.images[case.baseline][0]
        runtime, itself = strays(model, image, floats=floats)
        if not runtime <= A_STEP * itself:
            raise CaseFailure(
                "parity",
                f"the runtime's optimised graph strays from the Q/DQ graph by {runtime:.2g} of the output, "
                f"and int8 from the float graph by {itself:.2g}",
            )
        yield measurement("int8_parity_error", runtime)
        yield measurement("int8_parity_tolerance", A_STEP * itself)
        if nodes:
            left = floats_among(nodes)
            yield measurement("int8_float_ops", len(left), note=_named(left))
            yield measurement("int8_conversions", sum(_op(node) in CONVERTERS for node in nodes))
        held = sum(_bytes(tensor) for tensor in onnx.load(str(model)).graph.initializer)
        yield measurement("weights", held)
        if self.calibration and (given := _module_outputs(graph)):
            yield measurement("sqnr", signal_to_noise(model, floats, self.images[case.baseline], given))

    def notes(self) -> Iterator[str]:
        """How this machine's int8 came about."""
        if not self.calibration:
            yield "int8 ranges from seeded noise: what it costs is told, and nothing of what it loses"
        if self.reduce_range:
            yield "weights of 7 bits, because this CPU has no VNNI (reduce_range)"

    def _images(self, baseline: Path) -> list[np.ndarray]:
        value = onnx.load(str(baseline), load_external_data=False).graph.input[0]
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        return samples_in(Path(self.calibration), shape) if self.calibration else noise(shape, self.seed)


def of_int8(floats: Iterable[Measurement], own: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """The measurements of an int8 case: the counts of the float graph, and its own; bytes of float tensors are not its."""
    kept = {m.metric: m for m in floats if m.metric not in NOT_OF[INT8]}
    return tuple({**kept, **{m.metric: m for m in own}}.values())


def floats_among(nodes: Iterable[OptimisedNode]) -> list[OptimisedNode]:
    """The nodes of the runtime's graph that compute on floats, converters aside. A carrier does where it reads floats."""
    whole: set[str] = set()
    found = []
    for node in nodes:
        op = _op(node)
        if op in TO_FLOATS:
            continue
        quantised = op.startswith(("QLinear", "QGemm", "QuantizeLinear")) or op in ("NhwcMaxPool", *INTEGER_SUMS)
        if quantised or (op in CARRIERS and node.reads and set(node.reads) <= whole):
            whole.update(node.writes)
        elif op not in ("Shape", "Size", "Constant", "ConstantOfShape"):
            found.append(node)
    return found


def _op(node: OptimisedNode) -> str:
    return node.kind.partition(" ")[0]


def _named(nodes: Sequence[OptimisedNode]) -> str:
    """The ops that stayed float with how many each, those of modules first."""
    own = Counter(_op(node) for node in nodes if is_inserted(node.name))
    rest = Counter(_op(node) for node in nodes if not is_inserted(node.name))
    told = [", ".join(f"{number} {op}" for op, number in one.most_common()) for one in (own, rest)]
    parts = [text for text in (told[0] and f"of modules: {told[0]}", told[1] and f"of the host: {told[1]}") if text]
    return "; ".join(parts)


def _bytes(tensor: onnx.TensorProto) -> int:
    return len(onnx.numpy_helper.to_array(tensor).tobytes())


def _module_outputs(model: ir.Model) -> list[str]:
    """The tensors that modules hand on to the host."""
    found = []
    for node in model.graph:
        site = inserted_site(node.name or "")
        for value in node.outputs if site else ():
            leaves = value.is_graph_output() or any(inserted_site(use.node.name or "") != site for use in value.uses())
            found += [str(value.name)] if leaves else []
    return found
