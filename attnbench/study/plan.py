"""A study to a plan: which cases, with which settings, against which targets. Planning imports no torch.

``study.file`` says what a study may hold.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType, to_builtins
from msgspec.structs import replace

from attnbench.core.catalogue import parts_of
from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import normal_size, parse_size, parse_spec, parse_variant, quote
from attnbench.core.inputs import inputs_mark
from attnbench.core.naming import steers
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import BASELINE, DEFAULT_RUNTIME, FP32, INT8, Case
from attnbench.hosts import (
    REPLACED,
    HostReference,
    check_host,
    check_size,
    declared_placements,
    declared_sites,
    is_glob,
    modules_by_site,
)
from attnbench.modules import check_spec, module_names
from attnbench.runtimes import check_runtime
from attnbench.study.file import Names, Study, StudyHost, normal_host, read_settings, target_name, validate_study

EACH, ALL = "each", "all"
DEFAULT_SIZE = "384x640"
QUICK = {"processes": 3, "max_processes": 3, "warmup": 1, "repeat": 5, "crosscheck": 20, "step_seconds": 10.0}


@dataclass(frozen=True)
class PlannedCase:
    """A case with what is asked of it alone: the host as it was named, and the effort."""

    case: Case
    host: HostReference
    effort: Effort


@dataclass(frozen=True)
class Plan:
    """What a sweep will do. ``document`` is the study as the report needs it, in plain values.

    ``inputs`` is the folder that the runs are fed from. Where this is a shard like ``1/4``, ``whole`` are the cases of all
    shards together.
    """

    name: str
    cases: tuple[PlannedCase, ...]
    targets: tuple[str, ...]
    protocol: Protocol
    effort: Effort
    document: Mapping[str, Any] = field(default_factory=dict)
    shard: str = ""
    inputs: str = ""
    whole: tuple[PlannedCase, ...] = ()


def _ways(study: Study) -> list[tuple[str, str]]:
    """The runtimes with their number types. What int8 left in floats is read off ONNX Runtime's ops, so it is that one's."""
    runtimes = dict.fromkeys(str(check_runtime(runtime)) for runtime in study.runtimes)
    able = {FP32: runtimes, INT8: [one for one in runtimes if parse_spec(one).name == DEFAULT_RUNTIME]}
    return [way for way in product(runtimes, dict.fromkeys(study.dtypes)) if way[0] in able[way[1]]]


def plan(study: Study | Mapping[str, Any], *, quick: bool = False, overrides: Mapping[str, Any] | None = None) -> Plan:
    """The cases of a study in running order: for each host, size and runtime the baseline first, then its variants.

    ``overrides`` are settings from the command line; they hold for every case. ``quick`` is a set of them. Raises
    ``InputError`` for a study that cannot be, or that comes to nothing.
    """
    study = study if isinstance(study, Study) else validate_study(study)
    where = f"study '{study.name}'"
    forced = {**(QUICK if quick else {}), **(overrides or {})}
    read_settings(forced)
    common = {**study.settings, **forced}
    protocol, effort = read_settings(common)
    inputs = str(Path(protocol.inputs).resolve()) if protocol.inputs else ""
    if inputs:
        protocol = replace(protocol, inputs=inputs_mark(inputs))
    document = _document(study)
    ways = _ways(study)
    cases: dict[Case, PlannedCase] = {}
    empty, found = True, dict[str, None]()
    for host in _hosts(study):
        baseline, asked = _asked(study, host)
        if host.kind == "onnx":
            _check_tensors(host, [one.variant for one in asked])
        for size in _sizes(study, host):
            found[size] = None
            chosen = [one for one in asked if one.sizes is None or size in one.sizes]
            if not chosen:
                continue
            empty = False
            if host.kind != "onnx" or study.sizes:
                check_size(host, *parse_size(size))
            for (runtime, dtype), one in product(ways, (baseline, *chosen)):
                own = read_settings({**common, **one.settings, **forced})[1] if one.settings else effort
                case = Case(host.spec, one.variant, size, study.batch, runtime, dtype)
                known = cases.get(case)
                if known is None or known.effort.processes < own.processes:
                    cases[case] = PlannedCase(case, host, own)
    _check_unicode(cases)
    if empty:
        raise InputError(f"{where} plans no case: give it a [[matrix]] or a [[case]] for one of its hosts and sizes")
    _check_case_sizes(study, found, where)
    return Plan(study.name, tuple(cases.values()), study.targets, protocol, effort, document, inputs=inputs)


def _check_unicode(cases: Iterable[Case]) -> None:
    """Raise ``InputError`` for a name that no file can hold or no line: a path may be of bytes that are no text."""
    for case in cases:
        try:
            case.label.encode()
        except UnicodeEncodeError:
            raise InputError(f"{case.label!r} is no valid Unicode: rename the file that it names") from None
        if steers(case.label):
            raise InputError(f"{case.label!r} holds a control character: rename what it names")


def _check_case_sizes(study: Study, known: Iterable[str], where: str) -> None:
    """Raise ``UnknownName`` for a case at a size that no host is asked at."""
    known = list(known)
    for number, case in enumerate(study.case, 1):
        for size in map(normal_size, case.sizes or ()):
            if size not in known:
                raise UnknownName(f"size in {where}: case {number}", size, known, "a case's sizes are among the study's")


def shard(whole: Plan, part: str) -> Plan:
    """A part of a plan for one of several machines: ``2/4`` is every fourth variant from the second on, and their baselines.

    A plan is always split the same way. What is no part, or a part with no case, is an ``InputError``.
    """
    number, _, parts = part.partition("/")
    if not (_whole(number) and _whole(parts) and 1 <= int(number) <= int(parts)):
        raise InputError(f"--shard '{part}' is not PART/PARTS: write it like 1/4")
    counted_from = {planned.case.baseline for planned in whole.cases if not planned.case.is_baseline}
    dealt = [planned.case for planned in whole.cases if planned.case not in counted_from]
    own = dealt[int(number) - 1 :: int(parts)]
    if not own:
        raise InputError(f"--shard {part} holds no case: there are {len(dealt)} to deal out")
    kept = {*own, *(case.baseline for case in own)}
    return dataclasses.replace(whole, cases=tuple(p for p in whole.cases if p.case in kept), shard=part, whole=whole.cases)


def _whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6


def _hosts(study: Study) -> list[HostReference]:
    references = []
    for entry in study.hosts:
        host = StudyHost(spec=entry) if isinstance(entry, str) else entry
        reference = HostReference(normal_host(host.spec), host.sites, host.input_channels)
        check_host(reference)
        if reference.kind == "factory":
            parts_of(parse_spec(reference.spec).name, "host")
            if not reference.sites:
                reference = dataclasses.replace(reference, sites=_paths(study, reference.spec))
        references.append(reference)
    return references


def _paths(study: Study, host: str) -> dict[str, str]:
    """The places asked of a factory's host that has no names for them: they are its submodules' paths, and must exist there.

    Raises ``InputError`` for what only names could tell: each of them, or a glob.
    """
    variants = [case.variant for case in study.case if case.host is UNSET or normal_host(case.host) == host]
    variants += [f"{place}=_" for table in study.matrix for place in _listed(table.places)]
    asked = [place for text in variants for assignment in parse_variant(text).assignments for place in assignment.places]
    if unclear := [place for place in asked if place == EACH or is_glob(place)]:
        raise InputError(
            f"host '{host}' has no sites for place '{unclear[0]}': name some with --site submodule.path=name, or give a "
            f"submodule's path as place: 'attnbench list placements --host {host}' has them"
        )
    return {place: place for place in asked}


def _sizes(study: Study, host: HostReference) -> list[str]:
    if host.kind == "onnx":
        from attnbench.graph.load import file_size  # noqa: PLC0415  onnx is slow to import and mostly not needed here

        own = "x".join(map(str, file_size(host.spec)))
        if other := [size for size in map(normal_size, study.sizes) if size != own]:
            raise InputError(f"host '{host.spec}' is made for {own}, not {other[0]}: leave the size out, or export it anew")
        return [own]
    return [normal_size(size) for size in study.sizes or (DEFAULT_SIZE,)]


class _Asked(NamedTuple):
    """A variant that is asked for, with its own settings, and at which sizes alone."""

    variant: str
    settings: Mapping[str, Any] = MappingProxyType({})
    sizes: frozenset[str] | None = None


def _asked(study: Study, host: HostReference) -> tuple[_Asked, list[_Asked]]:
    """What is asked for at a host: its baseline, as thorough as its most thorough case, and each case and matrix."""
    own = [case for case in study.case if case.host is UNSET or normal_host(case.host) == host.spec]
    baseline = _Asked(BASELINE, max((c.settings for c in own), key=lambda s: s.get("processes", 0), default={}))
    found = [
        _Asked(_normal(case.variant, host), case.settings, frozenset(map(normal_size, case.sizes)) if case.sizes else None)
        for case in own
    ]
    for table in study.matrix:
        found += [
            _Asked(_normal(f"{place}={module}", host), table.settings)
            for place in _places(table.places, host)
            for module in _modules(table.modules)
        ]
    return baseline, found


def _modules(modules: Names | str | UnsetType) -> list[str]:
    names = [modules] if isinstance(modules, str) else [ALL] if modules is UNSET else modules
    return [name for module in names for name in (module_names() if module == ALL else [str(parse_spec(module))])]


def _listed(places: Names | str | UnsetType) -> Iterable[str]:
    return [places] if isinstance(places, str) else [EACH] if places is UNSET else places


def _places(places: Names | str | UnsetType, host: HostReference) -> list[str]:
    found: list[str] = []
    for place in _listed(places):
        if place != EACH:
            found.append(place)
            continue
        sites = [site for site in _sites(host) if not site.endswith(REPLACED)]
        if not sites:
            raise InputError(f"place '{EACH}': host '{host.spec}' has no sites")
        found += map(quote, sites)
    return found


def _sites(host: HostReference) -> Iterable[str]:
    """What ``each`` stands for: the host's sites; of an ONNX file, the last tensor before each change of resolution."""
    if (sites := declared_sites(host)) is None:
        from attnbench.graph.load import parse, read_host_file  # noqa: PLC0415  onnx is slow to import
        from attnbench.graph.splice import stage_ends, tensors  # noqa: PLC0415

        return stage_ends(tensors(parse(read_host_file(host.spec))))
    return sites


