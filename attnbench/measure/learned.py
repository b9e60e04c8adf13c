"""What was learned of a machine, in a small file where the user's data lies; a sweep writes it into its header."""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import msgspec
import platformdirs

from attnbench.core.errors import InputError
from attnbench.core.variance import RunToRun

REFERENCE = RunToRun(0.76, 60.0, "61 equal runs of the reference machine")
"""What stands for a machine of which nothing was learned: ``results/calibration/coverage.md``."""


def learned_file(machine: str) -> Path:
    """Where it lies, by the machine's id."""
    return Path(platformdirs.user_data_dir("attnbench", appauthor=False), "machines", f"{machine}.json")


def learned(machine: str) -> RunToRun:
    """What was kept of a machine; the reference machine's where nothing was, or nothing that can be read."""
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(learned_file(machine).read_bytes(), type=RunToRun)
    return REFERENCE


def keep(machine: str, found: RunToRun) -> Path:
    """Keep what was learned, in the place of what was. Raises ``InputError`` where it cannot be written."""
    path = learned_file(machine)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(found)) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return path
