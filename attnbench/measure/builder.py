"""The builder process, seen from the sweep: hand it a case, get a graph or a reason, whatever happens inside.

It is one long-lived child that holds torch and the exported parts. A crash (an exporter may segfault) or a hang ends that
child alone; the case gets its reason and the next case a new child.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from attnbench.core.catalogue import is_reference, load_object, merge_options
from attnbench.core.errors import AttnbenchError, CaseFailure, CaseRefused, CaseSkipped, InputError
from attnbench.core.grammar import parse_size, parse_spec, parse_variant
from attnbench.core.protocol import Protocol
from attnbench.core.records import Check, Finding, Measurement
from attnbench.hosts import HOSTS, declared_placements, declared_planes, modules_by_site
from attnbench.modules import MODULES
from attnbench.study.plan import PlannedCase

PREFLIGHT_SECONDS = 300.0


@dataclass(frozen=True)
class Built:
    """A case's graph on disk and all that is known of it without a clock.

    ``skip`` says why it must not be run, where it must not; ``seconds`` where the building's time went.
    """

    path: str
    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    uncounted: tuple[str, ...]
    notes: tuple[str, ...]
    skip: str
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class _Refusal:
    """An error on its way out of the child, as text; exceptions of other libraries may not survive pickling."""

    kind: str
    stage: str
    message: str


class Builder:
    """A context that owns the builder process."""

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

    def build(self, planned: PlannedCase) -> Built:
        """Build a case. Raises ``CaseFailure`` with the stage and the reason, also for a crash or a hang."""
        future = self._submit(_build, planned, self.protocol, str(self.folder), self.targets)
        result = self._wait(future, planned.effort.timeout_seconds)
        if isinstance(result, _Refusal):
            raise _failure(result)
        return result

    def chain(self) -> str:
        """The path of a chain of near-empty nodes, on which a timing process measures what profiling costs."""
        if self._chain is None:
            self._chain = self._wait(self._submit(_write_chain, str(self.folder)), PREFLIGHT_SECONDS)
        return self._chain

    def added_macs(self, planned: PlannedCase) -> int:
        """MACs that a case's modules add by their closed forms; 0 for what has none, such as the user's own."""
        return self._wait(self._submit(_added_macs, planned), PREFLIGHT_SECONDS)

    def _submit(self, function: Any, *arguments: Any) -> Future[Any]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start)
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


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the caller's script: a spawned process would run it again, and with it the study that it asks for."""
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


def _added_macs(planned: PlannedCase) -> int:
    name = parse_spec(planned.host.spec).name
    if planned.host.kind != "registered" or name not in HOSTS.describe():
        return 0
    sites = declared_planes(name)
    height, width = parse_size(planned.case.size)
    occupied = modules_by_site(parse_variant(planned.case.variant), sites, declared_placements(planned.host), "")
    total = 0
    for site, specs in occupied.items():
        plane = sites[site].at(height, width)
        for spec in specs:
            if not is_reference(spec.name):
                entry = MODULES.load(spec.name)
                total += entry.macs(plane, **merge_options("module", spec, entry.options))
    return total


_builders: dict[str, Any] = {}


def _build(planned: PlannedCase, protocol: Protocol, folder: str, targets: tuple[str, ...]) -> Built | _Refusal:
    """In the child: build with the one builder that fits the settings, and turn every error into text."""
    from attnbench.measure.build import CaseBuilder  # noqa: PLC0415  torch belongs to the child alone

    started = time.perf_counter()
    key = f"{protocol.seed} {protocol.canonical}"
    builder: CaseBuilder = _builders.setdefault(key, CaseBuilder(protocol.seed, protocol.canonical, Path(folder)))
    try:
        built = builder.build(planned.case, planned.host, targets)
    except CaseFailure as failure:
        return _Refusal(type(failure).__name__, failure.stage, failure.reason)
    except AttnbenchError as error:
        return _Refusal("CaseFailure", "build", str(error))
    except Exception as error:  # noqa: BLE001  whatever it is, it is this case's and not the sweep's
        return _Refusal("CaseFailure", "build", f"{type(error).__name__}: {error}")
    lint_seconds = built.seconds["lint"]
    return replace(built, seconds={"build": time.perf_counter() - started - lint_seconds, "lint": lint_seconds})


def _failure(refusal: _Refusal) -> CaseFailure:
    kinds = {kind.__name__: kind for kind in (CaseFailure, CaseRefused, CaseSkipped)}
    return kinds.get(refusal.kind, CaseFailure)(refusal.stage, refusal.message)
