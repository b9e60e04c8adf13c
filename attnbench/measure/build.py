"""Cases to graphs on disk, and all that can be known of a case without running a clock: counts, findings, checks, structure.

Runs in a process of its own (see ``builder``), which may crash without taking the sweep along. Hosts are exported once per
size, modules once per (spec, shape), by torch (``parts``); variants and panels are spliced from those. What comes out of
registered hosts and modules is kept across runs (``cache``), so that a study that was built before needs no torch.

Rejected: to keep what the user's own code and files give: it may read what no hash covers, and be out of date unseen.
"""

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import onnx_ir as ir
from msgspec import structs

from attnbench.core.catalogue import is_reference
from attnbench.core.errors import CaseFailure, CaseSkipped
from attnbench.core.grammar import Spec, parse_size, parse_spec, parse_variant
from attnbench.core.protocol import Protocol
from attnbench.core.records import FP32, Case
from attnbench.core.sources import hash_of_files, source_hash
from attnbench.graph import OPSET
from attnbench.graph.cost import graph_cost
from attnbench.graph.load import move_weights_out, parse, serialise, verify
from attnbench.graph.part import Part
from attnbench.graph.splice import block_inputs, mark_tensors, planes, regions, replaced_strides, splice, tensors
from attnbench.hosts import HOSTS, HostReference, declared_placements, declared_places, modules_by_site
from attnbench.measure.builder import Built
from attnbench.measure.cache import kept
from attnbench.measure.figures import cuts, figures_of, needs_text, of_nothing, summed
from attnbench.measure.int8 import Quantiser, of_int8
from attnbench.measure.machine import MEMORY_FACTOR, free_memory
from attnbench.measure.optimised import kinds_added
from attnbench.measure.session import opened
from attnbench.modules import MODULES, Plane, rewrites_of, row_stride
from attnbench.npu.check import check
from attnbench.npu.checklist import deployment_checklist
from attnbench.npu.substitutes import with_substitutes
from attnbench.npu.targets import load_target
from attnbench.runtimes import CPU, OptimisedNode, device_of, runtime_version

Occupied = Mapping[str, tuple[Spec, ...]]
"""The modules at each occupied site, in a row."""

Slot = tuple[int, Plane, int]
"""What a module is built for: batch, plane, opset."""


