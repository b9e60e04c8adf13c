"""Counts the cases of a plan without a clock and without an export: parameters, MACs and FLOPs within seconds.

A host is traced once per size; a module once per plane, by fvcore with the handles of ``graph.torch_counts``. A registered
module's closed form is compared with the trace, and stands in for it where the trace would not fit in memory. Whatever keeps
a case from being counted is its own row's reason: the others are counted all the same.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from math import prod
from typing import Any, TypeVar

import torch
from torch import nn

from attnbench.core.catalogue import is_reference, merge_options
from attnbench.core.columns import COUNTS
from attnbench.core.errors import AttnbenchError, CaseFailure
from attnbench.core.grammar import Spec, parse_variant
from attnbench.core.metrics import measurement
from attnbench.core.records import Case, Failure, Record, Run, RunHeader
from attnbench.core.versions import version
from attnbench.graph.cost import graph_cost
from attnbench.graph.load import parse, read_host_file
from attnbench.graph.splice import tensors
from attnbench.graph.torch_counts import CountStep, count_torch, derivation, fvcore_default, parameters_of
from attnbench.hosts import declared_placements, modules_by_site
from attnbench.hosts.site import Site, sites_of
from attnbench.measure.machine import free_memory
from attnbench.measure.observer import nobody
from attnbench.measure.parts import torch_host
from attnbench.modules import MODULES, Plane, build_module
from attnbench.study.plan import Plan, PlannedCase

K = TypeVar("K")
V = TypeVar("V")

FLOAT_BYTES = 4
MAPS_AT_ONCE = 4
"""How many maps of positions x positions a tracing may hold at once: scores, their softmax, and copies of both."""


FVCORE = "with the norms and pooling that fvcore adds by default"
PTFLOPS = "with biases, norms, activations and pooling added, as ptflops does"
BIASED = frozenset(("convolution", "linear", "addmm"))
ACTIVATIONS = frozenset(("relu", "relu6", "hardtanh", "sigmoid", "silu"))


@dataclass(frozen=True)
class Counts:
    """A host or a module counted: what it comes to, what was not counted, and how it came about.

    ``default`` is what fvcore answers without handles of ours, where it was asked.
    """

    params: int
    macs: int
    uncounted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    steps: tuple[CountStep, ...] = ()
    layers: tuple[tuple[str, int], ...] = ()
    default: int | None = None


@dataclass(frozen=True)
class CountedPlan:
    """A plan counted: its run, how the counts came about where that was asked for, and other readings of its MACs.

    ``readings`` name what other counters take for MACs, for the cases that something is claimed of.
    """

    run: Run
    derived: tuple[Mapping[str, Any], ...]
    readings: Mapping[Case, Mapping[str, int]]


def count_plan(plan: Plan, *, per_op: bool = False, at: Callable[[str], None] = nobody) -> CountedPlan:
    """Count every case of a plan; a case that cannot be counted is a record with the reason. ``at`` is told each label."""
    asked = [c for c in plan.document["cases"] if any(claim["metric"] in COUNTS for claim in c["claims"])]
    claimed = {(c.get("host"), c["variant"]) for c in asked}
    records: list[Record] = []
    derived: list[dict[str, Any]] = []
    readings: dict[Case, dict[str, int]] = {}
    counter = _Counter(per_op or bool(claimed), plan.protocol.seed)
    for planned in plan.cases:
        case = planned.case
        at(case.label)
        try:
            parts = counter.parts(planned)
        except CaseFailure as failure:
            why = Failure(failure.stage, type(failure).__name__, failure.reason)
            records.append(Record(case, failure.status, failure=why))
            continue
        records.append(_record(case, parts))
        if per_op:
            derived += _derived(case, parts)
        if {(case.host, case.variant), (None, case.variant)} & claimed:
            readings[case] = _readings([counts for _, counts in parts])
    header = RunHeader(0, version("attnbench"), "", plan.document, {}, {}, {}, {}, tuple(p.case for p in plan.cases))
    return CountedPlan(Run(header, tuple(records)), tuple(derived), readings)


_Host = tuple[Counts, dict[str, Plane]]


@dataclass
class _Counter:
    """Counts the parts of cases, and keeps what cases share: counts, or why there are none."""

    explained: bool
    seed: int
    hosts: dict[Case, _Host | CaseFailure] = field(default_factory=dict)
    modules: dict[tuple[Spec, int, Plane], Counts | CaseFailure] = field(default_factory=dict)

    def parts(self, planned: PlannedCase) -> list[tuple[str, Counts]]:
        """The host and each module of a case by name, counted. Raises ``CaseFailure``."""
        batch, (host, planes) = planned.case.batch, self._host(planned)
        with _failing("count", ""):
            occupied = _occupied(planned, planes)
        return [("host", host), *((f"{spec} at {site}", self._module(spec, batch, planes[site])) for site, spec in occupied)]

    def _host(self, planned: PlannedCase) -> _Host:
        count = _onnx_host if planned.host.kind == "onnx" else self._torch_host
        return _kept(self.hosts, planned.case.baseline, f"host {planned.case.host}: ", lambda: count(planned))

    def _module(self, spec: Spec, batch: int, plane: Plane) -> Counts:
        count = partial(self._count_module, spec, batch, plane)
        return _kept(self.modules, (spec, batch, plane), f"module {spec}: ", count)

    def _torch_host(self, planned: PlannedCase) -> tuple[Counts, dict[str, Plane]]:
        host, shape = torch_host(planned.case, planned.host, self.seed)
        planes: dict[str, Plane] = {}

        def seen(site: Site, _inputs: object, output: torch.Tensor) -> None:
            _, channels, height, width = output.shape
            planes[site.name] = Plane(channels, height, width, site.block_input)

        hooks = [site.register_forward_hook(seen) for site in sites_of(host).values()]
        with torch.no_grad():
            host(torch.zeros(shape))
        for hook in hooks:
            hook.remove()  # a trace would call them with sides that are tensors
        return self._traced(host, shape), planes

    def _count_module(self, spec: Spec, batch: int, plane: Plane) -> Counts:
        module = build_module(spec, plane).eval()
        known = _closed_form(spec, plane)
        if known is not None and batch * plane.positions**2 * FLOAT_BYTES * MAPS_AT_ONCE > free_memory():
            return Counts(parameters_of(module), batch * known, notes=(f"{spec}: MACs by closed form, too large to trace",))
        counts = self._traced(module, _shape(batch, plane))
        if known is None or batch * known == counts.macs:
            return counts
        note = f"{spec}: the trace has {counts.macs:,} MACs, the closed form {batch * known:,}"
        return replace(counts, notes=(note,))

    def _traced(self, module: nn.Module, shape: tuple[int, ...]) -> Counts:
        counts = count_torch(module, shape)
        found = Counts(counts.params, counts.macs or 0, counts.uncounted)
        if not self.explained:
            return found
        steps, layers = tuple(derivation(module, shape)), tuple(_layers(module))
        return replace(found, steps=steps, layers=layers, default=fvcore_default(module, shape))


def _kept(kept: dict[K, V | CaseFailure], key: K, what: str, count: Callable[[], V]) -> V:
    """What is counted under a key, made once; an error is kept as well, and raised each time as a ``CaseFailure``."""
    if key not in kept:
        try:
            with _failing("count", what):
                kept[key] = count()
        except CaseFailure as failure:
            kept[key] = failure
    found = kept[key]
    if isinstance(found, CaseFailure):
        raise found
    return found


@contextmanager
def _failing(stage: str, what: str) -> Iterator[None]:
    """Any error as a ``CaseFailure``: the user's own code may raise anything."""
    try:
        yield
    except CaseFailure:
        raise
    except AttnbenchError as error:
        raise CaseFailure(stage, str(error)) from error
    except Exception as error:
        raise CaseFailure(stage, f"{what}{type(error).__name__}: {error}") from error


