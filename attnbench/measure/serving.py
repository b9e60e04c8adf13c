"""The builder's own side: a child that does one task after the other, and answers each with what it found or a refusal."""

import multiprocessing
import os
import signal
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attnbench.core.catalogue import check_factory, load_object
from attnbench.core.errors import AttnbenchError, CaseFailure
from attnbench.core.grammar import parse_spec
from attnbench.core.guarded import RESERVED, limit_memory
from attnbench.core.protocol import Protocol
from attnbench.core.users import VARIABLE as DEBUG
from attnbench.core.users import keep_trace, of_the_machine, told
from attnbench.measure.machine import free_memory
from attnbench.study.plan import PlannedCase


@dataclass(frozen=True)
class Refusal:
    """An error on its way out of the child, as text; exceptions of other libraries may not survive pickling."""

    kind: str
    stage: str
    message: str


def serve(pipe: Connection, folder: str, debug: str = "") -> None:
    """In the child: do what is asked until nothing more is; what is printed meanwhile goes to standard error.

    It leaves Ctrl-C to the parent, does not outlive it, and ends whatever threads the user's code has left. ``debug`` names
    the file of whole tracebacks, if one was asked for.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(2, 1)
    if debug:
        os.environ[DEBUG] = debug
    multiprocessing.set_start_method("fork", force=True)  # whose locks have no name that a kill would leave in shared memory
    tempfile.tempdir = folder
    limit_memory(free_memory() + RESERVED)
    with suppress(EOFError, OSError):
        while (asked := pipe.recv()) is not None:
            function, arguments = asked
            pipe.send(function(*arguments))
    os._exit(0)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def load(spec: str, host: PlannedCase | None) -> Refusal | None:
    """Import the user's code, and see that it is of the kind that is wanted and takes its options."""
    wanted, kind = parse_spec(spec), "host" if host else "module"
    try:
        check_factory(kind, wanted, load_object(wanted.name, kind))
        if host:
            from attnbench.measure.parts import torch_host  # noqa: PLC0415  torch, where it is needed

            torch_host(host.case, host.host, 0)
    except CaseFailure as failure:
        return Refusal("CaseFailure", failure.stage, failure.reason)
    except AttnbenchError as error:
        return Refusal("InputError", "load", str(error))
    return None


def write_chain(folder: str) -> str:
    """Write the chain on which profiling's own cost is measured, and give its path."""
    from attnbench.graph.chain import chain  # noqa: PLC0415  onnx belongs to the child
    from attnbench.graph.load import serialise  # noqa: PLC0415

    path = Path(folder, "chain.onnx")
    path.write_bytes(serialise(chain()))
    return str(path)


_builders: dict[str, Any] = {}


def do(task: str, arguments: tuple[Any, ...], protocol: Protocol, folder: str) -> Any:
    """In the child: have the one builder that fits the settings do a task, and turn every error into text."""
    from attnbench.measure.build import CaseBuilder  # noqa: PLC0415  onnx belongs to the child alone

    builder = _builders.setdefault(f"{protocol} {folder}", CaseBuilder(protocol, Path(folder)))
    try:
        return getattr(builder, task)(*arguments)
    except CaseFailure as failure:
        keep_trace(failure)
        return Refusal(type(failure).__name__, failure.stage, failure.reason)
    except AttnbenchError as error:
        return Refusal("CaseFailure", "build", str(error))
    except BaseException as error:  # noqa: BLE001  whatever it is, it is this case's and not the sweep's
        return Refusal("MachineFailure" if of_the_machine(error) else "CaseFailure", "build", told(error))
