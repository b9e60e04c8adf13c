"""A plan to a run: one timing step after the other, each fact appended as soon as it is known; what is recorded is kept.

Three kinds of process take part. This one plans, waits and writes; it loads neither torch nor onnxruntime. The *builder*
holds torch and keeps exported parts; when it crashes or hangs it is replaced. Each *timing* process is fresh and lives for
one measurement; nothing of ours runs beside it, and no other sweep on this machine (``lock``).
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from attnbench.core.errors import InputError
from attnbench.core.naming import slug
from attnbench.core.records import Case, Run, RunHeader
from attnbench.core.scratch import scratch
from attnbench.measure import cache, machine
from attnbench.measure.bench import Bench
from attnbench.measure.builder import Builder
from attnbench.measure.executor import HERE, Executor
from attnbench.measure.header import about, check_machine, hashes_of, make_header, runtimes_of, sources_of
from attnbench.measure.observer import Observer
from attnbench.measure.schedule import schedule, work_left
from attnbench.runs.facts import BuiltFact, FailedFact, ProfileFact
from attnbench.runs.fold import replicates, summarise, untried
from attnbench.runs.headers import could_begin
from attnbench.runs.ledger import Ledger
from attnbench.runs.store import RUN_FILE, RunFile, RunWriter, find_unfinished, load_run, open_run, read_run_file
from attnbench.study.plan import Plan, PlannedCase

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
    on: Executor = HERE,
    retry_failed: bool = False,
) -> tuple[Run, Path]:
    """Run what a plan still lacks and return the run and its folder.

    Without ``out``, an unfinished run of the same study, settings, machine and software below ``results`` is continued, or a
    new folder ``<study>-<time>`` is made. Where another sweep measures on this machine, this waits for its end, or raises
    ``InputError`` without ``wait``. After so many ``seconds`` no further step is begun. Of a finished run, so many ``more``
    replicates are taken of these cases. Timing steps are done ``on`` this machine, or elsewhere. What failed by the machine
    is tried again, and with ``retry_failed`` whatever failed or was skipped.
    """
    began = time.monotonic()
    where = about(on, runtimes_of(plan))
    check_machine(plan, on, where)
    asked = make_header(plan, where)
    known = out or find_unfinished(results, plan.name, asked.study["fingerprint"])
    hashes = {planned.case: hashes_of(planned) for planned in plan.cases}
    sources = sources_of(hashes)

    def so_far(folder: Path | None) -> tuple[RunHeader, Ledger]:
        stored = recorded(folder, asked) if folder else RunFile(asked)
        ledger = Ledger(untried(stored.facts, everything=retry_failed), sources)
        return asking_more(stored.header, ledger, more), ledger

    if known and next(schedule(plan, *so_far(known)), None) is None:
        return load_run(known), known
    with ExitStack() as held:
        held.enter_context(on.held(f"sweep of {known or plan.name}", wait=wait, waiting=observer.waiting))
        # whoever measured until now may have finished this run, or begun it
        folder = out or find_unfinished(results, plan.name, asked.study["fingerprint"]) or new_folder(results, plan.name)
        header, ledger = so_far(folder)
        waiting = [planned for planned in plan.cases if _waits(header, ledger, planned.case)]
        builders = held.enter_context(open_builders(plan, len(waiting)))
        preflight(builders, waiting)
        writer = held.enter_context(open_run(folder, asked))
        header, ledger = so_far(folder)  # with the file locked, nobody adds to it
        observer.started(folder, len(plan.cases), len(plan.cases) - len(waiting), work_left(plan, header, ledger))
        _take_steps(plan, Bench(builders, plan, sources, hashes, on), header, ledger, writer, observer, began + seconds)
    cache.clear(cache.SIZE_LIMIT)
    return load_run(folder), folder


def _take_steps(
    plan: Plan,
    bench: Bench,
    header: RunHeader,
    ledger: Ledger,
    writer: RunWriter,
    observer: Observer,
    until: float,
) -> None:
    """Take one step after the other, and write down what each saw as soon as it is known; none after that time."""
    for step in schedule(plan, header, ledger):
        if time.monotonic() > until:
            break
        observer.at(step.cases, step.number + 1, step.kind)
        shown: list[Case] = []
        for number, fact in enumerate(bench.take(step), start=1):
            writer.append(fact)
            ledger.add(fact)
            if step.kind == "build":
                observer.described(number, len(step.cases))
            if isinstance(fact, ProfileFact | FailedFact) or (isinstance(fact, BuiltFact) and fact.untimed):
                shown.append(fact.case.baseline if step.kind == "repeat" else fact.case)
        if shown:
            left = work_left(plan, header, ledger)
            observer.replicates(*replicates(header, ledger, header.cases))
        for case in shown:
            observer.recorded(summarise(header, ledger, case), left)


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


def preflight(builders: Sequence[Builder], planned: Iterable[PlannedCase]) -> None:
    """Load the user's own code once, and tell every builder what of it is broken."""
    broken = builders[0].preflight(planned)
    for builder in builders:
        builder.broken = broken


@contextmanager
def open_builders(plan: Plan, cases: int) -> Iterator[list[Builder]]:
    """The building processes: one a core, and no more than the cases are worth the start of."""
    number = min(machine.granted_cores(), 1 + cases // CASES_A_BUILDER)
    with scratch() as base, ExitStack() as stack:
        folders = [base / str(index) for index in range(number)]
        for folder in folders:
            folder.mkdir()
        yield [stack.enter_context(Builder(folder, plan.targets, plan.protocol)) for folder in folders]


def _waits(header: RunHeader, ledger: Ledger, case: Case) -> bool:
    """Whether something of a case is still to be measured."""
    return not ledger.of(case) or summarise(header, ledger, case).pending > 0


def new_folder(results: Path, name: str) -> Path:
    """A folder that is not there yet, for a study of that name: as much of it as a folder's name may hold, and the time."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    plain = results / f"{slug(name)}-{stamp}"
    named = itertools.chain([plain], (Path(f"{plain}-{number}") for number in itertools.count(2)))
    return next(folder for folder in named if not folder.exists())


def recorded(folder: Path, header: RunHeader) -> RunFile:
    """What a run's folder holds already; the header alone where there is no run yet."""
    path = folder / RUN_FILE
    try:
        begun = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise InputError(f"run {path}: cannot be read: {error.strerror}") from error
    if b"\n" not in begun:
        if not could_begin(begun):
            raise InputError(f"{path} is no run: choose another folder with --out")
        return RunFile(header)  # new, or torn within the header: nothing was recorded
    stored = read_run_file(folder)
    if stored.header.study.get("fingerprint") != header.study["fingerprint"]:
        raise InputError(
            f"{folder} holds a run of another study, other settings, another machine or other software: "
            f"choose another folder with --out"
        )
    return stored
