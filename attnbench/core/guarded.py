"""Work on a file that anyone may have made, in a process of its own, with an end to its time and its memory.

A file of a hundred bytes can ask a library for terabytes, or for hours, or make it crash. What happens in the process
happens there alone, and its end is one line here.

Rejected: limits on the process itself. A library in C++ cannot be interrupted from Python, and may end the process instead
of raising; the command would end with the shell's exit code for a signal, and without a word.
"""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from attnbench.core.errors import AttnbenchError, InputError
from attnbench.core.units import bytes_text, seconds_text

T = TypeVar("T")

SECONDS = 600.0
MEMORY = 6 * 1024**3
"""What the work may take at most; bytes beside what the process has already."""


def guarded(work: Callable[[], T], what: str, seconds: float = SECONDS, memory: int = MEMORY) -> T:
    """What ``work`` returns, which must pickle. Raises ``InputError`` where it fails; ``what`` begins that line."""
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
        done, answer = receiver.recv()
    except EOFError:
        raise InputError(f"{what}: cannot be read: a library crashed on it, or needs over {bytes_text(memory)}") from None
    finally:
        process.kill()
        process.join()
    if not done:
        raise InputError(answer)
    return answer


def _answer(work: Callable[[], Any], sender: Connection, what: str, memory: int) -> None:
    """Send what came of the work: whether it went well, and what it returned or the line that says why not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who waits is interrupted, and ends this
    _limit_memory(memory)
    try:
        sender.send((True, work()))
    except AttnbenchError as error:
        sender.send((False, str(error)))
    except MemoryError:
        sender.send((False, f"{what}: needs more than {bytes_text(memory)} of memory"))
    except Exception as error:  # noqa: BLE001  a file must not end in a traceback, whatever a library makes of it
        sender.send((False, f"{what}: cannot be judged ({type(error).__name__}: {str(error).partition(chr(10))[0]})"))


def _limit_memory(memory: int) -> None:
    try:
        import resource  # noqa: PLC0415  POSIX only

        taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = taken + memory
        resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))
    except (ImportError, OSError, ValueError):
        return
