"""Counts the cases of a plan without a clock and without an export: parameters, MACs and FLOPs within seconds.

A host is traced once per size; a module once per plane, by fvcore with the handles of ``graph.torch_counts``. What is
registered is traced on the device ``meta``, which has shapes and no memory. A registered module's closed form is compared
with its trace. Whatever keeps a case from being counted is its own row's reason: the others are counted all the same.
"""

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from typing import Any, TypeVar

import torch
from msgspec import structs
from torch import nn

from attnbench.core.catalogue import accepted, is_reference
from attnbench.core.columns import COUNTS
from attnbench.core.errors import AttnbenchError, CaseFailure
from attnbench.core.grammar import Spec, parse_size, parse_spec, parse_variant
from attnbench.core.guarded import RESERVED, limited
from attnbench.core.metrics import measurement
from attnbench.core.records import Case, Failure, Record, Run, RunHeader
from attnbench.core.sources import source_hash
from attnbench.core.users import told
from attnbench.core.versions import version
from attnbench.graph.cost import graph_cost
from attnbench.graph.load import parse, read_host_file
from attnbench.graph.splice import tensors
from attnbench.graph.torch_counts import CountStep
from attnbench.hosts import HOSTS, declared_placements, declared_places, modules_by_site
from attnbench.hosts.site import Site, sites_of
from attnbench.measure.cache import kept
from attnbench.measure.forks import Ahead, ahead
from attnbench.measure.machine import free_memory
from attnbench.measure.observer import nobody
from attnbench.measure.parts import torch_host
from attnbench.measure.readings import readings
from attnbench.measure.tracing import Counts, by_shapes, traced
from attnbench.modules import MODULES, Plane, build_module, check_spec, module_options, row_stride
from attnbench.study.plan import Plan, PlannedCase

K = TypeVar("K")
V = TypeVar("V")


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
    with ahead(_jobs(plan)) as begun:
        counter = _Counter(plan.protocol.seed, begun)
        found = [(planned.case, partial(counter.parts, planned)) for planned in plan.cases]
        return _counted(found, plan.document, claimed, per_op=per_op, at=at)


def count_modules(specs: Iterable[Spec], plane: Plane, batch: int = 1, *, per_op: bool = False) -> CountedPlan:
    """Count modules without a host; their cases have the module for a variant and the plane for a size."""
    specs, counter = list(specs), _Counter(0, Ahead({}))
    for spec in specs:
        check_spec(spec)
    size = f"{plane.channels}x{plane.height}x{plane.width}"
    found = [(Case("", str(s), size, batch), partial(counter.alone, s, batch, plane)) for s in dict.fromkeys(specs)]
    return _counted(found, {"cases": []}, set(), per_op=per_op)


_source = cache(source_hash)
"""Once a process: what is loaded stays loaded."""

_Parts = list[tuple[str, Counts]]
"""What is counted of a case, by name."""


def _counted(
    cases: Sequence[tuple[Case, Callable[[], _Parts]]],
    document: Mapping[str, Any],
    claimed: set[tuple[str | None, str]],
    *,
    per_op: bool,
    at: Callable[[str], None] = nobody,
) -> CountedPlan:
    records: list[Record] = []
    derived: list[dict[str, Any]] = []
    other: dict[Case, Mapping[str, int]] = {}
    for case, count in cases:
        at(case.label)
        try:
            with limited(free_memory() + RESERVED), redirect_stdout(sys.stderr):  # a user's code may ask for all, and print
                parts = count()
        except CaseFailure as failure:
            why = Failure(failure.stage, type(failure).__name__, failure.reason)
            records.append(Record(case, failure.status, failure=why))
            continue
        records.append(_record(case, parts))
        if per_op:
            derived += _derived(case, parts)
        if {(case.host, case.variant), (None, case.variant)} & claimed and all(counts.traced for _, counts in parts):
            other[case] = readings(step for _, counts in parts for step in counts.steps)
    header = RunHeader(0, version("attnbench"), "", document, {}, {}, {}, {}, tuple(case for case, _ in cases))
    return CountedPlan(Run(header, tuple(records)), tuple(derived), other)