@dataclass
class CaseBuilder:
    """Builds graphs one after the other and keeps the parts they share."""

    protocol: Protocol
    folder: Path
    hosts: dict[tuple[str, str, int], Part] = field(default_factory=dict)
    sites: dict[tuple[str, str, int], Mapping[str, tuple[int, ...]]] = field(default_factory=dict)
    modules: dict[tuple[Spec, int, Plane, int], Part] = field(default_factory=dict)
    plain_graphs: dict[Case, list[OptimisedNode]] = field(default_factory=dict)

    @cached_property
    def quantiser(self) -> Quantiser:
        """What makes int8 of a float graph."""
        return Quantiser(self.protocol.seed, self.protocol.calibration)

    def describe(self, case: Case, reference: HostReference, targets: tuple[str, ...]) -> Built:
        """All that is known of a case without a clock. Raises ``CaseFailure``."""
        specs = [spec for assignment in parse_variant(case.variant).assignments for spec in assignment.modules]
        question = {
            "case": structs.asdict(case),
            "host": {**asdict(reference), "source": self._host_source(reference)},
            "modules": {str(spec): source_hash(MODULES, spec.name) for spec in specs},
            "targets": {name: hash_of_files(name) if name.endswith(".toml") else "" for name in targets},
            "protocol": self._of_protocol("seed", "canonical", "provider", "optimization"),
            "runtime": runtime_version(parse_spec(case.runtime).name),
            "int8": case.dtype != FP32 and self.quantiser.reduce_range,
        }
        began, made = time.perf_counter(), list[Built]()

        def make() -> Built:
            made.append(self._describe(case, reference, targets))
            return made[0]

        built = kept(question, Built, make, keep=lambda one: one.lasting)
        if not made:
            built = replace(built, seconds={"build": time.perf_counter() - began})
        free = free_memory()
        skip = needs_text(built.peak, built.need, free) if built.need > free else ""
        return replace(built, skip=skip)

    def write(self, cases: Sequence[tuple[Case, HostReference]], name: str) -> Path:
        """The graph of one case, or of several cases of one host at sites that do not touch. Raises ``CaseFailure``."""
        own, reference, path = [case for case, _ in cases], cases[0][1], self.folder / f"{name}.onnx"
        floats = self._save(self._graph(own, reference), path, own, reference)
        if floats != path:
            floats.unlink()
        return path

    def _save(self, model: ir.Model, path: Path, cases: Sequence[Case], reference: HostReference) -> Path:
        """Write a graph in its cases' number type; where it lies in floats."""
        if cases[0].dtype == FP32:
            path.write_bytes(serialise(model))
            return path
        floats = path.with_suffix(".floats.onnx")
        floats.write_bytes(serialise(model))
        self.quantiser.quantise(floats, path, cases, lambda one: serialise(self._graph([one], reference)))
        return floats

    def _graph(self, cases: Sequence[Case], reference: HostReference) -> ir.Model:
        """The float graph of a host with the modules of some cases."""
        occupied = {site: row for case in cases for site, row in self._occupied(case, reference).items()}
        return self._spliced(*self._slots(cases[0], reference, occupied), occupied)[0]

    def host(self, case: Case, reference: HostReference) -> Part:
        """The host's graph with markers at its sites, its weights in a file; exported and compared once per size."""
        key = (case.host, case.size, case.batch)
        if key not in self.hosts:
            part = self.host_part(case, reference)
            self.hosts[key] = replace(part, graph=move_weights_out(part.graph, self.folder, f"{_short(f'{key}')}.weights"))
        return self.hosts[key]

    def host_part(self, case: Case, reference: HostReference) -> Part:
        """The same with its weights inside, from the cache where it is there."""
        make = partial(self._exported_host, case, reference)
        question = self._host_question(case, reference)
        return kept(question, Part, make, keep=lambda one: one.lasting and reference.kind == "registered")

    def prepare(self, case: Case) -> None:
        """While another builder exports a registered host, export a case's own modules for the planes that it declares."""
        known = declared_places(parse_spec(case.host))
        for site, row in modules_by_site(parse_variant(case.variant), known.sites, known.placements, case.host).items():
            for spec in (one for one in row if not is_reference(one.name)):
                self.module(spec, case.batch, known.sites[site].at(*parse_size(case.size)), OPSET)

    def module(self, spec: Spec, batch: int, plane: Plane, opset: int) -> Part:
        """A module's graph for a plane, exported at the host's opset or its own higher one, counted and compared once."""
        key = (spec, batch, plane, opset)
        if key not in self.modules:
            question = {
                "module": [str(spec), source_hash(MODULES, spec.name)],
                "at": [batch, asdict(plane), opset],
                "protocol": self._of_protocol("seed", "canonical"),
            }
            make = partial(self._exported_module, spec, batch, plane, opset)
            self.modules[key] = kept(question, Part, make, keep=lambda one: one.lasting and not is_reference(spec.name))
        return self.modules[key]

    def rewrites(self, spec: Spec, batch: int, plane: Plane, opset: int) -> Iterator[tuple[str, bytes]]:
        """The modules that compute what this one does with other ops, by name, as graphs; those that can stand there."""
        for rewrite in rewrites_of(spec):
            with suppress(CaseFailure):
                yield str(rewrite), self.module(rewrite, batch, plane, opset).graph

    def _host_question(self, case: Case, reference: HostReference) -> dict[str, Any]:
        return {
            "host": {**asdict(reference), "source": self._host_source(reference)},
            "at": (case.host, case.size, case.batch),
            "protocol": self._of_protocol("seed", "canonical"),
        }

    def _exported_host(self, case: Case, reference: HostReference) -> Part:
        from attnbench.measure.parts import host_part  # noqa: PLC0415  torch, where it is needed

        return host_part(case, reference, self.protocol.seed, canonical=self.protocol.canonical)

    def _exported_module(self, spec: Spec, batch: int, plane: Plane, opset: int) -> Part:
        from attnbench.measure.parts import module_part  # noqa: PLC0415

        return module_part(spec, batch, plane, self.protocol.seed, canonical=self.protocol.canonical, opset=opset)

    def _occupied(self, case: Case, reference: HostReference) -> dict[str, tuple[Spec, ...]]:
        key = (case.host, case.size, case.batch)
        if key not in self.sites:
            model = parse(self.host(case, reference).graph)
            self.sites[key] = tensors(model) if reference.kind == "onnx" else planes(model)
        return modules_by_site(parse_variant(case.variant), self.sites[key], declared_placements(reference), case.host)

    def _slots(self, case: Case, reference: HostReference, occupied: Occupied) -> tuple[bytes, dict[str, Slot]]:
        """The host's graph with a marker at each site, and what a module there is built for."""
        graph = self.host(case, reference).graph
        if reference.kind == "onnx":  # its sites are its tensors: those that are asked for get a marker
            model = parse(graph)
            mark_tensors(model, occupied)
            graph = serialise(model)
        model = parse(graph)
        shapes, offered, strides = planes(model), block_inputs(model), replaced_strides(model)
        opset, slots = model.opset_imports.get("", OPSET), {}
        for site, row in occupied.items():
            batch, channels, height, width = shapes[site]
            stride = row_stride(site, row, strides.get(site, 1))
            slots[site] = batch, Plane(channels, height, width, offered[site], stride), opset
        return graph, slots

    def _spliced(self, graph: bytes, slots: Mapping[str, Slot], occupied: Occupied) -> tuple[ir.Model, list[Part]]:
        """A graph with modules at its sites, and their parts."""
        parts = {site: [(str(spec), self.module(spec, *slots[site])) for spec in row] for site, row in occupied.items()}
        occupants = {site: [(name, part.graph) for name, part in row] for site, row in parts.items()}
        return splice(graph, occupants), [part for row in parts.values() for _, part in row]

    def _describe(self, case: Case, reference: HostReference, targets: tuple[str, ...]) -> Built:
        started = time.perf_counter()
        host, occupied = self.host(case, reference), self._occupied(case, reference)
        graph, slots = self._slots(case, reference, occupied)
        model, modules = self._spliced(graph, slots, occupied)
        path = self.folder / f"described-{_short(case.label)}.onnx"  # no name that ``write`` gives
        cost = graph_cost(model)
        need, free = math.ceil(cost.activation_peak * MEMORY_FACTOR) + 2 * cost.weight_bytes, free_memory()
        if case.dtype != FP32 and need > free:  # its ranges are had by running it
            raise CaseSkipped("memory", needs_text(cost.activation_peak, need, free))
        floats = self._save(model, path, [case], reference)
        verify(path, "splice")
        fits = need <= free and self.protocol.provider == "cpu"
        nodes = self._optimised(path, case.runtime) if fits and not (case.is_baseline and case.dtype == FP32) else []
        kinds = self._kinds(case, reference, nodes) if nodes else {}
        built_seconds = time.perf_counter() - started
        parts = [host, *modules]
        notes = [note for part in parts for note in part.notes]
        gone = [host.replaced[site] for site in occupied if site in host.replaced]
        torch_macs = summed([p.counts.macs if p.counts else None for p in parts], (one.macs for one in gone))
        if torch_macs is not None and torch_macs != cost.macs:
            notes.append(f"the counters disagree: fvcore {torch_macs:,} MACs, ONNX graph {cost.macs:,}")
        uncounted = {op for part in parts if part.counts for op in part.counts.uncounted} | set(cost.uncounted)
        figures = figures_of(cost, parts, torch_macs, [one.params for one in gone])
        judged_graph = model
        if case.dtype != FP32:
            figures = of_int8(figures, self.quantiser.figures(path, floats, case, nodes, model))
            notes += self.quantiser.notes()
            judged_graph = parse(path.read_bytes())
            floats.unlink()
        exact = of_nothing(model) if not (case.is_baseline or gone) else ()
        notes += [found.note for found in exact]
        checked = [check(judged_graph, load_target(name), str(path)) for name in targets]
        judged = [finding for one in checked for finding in one.findings]
        added = tuple(finding for finding in judged if finding.inserted)
        substitutes = {(at, str(s)): partial(self.rewrites, s, *slots[at]) for at, row in occupied.items() for s in row}
        path.unlink()
        return Built(
            measurements=(*figures, *exact, *cuts(checked)),
            findings=with_substitutes(added or judged, substitutes),
            checks=tuple(deployment_checklist(model)),
            uncounted=tuple(sorted(uncounted)),
            notes=tuple(dict.fromkeys(notes)),
            sites=tuple(occupied),
            # where the runtime's own graph cannot be had, or layers are gone from it, a case shares none
            regions=regions(graph, occupied) if self._on_cpu(case) and not gone else (),
            kinds=kinds,
            peak=cost.activation_peak,
            need=need,
            seconds={"build": built_seconds, "lint": time.perf_counter() - started - built_seconds},
            lasting=all(part.lasting for part in parts)
            and need <= free_memory()
            and self._is_ours(reference, occupied)
            and not self.protocol.calibration,
        )

    def _kinds(self, case: Case, reference: HostReference, nodes: Sequence[OptimisedNode]) -> dict[str, int]:
        """The kinds of nodes that the runtime's graph of a variant has more of than its baseline's, or fewer."""
        if case.is_baseline or not self._on_cpu(case):
            return {}
        if case.baseline not in self.plain_graphs:
            baseline = self.write([(case.baseline, reference)], _short(case.baseline.label))
            self.plain_graphs[case.baseline] = self._optimised(baseline, case.runtime)
        return kinds_added(self.plain_graphs[case.baseline], nodes)

    def _on_cpu(self, case: Case) -> bool:
        return device_of(case.runtime, self.protocol.provider) == CPU

    def _optimised(self, path: Path, runtime: str) -> list[OptimisedNode]:
        """The runtime's own graph of a model, from a session that is not run."""
        job = {**self._of_protocol("provider", "optimization"), "runtime": runtime}
        try:
            return opened(job, str(path), keep="graph", scratch=str(self.folder)).graph()
        except Exception as error:  # runtimes raise types of their own, none public
            raise CaseFailure("session", f"{runtime} does not open it: {str(error).splitlines()[0]}") from error

    @staticmethod
    def _is_ours(reference: HostReference, occupied: Occupied) -> bool:
        """Whether no code or file of the user's is in a graph: what else those depend on, no hash here knows."""
        references = any(is_reference(spec.name) for row in occupied.values() for spec in row)
        return reference.kind == "registered" and not references

    def _of_protocol(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self.protocol, name) for name in names}

    @staticmethod
    def _host_source(reference: HostReference) -> str:
        return source_hash(HOSTS, reference.spec if reference.kind == "onnx" else parse_spec(reference.spec).name)


def _short(text: str) -> str:
    """A file name for a text of any length and signs."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
