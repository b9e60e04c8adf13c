"""One case out of a sweep: its graph as a file of its own, or one profiled run of it, node by node."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from attnbench.measure.attribution import Profile, attribute
from attnbench.measure.bench import timing_job
from attnbench.measure.builder import Builder
from attnbench.measure.lock import measuring
from attnbench.measure.sweep import open_builders, preflight
from attnbench.measure.timing import time_in_process
from attnbench.study.plan import Plan, PlannedCase


class TracedNode(NamedTuple):
    """A node of one run, in executed order. ``part`` is ``host``, or the kind of its part in the overhead.

    ``inputs`` and ``outputs`` are its tensors' types and shapes, as text.
    """

    name: str
    op: str
    part: str
    seconds: float
    site: str = ""
    inputs: str = ""
    outputs: str = ""


def write_graph(plan: Plan, planned: PlannedCase, output: Path) -> None:
    """The graph that a sweep would time, with its weights inside. Raises ``CaseFailure``, ``InputError``."""
    from attnbench.graph.load import parse, with_weights  # noqa: PLC0415  onnx is not needed for a trace
    from attnbench.npu.rewriting.files import write_model  # noqa: PLC0415

    with _builder(plan) as builder:
        write_model(parse(with_weights(Path(builder.write([planned])))), output)


def traced(plan: Plan, planned: PlannedCase, waiting: Callable[[str], None]) -> list[TracedNode]:
    """One run of a case, the one of middle length, profiled as a sweep does it; ``waiting`` is told of another sweep.

    The baseline is profiled, too: what is not in its graph is the case's. Raises ``CaseFailure``, ``InputError``.
    """
    effort = planned.effort

    def profile(builder: Builder, one: PlannedCase) -> Profile:
        job = {"kind": "profile", "model": builder.write([one]), "chain": builder.chain(), "repeat": effort.repeat}
        job["runtime"] = one.case.runtime
        return Profile.from_result(time_in_process(timing_job(job, plan.protocol, effort), effort.timeout_seconds))

    with measuring(f"trace of {planned.case.label}", wait=True, waiting=waiting), _builder(plan) as builder:
        found = profile(builder, planned)
        baseline = next(one for one in plan.cases if one.case == planned.case.baseline)
        own = () if planned is baseline else attribute(profile(builder, baseline), found).nodes
    parts = {node.node: node for node in own if node.kind != "removed"}
    run = sorted(found.runs, key=sum)[len(found.runs) // 2]
    return [
        TracedNode(
            node.name,
            node.op,
            parts[node.name].kind if node.name in parts else "host",
            max(0.0, seconds),
            parts[node.name].site if node.name in parts else "",
            node.inputs,
            node.outputs,
        )
        for node, seconds in zip(found.nodes, run, strict=True)
    ]


@contextmanager
def _builder(plan: Plan) -> Iterator[Builder]:
    with open_builders(plan, 1) as (builder,):
        preflight([builder], plan.cases)
        yield builder
