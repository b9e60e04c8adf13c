"""One command line in a sandbox, and all that came of it: the fuzz's own side, for the suite and for ``benchmarks/fuzz.py``.

A command line runs through the command's own entry in a fork, so that nothing of it stays, a hang can be ended and memory has
an end. Sweeps end where measuring would begin: what is planned is looked at, no clock is run.
"""

import gc
import importlib
import io
import os
import pkgutil
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path

import attnbench
from attnbench import cli
from attnbench.core.naming import steers

SECONDS, MEMORY = 10.0, 2 * 1024**3
ACCEPTED = 0
DOCUMENTED = {
    "sweep": {0, 1, 2}, "count": {0, 1, 2}, "check": {0, 1, 2}, "rewrite": {0, 1, 2}, "compare": {0, 1, 2, 3, 4},
    "recommend": {0, 1, 2}, "track": {0, 1, 2, 3}, "doctor": {0, 1, 2},
}  # fmt: skip
"""Exit codes by command, as ``docs/commands.md`` has them; of any other command 0 and 2."""

MINE = """
from torch import nn

class Gate(nn.Module):
    def __init__(self, channels, scale=1.0):
        super().__init__()

    def forward(self, x):
        return x * x.sigmoid()

def build(width=8):
    return nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, 2, 1))

number = 3
"""

WRITABLE = ("out", "results", "maps", "cache", "home")
"""What a command may write to, below the sandbox."""


@dataclass(frozen=True)
class FuzzInput:
    """A command line, and what stands in files beside it: texts and bytes by their names."""

    arguments: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"attnbench {' '.join(map(repr, self.arguments))} with {self.files!r}"


@dataclass(frozen=True)
class FuzzOutcome:
    """What came of it; ``code`` is 255 where it had to be killed."""

    code: int
    out: str
    err: str
    seconds: float
    written: tuple[str, ...]


class Sandbox:
    """A folder with one file of each kind, as it is before each command line."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="attnbench-fuzz-"))
        self.root = self.base / "a" / "b" / "work"
        self.files = files
        for name in (*WRITABLE, "tmp"):
            (self.root / name).mkdir(parents=True)
        for name, data in files.items():
            self._put(name, data)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.base, ignore_errors=True)

    def _put(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def run(self, asked: FuzzInput) -> FuzzOutcome:
        """Run a command line, and put everything back as it was."""
        for name, data in asked.files.items():
            self._put(name, data)
        known = self._listing()
        began = time.monotonic()
        code, out, err = _in_a_fork(asked.arguments, self.root)
        seconds = time.monotonic() - began
        written = tuple(str(path.relative_to(self.base)) for path in sorted(self._listing() ^ known, key=str))
        self._restore(asked)
        own = f"{self.root.relative_to(self.base)}/"
        outside = tuple(name for name in written if not name.removeprefix(own).startswith(tuple(f"{w}/" for w in WRITABLE)))
        return FuzzOutcome(code, out, err, seconds, tuple(n for n in outside if "attnbench-crash-" not in n))

    def _listing(self) -> set[Path]:
        return {Path(where, name) for where, _, names in os.walk(self.base) for name in names}

    def _restore(self, asked: FuzzInput) -> None:
        for name in (*WRITABLE, "tmp"):
            if name not in ("cache", "home"):
                shutil.rmtree(self.root / name, ignore_errors=True)
                (self.root / name).mkdir(parents=True, exist_ok=True)
        for name in asked.files:
            (self.root / name).unlink(missing_ok=True)
        for name, data in self.files.items():
            if name in asked.files or not (self.root / name).exists():
                self._put(name, data)


def mistakes(asked: FuzzInput, seen: FuzzOutcome) -> list[str]:
    """What is wrong with an outcome, by the property that every command holds to; each begins with its kind."""
    command = next((word for word in asked.arguments if not word.startswith("-")), "")
    errors = seen.err.splitlines()
    found = []
    if "Traceback" in seen.err or "internal error" in seen.err:
        found.append(f"traceback: {errors[-1] if errors else ''}")
    if seen.code == 255:
        found.append(f"hang: killed after {seen.seconds:.0f} s")
    elif seen.code not in DOCUMENTED.get(command, {0, 2}):
        found.append(f"wrong code: {seen.code}")
    if seen.code == 2 and not errors:
        found.append("wrong code: 2 without a word")
    if len([line for line in errors if not line.startswith(("waiting", "run "))]) > 1 and not found:
        found.append(f"lines: {len(errors)} on standard error: {errors[:3]}")
    if steers("".join(re.split(r"[\n\t]", seen.err))) or steers("".join(re.split(r"[\n\t]", seen.out))):
        found.append("control characters")
    if seen.written:
        found.append(f"writes outside: {seen.written[:3]}")
    return found


def prepare() -> None:
    """Import all that a command may import, so that no fork has to; and have sweeps end where they would measure."""
    for found in pkgutil.walk_packages(attnbench.__path__, "attnbench."):
        if not found.name.endswith("__main__") and ".templates" not in found.name:
            importlib.import_module(found.name)
    for name in ("pandas", "scipy.stats", "tabulate"):
        importlib.import_module(name)
    _keep_what_forks_would_read_anew()
    gc.collect()
    gc.freeze()


def _keep_what_forks_would_read_anew() -> None:
    """What exists is read once, and so is what the machine and the software are, which is no input's business."""
    from attnbench.core.sources import source_hash
    from attnbench.hosts import HOSTS
    from attnbench.measure import cache, machine
    from attnbench.modules import MODULES
    from attnbench.npu.targets import load_target
    from attnbench.targets import target_names

    for catalogue in (MODULES, HOSTS):
        for name in catalogue.describe():
            source_hash(catalogue, name)
    for name in target_names():
        load_target(name)
    cache._code()
    with redirect_stdout(io.StringIO()), suppress(SystemExit):  # what the command line's library loads at its first use
        sys.argv = ["attnbench", "list", "formats"]
        cli.main()
    here, software = machine.machine(), machine.software()
    machine.machine, machine.software = lambda: here, lambda *_: software


def _accepted(*_: object, **__: object) -> None:
    os._exit(ACCEPTED)


def _in_a_fork(arguments: tuple[str, ...], root: Path) -> tuple[int, str, str]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process == 0:
            try:
                _child(arguments, root, out.fileno(), err.fileno())
            finally:
                os._exit(254)
        code = _waited(process)
        out.seek(0)
        err.seek(0)
        return code, out.read().decode(errors="replace"), err.read().decode(errors="replace")


def _waited(process: int) -> int:
    deadline = time.monotonic() + SECONDS
    pause = 0.002
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 253
        if time.monotonic() > deadline:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return 255
        time.sleep(pause)
        pause = min(0.05, pause * 1.3)


def _child(arguments: tuple[str, ...], root: Path, out: int, err: int) -> None:
    import torch

    from attnbench.measure import estimate, executor, export

    os.setsid()
    for module in (executor, export):
        module.measuring = _accepted
    estimate.open_builders = export.open_builders = _accepted
    torch.set_num_threads(1)
    os.chdir(root)
    os.environ.update(HOME=str(root / "home"), TMPDIR=str(root / "tmp"), ATTNBENCH_CACHE=str(root / "cache"), COLUMNS="200")
    tempfile.tempdir = None
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    taken = next(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")
    )
    most = taken * 1024 + MEMORY  # of what is written to: a browser's engine asks for addresses by the terabyte
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    sys.argv = ["attnbench", *arguments]
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException as error:  # noqa: BLE001
        print(f"Traceback: {error!r}", file=sys.stderr)
        code = 252
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 120
    os._exit(code)