def _normal(text: str, host: HostReference) -> str:
    """The variant as it is stored, after every name in it has been found (an ONNX host's places: ``_check_tensors``)."""
    variant = parse_variant(text)
    for assignment in variant.assignments:
        for module in assignment.modules:
            check_spec(module)
    if (sites := declared_sites(host)) is not None:
        modules_by_site(variant, sites, declared_placements(host), host.spec)
    return str(variant)


def _check_tensors(host: HostReference, variants: Iterable[str]) -> None:
    """Raise ``UnknownName`` for a place that is no tensor of an ONNX host; the file is read once for all variants."""
    from attnbench.graph.load import parse, read_host_file  # noqa: PLC0415  onnx is slow to import, mostly not needed here
    from attnbench.graph.splice import tensors  # noqa: PLC0415

    known = tensors(parse(read_host_file(host.spec)))
    for place in (p for text in variants for assignment in parse_variant(text).assignments for p in assignment.places):
        if place not in known:
            raise UnknownName(f"tensor [N, C, H, W] of host '{host.spec}'", place, known)


def _document(study: Study) -> dict[str, Any]:
    cases = [
        {
            **{key: value for key, value in to_builtins(case).items() if key not in ("claim", "settings")},
            **({} if case.host is UNSET else {"host": normal_host(case.host)}),
            "variant": str(parse_variant(case.variant)),
            "claims": [{"relation": claim.relation, **to_builtins(claim)} for claim in case.claims],
        }
        for case in study.case
    ]
    return {
        "name": study.name,
        "title": study.title,
        "targets": [target_name(target) for target in study.targets],
        "matrix": [{k: v for k, v in to_builtins(table).items() if k != "settings"} for table in study.matrix],
        "cases": cases,
    }