def _occupied(planned: PlannedCase, planes: Mapping[str, Plane]) -> list[tuple[str, Spec]]:
    variant = parse_variant(planned.case.variant)
    found = modules_by_site(variant, planes, declared_placements(planned.host), planned.case.host)
    return [(site, spec) for site, row in found.items() for spec in row]


def _readings(parts: list[Counts]) -> dict[str, int]:
    """What other counters call MACs: fvcore by default, and those that add biases, norms, activations and pooling.

    Nothing where a part was not traced.
    """
    defaults = [counts.default for counts in parts if counts.default is not None]
    if len(defaults) < len(parts):
        return {}
    total = 0
    for step in (step for counts in parts for step in counts.steps):
        inputs = [_elements(text) for text in step.inputs.split()]
        total += step.macs
        if step.op in BIASED and len(inputs) == 3:
            total += _elements(step.output)
        elif step.op == "batch_norm":
            total += 2 * _elements(step.output)
        elif step.op in ACTIVATIONS:
            total += _elements(step.output)
        elif "pool" in step.op:
            total += inputs[0]
    return {FVCORE: sum(defaults), PTFLOPS: total}


def _elements(shape: str) -> int:
    return prod(map(int, shape.split("x")))


def _derived(case: Case, parts: list[tuple[str, Counts]]) -> Iterator[dict[str, Any]]:
    """Each layer's parameters, each op's MACs and element operations, and what they come to."""

    def row(part: str, layer: str = "", op: str = "", macs: int | None = None, **more: Any) -> dict[str, Any]:
        nothing = {"inputs": "", "output": "", "params": None, "macs": None, "flops": None, "elementwise_ops": None}
        flops = None if macs is None else 2 * macs
        return {**asdict(case), "part": part, "layer": layer, "op": op, **nothing, "macs": macs, "flops": flops, **more}

    for part, counts in parts:
        for layer, number in counts.layers:
            yield row(part, layer, "parameters", params=number)
        for s in counts.steps:
            yield row(part, s.path, s.op, s.macs, inputs=s.inputs, output=s.output, elementwise_ops=s.elements)
        if counts.macs and not counts.steps:
            yield row(part, "", "closed form", counts.macs, params=counts.params)
    yield row("total", macs=_sum(parts, "macs"), params=_sum(parts, "params"))