@dataclass(frozen=True)
class _Host:
    """A host counted, and its planes by site."""

    counts: Counts
    planes: Mapping[str, Plane]


@dataclass
class _Counter:
    """Counts the parts of cases, and keeps what cases share: counts, or why there are none."""

    seed: int
    begun: Ahead
    hosts: dict[Case, _Host | CaseFailure] = field(default_factory=dict)
    modules: dict[tuple[Spec, Plane, int], Counts | CaseFailure] = field(default_factory=dict)

    def parts(self, planned: PlannedCase) -> _Parts:
        """The host, each module of a case and what modules take the place of by name, counted. Raises ``CaseFailure``."""
        batch, host = planned.case.batch, self._host(planned)
        with _failing("count", ""):
            variant, placements = parse_variant(planned.case.variant), declared_placements(planned.host)
            found = modules_by_site(variant, host.planes, placements, planned.case.host)
        parts = [("host", host.counts)]
        for site, row in found.items():
            row_stride(site, row, host.planes[site].stride)
            if site in host.counts.places:
                parts.append((f"replaced at {site}", host.counts.without(site)))
            parts += [(f"{spec} at {site}", self._module(spec, batch, host.planes[site])) for spec in row]
        return parts

    def alone(self, spec: Spec, batch: int, plane: Plane) -> _Parts:
        """A module without a host, counted. Raises ``CaseFailure``."""
        return [(str(spec), self._module(spec, batch, plane))]

    def _host(self, planned: PlannedCase) -> _Host:
        count, key = partial(_count_host, planned, self.seed), planned.case.baseline
        return _kept(self.hosts, key, f"host {planned.case.host}: ", lambda: self.begun.result(key, count))

    def _module(self, spec: Spec, batch: int, plane: Plane) -> Counts:
        with _failing("count", f"module {spec}: "):
            key = (*_own(spec, plane), batch)
        count = partial(_count_module, *key)
        return _kept(self.modules, key, f"module {spec}: ", lambda: self.begun.result(key, count))


def _jobs(plan: Plan) -> dict[Hashable, Callable[[], Any]]:
    """What cases will ask for that is registered, each once; a user's own code runs where it is asked for."""
    jobs: dict[Hashable, Callable[[], Any]] = {}
    for planned in (planned for planned in plan.cases if planned.host.kind == "registered"):
        case = planned.case
        jobs.setdefault(case.baseline, partial(_count_host, planned, plan.protocol.seed))
        with suppress(AttnbenchError):  # the case itself will say so
            planes, placements = _declared_planes(planned), declared_placements(planned.host)
            for site, row in modules_by_site(parse_variant(case.variant), planes, placements, case.host).items():
                for key in ((*_own(spec, planes[site]), case.batch) for spec in row if not is_reference(spec.name)):
                    jobs.setdefault(key, partial(_count_module, *key))
    return jobs


def _count_host(planned: PlannedCase, seed: int) -> _Host:
    case, spec = planned.case, parse_spec(planned.host.spec)
    if planned.host.kind == "onnx":
        return _onnx_host(planned)
    if planned.host.kind == "factory":
        host, shape = torch_host(case, planned.host, seed)
        return _Host(traced(host, shape), _planes(host, shape))
    question = {"counts": str(spec), "at": [case.size, case.batch], "source": _source(HOSTS, spec.name)}
    shape = (case.batch, HOSTS.load(spec.name).input_channels, *parse_size(case.size))
    counts = kept(question, Counts, lambda: by_shapes(lambda: torch_host(case, planned.host, seed)[0], shape))
    return _Host(counts, _declared_planes(planned))


def _declared_planes(planned: PlannedCase) -> dict[str, Plane]:
    """The plane at each site of a registered host."""
    size = parse_size(planned.case.size)
    return {site: place.at(*size) for site, place in declared_places(parse_spec(planned.host.spec)).sites.items()}


