"""A case to a graph on disk and all that can be known without running a clock: counts, findings, checks, parity.

Runs in a process of its own (see ``sweep``), which holds torch and may crash without taking the sweep along. Hosts are
exported once per size, modules once per (spec, shape); variants are spliced.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import onnx_ir as ir
import torch
from torch import nn

from attnbench.core.catalogue import accepted, is_reference, load_object, refuse_unknown_options
from attnbench.core.errors import CaseFailure, InputError
from attnbench.core.grammar import Spec, parse_size, parse_spec, parse_variant
from attnbench.core.metrics import measurement
from attnbench.core.records import Case, Measurement
from attnbench.core.units import bytes_text
from attnbench.graph import OPSET
from attnbench.graph.canonicalise import canonicalise
from attnbench.graph.cost import GraphCost, activation_peak, graph_cost
from attnbench.graph.export import to_onnx
from attnbench.graph.load import input_shape, move_weights_out, parse, read_host_file, serialise, static_shape, verify
from attnbench.graph.parity import Parity, compare, compare_graphs
from attnbench.graph.splice import block_inputs, mark_tensors, planes, splice, tensors
from attnbench.graph.torch_counts import TorchCounts, count_torch, parameters_of
from attnbench.hosts import HOSTS, HostReference, declared_placements, host_options, modules_by_site
from attnbench.hosts.site import attach_sites, marked, sites_of
from attnbench.measure.builder import Built
from attnbench.measure.machine import free_memory
from attnbench.modules import MODULES, Plane, build_module, check_spec, rewrites_of
from attnbench.npu.check import Checked, check
from attnbench.npu.checklist import deployment_checklist
from attnbench.npu.substitutes import Rewrites, with_substitutes
from attnbench.npu.targets import load_target

MEMORY_FACTOR = 1.35
"""Planned memory over the static peak: ONNX Runtime's planner was seen to need 60 MB where the peak is 45.6 MB."""


@dataclass(frozen=True)
class Part:
    """A host or a module on its own: the graph, what torch counts, and how far the two outputs differ."""

    graph: bytes
    counts: TorchCounts | None
    parity: Parity | None
    notes: tuple[str, ...] = ()


