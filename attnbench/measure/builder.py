"""The builder processes, seen from the sweep: hand one a case, get what is known of it, a graph or a reason.

Each is a long-lived child that keeps the exported parts, and loads torch where one must be exported. A crash (an exporter
may segfault) or a hang ends that child alone; the case gets its reason and the next case a new child.
"""

import hashlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from attnbench.core.catalogue import is_reference
from attnbench.core.errors import CaseFailure, CaseRefused, CaseSkipped, InputError, MachineFailure
from attnbench.core.grammar import parse_spec, parse_variant
from attnbench.core.protocol import Protocol
from attnbench.core.records import Check, Finding, Measurement
from attnbench.core.users import VARIABLE as DEBUG
from attnbench.measure.serving import Refusal, do, load, serve, write_chain
from attnbench.study.plan import PlannedCase

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

PREFLIGHT_SECONDS = 300.0
END_SECONDS = 5.0
"""What a builder that has nothing to do is given to end by itself."""

START: Literal["spawn", "forkserver"] = "spawn"


@dataclass(frozen=True)
class Built:
    """All that is known of a case without a clock.

    ``sites`` are those that its modules stand at, ``regions`` the parts of the host that these are in, and ``kinds`` the
    kinds of nodes that the runtime's own graph has more of by them, or fewer. ``peak`` and ``need`` are bytes of live
    activations and of what a run is expected to take; ``skip`` says why it must not be run, where it must not; ``seconds``
    where the building's time went. ``lasting`` is whether all of it would come out the same at another time.
    """

    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    uncounted: tuple[str, ...]
    notes: tuple[str, ...]
    sites: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    kinds: Mapping[str, int] = field(default_factory=dict)
    peak: int = 0
    need: int = 0
    skip: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    lasting: bool = True


class Builder:
    """A context that owns one builder process, which does one task at a time; it is replaced where it is gone."""

    def __init__(self, folder: Path, targets: tuple[str, ...], protocol: Protocol) -> None:
        self.folder = folder
        self.targets = targets
        self.protocol = protocol
        self.broken: dict[str, str] = {}
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._chain: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(kill=error is not None)

    def preflight(self, planned: Iterable[PlannedCase]) -> dict[str, str]:
        """Load the user's own hosts and modules once, so that a wrong name is one error before anything is measured.

        Raises ``InputError`` for a file, a name, a kind or an option that is wrong. What does not import, or not in time, is
        each of its cases' failure: the reason by reference.
        """
        asked = list(planned)
        references: dict[str, PlannedCase | None] = {}
        for one in asked:
            if one.host.kind == "factory":
                references[one.host.spec] = one
            for assignment in parse_variant(one.case.variant).assignments:
                references |= {str(spec): None for spec in assignment.modules if is_reference(spec.name)}
        timeout = max((one.effort.timeout_seconds for one in asked), default=PREFLIGHT_SECONDS)
        for spec, host in references.items():
            name = parse_spec(spec).name
            if name in self.broken:
                continue
            try:
                refusal = self._ask(min(timeout, PREFLIGHT_SECONDS), load, spec, host)
            except MachineFailure:
                continue  # the process was killed, which says nothing of the code: its cases will tell
            except CaseFailure as failure:
                self.broken[name] = f"importing {name}: {failure.reason}"
                continue
            if refusal is not None and refusal.kind == "InputError":
                raise InputError(refusal.message)
        return self.broken

    def describe(self, planned: PlannedCase) -> Built:
        """What is known of a case without a clock. Raises ``CaseFailure`` with the reason, also for a crash or a hang."""
        self._refuse_broken(planned)
        return self._answer(planned.effort.timeout_seconds, "describe", planned.case, planned.host, self.targets)

    def prepare(self, planned: PlannedCase) -> None:
        """Have the process export what a case needs besides its host; what fails will fail again."""
        with suppress(CaseFailure):
            self._answer(planned.effort.timeout_seconds, "prepare", planned.case)

    def write(self, together: Sequence[PlannedCase]) -> str:
        """The path of a graph with these cases in it, which are of one host and size. Raises ``CaseFailure``."""
        cases = [(planned.case, planned.host) for planned in together]
        name = hashlib.sha256(" ".join(case.label for case, _ in cases).encode()).hexdigest()[:16]
        timeout = max(planned.effort.timeout_seconds for planned in together)
        return str(self._answer(timeout, "write", cases, name))

    def _refuse_broken(self, planned: PlannedCase) -> None:
        """Raise ``CaseFailure`` for code that did not import before: each case of it would wait as long again."""
        specs = [spec for part in parse_variant(planned.case.variant).assignments for spec in part.modules]
        names = [*(spec.name for spec in specs), *([parse_spec(planned.host.spec).name] * (planned.host.kind == "factory"))]
        for name in names:
            if name in self.broken:
                raise CaseFailure("load", self.broken[name])

    def _answer(self, timeout: float, task: str, *arguments: Any) -> Any:
        result = self._ask(timeout, do, task, arguments, self.protocol, str(self.folder))
        if isinstance(result, Refusal):
            raise _failure(result)
        return result

    def chain(self) -> str:
        """The path of a chain of near-empty nodes, on which a timing process measures what profiling costs."""
        if self._chain is None:
            self._chain = self._ask(PREFLIGHT_SECONDS, write_chain, str(self.folder))
        return self._chain

    def _ask(self, timeout: float, function: Any, *arguments: Any) -> Any:
        """What the process answers. Raises ``CaseFailure`` where it crashes, ``MachineFailure`` where it is killed."""
        pipe = self._ready()
        try:
            pipe.send((function, arguments))
            if not pipe.poll(timeout):
                self._end(kill=True)
                raise CaseFailure("build", f"building did not end within {timeout:.0f} s and was killed")
            return pipe.recv()
        except (EOFError, ConnectionError):
            code = self._end(kill=True)
        if code == -signal.SIGKILL:
            raise MachineFailure("build", "the building process was killed (out of memory, most likely)")
        raise CaseFailure("build", f"the building process crashed ({_ended(code)})")

    def _ready(self) -> "Connection":
        """The pipe to a process that lives: one that was killed while it had nothing to do is replaced."""
        if self._process is not None and not self._process.is_alive():
            self._end(kill=True)
        if self._process is None or self._pipe is None:
            context: Any = multiprocessing.get_context(START)
            self._pipe, other = context.Pipe()
            self._process = context.Process(target=serve, args=(other, str(self.folder), os.environ.get(DEBUG, "")))
            with _without_main():
                self._process.start()
            other.close()
        return self._pipe

    def _end(self, *, kill: bool) -> int:
        """End the process, by force where it does not end by itself; its exit code, or minus the signal's number."""
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if process is None or pipe is None:
            return 0
        try:
            if not kill:
                with suppress(OSError):
                    pipe.send(None)
            process.join(0.2 if kill else END_SECONDS)  # where it ends by itself, that is its code
        finally:  # a second Ctrl-C comes here, too
            process.kill()
            process.join()
        return process.exitcode or 0