def _sum(parts: Iterable[tuple[str, Counts]], name: str) -> int:
    return sum(getattr(counts, name) for _, counts in parts)


def _record(case: Case, parts: list[tuple[str, Counts]]) -> Record:
    params, macs = _sum(parts, "params"), _sum(parts, "macs")
    figures = (measurement("params", params), measurement("macs", macs), measurement("flops", 2 * macs))
    uncounted = sorted({op for _, counts in parts for op in counts.uncounted})
    notes = dict.fromkeys(note for _, counts in parts for note in counts.notes)
    return Record(case, "ok", figures, uncounted=tuple(uncounted), notes=tuple(notes))


def _onnx_host(planned: PlannedCase) -> tuple[Counts, dict[str, Plane]]:
    model = parse(read_host_file(planned.host.spec))
    cost = graph_cost(model)
    planes = {name: Plane(*shape[1:]) for name, shape in tensors(model).items()}
    steps = tuple(CountStep("", node.op, "", node.node, node.macs or 0, node.elements or 0) for node in cost.nodes)
    note = "host from an ONNX file: params are its float weights"
    return Counts(cost.weight_elements, cost.macs, cost.uncounted, (note,), steps), planes


def _layers(module: nn.Module) -> Iterable[tuple[str, int]]:
    """Each layer that holds parameters of its own, with their number; a shared one is named once."""
    seen: set[int] = set()
    for path, layer in module.named_modules():
        own = [p for p in layer.parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in own}
        if own:
            yield path, sum(p.numel() for p in own)


def _closed_form(spec: Spec, plane: Plane) -> int | None:
    """A registered module's MACs for one image by its paper's formula."""
    if is_reference(spec.name):
        return None
    entry = MODULES.load(spec.name)
    return int(entry.macs(plane, **merge_options("module", spec, entry.options)))


def _shape(batch: int, plane: Plane) -> tuple[int, ...]:
    return batch, plane.channels, plane.height, plane.width
