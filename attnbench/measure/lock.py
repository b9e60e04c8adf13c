"""One measurement at a time on a machine: a lock that every sweep holds while it measures, whoever started it.

Two sweeps pin to the same core and time each other's work. The lock is a file in the system's folder for temporary files,
held by ``flock``: the kernel lets go of it when its holder ends, however that ends. The file says who holds it.

A timing process holds it, too: it inherits the open file (``held``), and may outlive a sweep that is killed.

``ATTNBENCH_LOCK`` names another file, for containers that share that folder and have cores of their own.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attnbench.core.errors import InputError

VARIABLE = "ATTNBENCH_LOCK"
POLL_SECONDS = 0.2

_held: list[int] = []


def lock_path() -> Path:
    """The lock's file."""
    return Path(os.environ.get(VARIABLE) or Path(tempfile.gettempdir(), "attnbench.lock"))


def held() -> tuple[int, ...]:
    """The open files of the locks that this process holds: who inherits them holds the locks as long as it lives."""
    return tuple(_held)


@contextmanager
def measuring(what: str, *, wait: bool, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the machine's lock, and say in its file that it is for ``what``.

    Where it is held, ``waiting`` is called once with its holder, and this waits; without ``wait`` it raises ``InputError``.
    """
    path = lock_path()
    lock = _opened(path)
    try:
        waited = False
        while not _taken(lock):
            holder = os.pread(lock, 1000, 0).decode(errors="replace").strip() or "another process"
            if not wait:
                raise InputError(f"this machine is being measured on by {holder}: wait for its end, or leave out --no-wait")
            if not waited:
                waiting(holder)
                waited = True
            time.sleep(POLL_SECONDS)
        with suppress(OSError):  # another user's file may be read and locked, not written
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"process {os.getpid()} ({what})\n".encode(), 0)
        _held.append(lock)
        yield
        with suppress(OSError):
            os.ftruncate(lock, 0)
    finally:
        if lock in _held:
            _held.remove(lock)
        os.close(lock)


def _opened(path: Path) -> int:
    try:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except PermissionError:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"cannot open the lock {path}: {error.strerror}: name another file in {VARIABLE}") from error


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
