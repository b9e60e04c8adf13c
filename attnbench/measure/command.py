"""Timing by a command of the user's: it is given a graph and a number of runs, and prints JSON (docs/boards.md).

For what has no Python or no ssh: a phone behind adb, a vendor's tool, a simulator. The command is run anew for each step. Of
each whole run it must say the seconds; of each layer it may. Where it does, overheads are attributed by the layers' names as
in ``measure.elsewhere``; where it does not, pairs of whole runs are all there is.
"""

import hashlib
import json
import random
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from attnbench.core.errors import CaseFailure, InputError
from attnbench.core.validation import Strict, validate
from attnbench.measure import machine
from attnbench.measure.elsewhere import executed_nodes
from attnbench.measure.lock import measuring
from attnbench.profiles import ForeignProfile, ProfiledLayer

PROVIDER = "cmd"
USUAL = {"provider": PROVIDER, "rounds": 40, "crosscheck": 0, "memory": False}
"""Settings of a sweep by a command, where no others are asked for."""

TURNS = 4
"""How often the two graphs of interleaved pairs take turns in a step: each turn is one start of the command."""

Seconds = Annotated[float, Meta(ge=0)]


class CommandLayer(Strict, frozen=True):
    """A layer: its name, its seconds in each run, its op, and the nodes of the graph that it holds, where it is not one."""

    name: str
    seconds: tuple[Seconds, ...]
    op: str = ""
    holds: tuple[str, ...] = ()


class CommandAnswer(Strict, frozen=True):
    """What a command prints: the seconds of each whole run, and its layers."""

    runs: Annotated[tuple[Annotated[float, Meta(gt=0)], ...], Meta(min_length=1)]
    layers: tuple[CommandLayer, ...] = ()


@dataclass(frozen=True)
class Command:
    """The words of a command, ``{model}`` and ``{repeat}`` among them; ``{warmup}`` and ``{threads}`` may be."""

    text: str
    words: tuple[str, ...]
    at_a_time = 1

    @classmethod
    def of(cls, text: str) -> "Command":
        """The command in a text, as a shell would cut it into words. Raises ``InputError``."""
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise InputError(f"--on cmd:{text}: {error}") from error
        for wanted in ("{model}", "{repeat}"):
            if not any(wanted in word for word in words):
                raise InputError(f"--on cmd:{text} has no {wanted}: the command is told the graph and the number of runs")
        if not shutil.which(words[0]):
            raise InputError(f"--on cmd:{text}: there is no command {words[0]} that can be run")
        return cls(text, words)

    def machine(self) -> dict[str, Any]:
        """What is known of the machine behind: nothing but the command, by its words and the files that they name."""
        found = hashlib.sha256(self.text.encode())
        for word in self.words:
            path = Path(shutil.which(word) or word)
            if path.is_file() and path.stat().st_size < 2**20:
                found.update(path.read_bytes())
        told = {"cpu": f"cmd:{self.text}", "system": "a system unknown", "id": found.hexdigest()[:10], "reached": PROVIDER}
        return {**dict.fromkeys(("cores", "memory_bytes", "load")), **told}

    def software(self, runtimes: Iterable[str] = ()) -> dict[str, Any]:
        """What the graphs are built with."""
        return machine.software(runtimes)

    def held(self, what: str, *, wait: bool, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
        """The lock of this machine, on which the command runs."""
        return measuring(what, wait=wait, waiting=waiting)

    def skip(self, need: int) -> str:  # noqa: ARG002  the memory behind is not known
        """Nothing."""
        return ""

    def time(self, job: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Do a job by runs of the command. Raises ``CaseFailure`` at stage ``measure`` with what it ended with."""
        kinds = {"profile": self._profile, "pairs": self._pairs, "latency": self._latency, "devices": _devices}
        began = time.perf_counter()
        result = kinds[job["kind"]](job, timeout)
        return {**result, "seconds": time.perf_counter() - began}

    def _profile(self, job: dict[str, Any], timeout: float) -> dict[str, Any]:
        told = self._run(job, job["model"], job["repeat"], timeout)
        if any(len(layer.seconds) != len(told.runs) for layer in told.layers):
            raise CaseFailure("measure", f"{self.words[0]}: a layer has not as many seconds as there are runs")
        layers = tuple(ProfiledLayer(one.name, one.op, one.holds or (one.name,)) for one in told.layers)
        rows = tuple(tuple(layer.seconds[run] for layer in told.layers) for run in range(len(told.runs)))
        nodes = executed_nodes(ForeignProfile(layers, rows), job["model"])
        unknown = {"finite": True, "cost": 0.0, "core_share": 1.0}
        return {**unknown, "nodes": [asdict(node) for node in nodes], "edges": [], "runs": rows}

    def _pairs(self, job: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Pairs of whole runs: the graphs take turns, and which goes first is drawn each time."""
        draw = random.Random(f"{job['seed']} {Path(job['models'][1]).name} {job['number']}")  # noqa: S311  an order, no secret
        turns = min(TURNS, job["rounds"])
        wall: list[tuple[float, float]] = []
        for _ in range(turns):
            order = draw.sample((0, 1), 2)
            seen = {side: self._run(job, job["models"][side], -(-job["rounds"] // turns), timeout).runs for side in order}
            wall += zip(seen[0], seen[1], strict=False)
        return {"wall": wall, "cpu": wall}

    def _latency(self, job: dict[str, Any], timeout: float) -> dict[str, Any]:
        if job["threads"] != 1 and not any("{threads}" in word for word in self.words):
            raise CaseFailure("measure", f"{self.words[0]} is not told the number of threads: it has no {{threads}}")
        return {"wall": list(self._run(job, job["model"], job["repeat"], timeout).runs)}

    def _run(self, job: dict[str, Any], model: str, repeat: int, timeout: float) -> CommandAnswer:
        told = {"model": model, "repeat": repeat, "warmup": job["warmup"], "threads": job.get("threads", 1)}
        words = list(self.words)
        for name, value in told.items():
            words = [word.replace(f"{{{name}}}", str(value)) for word in words]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)  # noqa: S603  the user's
        except subprocess.TimeoutExpired as error:
            raise CaseFailure("measure", f"{words[0]} did not end within {timeout:.0f} s and was killed") from error
        except OSError as error:
            raise CaseFailure("measure", f"{words[0]} does not start: {error.strerror}") from error
        if done.returncode:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            raise CaseFailure("measure", f"{words[0]} failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
        try:
            return validate(json.loads(done.stdout), CommandAnswer, f"what {words[0]} printed")
        except ValueError as error:  # of json, or an InputError
            why = error if isinstance(error, InputError) else f"what {words[0]} printed is no JSON: {error}"
            raise CaseFailure("measure", str(why)) from error


def _devices(job: dict[str, Any], timeout: float) -> dict[str, Any]:  # noqa: ARG001  a job like the others
    return {"devices": [PROVIDER]}
