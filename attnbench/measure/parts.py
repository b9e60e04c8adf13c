"""A host or a module on its own: exported by torch, counted, and compared with what ONNX Runtime makes of it.

The one place where torch is loaded for a sweep; what it gives is kept (``cache``), so a second sweep does without.
"""

import math
from contextlib import suppress
from copy import deepcopy
from functools import partial

import onnx_ir as ir
import torch
from torch import nn

from attnbench.core.catalogue import accepted, check_factory, is_reference, load_object
from attnbench.core.errors import CaseFailure, InputError
from attnbench.core.grammar import Spec, parse_size, parse_spec
from attnbench.core.records import BASELINE, Case
from attnbench.core.users import users_code
from attnbench.graph import OPSET
from attnbench.graph.canonicalise import canonicalise
from attnbench.graph.cost import activation_peak
from attnbench.graph.export import to_onnx
from attnbench.graph.load import input_shape, parse, read_host_file, serialise, static_shape
from attnbench.graph.parity import compare, compare_graphs
from attnbench.graph.part import Part, TorchCounts
from attnbench.graph.splice import planes, splice
from attnbench.graph.torch_counts import count_torch, parameters_of, trace
from attnbench.hosts import HOSTS, HostReference, host_options
from attnbench.hosts.site import attach_sites, marked, outputs_of, sites_of
from attnbench.measure.machine import MEMORY_FACTOR, free_memory
from attnbench.modules import MODULES, Plane, build_module


def host_part(case: Case, reference: HostReference, seed: int, *, canonical: bool) -> Part:
    """The host at a case's size, with a marker at each of its sites. Raises ``CaseFailure``, ``InputError``."""
    if reference.kind == "onnx":
        return _onnx_host(case, reference, seed, canonical=canonical)
    host, shape = torch_host(case, reference, seed)
    subnormal = _subnormals(host)
    with marked(host):
        graph = to_onnx(host, shape, canonical=canonical)
    missing = set(sites_of(host)) - set(planes(parse(graph)))
    if missing:
        raise CaseFailure("export", f"the host's output does not depend on site {', '.join(sorted(missing))}")
    plain = serialise(splice(graph, {}))
    fits, shapes = _fits(parse(plain)), planes(parse(graph))
    count = partial(_counted, ours=reference.kind == "registered", fits=fits)
    replaced = {site: count(layers, shapes[site]) for site, layers in replaced_layers(host).items()}
    parity = compare(host, plain, shape, seed, "host") if fits else None
    notes = subnormal if fits else (*subnormal, _not_run("the host"))
    return Part(graph, count(host, shape), parity, notes, replaced=replaced, lasting=fits)


def replaced_layers(host: nn.Module) -> dict[str, nn.Module]:
    """What a module takes the place of, by site."""
    return {name: nn.Sequential(*site.replaces) for name, site in sites_of(host).items() if site.replaces}


def module_part(spec: Spec, batch: int, plane: Plane, seed: int, *, canonical: bool, opset: int) -> Part:
    """A module for a plane, at an opset or its own higher one. Raises ``CaseFailure``, ``InputError``."""
    torch.manual_seed(seed)
    shape = (batch, plane.channels, plane.height, plane.width)
    with users_code(f"module {spec}", "build"):
        module = build_module(spec, plane).eval()
    needed = opset if is_reference(spec.name) else max(opset, MODULES.load(spec.name).opset)
    raised = f"opset {needed}, where the baseline has {opset}: {spec.name} has an op that opset {opset} lacks"
    notes = (raised,) if needed > opset else ()
    graph = to_onnx(module, shape, canonical=canonical, opset=needed)
    model = parse(graph)
    given = [static_shape(output) for output in model.graph.outputs]
    wanted = (*shape[:2], *(-(-side // plane.stride) for side in shape[2:]))
    if given[:1] != [wanted]:  # further ones are a tap's
        found = " and ".join(str(list(g)) for g in given)
        must = "keep the shape" if wanted == shape else f"give {list(wanted)}"
        raise CaseFailure("build", f"module {spec} turns {list(shape)} into {found}: it must {must}")
    if model.graph.outputs[0].dtype != model.graph.inputs[0].dtype:
        kind = str(model.graph.outputs[0].dtype).lower()
        raise CaseFailure("build", f"module {spec} gives {kind}: it must give float, as it takes")
    fits = _fits(model)
    counts = _counted(module, shape, ours=not is_reference(spec.name), fits=fits)
    if not fits:
        return Part(graph, counts, None, (*notes, _not_run(str(spec))), lasting=False)
    return Part(graph, counts, compare(module, graph, shape, seed, f"module {spec}"), (*notes, *_subnormals(module)))


def _counted(module: nn.Module, shape: tuple[int, ...], *, ours: bool, fits: bool) -> TorchCounts:
    """A module counted: registered code by its shapes alone, and on zeros, if they fit, what may ask for numbers."""
    if ours:
        with suppress(Exception):
            return trace(deepcopy(module).to("meta"), shape, "meta").counts
    return count_torch(module, shape) if fits else TorchCounts(parameters_of(module), None)


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


def places_of(spec: str, size: str) -> dict[str, tuple[int, ...]]:
    """Where a module could stand in the network of a user's factory, by its submodules' paths: the tensor's shape there.

    The factory is called, and the network runs once on zeros. Raises ``CaseFailure``, ``InputError``.
    """
    sited, shape = torch_host(Case(spec, BASELINE, size), HostReference(spec), 0)
    with users_code(f"host {spec}", "build"):
        return outputs_of(sited.get_submodule("host"), shape)


def _user_host(spec: Spec, reference: HostReference, size: tuple[int, int]) -> nn.Module:
    factory = load_object(spec.name, "host")
    check_factory("host", spec, factory)
    with users_code(f"host {spec}", "build"):
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
    opset, fits = model.opset_imports.get("", OPSET), _fits(model)
    graph = serialise(canonicalise(model)) if canonical else data
    parity = compare_graphs(read_host_file(reference.spec), graph, shape, seed) if fits else None
    counted = f"host from an ONNX file, opset {opset}: counted on the graph alone"
    notes = (counted,) if fits else (counted, _not_run("the host"))
    return Part(graph, None, parity, notes, lasting=False)  # its weights may lie in other files


def _fits(model: ir.Model) -> bool:
    """Whether a graph can be run beside what it is compared with, in the memory that is free."""
    return math.ceil(activation_peak(model) * MEMORY_FACTOR) <= free_memory() / 2


def _not_run(what: str) -> str:
    return f"{what}: not run against torch, which would need more memory than is free"


def _subnormals(module: nn.Module) -> tuple[str, ...]:
    tiny = torch.finfo(torch.float32).tiny
    number = sum(int(((p != 0) & (p.abs() < tiny)).sum()) for p in module.state_dict().values() if p.is_floating_point())
    return (f"{number} weights are subnormal, which slows arithmetic down",) if number else ()
