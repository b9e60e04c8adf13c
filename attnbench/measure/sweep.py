"""A plan to a run: one timing step after the other, each fact appended as soon as it is known; what is recorded is kept.

Three kinds of process take part. This one plans, waits and writes; it loads neither torch nor onnxruntime. The *builder*
holds torch and keeps exported parts; when it crashes or hangs it is replaced. Each *timing* process is fresh and lives for
one measurement; nothing of ours runs beside it, and no other sweep on this machine (``lock``).
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import structs

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import parse_spec, parse_variant
from attnbench.core.records import Case, Run, RunHeader
from attnbench.core.sources import source_hash
from attnbench.core.versions import version
from attnbench.hosts import HOSTS
from attnbench.measure import cache, machine
from attnbench.measure.bench import Bench
from attnbench.measure.builder import Builder
from attnbench.measure.learned import learned
from attnbench.measure.lock import measuring
from attnbench.measure.observer import Observer
from attnbench.measure.schedule import schedule, work_left
from attnbench.measure.timing import time_in_process
from attnbench.modules import MODULES
from attnbench.runs.facts import BuiltFact, FailedFact, Ledger, ProfileFact
from attnbench.runs.fold import replicates, summarise
from attnbench.runs.store import RUN_FILE, SCHEMA, RunFile, find_unfinished, load_run, open_run, read_run_file
from attnbench.runs.uncertainty import RUN_TO_RUN
from attnbench.study.plan import Plan, PlannedCase

PROVIDERS_SECONDS = 60.0

CASES_A_BUILDER = 6
"""Cases that are worth the start of one more building process, which loads torch."""

NARROWEST = "0.000001"
"""A precision that no number of replicates reaches: as many are taken as may be."""


def run_plan(
    plan: Plan,
    results: Path,
    out: Path | None,
    observer: Observer,
    *,
    wait: bool = True,
    seconds: float = float("inf"),
    more: Mapping[Case, int] = MappingProxyType({}),
) -> tuple[Run, Path]:
    """Run what a plan still lacks and return the run and its folder.

    Without ``out``, an unfinished run of the same study, settings, machine and software below ``results`` is continued, or a
    new folder ``<study>-<time>`` is made. Where another sweep measures on this machine, this waits for its end, or raises
    ``InputError`` without ``wait``. After so many ``seconds`` no further step is begun. Of a finished run, so many ``more``
    replicates are taken of these cases.
    """
    began = time.monotonic()
    check_machine(plan)
    header = make_header(plan)
    folder = out or find_unfinished(results, plan.name, header.study["fingerprint"]) or _new_folder(results, plan.name)
    hashes = {planned.case: hashes_of(planned) for planned in plan.cases}
    sources = sources_of(hashes)
    stored = recorded(folder, header)
    ledger = Ledger(stored.facts, sources)
    header = asking_more(stored.header, ledger, more)
    if next(schedule(plan, header, ledger), None) is None:
        return load_run(folder), folder
    waiting = [planned for planned in plan.cases if _waits(header, ledger, planned.case)]
    with (
        measuring(f"sweep of {folder}", wait=wait, waiting=observer.waiting),
        open_run(folder, header) as writer,
        open_builders(plan, len(waiting)) as builders,
    ):
        observer.started(folder, len(plan.cases), len(plan.cases) - len(waiting), work_left(plan, header, ledger))
        builders[0].preflight(waiting)
        bench = Bench(builders, plan, sources, hashes)
        for step in schedule(plan, header, ledger):
            if time.monotonic() - began > seconds:
                break
            observer.at(step.cases, step.number + 1, step.kind)
            shown: list[Case] = []
            for number, fact in enumerate(bench.take(step), start=1):
                writer.append(fact)
                ledger.add(fact)
                if step.kind == "build":
                    observer.described(number, len(step.cases))
                if isinstance(fact, ProfileFact | FailedFact) or (isinstance(fact, BuiltFact) and fact.skip):
                    shown.append(fact.case.baseline if step.kind == "repeat" else fact.case)
            if shown:
                left = work_left(plan, header, ledger)
                observer.replicates(*replicates(header, ledger))
            for case in shown:
                observer.recorded(summarise(header, ledger, case), left)
    cache.clear(cache.SIZE_LIMIT)
    return load_run(folder), folder


def asking_more(header: RunHeader, ledger: Ledger, more: Mapping[Case, int]) -> RunHeader:
    """A header that asks for so many more replicates of these cases than they have; the stored one stays as it is.

    The first stage stays what it was, and with it the interval that holds however many follow.
    """
    efforts = {
        str(at): {
            **header.efforts.get(str(at), {}),
            "screen": False,
            "precision": NARROWEST,
            "max_processes": len(ledger.known(case).replicates) + more[case],
        }
        for at, case in enumerate(header.cases)
        if case in more
    }
    return replace(header, efforts={**header.efforts, **efforts})


@contextmanager
def open_builders(plan: Plan, cases: int) -> Iterator[list[Builder]]:
    """The building processes: one a core, and no more than the cases are worth the start of."""
    number = min(machine.granted_cores(), 1 + cases // CASES_A_BUILDER)
    with tempfile.TemporaryDirectory(prefix="attnbench-") as scratch, ExitStack() as stack:
        folders = [Path(scratch, str(index)) for index in range(number)]
        for folder in folders:
            folder.mkdir()
        yield [stack.enter_context(Builder(folder, plan.targets, plan.protocol)) for folder in folders]


def _waits(header: RunHeader, ledger: Ledger, case: Case) -> bool:
    """Whether something of a case is still to be measured."""
    return not ledger.of(case) or summarise(header, ledger, case).pending > 0


def hashes_of(planned: PlannedCase) -> dict[str, str]:
    """The host and each module of a case with a hash of the sources that they are written in."""
    host = planned.case.host
    name = host if planned.host.kind == "onnx" else parse_spec(host).name
    specs = [spec for assignment in parse_variant(planned.case.variant).assignments for spec in assignment.modules]
    return {host: source_hash(HOSTS, name), **{str(spec): source_hash(MODULES, spec.name) for spec in specs}}


def about_here() -> tuple[dict[str, Any], dict[str, Any]]:
    """What a header says of this machine and its software."""
    here = machine.machine()
    return {**here, RUN_TO_RUN: asdict(learned(here["id"]))}, machine.software()


def sources_of(hashes: Mapping[Case, Mapping[str, str]]) -> dict[Case, str]:
    """One hash a case of all that it runs."""
    return {case: _short_hash(own) for case, own in hashes.items()}


def make_header(plan: Plan, where: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None) -> RunHeader:
    """What was asked, where and with what; its fingerprint is the same only for a run that may be continued.

    The study's fingerprint is that of all its cases: shards that have it in common may be merged. ``where`` is what
    ``about_here`` says on another machine.
    """
    here, software = where or about_here()
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
    planned = [[asdict(one.case), asdict(one.host), structs.asdict(one.effort)] for one in cases]
    asked = {"study": plan.document, "protocol": structs.asdict(plan.protocol), "cases": planned, **ids}
    return _short_hash(asked, 16)


def _short_hash(values: object, length: int = 12) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:length]


def check_machine(plan: Plan) -> None:
    """Raise ``InputError`` where this machine cannot measure what a plan asks for."""
    _check_threads(plan)
    _check_provider(plan)


def _check_threads(plan: Plan) -> None:
    """Raise ``InputError`` for more threads than there are cores: they would share them, and be reported as so many."""
    cores = machine.granted_cores()
    if max(plan.protocol.threads) > cores:
        raise InputError(
            f"threads {max(plan.protocol.threads)}: this process may use {cores} cores: ask for {cores} at most"
        )


def _check_provider(plan: Plan) -> None:
    """Raise ``UnknownName`` for an execution provider that the installed runtime lacks, before anything is measured."""
    asked = plan.protocol.provider
    if asked == "cpu":
        return
    installed = time_in_process({"kind": "providers"}, PROVIDERS_SECONDS)["providers"]
    if asked not in installed:
        hint = "another build of onnxruntime may have it"
        raise UnknownName("execution provider of the installed onnxruntime", asked, installed, hint)


def _new_folder(results: Path, name: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return results / f"{name}-{stamp}"


def recorded(folder: Path, header: RunHeader) -> RunFile:
    """What a run's folder holds already; the header alone where there is no run yet."""
    path = folder / RUN_FILE
    if not path.exists() or path.read_bytes().count(b"\n") == 0:
        return RunFile(header)  # new, or torn within the header: nothing was recorded
    stored = read_run_file(folder)
    if stored.header.study.get("fingerprint") != header.study["fingerprint"]:
        raise InputError(
            f"{folder} holds a run of another study, other settings, another machine or other software: "
            f"choose another folder with --out"
        )
    return stored
