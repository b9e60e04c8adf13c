"""A board over plain OpenSSH: each timing step is one connection, which carries what the board lacks and brings the result.

The board needs Python and five packages (``NEEDED``), and nothing of ours: the sources go there once, by their hash, and so
does each graph and each file of weights. All settings of the connection are the user's own (``~/.ssh/config``); we add that
nobody is asked for a password, and that a dead connection is noticed. Programs and files go through standard input, so that
the one thing a shell there reads is ``python3 -c "..."`` and a number.

A connection that is lost costs its step: it is tried again, and its facts are taken then.
"""

import hashlib
import io
import json
import platform
import shlex
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import attnbench
from attnbench.core.errors import CaseFailure, InputError
from attnbench.core.units import bytes_text
from attnbench.measure import machine
from attnbench.measure.agent import MARK
from attnbench.measure.executor import FOLDERS, GRAPHS, BoardLost

NEEDED = ("onnxruntime", "onnx", "onnx_ir", "numpy", "msgspec")
OLDEST = (3, 11)
LOST = 255
"""What ssh itself ends with where it has no connection."""

OPTIONS = ("BatchMode=yes", "ServerAliveInterval=15", "ServerAliveCountMax=4")
WAITS = (2.0, 10.0, 30.0, 60.0)
"""Seconds before each further try."""

MEETING_SECONDS, PATIENCE_SECONDS, SLOWEST = 120.0, 120.0, 250_000
"""What a first answer may take; what a step may take beside its own timeout, and bytes a second at the slowest."""

START = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"

WHO = """
import importlib.util, json, os, sys
home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
root = os.path.join(home, "attnbench-board")
missing = [name for name in {needed} if importlib.util.find_spec(name) is None]
there = os.path.isdir(os.path.join(root, "code-{code}"))
print("\\n" + {mark} + json.dumps(dict(python=list(sys.version_info[:3]), missing=missing, root=root, there=there)))
"""
UNPACK = """
import io, os, sys, tarfile, tempfile
root, code = {root}, "code-{code}"
os.makedirs(root, exist_ok=True)
part = tempfile.mkdtemp(dir=root)
how = dict(filter="data") if hasattr(tarfile, "data_filter") else dict()
tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()), mode="r:gz").extractall(part, **how)
if not os.path.isdir(os.path.join(root, code)):
    os.rename(part, os.path.join(root, code))
print("\\n" + {mark} + "{{}}")
"""
RUN = """
import os, sys
from pathlib import Path
code = {root} + "/code-{code}"
os.environ["PYTHONPATH"] = code
sys.path.insert(0, code)
from attnbench.measure import agent
agent.{call}
"""


class _Gone(Exception):
    """There is no connection, or no place on the board: it may be tried again."""