@dataclass
class CaseBuilder:
    """Builds cases one after the other and keeps the parts they share."""

    seed: int
    canonical: bool
    folder: Path
    hosts: dict[tuple[str, str, int], Part] = field(default_factory=dict)
    modules: dict[tuple[Spec, int, Plane, int], Part] = field(default_factory=dict)

    def build(self, case: Case, reference: HostReference, targets: tuple[str, ...]) -> Built:
        """The case's graph, verified and saved, with its counts and findings. Raises ``CaseFailure``."""
        host = self.host(case, reference)
        sites = self._occupied(case, reference, host)
        graph = host.graph
        if reference.kind == "onnx":
            marked_model = parse(graph)
            mark_tensors(marked_model, sites)
            graph = serialise(marked_model)
        with_sites = parse(graph)
        shapes, offered = planes(with_sites), block_inputs(with_sites)
        opset = with_sites.opset_imports.get("", OPSET)
        parts: dict[str, list[tuple[Spec, Part]]] = {}
        rewritten: dict[tuple[str, str], Callable[[], Iterator[tuple[str, bytes]]]] = {}
        for site, row in sites.items():
            batch, channels, height, width = shapes[site]
            plane = Plane(channels, height, width, offered[site])
            parts[site] = [(spec, self.module(spec, batch, plane, opset)) for spec in row]
            rewritten |= {(site, str(spec)): partial(self.rewrites, spec, batch, plane, opset) for spec in row}
        model = splice(graph, {site: [(str(s), p.graph) for s, p in row] for site, row in parts.items()})
        path = self.folder / f"{_short(case.label)}.onnx"
        path.write_bytes(serialise(model))
        verify(path, "splice")
        built = self._describe(model, str(path), [host, *(p for row in parts.values() for _, p in row)], targets)
        return replace(built, findings=with_substitutes(built.findings, rewritten))

    def host(self, case: Case, reference: HostReference) -> Part:
        """The host's graph with markers at its sites, exported and compared once per size."""
        key = (case.host, case.size, case.batch)
        if key not in self.hosts:
            build = _onnx_host if reference.kind == "onnx" else _torch_host
            part = build(case, reference, self.seed, canonical=self.canonical)
            weights = f"{_short(f'{key} {self.seed} {self.canonical}')}.weights"
            self.hosts[key] = replace(part, graph=move_weights_out(part.graph, self.folder, weights))
        return self.hosts[key]

    def module(self, spec: Spec, batch: int, plane: Plane, opset: int) -> Part:
        """A module's graph for a plane, exported at the host's opset or its own higher one, counted and compared once."""
        key = (spec, batch, plane, opset)
        if key not in self.modules:
            self.modules[key] = _module_part(spec, batch, plane, self.seed, canonical=self.canonical, opset=opset)
        return self.modules[key]

    def rewrites(self, spec: Spec, batch: int, plane: Plane, opset: int) -> Iterator[tuple[str, bytes]]:
        """The modules that compute what this one does with other ops, by name, as graphs; those that can stand there."""
        for rewrite in rewrites_of(spec):
            with suppress(CaseFailure):
                yield str(rewrite), self.module(rewrite, batch, plane, opset).graph

    def _occupied(self, case: Case, reference: HostReference, host: Part) -> dict[str, tuple[Spec, ...]]:
        model = parse(host.graph)
        known = tensors(model) if reference.kind == "onnx" else planes(model)
        return modules_by_site(parse_variant(case.variant), known, declared_placements(reference), case.host)

    def _describe(self, model: ir.Model, path: str, parts: list[Part], targets: tuple[str, ...]) -> Built:
        cost = graph_cost(model)
        notes = [note for part in parts for note in part.notes]
        torch_macs = _summed([p.counts.macs if p.counts else None for p in parts])
        if torch_macs is not None and torch_macs != cost.macs:
            notes.append(f"the counters disagree: fvcore {torch_macs:,} MACs, ONNX graph {cost.macs:,}")
        uncounted = {op for part in parts if part.counts for op in part.counts.uncounted} | set(cost.uncounted)
        started = time.perf_counter()
        checked = [check(model, load_target(name), path) for name in targets]
        judged = [finding for one in checked for finding in one.findings]
        added = tuple(finding for finding in judged if finding.inserted)
        checks = tuple(deployment_checklist(model))
        lint_seconds = time.perf_counter() - started
        need = math.ceil(cost.activation_peak * MEMORY_FACTOR) + 2 * cost.weight_bytes
        free = free_memory()
        return Built(
            path=path,
            measurements=(*_measurements(cost, parts, torch_macs), *_cuts(checked)),
            findings=added or tuple(judged),
            checks=checks,
            uncounted=tuple(sorted(uncounted)),
            notes=tuple(dict.fromkeys(notes)),
            skip=_needs(cost.activation_peak, need, free) if need > free else "",
            seconds={"lint": lint_seconds},
        )


def lone_module(text: str, channels: int, height: int, width: int) -> tuple[ir.Model, Rewrites]:
    """A module without a host, exported for a plane, and what computes the same. Raises ``CaseFailure``, ``InputError``."""
    spec, plane = parse_spec(text), Plane(channels, height, width)
    check_spec(spec)
    builder = CaseBuilder(0, canonical=True, folder=Path())
    graph = parse(builder.module(spec, 1, plane, OPSET).graph)
    return graph, {("", ""): partial(builder.rewrites, spec, 1, plane, OPSET)}


def torch_host(case: Case, reference: HostReference, seed: int) -> tuple[nn.Module, tuple[int, ...]]:
    """The network that a reference names, with seeded weights, and the shape of the case's input to it."""
    spec = parse_spec(reference.spec)
    torch.manual_seed(seed)
    channels = reference.input_channels
    if reference.kind == "registered":
        entry = HOSTS.load(spec.name)
        host: nn.Module = entry.build(**host_options(spec))
        channels = entry.input_channels
    else:
        host = _user_host(spec, reference, parse_size(case.size))
    return host, (case.batch, channels, *parse_size(case.size))


def _torch_host(case: Case, reference: HostReference, seed: int, *, canonical: bool) -> Part:
    host, shape = torch_host(case, reference, seed)
    subnormal = _subnormals(host)
    with marked(host):
        graph = to_onnx(host, shape, canonical=canonical)
    missing = set(sites_of(host)) - set(planes(parse(graph)))
    if missing:
        raise CaseFailure("export", f"the host's output does not depend on site {', '.join(sorted(missing))}")
    plain = serialise(splice(graph, {}))
    return Part(graph, count_torch(host, shape), compare(host, plain, shape, seed, "host"), subnormal)


def _user_host(spec: Spec, reference: HostReference, size: tuple[int, int]) -> nn.Module:
    factory = load_object(spec.name, "host")
    if not callable(factory):
        raise InputError(f"host '{spec.name}' is a {type(factory).__name__}: it must be a function that builds a module")
    refuse_unknown_options("host", spec, factory)
    host = factory(**accepted(factory, {"image_size": size}), **spec.options)
    if not isinstance(host, nn.Module):
        raise InputError(f"host '{spec.name}' gave a {type(host).__name__}: it must give a torch.nn.Module")
    return attach_sites(host.eval(), reference.sites)


