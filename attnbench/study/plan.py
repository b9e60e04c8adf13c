"""A study to a plan: which cases, with which settings, against which targets. Planning imports no torch.

``study_file`` says what a study may hold; the command line's flags make the same mapping.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from msgspec.structs import replace

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import parse_size, parse_spec, parse_variant, quote
from attnbench.core.quantities import parse_precision
from attnbench.core.records import BASELINE, Case, Effort, Protocol
from attnbench.core.validation import validate
from attnbench.hosts import (
    HostReference,
    check_host,
    check_size,
    declared_placements,
    declared_sites,
    modules_by_site,
)
from attnbench.modules import MODULES, check_spec
from attnbench.npu.targets import load_target
from attnbench.study.file import HOST_KEYS, claims_of, find_study, hold, read_study

EACH, ALL = "each", "all"
DEFAULT_SIZE = "384x640"
QUICK = {"processes": 3, "max_processes": 3, "warmup": 1, "repeat": 3, "rounds": 6, "step_seconds": 10.0}


@dataclass(frozen=True)
class PlannedCase:
    """A case with what is asked of it alone: the host as it was named, and the effort."""

    case: Case
    host: HostReference
    effort: Effort


@dataclass(frozen=True)
class Plan:
    """What a sweep will do. ``document`` is the study as the report needs it, in plain values.

    Where this is a shard like ``1/4``, ``whole`` are the cases of all shards together.
    """

    name: str
    cases: tuple[PlannedCase, ...]
    targets: tuple[str, ...]
    protocol: Protocol
    effort: Effort
    document: Mapping[str, Any] = field(default_factory=dict)
    shard: str = ""
    whole: tuple[PlannedCase, ...] = ()


def plan(data: Mapping[str, Any], *, quick: bool = False, overrides: Mapping[str, Any] | None = None) -> Plan:
    """The cases of a study in running order: for each host and size the baseline first, then its variants.

    ``overrides`` are settings from the command line; they hold for every case. ``quick`` is a set of them.
    """
    where = f"study '{data.get('name', 'study')}'"
    forced = {**(QUICK if quick else {}), **(overrides or {})}
    common = {**data.get("settings", {}), **forced}
    protocol, effort = make_settings(common, f"{where}: [settings]")
    targets = tuple(data.get("targets", ["aimotive"]))
    for target in targets:
        load_target(target)
    cases: dict[Case, PlannedCase] = {}
    for host in _hosts(data, where):
        asked = list(_variants(data, host, where))
        if host.kind == "onnx":
            _check_tensors(host, [variant for variant, _, _ in asked])
        for size in _sizes(data, host):
            for variant, own, only in asked:
                if only and size not in only:
                    continue
                chosen = make_effort({**common, **own, **forced}, own, where) if own else effort
                case = Case(host.spec, variant, size, data.get("batch", 1))
                known = cases.get(case)
                if known is None or known.effort.processes < chosen.processes:
                    cases[case] = PlannedCase(case, host, chosen)
    if not cases:
        raise InputError(f"{where} plans no case: give it a [[matrix]] or a [[case]]")
    return Plan(data.get("name", "study"), tuple(cases.values()), targets, protocol, effort, _document(data, targets))


def shard(whole: Plan, part: str) -> Plan:
    """A part of a plan for one of several machines: ``2/4`` is every fourth variant from the second on, and their baselines.

    A plan is always split the same way. What is no part, or a part with no case, is an ``InputError``.
    """
    number, _, parts = part.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise InputError(f"--shard '{part}' is not PART/PARTS: write it like 1/4")
    counted_from = {planned.case.baseline for planned in whole.cases if not planned.case.is_baseline}
    dealt = [planned.case for planned in whole.cases if planned.case not in counted_from]
    own = dealt[int(number) - 1 :: int(parts)]
    if not own:
        raise InputError(f"--shard {part} holds no case: there are {len(dealt)} to deal out")
    kept = {*own, *(case.baseline for case in own)}
    return dataclasses.replace(whole, cases=tuple(p for p in whole.cases if p.case in kept), shard=part, whole=whole.cases)


def make_settings(values: Mapping[str, Any], where: str) -> tuple[Protocol, Effort]:
    """Protocol and effort from plain values; an unknown name, a wrong type or a number out of range is an ``InputError``."""
    known = (*Protocol.__struct_fields__, *Effort.__struct_fields__)
    for key in values:
        if key not in known:
            raise UnknownName(f"key in {where}", key, known)
    return _protocol(values, where), _effort(values, where)


def make_effort(values: Mapping[str, Any], own: Mapping[str, Any], where: str) -> Effort:
    """A case's effort: ``own`` are the keys that it asks for. Raises ``InputError`` for one that is the protocol's."""
    for key in own:
        if key in Protocol.__struct_fields__:
            raise InputError(
                f"{where}: {key} is the same for all cases, or their figures would not compare: set it in [settings]"
            )
    _effort(own, where)
    return _effort(values, where)


def _protocol(values: Mapping[str, Any], where: str) -> Protocol:
    chosen = {key: value for key, value in values.items() if key in Protocol.__struct_fields__}
    if isinstance(chosen.get("threads"), int):
        chosen["threads"] = (chosen["threads"],)
    for word in ("provider", "optimization"):
        if isinstance(chosen.get(word), str):
            chosen[word] = chosen[word].lower().removesuffix("executionprovider")
    return validate(chosen, Protocol, where)


def _effort(values: Mapping[str, Any], where: str) -> Effort:
    chosen = {key: value for key, value in values.items() if key in Effort.__struct_fields__}
    if isinstance(chosen.get("precision"), int | float):
        chosen["precision"] = str(chosen["precision"])
    made = validate(chosen, Effort, where)
    parse_precision(made.precision)
    if "processes" in values:
        return replace(made, max_processes=max(made.processes, made.max_processes))
    return replace(made, processes=min(made.processes, made.max_processes))


def _hosts(data: Mapping[str, Any], where: str) -> list[HostReference]:
    references = []
    for entry in data.get("hosts", ["resnetsan01"]):
        if isinstance(entry, dict):
            hold(entry, HOST_KEYS, f"{where}: hosts")
            reference = HostReference(**entry)
        else:
            reference = HostReference(str(entry))
        if reference.kind != "onnx":
            reference = dataclasses.replace(reference, spec=str(parse_spec(reference.spec)))
        check_host(reference)
        if reference.kind == "factory" and not reference.sites:
            raise InputError(f"host '{reference.spec}' has no sites: name some with --site submodule.path=name")
        references.append(reference)
    if not references:
        raise InputError(f"{where} names no host")
    return references


def _sizes(data: Mapping[str, Any], host: HostReference) -> list[str]:
    sizes = data.get("sizes")
    if host.kind == "onnx" and not sizes:
        from attnbench.graph.load import file_size  # noqa: PLC0415  onnx is slow to import and mostly not needed here

        return ["x".join(map(str, file_size(host.spec)))]
    written = []
    for size in sizes or [DEFAULT_SIZE]:
        height, width = parse_size(str(size))
        check_size(host, height, width)
        written.append(f"{height}x{width}")
    return written


def _variants(
    data: Mapping[str, Any], host: HostReference, where: str
) -> Iterable[tuple[str, Mapping[str, Any], list[str] | None]]:
    own: Mapping[str, Any] = {}
    explicit = [table for table in data.get("case", []) if table.get("host", host.spec) == host.spec]
    for table in explicit:
        own = max(own, table.get("settings", {}), key=lambda s: s.get("processes", 0))
    yield BASELINE, own, None
    for table in explicit:
        yield _normal(table["variant"], host), table.get("settings", {}), table.get("sizes")
    for table in data.get("matrix", []):
        for place in _places(table.get("places", EACH), host, where):
            for module in _modules(table.get("modules", ALL)):
                yield _normal(f"{place}={module}", host), table.get("settings", {}), None


def _modules(modules: list[str] | str) -> list[str]:
    names = [modules] if isinstance(modules, str) else modules
    return [name for module in names for name in (MODULES.names() if module == ALL else [str(parse_spec(module))])]


def _places(places: list[str] | str, host: HostReference, where: str) -> list[str]:
    found: list[str] = []
    for place in [places] if isinstance(places, str) else places:
        if place != EACH:
            found.append(place)
            continue
        sites = declared_sites(host)
        if sites is None:
            raise InputError(f"{where}: 'each' needs a host with named sites; name the tensors of '{host.spec}' instead")
        found += map(quote, sites)
    return found


def _normal(text: str, host: HostReference) -> str:
    """The variant as it is stored, after every name in it has been found (an ONNX host's places: ``_check_tensors``)."""
    variant = parse_variant(text)
    for assignment in variant.assignments:
        for module in assignment.modules:
            check_spec(module)
    sites = declared_sites(host)
    if sites is not None:
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


def _document(data: Mapping[str, Any], targets: tuple[str, ...]) -> dict[str, Any]:
    cases = [
        {
            **{key: value for key, value in table.items() if key not in ("claim", "settings")},
            "variant": str(parse_variant(table["variant"])),
            "claims": [{"relation": "about", **claim} for claim in claims_of(table)],
        }
        for table in data.get("case", [])
    ]
    return {
        "name": data.get("name", "study"),
        "title": data.get("title", ""),
        "targets": [load_target(target).name for target in targets],
        "matrix": [{k: v for k, v in table.items() if k != "settings"} for table in data.get("matrix", [])],
        "cases": cases,
    }


def host_from_flags(spec: str, sites: list[str], input_channels: int) -> HostReference:
    """The host that ``--host``, ``--site`` and ``--input-channels`` name."""
    named: dict[str, str] = {}
    for text in sites:
        path, equals, name = text.partition("=")
        if not equals or not path or not name:
            raise InputError(f"--site '{text}' is not SUBMODULE.PATH=NAME: write it like backbone.layer3=layer3")
        if name in named:
            raise InputError(f"--site names '{name}' twice")
        named[name] = path
    return HostReference(spec, named, input_channels)


def from_flags(
    study: str | None,
    hosts: list[HostReference],
    modules: list[str],
    places: list[str],
    variants: list[str],
    sizes: list[str],
    targets: list[str],
    batch: int | None,
) -> dict[str, Any]:
    """The study of a file or name, with hosts, sizes, targets and batch from flags; or what flags alone describe.

    No flag and no study is the packaged report study.
    """
    alone = bool(modules or places or variants)
    if alone and study is not None:
        raise InputError("give a study, or --module with --place or --variant, but not both")
    if modules and not places:
        raise InputError("--module needs --place: name where it stands, or --place each for every site")
    if places and not modules:
        raise InputError("--place needs --module: name what stands there, or --module all for every module")
    if alone:
        data: dict[str, Any] = {"name": "sweep", "case": [{"variant": variant} for variant in variants]}
        if modules:
            data["matrix"] = [{"modules": modules, "places": places}]
    elif study is None and hosts:
        raise InputError("--host needs --module with --place, or --variant: name what to put where")
    else:
        data = read_study(find_study(study or "report"))
    given = {"hosts": [asdict(h) for h in hosts], "sizes": sizes, "targets": targets, "batch": batch}
    return {**data, **{key: value for key, value in given.items() if value}}
