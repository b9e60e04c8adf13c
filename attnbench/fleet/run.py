"""A plan over a fleet: one run file a machine below one folder, and in mode ``split`` the run that they come to together.

FOLDER/fleet.json            what was asked, so that the same command goes on here
FOLDER/NAME/run.jsonl        the facts of the machine of that name: a run like any other
FOLDER/run.jsonl             all of them merged, when all is measured (mode split)
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from attnbench.core.errors import InputError
from attnbench.core.records import Run
from attnbench.fleet.channel import Channel
from attnbench.fleet.engine import Engine
from attnbench.fleet.files import Files
from attnbench.fleet.parcel import pack_parcel
from attnbench.fleet.pool import Mode
from attnbench.fleet.trust import Tls, check_address
from attnbench.measure.header import runtimes_of
from attnbench.measure.observer import Observer
from attnbench.measure.sweep import new_folder
from attnbench.runs.merge import keep, merge
from attnbench.runs.store import RUN_FILE, folders_of, load_run, read_run_file
from attnbench.study.plan import Plan

FLEET_FILE = "fleet.json"


@dataclass(frozen=True)
class FleetRuns:
    """What a fleet has measured: the run of each machine by its name, and all of it as one where cases were shared.

    ``refused`` says by name why a machine was not taken.
    """

    folder: Path
    runs: Mapping[str, Run]
    merged: Run | None
    finished: bool
    refused: Mapping[str, str]


def run_fleet(
    plan: Plan,
    results: Path,
    out: Path | None,
    observer: Observer,
    address: str,
    *,
    tls: Tls | None = None,
    mode: Mode = "each",
    seconds: float = float("inf"),
) -> FleetRuns:
    """Measure a plan on the machines of a Dask cluster; the same call goes on where another one was ended.

    Raises ``InputError`` for an address that is not safe, a file that cannot travel, a cluster that cannot be reached, and
    where every machine is refused. Returns without an end where no machine is left for long, or after so many ``seconds``.
    """
    address = check_address(address, tls)
    parcel = pack_parcel(plan)
    mark = hashlib.sha256(mode.encode() + parcel.plan).hexdigest()[:16]
    folder = out or _unfinished(results, plan.name, mark) or new_folder(results, plan.name)
    stored = _marked(folder)
    if stored and stored["plan"] != mark:
        raise InputError(f"{folder} holds a fleet's run of another study or mode: choose another folder with --out")
    if not stored and (folder / RUN_FILE).exists():
        raise InputError(f"{folder} holds a run of one machine: choose another folder with --out")
    if stored.get("finished"):
        return _read(folder, finished=True, refused={})
    with ExitStack() as stack:
        files = Files(folder, plan, mode, stack)
        channel = Channel(address, tls, runtimes_of(plan))
        channel.connect()
        engine = Engine(channel, files, parcel, observer, seconds)
        _mark(folder, mark, mode, finished=False)
        engine.run()
        finished = files.fleet.finished
    if finished:
        if mode == "split":
            _merge(folder)
        _mark(folder, mark, mode, finished=True)
    return _read(folder, finished=finished, refused=engine.refused)


def _merge(folder: Path) -> None:
    """All machines' facts as one run; a merge that was begun before is made anew."""
    (folder / RUN_FILE).unlink(missing_ok=True)
    parts = [path.parent for path in sorted(folder.glob(f"*/{RUN_FILE}")) if read_run_file(path.parent).facts]
    keep(merge(parts) if len(parts) > 1 else read_run_file(parts[0]), folder)


def _read(folder: Path, *, finished: bool, refused: Mapping[str, str]) -> FleetRuns:
    runs = {path.parent.name: load_run(path) for path in sorted(folder.glob(f"*/{RUN_FILE}"))}
    merged = load_run(folder) if (folder / RUN_FILE).exists() else None
    return FleetRuns(folder, {name: run for name, run in runs.items() if run.records}, merged, finished, refused)


def _mark(folder: Path, mark: str, mode: str, *, finished: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{FLEET_FILE}"
        fresh.write_text(json.dumps({"plan": mark, "mode": mode, "finished": finished}) + "\n", encoding="utf-8")
        fresh.replace(folder / FLEET_FILE)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}: choose another folder with --out") from error


def _marked(folder: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode((folder / FLEET_FILE).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return {}


def _unfinished(results: Path, name: str, mark: str) -> Path | None:
    """The newest folder of this plan and mode that is not finished."""
    told = ((folder, _marked(folder)) for folder in folders_of(results, name))
    return next((folder for folder, one in told if one.get("plan") == mark and not one.get("finished")), None)
