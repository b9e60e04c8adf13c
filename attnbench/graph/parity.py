"""Whether an exported graph computes what torch computes. No latency is given for a graph that does not."""

import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from attnbench.core.errors import CaseFailure
from attnbench.core.users import users_code
from attnbench.graph.part import Parity

RELATIVE_TOLERANCE = 1e-4
"""Of the largest output: single precision through some forty layers, summed in another order, differs by about 1e-5."""


def compare(module: nn.Module, graph: bytes, shape: tuple[int, ...], seed: int, what: str) -> Parity:
    """Run both on the same seeded noise; raises ``CaseFailure`` at stage ``parity`` beyond tolerance or on a NaN."""
    image = _noise(shape, seed)
    with torch.no_grad(), users_code(f"{what}: its forward", "parity"):
        expected = _tensors(module.eval()(image))
    return _hold(expected, _run(graph, image.numpy(), what), what)


def compare_graphs(original: bytes, rewritten: bytes, shape: tuple[int, ...], seed: int) -> Parity:
    """The same for a user's ONNX file and what opset conversion and the canonicalising pass made of it."""
    image = _noise(shape, seed).numpy()
    return _hold(_run(original, image, "host file"), _run(rewritten, image, "rewritten host"), "rewritten host")


def _noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _run(graph: bytes, image: np.ndarray, what: str) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: image})
    except Exception as error:  # onnxruntime raises types of its own, none public
        raise CaseFailure("parity", f"{what}: ONNX Runtime does not run it: {str(error).splitlines()[0]}") from error


def _hold(expected: list[np.ndarray], given: list[np.ndarray], what: str) -> Parity:
    if [e.shape for e in expected] != [g.shape for g in given]:
        raise CaseFailure("parity", f"{what}: torch gives {[e.shape for e in expected]}, ONNX {[g.shape for g in given]}")
    for who, outputs in (("torch", expected), ("ONNX Runtime", given)):
        if not all(np.isfinite(output).all() for output in outputs):
            raise CaseFailure("parity", f"{what}: what {who} gives on normal noise holds NaN or infinity")
    error = max(float(np.max(np.abs(e - g))) for e, g in zip(expected, given, strict=True))
    tolerance = RELATIVE_TOLERANCE * max(1.0, *(float(np.max(np.abs(e))) for e in expected))
    if not error <= tolerance:
        raise CaseFailure("parity", f"{what}: ONNX differs from torch by {error:.2g}, tolerance {tolerance:.2g}")
    return Parity(error, tolerance)


def _tensors(output: object) -> list[np.ndarray]:
    if isinstance(output, torch.Tensor):
        return [output.numpy()]
    values = output.values() if isinstance(output, dict) else output
    return [array for value in values for array in _tensors(value)]  # type: ignore[attr-defined]
