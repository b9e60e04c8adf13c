"""Work on a file that anyone may have made, in a process of its own, with an end to its time and its memory.

A file of a hundred bytes can ask a library for terabytes, or for hours, or make it crash. What happens in the process
happens there alone, and its end is one line here.

Rejected: limits on the process itself. A library in C++ cannot be interrupted from Python, and may end the process instead
of raising; the command would end with the shell's exit code for a signal, and without a word.
"""

import gc
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from attnbench.core.errors import AttnbenchError, InputError
from attnbench.core.units import bytes_text, seconds_text

T = TypeVar("T")

PACKAGE = Path(__file__).parents[1]

SECONDS = 600.0
MEMORY = 6 * 1024**3
"""What the work may take at most; bytes beside what the process has already."""

RARELY = 200_000, 20, 100
"""When garbage is looked for, in objects, and in collections of the generation before."""

RESERVED = 8 * 1024**3
"""Bytes of addresses that libraries ask for and never fill."""


def guarded(work: Callable[[], T], what: str, seconds: float = SECONDS, memory: int = MEMORY) -> T:
    """What ``work`` returns, which must pickle. Raises ``InputError`` where it fails; ``what`` begins that line.

    What a line of this package raises, and is no error of its own, is ``Crashed``: a defect must not read as a bad file.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        return work()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(work, sender, what, memory), daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            raise InputError(f"{what}: takes more than {seconds_text(seconds)}")
        done, answer, trace = receiver.recv()
    except EOFError:
        raise InputError(f"{what}: cannot be read: a library crashed on it, or needs over {bytes_text(memory)}") from None
    finally:
        process.kill()
        process.join()
    if trace:
        raise Crashed(answer, trace)
    if not done:
        raise InputError(answer)
    return answer


class Crashed(RuntimeError):
    """A defect of ours that work in another process met; ``trace`` is its traceback there."""

    def __init__(self, line: str, trace: str) -> None:
        super().__init__(line)
        self.trace = trace


def is_ours(error: BaseException) -> bool:
    """Whether an error was raised by a line of this package: what a library raises, it raises at what it was given."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(PACKAGE)


def begin_fork() -> None:
    """What a fork does first: it leaves Ctrl-C to who waits, seldom looks for garbage, and computes with one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who waits is interrupted, and ends this
    gc.freeze()
    gc.set_threshold(*RARELY)  # a graph of many nodes lives to the end, and each collection would go through all of it
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # the threads of the process that this is a fork of are not here


def _answer(work: Callable[[], Any], sender: Connection, what: str, memory: int) -> None:
    """Send what came of the work: whether it went well, and what it returned or the line that says why not."""
    begin_fork()
    limit_memory(memory)
    try:
        sender.send((True, work(), ""))
    except AttnbenchError as error:
        sender.send((False, str(error), ""))
    except MemoryError:
        sender.send((False, f"{what}: needs more than {bytes_text(memory)} of memory", ""))
    except Exception as error:  # noqa: BLE001  a file must not end in a traceback, whatever a library makes of it
        line = f"{what}: cannot be judged ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
        sender.send((False, line, "".join(traceback.format_exception(error)) if is_ours(error) else ""))


@contextmanager
def limited(memory: int) -> Iterator[None]:
    """``limit_memory`` for the time of some work in this process."""
    try:
        import resource  # noqa: PLC0415  POSIX only
    except ImportError:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit_memory(memory)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def limit_memory(memory: int) -> None:
    """Let this process take so many bytes more than it has, at most; what it asks for beyond that, it is refused."""
    try:
        import resource  # noqa: PLC0415  POSIX only

        taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = taken + memory
        resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))
    except (ImportError, OSError, ValueError):
        return
