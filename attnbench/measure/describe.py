"""Asks without a clock: what a case counts and what targets say of it, as a record; and what a module alone counts.

Graphs are built here as for a sweep, and kept across runs as those are (``cache``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx_ir as ir

from attnbench.core.errors import CaseFailure
from attnbench.core.grammar import parse_spec
from attnbench.core.protocol import Protocol
from attnbench.core.records import Case, Failure, Record
from attnbench.core.scratch import scratch
from attnbench.graph import OPSET
from attnbench.graph.load import parse
from attnbench.graph.part import TorchCounts
from attnbench.measure.build import CaseBuilder
from attnbench.modules import Plane, check_spec
from attnbench.npu.substitutes import Rewrites
from attnbench.study.plan import Plan, PlannedCase


@dataclass(frozen=True)
class Describer:
    """Describes cases and counts modules, with a folder for its graphs."""

    builder: CaseBuilder

    def records(self, plan: Plan) -> dict[Case, Record]:
        """Each case's counts, findings and checks; one that cannot be had has the reason."""
        return {planned.case: self._record(planned, plan.targets) for planned in plan.cases}

    def macs(self, module: str, channels: float, height: float, width: float) -> float:
        """The MACs of a module on one map of this shape."""
        counted = self._counts(module, channels, height, width).macs
        if counted is None:
            raise CaseFailure("count", f"{module} at {channels:g}x{height:g}x{width:g}: too large to trace")
        return counted

    def params(self, module: str, channels: float, height: float, width: float) -> float:
        """The parameters of a module for a map of this shape."""
        return self._counts(module, channels, height, width).params

    def _record(self, planned: PlannedCase, targets: tuple[str, ...]) -> Record:
        try:
            built = self.builder.describe(planned.case, planned.host, targets)
        except CaseFailure as failure:
            why = Failure(failure.stage, type(failure).__name__, failure.reason)
            return Record(planned.case, failure.status, failure=why)
        return Record(planned.case, "ok", built.measurements, built.findings, checks=built.checks)

    def _counts(self, module: str, *plane: float) -> TorchCounts:
        spec = parse_spec(module)
        check_spec(spec)
        return self.builder.module(spec, 1, Plane(*map(int, plane)), OPSET).counts or TorchCounts(0, None)


@contextmanager
def describing() -> Iterator[Describer]:
    """A describer for as long as its folder is there."""
    with scratch() as folder:
        yield Describer(CaseBuilder(Protocol(), folder))


def lone_module(text: str, channels: int, height: int, width: int) -> tuple[ir.Model, Rewrites]:
    """A module without a host, exported for a plane, and what computes the same. Raises ``CaseFailure``, ``InputError``."""
    spec, plane = parse_spec(text), Plane(channels, height, width)
    check_spec(spec)
    builder = CaseBuilder(Protocol(), Path())
    graph = parse(builder.module(spec, 1, plane, OPSET).graph)
    return graph, {("", ""): partial(builder.rewrites, spec, 1, plane, OPSET)}
