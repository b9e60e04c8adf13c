"""Cases to graphs on disk, and all that can be known of a case without running a clock: counts, findings, checks, structure.

Runs in a process of its own (see ``builder``), which may crash without taking the sweep along. Hosts are exported once per
size, modules once per (spec, shape), by torch (``parts``); variants and panels are spliced from those. What comes out of
registered hosts and modules is kept across runs (``cache``), so that a study that was built before needs no torch.

Rejected: to keep what the user's own code and files give. It may read what no hash of sources covers, such as weights or a
configuration, and would then be out of date without a word.
"""

import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir

from attnbench.core.catalogue import is_reference
from attnbench.core.errors import CaseFailure
from attnbench.core.grammar import Spec, parse_spec, parse_variant
from attnbench.core.metrics import measurement
from attnbench.core.protocol import Protocol
from attnbench.core.records import Case, Measurement
from attnbench.core.sources import hash_of_files, source_hash
from attnbench.core.units import bytes_text
from attnbench.graph import OPSET
from attnbench.graph.cost import GraphCost, graph_cost
from attnbench.graph.load import move_weights_out, parse, serialise, verify
from attnbench.graph.part import Part
from attnbench.graph.splice import block_inputs, mark_tensors, planes, regions, replaced_strides, splice, tensors
from attnbench.hosts import HOSTS, HostReference, declared_placements, modules_by_site
from attnbench.measure.builder import Built
from attnbench.measure.cache import kept
from attnbench.measure.machine import MEMORY_FACTOR, free_memory
from attnbench.measure.optimised import kinds_added
from attnbench.measure.session import opened
from attnbench.modules import MODULES, Plane, rewrites_of, row_stride
from attnbench.npu.check import Checked, check
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

    def describe(self, case: Case, reference: HostReference, targets: tuple[str, ...]) -> Built:
        """All that is known of a case without a clock. Raises ``CaseFailure``."""
        specs = [spec for assignment in parse_variant(case.variant).assignments for spec in assignment.modules]
        question = {
            "case": asdict(case),
            "host": {**asdict(reference), "source": self._host_source(reference)},
            "modules": {str(spec): source_hash(MODULES, spec.name) for spec in specs},
            "targets": {name: hash_of_files(name) if name.endswith(".toml") else "" for name in targets},
            "protocol": self._of_protocol("seed", "canonical", "provider", "optimization"),
            "runtime": runtime_version(parse_spec(case.runtime).name),
        }
        began, made = time.perf_counter(), list[Built]()

        def make() -> Built:
            made.append(self._describe(case, reference, targets))
            return made[0]

        built = kept(question, Built, make, keep=lambda one: one.lasting)
        if not made:
            built = replace(built, seconds={"build": time.perf_counter() - began})
        free = free_memory()
        return replace(built, skip=_needs(built.peak, built.need, free) if built.need > free else "")

    def write(self, cases: Sequence[tuple[Case, HostReference]], name: str) -> Path:
        """The graph of one case, or of several cases of one host at sites that do not touch. Raises ``CaseFailure``."""
        first, reference = cases[0]
        occupied: dict[str, tuple[Spec, ...]] = {}
        for case, _ in cases:
            occupied |= self._occupied(case, reference)
        model, _ = self._spliced(*self._slots(first, reference, occupied), occupied)
        path = self.folder / f"{name}.onnx"
        path.write_bytes(serialise(model))
        return path

    def host(self, case: Case, reference: HostReference) -> Part:
        """The host's graph with markers at its sites, its weights in a file; exported and compared once per size."""
        key = (case.host, case.size, case.batch)
        if key not in self.hosts:
            part = self.host_part(case, reference)
            self.hosts[key] = replace(part, graph=move_weights_out(part.graph, self.folder, f"{_short(f'{key}')}.weights"))
        return self.hosts[key]

    def host_part(self, case: Case, reference: HostReference) -> Part:
        """The same with its weights inside, from the cache where it is there."""
        question = {
            "host": {**asdict(reference), "source": self._host_source(reference)},
            "at": (case.host, case.size, case.batch),
            "protocol": self._of_protocol("seed", "canonical"),
        }
        make = partial(self._exported_host, case, reference)
        return kept(question, Part, make, keep=lambda one: one.lasting and reference.kind == "registered")

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
        path.write_bytes(serialise(model))
        verify(path, "splice")
        cost = graph_cost(model)
        need = math.ceil(cost.activation_peak * MEMORY_FACTOR) + 2 * cost.weight_bytes
        kinds = self._kinds(case, reference, path) if need <= free_memory() else {}
        built_seconds = time.perf_counter() - started
        parts = [host, *modules]
        notes = [note for part in parts for note in part.notes]
        gone = [host.replaced[site] for site in occupied if site in host.replaced]
        torch_macs = _summed([p.counts.macs if p.counts else None for p in parts], (one.macs for one in gone))
        if torch_macs is not None and torch_macs != cost.macs:
            notes.append(f"the counters disagree: fvcore {torch_macs:,} MACs, ONNX graph {cost.macs:,}")
        uncounted = {op for part in parts if part.counts for op in part.counts.uncounted} | set(cost.uncounted)
        checked = [check(model, load_target(name), str(path)) for name in targets]
        judged = [finding for one in checked for finding in one.findings]
        added = tuple(finding for finding in judged if finding.inserted)
        substitutes = {(at, str(s)): partial(self.rewrites, s, *slots[at]) for at, row in occupied.items() for s in row}
        path.unlink()
        return Built(
            measurements=(*_measurements(cost, parts, torch_macs, [one.params for one in gone]), *_cuts(checked)),
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
            lasting=all(part.lasting for part in parts) and need <= free_memory() and self._is_ours(reference, occupied),
        )

    def _kinds(self, case: Case, reference: HostReference, path: Path) -> dict[str, int]:
        """The kinds of nodes that the runtime's graph of a variant has more of than its baseline's, or fewer."""
        if case.is_baseline or not self._on_cpu(case):
            return {}
        if case.baseline not in self.plain_graphs:
            baseline = self.write([(case.baseline, reference)], _short(case.baseline.label))
            self.plain_graphs[case.baseline] = self._optimised(baseline, case.runtime)
        return kinds_added(self.plain_graphs[case.baseline], self._optimised(path, case.runtime))

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


def _measurements(
    cost: GraphCost, parts: list[Part], torch_macs: int | None, params_gone: Iterable[int]
) -> tuple[Measurement, ...]:
    counted = [part.counts.params if part.counts else None for part in parts]
    params = _summed(counted, params_gone)
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


def _summed(values: list[int | None], gone: Iterable[int | None] = ()) -> int | None:
    """The sum of values less that of what is gone; ``None`` where any is unknown."""
    found = [*values, *(None if value is None else -value for value in gone)]
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def _needs(peak: int, need: int, free: int) -> str:
    return f"needs {bytes_text(need)} of memory ({bytes_text(peak)} of live activations); {bytes_text(free)} is free"