@dataclass
class Board:
    """A host that ssh knows, and what it said of itself. ``have`` are the contents that it has, by hash."""

    host: str
    python: str
    code: str
    archive: bytes = field(repr=False)
    root: str = ""
    told: dict[str, Any] = field(default_factory=dict)
    have: set[str] = field(default_factory=set)
    hashes: dict[tuple[str, int, int], str] = field(default_factory=dict)
    at_a_time = 1

    @classmethod
    def of(cls, text: str) -> "Board":
        """The board that ``[USER@]HOST[:PYTHON]`` names, ready for steps. Raises ``InputError`` where it is not."""
        host, _, python = text.partition(":")
        if not host or host.startswith("-") or any(sign.isspace() for sign in host):
            raise InputError(f"--on ssh:{text}: '{host}' is no host that ssh could know")
        board = cls(host, python or "python3", *_sources())
        try:
            board.meet()
        except _Gone as error:
            raise InputError(f"board {host}: no connection: {error}: it must work as `ssh {host} true`") from error
        return board

    def meet(self) -> None:
        """Ask what the board is and has, and send the sources where they are not there yet."""
        who = self._ask(WHO.format(needed=NEEDED, code=self.code, mark=repr(MARK)), (), MEETING_SECONDS)
        if tuple(who["python"][:2]) < OLDEST:
            found = ".".join(map(str, who["python"]))
            needed = ".".join(map(str, OLDEST))
            raise InputError(
                f"board {self.host}: {self.python} is {found}, {needed} is needed: name another, ssh:{self.host}:PYTHON"
            )
        if who["missing"]:
            command = f"{self.python} -m pip install {' '.join(NEEDED)}"
            raise InputError(f"board {self.host}: {self.python} has no {', '.join(who['missing'])}: run there: {command}")
        self.root = who["root"]
        if not who["there"]:
            program = UNPACK.format(root=repr(self.root), code=self.code, mark=repr(MARK))
            self._ask(program, [self.archive], _patience(len(self.archive)))
        told = self._ask(self._program("hello(Path({root}))"), (), MEETING_SECONDS)
        if self.told and (self.told["machine"]["id"], self.told["versions"]) != (told["machine"]["id"], told["versions"]):
            raise BoardLost(f"board {self.host} is another machine, or has other software, than when the sweep began")
        self.told, self.have = told, set(told["files"])

    def machine(self) -> dict[str, Any]:
        """What the board says of itself."""
        return {**self.told["machine"], "reached": "ssh"}

    def software(self, runtimes: Iterable[str] = ()) -> dict[str, Any]:
        """What is built with here, and the board's Python, runtime and numpy."""
        return machine.software(runtimes, self.told["versions"])

    def held(self, what: str, *, wait: bool, waiting: Callable[[str], None]) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing: each step holds the board's lock."""
        return nullcontext()

    def skip(self, need: int) -> str:
        """Why a case does not fit into what memory the board had free when it was asked."""
        free = self.told["free"]
        return f"needs {bytes_text(need)} of memory, the board has {bytes_text(free)} free" if need > free else ""

    def time(self, job: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Do a job on the board. A lost connection is made again, and the job done anew; ``BoardLost`` after some tries."""
        why = ""
        for wait in (0.0, *WAITS):
            time.sleep(wait)
            try:
                if why:
                    self.meet()
                return self._step(job, timeout)
            except _Gone as error:
                why = str(error)
        raise BoardLost(
            f"board {self.host} does not answer any more ({why}): what was recorded is kept; the same command goes on"
        )

    def _step(self, job: dict[str, Any], timeout: float) -> dict[str, Any]:
        graphs = {path: self._files(Path(path)) for path in _graphs(job)}
        there = {content: path for files in graphs.values() for path, content in files.items()}
        named = {path: {file.name: content for file, content in files.items()} for path, files in graphs.items()}
        asked = {"job": job, "graphs": named, "timeout": timeout, "patience": PATIENCE_SECONDS / 2, "for": platform.node()}
        told: dict[str, Any] = {"lacking": ()}
        while "lacking" in told:
            self.have -= set(told["lacking"])
            lacking = {content: path for content, path in there.items() if content not in self.have}
            patience = timeout + _patience(sum(path.stat().st_size for path in lacking.values()))
            told = self._ask(self._program("step(Path({root}), sys.stdin.buffer)"), _tar(asked, lacking), patience)
            self.have |= set(there)
        if "busy" in told:
            raise _Gone(told["busy"])
        if "failure" in told:
            raise CaseFailure(*told["failure"])
        result: dict[str, Any] = told["result"]
        return result

    def _files(self, model: Path) -> dict[Path, str]:
        """A graph and the files of weights beside it that it names, or a folder's files, with their contents' hashes."""
        if model.is_dir():
            return {path: self._hash(path) for path in sorted(model.iterdir()) if path.is_file()}
        data = model.read_bytes()
        others = (path for path in model.parent.iterdir() if path.is_file() and path.suffix != model.suffix)
        return {path: self._hash(path) for path in (model, *(path for path in others if path.name.encode() in data))}

    def _hash(self, path: Path) -> str:
        stat = path.stat()
        key = (str(path), stat.st_size, stat.st_mtime_ns)
        if key not in self.hashes:
            with path.open("rb") as file:
                self.hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self.hashes[key]

    def _program(self, call: str) -> str:
        return RUN.format(root=repr(self.root), code=self.code, call=call.format(root=repr(self.root)))

    def _ask(self, program: str, payload: Iterable[bytes], timeout: float) -> dict[str, Any]:
        """Run a program of ours there, with this behind it on its standard input, and return its answer."""
        code = program.encode()
        python = f'"$HOME"/{shlex.quote(self.python[2:])}' if self.python.startswith("~/") else shlex.quote(self.python)
        options = [word for option in OPTIONS for word in ("-o", option)]
        command = ["ssh", *options, "--", self.host, f'{python} -c "{START}" {len(code)}']
        try:
            done = subprocess.run(  # noqa: S603  the user's own ssh
                command, input=b"".join([code, *payload]), capture_output=True, timeout=timeout, check=False
            )
        except FileNotFoundError as error:
            raise InputError("there is no ssh on this machine: install OpenSSH's client") from error
        except subprocess.TimeoutExpired as error:
            raise _Gone(f"no answer within {timeout:.0f} s") from error
        complaint = _last(done.stderr)
        if done.returncode == LOST:
            raise _Gone(complaint or "ssh ended without a word")
        lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith(MARK)]
        if done.returncode or not lines:
            why = complaint or f"{self.python} gave no answer (exit code {done.returncode})"
            raise BoardLost(f"board {self.host}: {why}")
        told: dict[str, Any] = json.loads(lines[-1].removeprefix(MARK))
        return told


def _patience(size: int) -> float:
    """Seconds that a step may take beside its own timeout, with so many bytes to send."""
    return PATIENCE_SECONDS + size / SLOWEST


def _graphs(job: Mapping[str, Any]) -> Iterator[str]:
    for key in (*GRAPHS, *FOLDERS):
        value = job.get(key) or []
        yield from dict.fromkeys([value] if isinstance(value, str) else value)


def _tar(asked: Mapping[str, Any], lacking: Mapping[str, Path]) -> Iterator[bytes]:
    """The archive of a step, the job first."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|") as archive:
        _add(archive, "job.json", json.dumps(asked).encode())
        for content, path in lacking.items():
            _add(archive, content, path.read_bytes())
    yield out.getvalue()


def _sources() -> tuple[str, bytes]:
    """The package's sources as an archive, and the hash that it is known by."""
    package = Path(attnbench.__file__).parent
    files = sorted(package.rglob("*.py"))
    found = hashlib.sha256()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path in files:
            name, data = str(path.relative_to(package.parent)), path.read_bytes()
            found.update(name.encode() + b"\0" + data)
            _add(archive, name, data)
    return found.hexdigest()[:16], out.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    archive.addfile(member, io.BytesIO(data))


def _last(stderr: bytes) -> str:
    """The last line of a complaint."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""
