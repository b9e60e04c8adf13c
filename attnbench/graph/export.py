"""torch to ONNX, with the one exporter, opset and settings that a run records.

Rejected: the TorchScript exporter. It is deprecated, and graphs of two exporters must never meet in one comparison.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn
from torch._decomp import decomposition_table

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
        with _unwarned(), _tables_kept(), torch.no_grad():
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


def _adaptive_maxima(x: torch.Tensor, size: Sequence[int]) -> Any:
    """Adaptive max pooling and its places, by ops that torch exports: as torch 2.13 does it. torch 2.9 knows no way."""
    (high, over), (wide, beside) = (divmod(whole, part) for whole, part in zip(x.shape[-2:], size, strict=True))
    if tuple(size) == (1, 1):
        return x.amax((-2, -1), keepdim=True), x.flatten(-2).argmax(-1)[..., None, None]
    return NotImplemented if over or beside else torch.ops.aten.max_pool2d_with_indices(x, [high, wide])


decomposition_table.setdefault(torch.ops.aten.adaptive_max_pool2d.default, _adaptive_maxima)


@contextmanager
def _unwarned() -> Iterator[None]:
    with warnings.catch_warnings(), quiet(logging.ERROR, "torch.onnx", "torch.onnx._internal.exporter._registration"):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _tables_kept() -> Iterator[None]:
    """Have the exporter make its tables of ops once a process: anew for each module, they are two thirds of its time.

    The tables are torch's own and no export changes them. A torch that keeps them elsewhere is slower, and that is all.
    """
    tables = [(owner, name, owner.__dict__[name], kept) for owner, name, kept in _tables()]
    for owner, name, _, kept in tables:
        setattr(owner, name, kept)
    try:
        yield
    finally:
        for owner, name, plain, _ in tables:
            setattr(owner, name, plain)


@cache
def _tables() -> tuple[tuple[Any, str, Any], ...]:
    """What reads or makes a table of ops, as owner and name, with a version of it that remembers."""
    try:
        from torch.export import exported_program  # noqa: PLC0415  they may go away
        from torch.onnx._internal.exporter import _decomp  # noqa: PLC0415
        from torch.onnx._internal.exporter._registration import ONNXRegistry  # noqa: PLC0415

        composites = exported_program._collect_all_valid_cia_ops  # type: ignore[attr-defined]  # noqa: SLF001
        made = _decomp.create_onnx_friendly_decomposition_table
        registry = staticmethod(cache(ONNXRegistry.from_torchlib))
    except (ImportError, AttributeError):
        return ()
    composites_of = cache(lambda _ops: composites())
    made_for = cache(lambda _ops, known: made(set(known)))
    return (
        (ONNXRegistry, "from_torchlib", registry),
        (exported_program, "_collect_all_valid_cia_ops", lambda: composites_of(_composites())),
        (_decomp, "create_onnx_friendly_decomposition_table", lambda known: dict(made_for(_composites(), frozenset(known)))),
    )


def _composites() -> tuple[str, ...]:
    """The ops that torch knows to be made of others: a module of the user's may register more between two exports."""
    return tuple(torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd"))  # noqa: SLF001


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
