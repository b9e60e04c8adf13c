"""Whether two graphs compute the same: ONNX Runtime runs both on random inputs.

The runtime optimises neither graph, so that it is the graphs that are compared. The bound is 1e-5 of an output's largest
element. A single float32 operation is off by 6e-8 at most, and a sum of n terms in another order typically by some sqrt(n)
of these, 1e-5 for n = 25000, the longest sums of classifier heads; what is left over of a wrong weight, a wrong axis or a
wrong constant is larger by orders of magnitude.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from attnbench.core.errors import AttnbenchError
from attnbench.graph.load import first_line, serialise, static_shape

BOUND = 1e-5
"""Of the largest element of an output."""

KINDS = {"noise": 1.0, "other noise": 1.0, "noise times 10": 10.0, "zeros": 0.0}
"""What goes in: a scale for each seed."""


class Unproven(AttnbenchError):
    """A rewrite that could not be shown to change nothing: nothing may be written."""

    exit_code = 1


def compare(before: bytes, after: bytes, inputs: Mapping[str, Sequence[int]], what: str) -> float:
    """The largest error of any output on any input, as a share of the output's scale. Raises ``Unproven`` beyond the bound.

    NaN and infinities must stand in the same places. Outputs that are not float must be equal.
    """
    first, second = _session(before, f"{what}: before"), _session(after, f"{what}: after")
    worst = 0.0
    scales: dict[str, float] = {}
    for seed, (kind, scale) in enumerate(KINDS.items()):
        draw = np.random.default_rng(seed).standard_normal
        feeds = {name: np.float32(scale) * draw(tuple(shape), np.float32) for name, shape in inputs.items()}
        given = zip(_run(first, feeds, f"{what}: before"), _run(second, feeds, f"{what}: after"), strict=True)
        for output, (old, new) in zip(first.get_outputs(), given, strict=True):
            where = f"{what}: output '{output.name}' on {kind}"
            scales[output.name] = _largest(old) or scales.get(output.name, 0.0)
            worst = max(worst, _error(old, new, scales[output.name], where))
    return worst


def excerpt(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> tuple[bytes, dict[str, tuple[int, ...]]]:
    """The part of a model between some tensors as a model of its own, and the shapes of what goes in."""
    graph = ir.convenience.extract(model.graph, inputs, outputs)
    part = ir.Model(graph, ir_version=model.ir_version, functions=tuple(model.functions.values()))
    return serialise(part), {str(value.name): static_shape(value) for value in graph.inputs}


def _session(graph: bytes, what: str) -> Any:
    import onnxruntime as ort  # noqa: PLC0415  only a proof runs anything

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises types of its own, none public
        raise Unproven(f"{what}: ONNX Runtime does not take the graph: {first_line(error)}") from error


def _run(session: Any, feeds: Mapping[str, np.ndarray], what: str) -> list[np.ndarray]:
    try:
        return [np.asarray(array) for array in session.run(None, dict(feeds))]
    except Exception as error:
        raise Unproven(f"{what}: ONNX Runtime does not run it: {first_line(error)}") from error


def _largest(array: np.ndarray) -> float:
    if not np.issubdtype(array.dtype, np.floating):
        return 0.0
    return float(np.max(np.abs(array), where=np.isfinite(array), initial=0))


def _error(old: np.ndarray, new: np.ndarray, scale: float, where: str) -> float:
    if old.shape != new.shape or old.dtype != new.dtype:
        raise Unproven(f"{where}: was {old.dtype}{list(old.shape)}, is {new.dtype}{list(new.shape)}: nothing written")
    if not np.issubdtype(old.dtype, np.floating):
        if not np.array_equal(old, new):
            raise Unproven(f"{where}: {int(np.sum(old != new))} of {old.size} elements differ: nothing written")
        return 0.0
    finite = np.isfinite(old)
    if not np.array_equal(old[~finite], new[~finite], equal_nan=True) or not np.all(np.isfinite(new[finite])):
        raise Unproven(f"{where}: NaN or infinities are not where they were: nothing written")
    difference = float(np.max(np.abs(old[finite].astype(np.float64) - new[finite]), initial=0))
    error = difference / scale if scale else float("inf") if difference else 0.0
    if not error <= BOUND:
        raise Unproven(f"{where}: differs by {error:.2g} of its scale, more than {BOUND:g}: nothing written")
    return error