def _ended(code: int) -> str:
    """How a process ended, in words."""
    return f"{signal.Signals(-code).name}, a fault of an exporter's" if code < 0 else f"exit code {code}"


def describe_all(
    builders: Sequence[Builder], planned: Sequence[PlannedCase], ahead: Sequence[PlannedCase] = ()
) -> Iterator[tuple[PlannedCase, Built | CaseFailure]]:
    """What is known of each case without a clock, as it comes, by as many processes as there are builders.

    Those that have none to describe prepare the cases that come after, for as long as the others take.
    """
    idle: queue.SimpleQueue[Builder] = queue.SimpleQueue()
    for builder in builders:
        idle.put(builder)
    described, after = threading.Event(), iter(ahead)

    def answer(one: PlannedCase) -> Built | CaseFailure:
        builder = idle.get()
        try:
            return builder.describe(one)
        except CaseFailure as failure:
            return failure
        finally:
            idle.put(builder)

    def prepare() -> None:
        builder = idle.get()
        while not described.is_set() and (one := next(after, None)) is not None:
            builder.prepare(one)

    threads = ThreadPoolExecutor(len(builders))
    try:
        asked = {threads.submit(answer, one): one for one in planned}
        preparing = [threads.submit(prepare) for _ in builders[len(planned) :] if planned]
        for future in as_completed(asked):
            yield asked[future], future.result()
        described.set()
        wait(preparing)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


_STARTING = threading.Lock()
SAFE_PATH = "PYTHONSAFEPATH"


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the caller's script: a spawned process would run it again, and with it the study that it asks for.

    Hide the working folder, too: a ``random.py`` there would be imported for Python's own.
    """
    with _STARTING:
        main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        safe, os.environ[SAFE_PATH] = os.environ.get(SAFE_PATH), "1"
        try:
            yield
        finally:
            sys.modules["__main__"] = main
            if safe is None:
                del os.environ[SAFE_PATH]
            else:
                os.environ[SAFE_PATH] = safe


def _failure(refusal: Refusal) -> CaseFailure:
    kinds = {kind.__name__: kind for kind in (CaseFailure, CaseRefused, CaseSkipped, MachineFailure)}
    return kinds.get(refusal.kind, CaseFailure)(refusal.stage, refusal.message)
