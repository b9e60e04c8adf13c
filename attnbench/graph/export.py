"""torch to ONNX, with the one exporter, opset and settings that a run records.

Rejected: the TorchScript exporter. It is deprecated, and graphs of two exporters must never meet in one comparison.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from attnbench.core.errors import CaseFailure
from attnbench.core.users import told
from attnbench.graph import OPSET
from attnbench.graph.canonicalise import canonicalise
from attnbench.graph.load import serialise
from attnbench.graph.quiet import quiet


def to_onnx(module: nn.Module, shape: tuple[int, ...], *, canonical: bool, opset: int = OPSET) -> bytes:
    """The module as serialised ONNX for one float input of this shape, in evaluation mode.

    Shapes are static; nothing is run, so that graphs whose tensors no memory could hold are exported all the same.
    Raises ``CaseFailure`` at stage ``export`` with the exporter's reason.
    """
    try:
        with _unwarned(), _one_registry(), torch.no_grad():
            program = torch.onnx.export(
                module.eval(), (torch.empty(shape),), dynamo=True, opset_version=opset, verbose=False
            )
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the exporter wraps whatever the module raises in one of several types
        raise CaseFailure("export", told(_cause(error))) from error
    if program is None:
        raise CaseFailure("export", "the exporter returned nothing")
    model = program.model
    model.graph.name = type(module).__name__
    for node in model.graph:
        node.metadata_props.clear()
    for value in (v for node in model.graph for v in node.outputs):
        value.metadata_props.clear()
    return serialise(canonicalise(model) if canonical else model)


@contextmanager
def _unwarned() -> Iterator[None]:
    with warnings.catch_warnings(), quiet(logging.ERROR, "torch.onnx", "torch.onnx._internal.exporter._registration"):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _one_registry() -> Iterator[None]:
    """Have the exporter read its table of ops once a process and opset: anew for each module, that is half of its time.

    The table is torch's own and no export changes it. A torch that keeps it elsewhere is slower, and that is all.
    """
    registry = _registry()
    if registry is None:
        yield
    else:
        owner, plain, kept = registry
        owner.from_torchlib = kept
        try:
            yield
        finally:
            owner.from_torchlib = plain


@cache
def _registry() -> tuple[Any, Any, Any] | None:
    """The exporter's registry of ops, its reader, and one that remembers what it read."""
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry  # noqa: PLC0415  it may go away
    except ImportError:
        return None
    return ONNXRegistry, ONNXRegistry.__dict__["from_torchlib"], staticmethod(cache(ONNXRegistry.from_torchlib))


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
