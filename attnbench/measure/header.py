"""What a run says of itself before anything is measured: what is asked, of which sources, where and with what."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from msgspec import structs

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import parse_spec, parse_variant
from attnbench.core.records import DEFAULT_RUNTIME, Case, RunHeader
from attnbench.core.sources import source_hash
from attnbench.core.versions import NOT_INSTALLED, version
from attnbench.hosts import HOSTS
from attnbench.measure.executor import HERE, Executor
from attnbench.measure.learned import learned
from attnbench.modules import MODULES
from attnbench.runs.headers import SCHEMA
from attnbench.runs.uncertainty import RUN_TO_RUN
from attnbench.runtimes import CPU, device_of
from attnbench.study.plan import Plan, PlannedCase

DEVICES_SECONDS = 60.0

About = tuple[Mapping[str, Any], Mapping[str, Any]]
"""What a header says of a machine and its software."""


def about(there: Executor = HERE, runtimes: Iterable[str] = ()) -> About:
    """That of this machine, or of where timing steps are done; ``runtimes`` are those that run something."""
    machine = there.machine()
    return {**machine, RUN_TO_RUN: asdict(learned(machine["id"]))}, there.software(runtimes)


def runtimes_of(plan: Plan) -> list[str]:
    """The names of the runtimes that a plan's cases run in."""
    return list(dict.fromkeys(parse_spec(planned.case.runtime).name for planned in plan.cases))


def hashes_of(planned: PlannedCase) -> dict[str, str]:
    """The host and each module of a case with a hash of the sources that they are written in."""
    host = planned.case.host
    name = host if planned.host.kind == "onnx" else parse_spec(host).name
    specs = [spec for assignment in parse_variant(planned.case.variant).assignments for spec in assignment.modules]
    return {host: source_hash(HOSTS, name), **{str(spec): source_hash(MODULES, spec.name) for spec in specs}}


def sources_of(hashes: Mapping[Case, Mapping[str, str]]) -> dict[Case, str]:
    """One hash a case of all that it runs."""
    return {case: _short_hash(own) for case, own in hashes.items()}


def make_header(plan: Plan, where: About | None = None) -> RunHeader:
    """What was asked, where and with what; its fingerprint is the same only for a run that may be continued.

    The study's fingerprint is that of all its cases: shards that have it in common may be merged. ``where`` is what
    ``about`` says of where it is measured, which is here without.
    """
    here, software = where or about(runtimes=runtimes_of(plan))
    ids = {"machine": here["id"], "software": software["id"]}
    whole = plan.whole or plan.cases
    study = {
        **plan.document,
        "fingerprint": _fingerprint(plan, plan.cases, ids),
        "study_fingerprint": _fingerprint(plan, whole, ids),
    }
    if plan.shard:
        places = {planned.case: place for place, planned in enumerate(whole)}
        positions = [places[planned.case] for planned in plan.cases]
        study["shard"] = {"part": plan.shard, "positions": positions, "total": len(whole)}
    usual = structs.asdict(plan.effort)
    efforts = {
        str(at): {name: value for name, value in structs.asdict(planned.effort).items() if value != usual[name]}
        for at, planned in enumerate(plan.cases)
        if planned.effort != plan.effort
    }
    return RunHeader(
        schema=SCHEMA,
        attnbench=version("attnbench"),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        study=study,
        protocol=structs.asdict(plan.protocol),
        effort=usual,
        machine=here,
        software=software,
        cases=tuple(planned.case for planned in plan.cases),
        efforts=efforts,
    )


def _fingerprint(plan: Plan, cases: Sequence[PlannedCase], ids: Mapping[str, str]) -> str:
    planned = [[structs.asdict(one.case), asdict(one.host), structs.asdict(one.effort)] for one in cases]
    asked = {"study": plan.document, "protocol": structs.asdict(plan.protocol), "cases": planned, **ids}
    return _short_hash(asked, 16)


def _short_hash(values: object, length: int = 12) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:length]


def check_machine(plan: Plan, there: Executor, where: About) -> None:
    """Raise ``InputError`` where a machine cannot measure what a plan asks for; ``where`` is what ``about`` says of it."""
    machine, software = where
    _check_threads(plan, machine["cores"])
    _check_runtimes(plan, there, software)


def _check_threads(plan: Plan, cores: int | None) -> None:
    """Raise ``InputError`` for more threads than there are cores: they would share them, and be reported as so many."""
    if cores is not None and max(plan.protocol.threads) > cores:
        raise InputError(
            f"threads {max(plan.protocol.threads)}: this process may use {cores} cores: ask for {cores} at most"
        )


def _check_runtimes(plan: Plan, there: Executor, software: Mapping[str, Any]) -> None:
    """Raise ``InputError`` for a runtime, or a device of one, that is not installed, before anything is measured."""
    for runtime in dict.fromkeys(planned.case.runtime for planned in plan.cases):
        name, device = parse_spec(runtime).name, device_of(runtime, plan.protocol.provider)
        if software[name] == NOT_INSTALLED:
            raise InputError(f"runtime '{name}' is not installed: pip install 'attnbench[{name}]'")
        if device == CPU:
            continue
        found = there.time({"kind": "devices", "runtime": name}, DEVICES_SECONDS)["devices"]
        if name == DEFAULT_RUNTIME and device not in found:
            hint = "another build of onnxruntime may have it"
            raise UnknownName("execution provider of the installed onnxruntime", device, found, hint)
        if device not in {*found, *(one.partition(".")[0] for one in found)}:
            raise UnknownName(f"device of {name} on this machine", device, found)
