"""The run that others are compared with: a small file beside the runs that names one, and is meant to be committed.

It holds the run's path, its time and commit, and a hash of its file, so that a baseline that was moved, deleted or measured
on is noticed and never quietly replaced. Rejected: a copy of the run (megabytes a commit, and two files that may differ).
"""

import hashlib
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from attnbench.core.errors import InputError
from attnbench.core.files import write_whole
from attnbench.core.records import Run
from attnbench.runs.store import run_path

BASELINE_FILE = "baseline.toml"
AGAIN = "attnbench baseline set RUN names another"

HEAD = "# The run that attnbench compare takes for `baseline`; written by attnbench baseline set.\n"


@dataclass(frozen=True)
class Pinned:
    """What the file says: where the run's file lies, seen from the results folder, and what it held."""

    run: str
    started: str
    commit: str
    sha256: str


def pin(where: Path, run: Run, results: Path) -> Pinned:
    """Make a stored run the baseline of a results folder, in the place of any other."""
    path = run_path(where)
    relative = Path(os.path.relpath(path.resolve(), results.resolve())).as_posix()
    pinned = Pinned(relative, run.header.started, run.header.software.get("commit") or "", _hash(path))
    write_whole(results / BASELINE_FILE, _toml(pinned))
    return pinned


def pinned(results: Path) -> Pinned:
    """What the baseline's file of a results folder says. Raises ``InputError`` where it is not there or cannot be read."""
    path = results / BASELINE_FILE
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        values = {name: data[name] for name in Pinned.__dataclass_fields__}
    except FileNotFoundError:
        raise InputError(f"there is no baseline in {results}: name one by attnbench baseline set RUN") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: not a baseline's file ({type(error).__name__}: {error}): {AGAIN}") from error
    for name, value in values.items():
        if not isinstance(value, str):
            raise InputError(f"{path}: {name} is not a text: {AGAIN}")
    return Pinned(**values)


def pinned_run(results: Path) -> Path:
    """The file of the baseline's run. Raises ``InputError`` where it is gone, or is not what it was when it was named."""
    found = pinned(results)
    path = results / found.run
    if not path.is_file():
        raise InputError(f"{results / BASELINE_FILE}: the run {path} is gone: bring it back, or {AGAIN}")
    if _hash(path) != found.sha256:
        raise InputError(f"{results / BASELINE_FILE}: the run {path} changed since it was named: bring it back, or {AGAIN}")
    return path


def _toml(found: Pinned) -> str:
    """The file's text; TOML writes a text as JSON does."""
    lines = (f"{name} = {json.dumps(getattr(found, name), ensure_ascii=False)}" for name in Pinned.__dataclass_fields__)
    return HEAD + "\n".join(lines) + "\n"


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"run {path}: cannot be read: {error.strerror}") from error
