"""What runs inside a Dask worker: greets, keeps one measuring process a run, and hands it steps. Plain data in and out.

The functions are called by name, so attnbench must be installed there. They take and return bytes of JSON.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from attnbench.core.scratch import scratch
from attnbench.fleet.answers import step_text
from attnbench.fleet.bench import JOURNAL_FILE, PLAN_FILE
from attnbench.fleet.journal import fleet_folder
from attnbench.fleet.trust import MOST_BYTES
from attnbench.measure.header import about
from attnbench.measure.lock import lock_path
from attnbench.measure.schedule import TimingStep

METRIC = "attnbench"
"""Where a worker's heartbeat says what it is at."""

READY_SECONDS = 600.0
"""For the start of a measuring process, which loads the user's own hosts and modules."""

BENCH = [sys.executable, "-m", "attnbench.fleet.bench"]

Message = dict[str, Any]


class Session:
    """A run's measuring process, and what it is at. One step at a time; a process that ended is started anew."""

    def __init__(self, run: str, plan: bytes, files: dict[str, bytes]) -> None:
        self.run = run
        self.turn = threading.Lock()
        self.state: Message = {"run": run, "state": "idle", "since": time.time()}
        self._held = ExitStack()
        self.folder = self._held.enter_context(scratch())
        self.sources = self.folder / "sources"
        self.sources.mkdir()
        for name, content in files.items():
            path = (self.sources / name).resolve()
            if not path.is_relative_to(self.sources.resolve()):
                raise ValueError(f"{name} leaves the folder of sources")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (self.folder / PLAN_FILE).write_bytes(plan)
        (self.folder / JOURNAL_FILE).write_text(str(fleet_folder() / f"{run}.json"), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.greeting: Message = {}

    def ready(self) -> Message:
        """What the measuring process said when it started; it is started where there is none."""
        with self.turn:
            return self._started()

    def take(self, step: bytes, limit: float) -> Message:
        """What a step came to, or why there is nothing. ``limit`` seconds after it began, the process is killed."""
        with self.turn:
            started = self._started()
            if started["state"] != "ready" or self._process is None or self._process.stdin is None:
                return started
            label = step_text(msgspec.json.decode(step, type=TimingStep))
            self._at("measuring", step=label)
            try:
                self._process.stdin.write(step + b"\n")
                self._process.stdin.flush()
            except OSError:
                return self._end("the measuring process ended by itself")
            return self._answer(limit, label)

    def close(self) -> None:
        """End the measuring process and remove its folder; what it has kept stays."""
        self._end("closed")
        self._held.close()

    def _started(self) -> Message:
        if self._process is None or self._process.poll() is not None:
            self._lines = queue.SimpleQueue()
            self._process = subprocess.Popen(  # noqa: S603  our own module
                [*BENCH, str(self.folder)],
                cwd=self.sources,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(self.sources), *sys.path]))},
            )
            threading.Thread(target=_pump, args=(self._process, self._lines), daemon=True).start()
            self.greeting = self._answer(READY_SECONDS, "")
        return self.greeting

    def _answer(self, limit: float, step: str) -> Message:
        """The next answer that is one; while it waits for the machine's lock, no time is counted."""
        deadline: float | None = time.monotonic() + limit
        while True:
            try:
                line = self._lines.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return self._end(f"{step or 'the measuring process'} did not end within {limit:.0f} s and was killed")
            if not line:
                return self._end("the measuring process ended by itself")
            said: Message = json.loads(line)
            if said["state"] == "waiting":
                deadline = None
                self._at("waiting", step=step, holder=said["holder"])
            elif said["state"] == "began":
                deadline = time.monotonic() + limit
                self._at("measuring", step=step)
            else:
                self._at("idle")
                return said

    def _end(self, why: str) -> Message:
        process, self._process = self._process, None
        if process is not None:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._at("idle")
        return {"state": "broken", "why": why}

    def _at(self, state: str, **more: Any) -> None:
        self.state = {"run": self.run, "state": state, "since": time.time(), **more}


def _pump(process: subprocess.Popen[bytes], lines: "queue.SimpleQueue[bytes]") -> None:
    for line in process.stdout or ():
        lines.put(line)
    lines.put(b"")


_sessions: dict[str, Session] = {}
_resolved: dict[str, Any] = {}
"""What this machine could tell apart when a run was last over, and the file that keeps it."""


def hello(runtimes: Sequence[str] = (), dask_worker: Any = None) -> bytes:
    """Who this is: its name, its place, its machine and software; from now on its heartbeats say what it is at."""
    worker = dask_worker
    for watching in ("profile", "profile-cycle", "tick"):  # Dask's looks at itself, 150 a second, would run beside the clock
        if (callback := worker.periodic_callbacks.get(watching)) is not None:
            callback.stop()
    here, software = about(runtimes=runtimes)
    name = worker.name
    if not isinstance(name, str) or "://" in name:
        name = socket.gethostname() if not isinstance(name, int) else f"{socket.gethostname()}-{name}"
    _resolved["file"] = fleet_folder() / "resolved" / quote(name, safe="")
    with suppress(OSError):
        _resolved.setdefault("text", _resolved["file"].read_text(encoding="utf-8"))
    greeting = {"name": name, "place": place(), "machine": here, "software": software}
    worker.metrics[METRIC] = lambda _worker: {**status(), "machine": here["id"], "cpu": here["cpu"], "called": name,
                                              "software": software["id"]}  # fmt: skip
    return json.dumps(greeting).encode()


def place() -> str:
    """What two workers on one machine have in common: the file of the machine's lock, and the start of its system."""
    path = lock_path()
    with suppress(OSError):
        path.touch(exist_ok=True)
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        about = path.stat()
        return f"{boot} {about.st_dev} {about.st_ino}"
    return f"{socket.gethostname()} {path}"


def status() -> Message:
    """What this worker is at, for its heartbeat."""
    at = [session.state for session in list(_sessions.values())]
    busy = next((state for state in at if state["state"] != "idle"), at[-1] if at else {"state": "idle"})
    return {**busy, "resolved": _resolved.get("text", "")}


def open_session(run: str, plan: bytes, files: dict[str, bytes]) -> bytes:
    """Have a measuring process for a run, and end those of others: what it says of itself."""
    for other in [name for name in _sessions if name != run]:
        _sessions.pop(other).close()
    if run not in _sessions:
        _sessions[run] = Session(run, plan, files)
    return _bounded(_sessions[run].ready())


def take(run: str, step: bytes, limit: float) -> bytes:
    """What a step came to."""
    session = _sessions.get(run)
    return _bounded(session.take(step, limit) if session else {"state": "broken", "why": "the worker was started anew"})


def close_session(run: str, resolved: str) -> bytes:
    """The run is over here; ``resolved`` says what it could tell, for ``fleet status``."""
    if run in _sessions:
        _sessions.pop(run).close()
    (fleet_folder() / f"{run}.json").unlink(missing_ok=True)
    if resolved and "file" in _resolved:
        _resolved["text"] = resolved
        with suppress(OSError):
            _resolved["file"].parent.mkdir(parents=True, exist_ok=True)
            _resolved["file"].write_text(resolved, encoding="utf-8")
    return b"{}"


def _bounded(said: Message) -> bytes:
    found = json.dumps(said).encode()
    if len(found) <= MOST_BYTES:
        return found
    return json.dumps({"state": "broken", "why": f"an answer of {len(found)} bytes, more than {MOST_BYTES}"}).encode()
