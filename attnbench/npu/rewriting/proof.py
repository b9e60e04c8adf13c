"""Whether two graphs compute the same: ONNX Runtime runs both on random inputs.

The runtime optimises neither graph, so that it is the graphs that are compared. A rewrite by itself must agree to 1e-5 of an
output's largest element. A single float32 operation is off by 6e-8 at most, and a sum of n terms in another order typically
by some sqrt(n) of these, 1e-5 for n = 25000, the longest sums of classifier heads; what is left over of a wrong weight, a
wrong axis or a wrong constant is larger by orders of magnitude.

A whole model may multiply what its roundings are off by, and no fixed bound tells that from a mistake. So its own noise is
measured: how much its outputs move if the runtime optimises it, which only orders sums otherwise, and if its inputs move by
the rounding of a float32. The rewritten model may differ by as much as a few times that.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from attnbench.core.errors import AttnbenchError
from attnbench.graph.load import first_line, serialise, static_shape

BOUND = 1e-5
"""Of the largest element of an output."""

NOISES = 4.0
"""How many times its own noise a whole model may be off: the largest of many roundings is some times another such."""

MOST_NOISE = 1e-2
"""A model that is noisier than this on all inputs cannot be compared."""

KINDS = {"noise": 1.0, "other noise": 1.0, "noise times 10": 10.0, "zeros": 0.0}
"""What goes in: a scale for each seed."""

Feeds = Mapping[str, np.ndarray]


class Unproven(AttnbenchError):
    """A rewrite that could not be shown to change nothing: nothing may be written."""

    exit_code = 1


def compare(before: bytes, after: bytes, inputs: Mapping[str, Sequence[int]], what: str) -> float:
    """The largest error of any output on any input, as a share of the output's scale. Raises ``Unproven`` beyond the bound.

    NaN and infinities must stand in the same places. Outputs that are not float must be equal.
    """
    return _compare(_session(before, f"{what}: before"), after, inputs, what, {})


def compare_whole(before: bytes, after: bytes, inputs: Mapping[str, Sequence[int]]) -> float:
    """The same for a whole model, with its own noise in place of the bound where that is more."""
    what = "the whole graph"
    first = _session(before, f"{what}: before")
    return _compare(first, after, inputs, what, _bounds(first, _session(before, what, optimised=True), inputs))


def _compare(
    first: Any, after: bytes, inputs: Mapping[str, Sequence[int]], what: str, bounds: Mapping[tuple[str, str], float]
) -> float:
    second = _session(after, f"{what}: after")
    worst = 0.0
    scales: dict[str, float] = {}
    for kind, feeds in _feeds(inputs):
        given = zip(_run(first, feeds, f"{what}: before"), _run(second, feeds, f"{what}: after"), strict=True)
        for output, (old, new) in zip(first.get_outputs(), given, strict=True):
            where = f"{what}: output '{output.name}' on {kind}"
            scales[output.name] = _largest(old) or scales.get(output.name, 0.0)
            bound = bounds.get((kind, output.name), BOUND)
            error = _error(old, new, scales[output.name], where, bound)
            worst = max(worst, error if bound <= MOST_NOISE else 0.0)
    return worst


def _bounds(plain: Any, optimised: Any, inputs: Mapping[str, Sequence[int]]) -> dict[tuple[str, str], float]:
    """How far off each output may be on each kind of input: the bound, or some times what it moves by itself."""
    what = "the whole graph: before"
    names = [output.name for output in plain.get_outputs()]
    step = np.finfo(np.float32).eps / 2
    noise: dict[tuple[str, str], float] = {}
    for kind, feeds in _feeds(inputs):
        moved = {name: array + array * np.float32(step) * _signs(array) for name, array in feeds.items()}
        once, others = _run(plain, feeds, what), (_run(optimised, feeds, what), _run(plain, moved, what))
        noise |= {
            (kind, name): max(_distance(old, new[i]) for new in others)
            for i, (name, old) in enumerate(zip(names, once, strict=True))
        }
    for name in names:
        if (least := min(noise[kind, name] for kind in KINDS)) > MOST_NOISE:
            raise Unproven(
                f"{what}: output '{name}' moves by {least:.2g} of its scale by rounding alone: it cannot be compared"
            )
    return {key: max(BOUND, NOISES * seen) for key, seen in noise.items()}


def _signs(array: np.ndarray) -> np.ndarray:
    return np.where(np.arange(array.size).reshape(array.shape) % 3, 2, -2).astype(np.float32)


def _distance(old: np.ndarray, new: np.ndarray) -> float:
    """The largest difference between finite elements, as a share of the largest of them."""
    if not np.issubdtype(old.dtype, np.floating) or old.shape != new.shape:
        return 0.0
    finite, scale = np.isfinite(old) & np.isfinite(new), _largest(old)
    return float(np.max(np.abs(old[finite].astype(np.float64) - new[finite]), initial=0)) / scale if scale else 0.0


def _feeds(inputs: Mapping[str, Sequence[int]]) -> Iterable[tuple[str, dict[str, np.ndarray]]]:
    for seed, (kind, scale) in enumerate(KINDS.items()):
        draw = np.random.default_rng(seed).standard_normal
        yield kind, {name: np.float32(scale) * draw(tuple(shape), np.float32) for name, shape in inputs.items()}


def excerpt(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> tuple[bytes, dict[str, tuple[int, ...]]]:
    """The part of a model between some tensors as a model of its own, and the shapes of what goes in."""
    graph = ir.convenience.extract(model.graph, inputs, outputs)
    part = ir.Model(graph, ir_version=model.ir_version, functions=tuple(model.functions.values()))
    return serialise(part), {str(value.name): static_shape(value) for value in graph.inputs}


def _session(graph: bytes, what: str, *, optimised: bool = False) -> Any:
    import onnxruntime as ort  # noqa: PLC0415  only a proof runs anything

    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises types of its own, none public
        raise Unproven(f"{what}: ONNX Runtime does not take the graph: {first_line(error)}") from error


def _run(session: Any, feeds: Feeds, what: str) -> list[np.ndarray]:
    try:
        return [np.asarray(array) for array in session.run(None, dict(feeds))]
    except Exception as error:
        raise Unproven(f"{what}: ONNX Runtime does not run it: {first_line(error)}") from error


def _largest(array: np.ndarray) -> float:
    if not np.issubdtype(array.dtype, np.floating):
        return 0.0
    return float(np.max(np.abs(array), where=np.isfinite(array), initial=0))


def _error(old: np.ndarray, new: np.ndarray, scale: float, where: str, bound: float) -> float:
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
    if not error <= bound:
        raise Unproven(f"{where}: differs by {error:.2g} of its scale, more than {bound:.2g}: nothing written")
    return error
