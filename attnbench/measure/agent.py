"""On the board: takes an archive from standard input, does the job in it, and answers with one line of JSON.

The archive is a tar: first ``job.json``, then graphs and weights that the board does not have yet, each called by the hash
of its content. Files stay, so that each is sent once; what was not used for a fortnight goes. A step holds the board's own
lock, so that two machines that measure on one board do not do so at once.
"""

import json
import os
import platform
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from attnbench.core.errors import CaseFailure, InputError
from attnbench.core.versions import version
from attnbench.measure import machine
from attnbench.measure.executor import FOLDERS, GRAPHS
from attnbench.measure.lock import POLL_SECONDS, measuring
from attnbench.measure.timing import time_in_process

MARK = "attnbench-answer "
"""What the answer's line begins with: a login may print lines of its own."""

UNUSED_SECONDS = 14 * 24 * 3600
ROOM_BYTES = 4e9
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu", "onnx", "numpy", "openvino")


def answer(told: Mapping[str, Any]) -> None:
    """Print the answer as one line."""
    sys.stdout.write(f"\n{MARK}{json.dumps(told)}\n")
    sys.stdout.flush()


def hello(root: Path) -> None:
    """Say what the board is, what is installed on it, and which files it has; clear out what was long unused."""
    files = root / "files"
    files.mkdir(parents=True, exist_ok=True)
    os.utime(Path(__file__).parents[2])
    for path in (*files.iterdir(), *root.glob("code-*"), *root.glob("step-*")):
        if path.stat().st_mtime < time.time() - UNUSED_SECONDS:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    versions = {name: found for name in DISTRIBUTIONS if (found := version(name)) != "not installed"}
    versions["python"] = platform.python_version()
    here, free = machine.machine(), machine.free_memory()
    answer({"machine": here, "free": free, "versions": versions, "files": sorted(path.name for path in files.iterdir())})


def step(root: Path, archive: IO[bytes]) -> None:
    """Do the job of an archive and answer with its result, or with the stage and reason of its failure.

    Where contents are missing that were here before, it answers which; where others measure all the while, who.
    """
    files = root / "files"
    with tempfile.TemporaryDirectory(dir=root, prefix="step-") as folder, ExitStack() as lock:
        asked = _unpacked(archive, files, Path(folder))
        wanted = {content for beside in asked["graphs"].values() for content in beside.values()}
        if lacking := sorted(content for content in wanted if not (files / content).exists()):
            answer({"lacking": lacking})
            return
        job = _placed(asked["job"], asked["graphs"], files, Path(folder))
        if busy := _locked(lock, f"a step of {asked['for']}", asked["patience"]):
            answer({"busy": busy})
            return
        try:
            answer({"result": time_in_process(job, asked["timeout"])})
        except CaseFailure as failure:
            answer({"failure": [failure.stage, failure.reason]})
        _make_room(files, wanted)


def _locked(lock: ExitStack, what: str, patience: float) -> str:
    """Take the board's lock; who has it, where nobody lets go of it for so many seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            lock.enter_context(measuring(what, wait=False, waiting=lambda _: None))
        except InputError as error:
            if time.monotonic() > until:
                return str(error)
            time.sleep(POLL_SECONDS)
        else:
            return ""


def _make_room(files: Path, kept: AbstractSet[str]) -> None:
    """Remove what was longest unused, until the rest is no larger than it may be."""
    found = sorted(((path.stat(), path) for path in files.iterdir()), key=lambda one: one[0].st_mtime)
    excess = sum(stat.st_size for stat, _ in found) - ROOM_BYTES
    for stat, path in found:
        if excess > 0 and path.name not in kept:
            path.unlink(missing_ok=True)
            excess -= stat.st_size


def _unpacked(archive: IO[bytes], files: Path, folder: Path) -> dict[str, Any]:
    """What is asked; the other members go among the files, whole or not at all."""
    asked: dict[str, Any] = {}
    with tarfile.open(fileobj=archive, mode="r|") as members:
        for member in members:
            content = members.extractfile(member)
            assert content is not None  # noqa: S101  there are plain files alone
            if member.name == "job.json":
                asked = json.load(content)
                continue
            part = folder / Path(member.name).name
            with part.open("wb") as file:
                shutil.copyfileobj(content, file)
            part.replace(files / part.name)
    return asked


def _placed(job: Mapping[str, Any], graphs: Mapping[str, Mapping[str, str]], files: Path, folder: Path) -> dict[str, Any]:
    """The job with the paths that its graphs have here; each lies in a folder of its own, its weights beside it."""
    paths: dict[str, str] = {}
    for number, (path, beside) in enumerate(graphs.items()):
        home = folder / str(number)
        home.mkdir()
        for name, content in beside.items():
            _link(files / content, home / name)
        paths[path] = str(home if path in map(job.get, FOLDERS) else home / Path(path).name)
    placed = dict(job)
    for key in (*GRAPHS, *FOLDERS):
        if value := job.get(key):
            placed[key] = paths[value] if isinstance(value, str) else [paths[one] for one in value]
    return placed


def _link(file: Path, to: Path) -> None:
    os.utime(file)
    try:
        os.link(file, to)
    except OSError:  # a file system without hard links
        shutil.copyfile(file, to)
