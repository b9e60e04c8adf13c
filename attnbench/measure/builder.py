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
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Literal, Self

from attnbench.core.catalogue import is_reference, load_object
from attnbench.core.errors import AttnbenchError, CaseFailure, CaseRefused, CaseSkipped, InputError
from attnbench.core.grammar import parse_spec, parse_variant
from attnbench.core.protocol import Protocol
from attnbench.core.records import Check, Finding, Measurement
from attnbench.study.plan import PlannedCase

PREFLIGHT_SECONDS = 300.0
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


@dataclass(frozen=True)
class _Refusal:
    """An error on its way out of the child, as text; exceptions of other libraries may not survive pickling."""

    kind: str
    stage: str
    message: str


class Builder:
    """A context that owns one builder process."""

    def __init__(self, folder: Path, targets: tuple[str, ...], protocol: Protocol) -> None:
        self.folder = folder
        self.targets = targets
        self.protocol = protocol
        self._pool: ProcessPoolExecutor | None = None
        self._chain: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(kill=error is not None)

    def preflight(self, planned: Iterable[PlannedCase]) -> None:
        """Load the user's own hosts and modules once, so that a wrong name is one error before anything is measured."""
        references: dict[str, str] = {}
        for one in planned:
            if one.host.kind == "factory":
                references[parse_spec(one.host.spec).name] = "host"
            for assignment in parse_variant(one.case.variant).assignments:
                references |= {spec.name: "module" for spec in assignment.modules if is_reference(spec.name)}
        if references:
            refusal = self._wait(self._submit(_load_all, references), PREFLIGHT_SECONDS)
            if refusal is not None:
                raise InputError(refusal.message)

    def describe(self, planned: PlannedCase) -> Built:
        """What is known of a case without a clock. Raises ``CaseFailure`` with the reason, also for a crash or a hang."""
        return self._answer(planned.effort.timeout_seconds, "describe", planned.case, planned.host, self.targets)

    def write(self, together: Sequence[PlannedCase]) -> str:
        """The path of a graph with these cases in it, which are of one host and size. Raises ``CaseFailure``."""
        cases = [(planned.case, planned.host) for planned in together]
        name = hashlib.sha256(" ".join(case.label for case, _ in cases).encode()).hexdigest()[:16]
        timeout = max(planned.effort.timeout_seconds for planned in together)
        return str(self._answer(timeout, "write", cases, name))

    def _answer(self, timeout: float, task: str, *arguments: Any) -> Any:
        result = self._wait(self._submit(_do, task, arguments, self.protocol, str(self.folder)), timeout)
        if isinstance(result, _Refusal):
            raise _failure(result)
        return result

    def chain(self) -> str:
        """The path of a chain of near-empty nodes, on which a timing process measures what profiling costs."""
        if self._chain is None:
            self._chain = self._wait(self._submit(_write_chain, str(self.folder)), PREFLIGHT_SECONDS)
        return self._chain

    def _submit(self, function: Any, *arguments: Any) -> Future[Any]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context(START), _start)
        with _without_main():
            return self._pool.submit(function, *arguments)

    def _wait(self, future: Future[Any], timeout: float) -> Any:
        try:
            return future.result(timeout)
        except TimeoutError as error:
            self._end(kill=True)
            raise CaseFailure("build", f"building did not end within {timeout:.0f} s and was killed") from error
        except BrokenProcessPool as error:
            self._end(kill=True)
            raise CaseFailure("build", "the building process crashed (an exporter fault, or out of memory)") from error

    def _end(self, *, kill: bool) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            children = list((pool._processes or {}).values())  # noqa: SLF001  the executor itself cannot kill its child
            for process in children if kill else ():
                process.kill()
            pool.shutdown(wait=True, cancel_futures=True)


def describe_all(
    builders: Sequence[Builder], planned: Sequence[PlannedCase]
) -> Iterator[tuple[PlannedCase, Built | CaseFailure]]:
    """What is known of each case without a clock, as it comes, by as many processes as there are builders."""
    idle: queue.SimpleQueue[Builder] = queue.SimpleQueue()
    for builder in builders:
        idle.put(builder)

    def describe(one: PlannedCase) -> tuple[PlannedCase, Built | CaseFailure]:
        builder = idle.get()
        try:
            return one, builder.describe(one)
        except CaseFailure as failure:
            return one, failure
        finally:
            idle.put(builder)

    threads = ThreadPoolExecutor(len(builders))
    try:
        for future in as_completed([threads.submit(describe, one) for one in planned]):
            yield future.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


_STARTING = threading.Lock()


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the caller's script: a spawned process would run it again, and with it the study that it asks for."""
    with _STARTING:
        main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _start() -> None:
    """In the child, first of all: leave Ctrl-C to the parent, and do not outlive it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _load_all(references: dict[str, str]) -> _Refusal | None:
    for name, kind in references.items():
        try:
            load_object(name, kind)
        except AttnbenchError as error:
            return _Refusal("InputError", "load", str(error))
    return None


def _write_chain(folder: str) -> str:
    from attnbench.graph.chain import chain  # noqa: PLC0415  onnx belongs to the child
    from attnbench.graph.load import serialise  # noqa: PLC0415

    path = Path(folder, "chain.onnx")
    path.write_bytes(serialise(chain()))
    return str(path)


_builders: dict[str, Any] = {}


def _do(task: str, arguments: tuple[Any, ...], protocol: Protocol, folder: str) -> Any:
    """In the child: have the one builder that fits the settings do a task, and turn every error into text."""
    from attnbench.measure.build import CaseBuilder  # noqa: PLC0415  onnx belongs to the child alone

    builder = _builders.setdefault(f"{protocol} {folder}", CaseBuilder(protocol, Path(folder)))
    try:
        return getattr(builder, task)(*arguments)
    except CaseFailure as failure:
        return _Refusal(type(failure).__name__, failure.stage, failure.reason)
    except AttnbenchError as error:
        return _Refusal("CaseFailure", "build", str(error))
    except Exception as error:  # noqa: BLE001  whatever it is, it is this case's and not the sweep's
        return _Refusal("CaseFailure", "build", f"{type(error).__name__}: {error}")


def _failure(refusal: _Refusal) -> CaseFailure:
    kinds = {kind.__name__: kind for kind in (CaseFailure, CaseRefused, CaseSkipped)}
    return kinds.get(refusal.kind, CaseFailure)(refusal.stage, refusal.message)
