"""A machine's last answer, kept there: a step whose answer was lost on the way is not measured again.

A client asks for a step only when it has written what the step before came to, so one answer is all that can be missing. It
is in a file before it goes out, and read and written under the machine's lock.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from attnbench.core.records import Case
from attnbench.measure.cache import cache_folder
from attnbench.measure.schedule import TimingStep

KEPT_SECONDS = 30 * 86_400.0


def fleet_folder() -> Path:
    """Where a machine keeps what belongs to fleets: below the cache, or where that is turned off, in a temporary folder."""
    return (cache_folder() or Path(tempfile.gettempdir(), f"attnbench-{os.getuid()}")) / "fleet"


def key_of(step: TimingStep, sources: Mapping[Case, str]) -> str:
    """A name for a step and the sources that it runs."""
    asked = [step.kind, step.number, step.threads, [(case.label, sources.get(case, "")) for case in step.cases]]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]


class Journal:
    """The last answer of one run, in a file of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for old in self.path.parent.glob("*.json"):
            with suppress(OSError):
                if old != path and time.time() - old.stat().st_mtime > KEPT_SECONDS:
                    old.unlink()

    def find(self, key: str) -> list[str] | None:
        """The facts that a step came to, a line each; ``None`` where another one was the last to be taken to its end."""
        with suppress(OSError, ValueError):
            last, facts = json.loads(self.path.read_bytes())
            return facts if last == key else None
        return None

    def keep(self, key: str, facts: Iterable[str]) -> None:
        """Keep what a step came to, in the place of what the one before did."""
        fresh = self.path.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(json.dumps([key, list(facts)]).encode())  # not synced: one step is the most that power takes
        fresh.replace(self.path)
