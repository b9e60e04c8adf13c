"""Folders for the time of some work, which go even where their owner is killed.

Their owners hold a lock on each, which the kernel lets go of however they end. Whoever needs such a folder next removes
those that nobody holds: a killed sweep leaves its graphs until then, and no longer.

Rejected: the owner's process id in the name. An id is given again, and another container's means nothing here.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "attnbench-run-"


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder among the system's temporary ones, gone with all that is in it at the end."""
    remove_left()
    folder, lock = _made()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def share(folder: Path) -> None:
    """Own another process's folder, too, until this one ends. Raises ``OSError`` where it is gone."""
    fcntl.flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_SH)


def remove_left() -> None:
    """Remove the folders whose owners are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _made() -> tuple[Path, int]:
    """A new folder, and the lock on it; another one where somebody took it for left before it was locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if folder.is_dir():
                return folder, lock
            os.close(lock)
