"""What was exported and described before, kept across runs: files named by a hash of all that they depend on.

The key holds the sources of this package, the versions of what exports and runs, and the question itself. So nothing is
ever out of date, and an entry that cannot be read is as good as none. What was used last is kept longest, within
``SIZE_LIMIT``.

``ATTNBENCH_CACHE`` names another folder; the word ``off`` turns it off.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import platformdirs

from attnbench.core.versions import version
from attnbench.measure.machine import DISTRIBUTIONS

VARIABLE = "ATTNBENCH_CACHE"
SIZE_LIMIT = 4_000_000_000
"""Bytes."""

PACKAGE = Path(__file__).parents[1]

Value = TypeVar("Value")


def cache_folder() -> Path | None:
    """Where entries lie; ``None`` where the cache is turned off."""
    named = os.environ.get(VARIABLE)
    if named == "off":
        return None
    return Path(named) if named else Path(platformdirs.user_cache_dir("attnbench", appauthor=False))


def kept(question: Any, kind: type[Value], make: Callable[[], Value], *, keep: Callable[[Value], bool] = bool) -> Value:
    """The answer to a question of plain JSON values: from the cache, or made now and kept where ``keep`` allows."""
    path = entry(question)
    if path is None:
        return make()
    with suppress(OSError, msgspec.MsgspecError):
        found = msgspec.msgpack.decode(path.read_bytes(), type=kind)
        os.utime(path)
        return found
    made = make()
    if keep(made):
        with suppress(OSError):
            _write(path, msgspec.msgpack.encode(made))
    return made


def entry(question: Any) -> Path | None:
    """The file that the answer to a question is kept in, whether it is there or not."""
    folder = cache_folder()
    return folder and folder / hashlib.sha256(f"{_code()} {json.dumps(question, sort_keys=True)}".encode()).hexdigest()[:32]


def entries() -> list[Path]:
    """The files of the cache, the one that was used longest ago first."""
    folder = cache_folder()
    found = [path for path in folder.glob("*") if path.is_file()] if folder and folder.is_dir() else []
    return sorted(found, key=_used)


def clear(limit: int = 0) -> int:
    """Delete what was used longest ago, until no more than ``limit`` bytes are left; how many bytes went."""
    found = entries()
    size, gone = sum(map(_size, found)), 0
    for path in found:
        if size - gone <= limit:
            break
        own = _size(path)
        with suppress(OSError):
            path.unlink()
            gone += own
    return gone


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)


def _used(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@cache
def _code() -> str:
    """A hash of this package's files and of the versions of what it exports and runs with."""
    found = hashlib.sha256(repr([version(name) for name in DISTRIBUTIONS]).encode())
    for path in sorted(path for kind in ("*.py", "*.toml") for path in PACKAGE.rglob(kind)):
        found.update(str(path.relative_to(PACKAGE)).encode() + path.read_bytes())
    return found.hexdigest()