def _planes(host: nn.Module, shape: tuple[int, ...]) -> dict[str, Plane]:
    """The plane at each site of a user's host, seen in one pass."""
    planes: dict[str, Plane] = {}

    def seen(site: Site, _inputs: object, output: torch.Tensor) -> None:
        _, channels, height, width = output.shape
        planes[site.name] = Plane(channels, height, width, site.block_input)

    hooks = [site.register_forward_hook(seen) for site in sites_of(host).values()]
    with torch.no_grad():
        host.eval()(torch.zeros(shape))
    for hook in hooks:
        hook.remove()  # a trace would call them with sides that are tensors
    return planes


def _own(spec: Spec, plane: Plane) -> tuple[Spec, Plane]:
    """What a registered module depends on: its options other than the usual, and of a plane what it asks for."""
    if is_reference(spec.name):
        return spec, plane
    entry = MODULES.load(spec.name)
    options = {key: value for key, value in module_options(spec).items() if value != entry.options[key]}
    slot = plane.block_input if accepted(entry.build, {"block_input": 0}) else 0
    return Spec(spec.name, options), replace(plane, block_input=slot)


def _count_module(spec: Spec, plane: Plane, batch: int) -> Counts:
    shape = (batch, plane.channels, plane.height, plane.width)
    if is_reference(spec.name):
        return traced(build_module(spec, plane), shape)

    known = batch * MODULES.load(spec.name).macs(plane, **module_options(spec))
    question = {"counts": str(spec), "at": [batch, asdict(plane)], "source": _source(MODULES, spec.name)}
    counts = kept(question, Counts, lambda: by_shapes(lambda: build_module(spec, plane), shape))
    if known == counts.macs:
        return counts
    note = f"{spec}: the trace has {counts.macs:,} MACs, the closed form {known:,}"
    return replace(counts, notes=(note,))


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
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise CaseFailure(stage, f"{what}{told(error)}") from error


def _derived(case: Case, parts: _Parts) -> Iterator[dict[str, Any]]:
    """Each layer's parameters, each op's MACs and element operations, and what they come to."""

    def row(part: str, layer: str = "", op: str = "", macs: int | None = None, **more: Any) -> dict[str, Any]:
        nothing = {"inputs": "", "output": "", "params": None, "macs": None, "flops": None, "elementwise_ops": None}
        found = {"macs": macs, "flops": None if macs is None else 2 * macs}
        return {**structs.asdict(case), "part": part, "layer": layer, "op": op, **nothing, **found, **more}

    for part, counts in parts:
        for layer, number in counts.layers:
            yield row(part, layer, "parameters", params=number)
        for s in counts.steps:
            yield row(part, s.path, s.op, s.macs, inputs=s.inputs, output=s.output, elementwise_ops=s.elements)
    yield row("total", macs=_sum(parts, "macs"), params=_sum(parts, "params"))


def _sum(parts: Iterable[tuple[str, Counts]], name: str) -> int:
    return sum(getattr(counts, name) for _, counts in parts)


def _record(case: Case, parts: _Parts) -> Record:
    params, macs = _sum(parts, "params"), _sum(parts, "macs")
    figures = (measurement("params", params), measurement("macs", macs), measurement("flops", 2 * macs))
    uncounted = sorted({op for _, counts in parts for op in counts.uncounted})
    notes = dict.fromkeys(note for _, counts in parts for note in counts.notes)
    return Record(case, "ok", figures, uncounted=tuple(uncounted), notes=tuple(notes))


def _onnx_host(planned: PlannedCase) -> _Host:
    model = parse(read_host_file(planned.host.spec))
    cost = graph_cost(model)
    planes = {name: Plane(*shape[1:]) for name, shape in tensors(model).items()}
    steps = tuple(CountStep("", node.op, "", node.node, node.macs or 0, node.elements or 0) for node in cost.nodes)
    note = "host from an ONNX file: params are its float weights; what the exporter folded (norms into convolutions, "
    note += "constants) is counted as folded, so that they may differ from the torch model's"
    return _Host(Counts(cost.weight_elements, cost.macs, cost.uncounted, (note,), steps, traced=False), planes)