def _onnx_host(case: Case, reference: HostReference, seed: int, *, canonical: bool) -> Part:
    data = read_host_file(reference.spec, OPSET)
    model = parse(data)
    shape = input_shape(model)
    if shape[2:] != parse_size(case.size) or shape[0] != case.batch:
        raise InputError(f"host '{reference.spec}' is made for input {list(shape)}, not {case.size} with batch {case.batch}")
    opset = model.opset_imports.get("", OPSET)
    graph = serialise(canonicalise(model)) if canonical else data
    parity = compare_graphs(read_host_file(reference.spec), graph, shape, seed)
    return Part(graph, None, parity, (f"host from an ONNX file, opset {opset}: counted on the graph alone",))


def _module_part(spec: Spec, batch: int, plane: Plane, seed: int, *, canonical: bool, opset: int) -> Part:
    torch.manual_seed(seed)
    shape = (batch, plane.channels, plane.height, plane.width)
    module = _guarded(lambda: build_module(spec, plane), f"module {spec}").eval()
    needed = opset if is_reference(spec.name) else max(opset, MODULES.load(spec.name).opset)
    raised = f"opset {needed}, where the baseline has {opset}: {spec.name} has an op that opset {opset} lacks"
    notes = (raised,) if needed > opset else ()
    graph = to_onnx(module, shape, canonical=canonical, opset=needed)
    model = parse(graph)
    given = [static_shape(output) for output in model.graph.outputs]
    if given != [shape]:
        found = " and ".join(str(list(g)) for g in given)
        raise CaseFailure("build", f"module {spec} turns {list(shape)} into {found}: it must keep the shape")
    peak = math.ceil(activation_peak(model) * MEMORY_FACTOR)
    if peak > free_memory() / 2:
        note = f"{spec}: not run against torch, which would need more memory than is free"
        return Part(graph, TorchCounts(parameters_of(module), None), None, (*notes, note))
    counts = count_torch(module, shape)
    return Part(graph, counts, compare(module, graph, shape, seed, f"module {spec}"), (*notes, *_subnormals(module)))


def _guarded(build: Callable[[], nn.Module], what: str) -> nn.Module:
    try:
        return build()
    except (CaseFailure, InputError):
        raise
    except Exception as error:  # the user's own code may raise anything
        raise CaseFailure("build", f"{what}: {type(error).__name__}: {error}") from error


def _measurements(cost: GraphCost, parts: list[Part], torch_macs: int | None) -> tuple[Measurement, ...]:
    counted = [part.counts.params if part.counts else None for part in parts]
    params = _summed(counted)
    found = [
        measurement(
            "params",
            cost.weight_elements if params is None else params,
            note="float weights of the graph" if params is None else "",
        ),
        measurement("macs", cost.macs),
        measurement("flops", 2 * cost.macs),
        measurement("elementwise_ops", cost.elements),
        measurement("bytes_moved", cost.bytes_moved),
        measurement("activation_peak", cost.activation_peak),
        measurement("largest_activation", cost.largest_activation),
        measurement("weights", cost.weight_bytes),
        measurement("macs_fvcore", torch_macs),
    ]
    parities = [part.parity for part in parts if part.parity]
    if parities:
        worst = max(parities, key=lambda parity: parity.error / parity.tolerance)
        found.append(measurement("parity_error", max(p.error for p in parities)))
        found.append(measurement("parity_tolerance", worst.tolerance))
    return tuple(found)


def _cuts(checked: Iterable[Checked]) -> Iterator[Measurement]:
    """How each target would cut the graph up, under names that end in the target's."""
    for one in checked:
        yield measurement("npu_islands", one.cut.islands, suffix=f"@{one.target.name}")
        yield measurement("npu_crossings", one.cut.crossings, suffix=f"@{one.target.name}")


def _short(text: str) -> str:
    """A file name for a text of any length and signs."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _summed(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _subnormals(module: nn.Module) -> tuple[str, ...]:
    tiny = torch.finfo(torch.float32).tiny
    number = sum(int(((p != 0) & (p.abs() < tiny)).sum()) for p in module.state_dict().values() if p.is_floating_point())
    return (f"{number} weights are subnormal, which slows arithmetic down",) if number else ()


def _needs(peak: int, need: int, free: int) -> str:
    return f"needs {bytes_text(need)} of memory ({bytes_text(peak)} of live activations); {bytes_text(free)} is free"
