"""A plan over a fleet: one run file a machine below one folder, and in mode ``split`` the run that they come to together.

FOLDER/fleet.json            what was asked, so that the same command goes on here
FOLDER/NAME/run.jsonl        the facts of the machine of that name: a run like any other
FOLDER/run.jsonl             all of them merged, when all is measured (mode split)
"""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from attnbench.core.errors import InputError
from attnbench.core.naming import printable
from attnbench.core.records import Case, Run
from attnbench.fleet.admission import unlike_machine, unlike_software
from attnbench.fleet.channel import Channel
from attnbench.fleet.engine import Engine
from attnbench.fleet.parcel import pack_parcel
from attnbench.fleet.pool import Fleet, Member, Mode
from attnbench.fleet.trust import Tls, check_address
from attnbench.measure.header import hashes_of, make_header, runtimes_of, sources_of
from attnbench.measure.machine import software
from attnbench.measure.observer import Observer
from attnbench.measure.sweep import new_folder, recorded
from attnbench.runs.merge import keep, merge
from attnbench.runs.store import RUN_FILE, load_run, open_run, read_run_file
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


class Files:
    """The run files of a fleet's folder, opened as machines come."""

    def __init__(self, folder: Path, plan: Plan, mode: Mode, stack: ExitStack) -> None:
        self.folder = folder
        self.plan = plan
        self.mode = mode
        self.stack = stack
        self.own = software(runtimes_of(plan))
        self.hashes: dict[Case, dict[str, str]] = {planned.case: hashes_of(planned) for planned in plan.cases}
        self.fleet = Fleet(plan, mode, sources_of(self.hashes))

    def load(self, now: float) -> None:
        """What machines have measured that are not here: in mode ``split`` their finished cases count."""
        for path in sorted(self.folder.glob(f"*/{RUN_FILE}")):
            stored = read_run_file(path.parent)
            name = stored.header.study.get("fleet", {}).get("machine", path.parent.name)
            if self.own["id"] == stored.header.software.get("id"):
                writer = self.stack.enter_context(open_run(path.parent, stored.header))
                self.fleet.join(name, stored.header, stored.facts, writer.append, here=False, now=now)

    def admit(self, about: Mapping[str, Any]) -> Member:
        """The member that a machine is, which has greeted. Raises ``InputError`` for one that cannot be."""
        name = str(about["name"])
        if why := unlike_software(self.own, about["software"]):
            raise InputError(why)
        first = next(iter(self.fleet.members.values()), None)
        if self.mode == "split" and first and (why := unlike_machine(first.header.machine, about["machine"], first.name)):
            raise InputError(why)
        header = make_header(self.plan, (about["machine"], about["software"]))
        member = self.fleet.members.get(name)
        if member is not None:
            if member.header.study["fingerprint"] != header.study["fingerprint"]:
                raise InputError(f"{self.folder / _safe(name)} holds what another machine of that name has measured")
            return self.fleet.join(name, member.header, (), member.write)
        folder = self.folder / _safe(name)
        own = {"run": uuid.uuid4().hex, "mode": self.mode, "machine": name}
        stored = recorded(folder, replace(header, study={**header.study, "fleet": own}))
        writer = self.stack.enter_context(open_run(folder, stored.header))
        return self.fleet.join(name, stored.header, stored.facts, writer.append)


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


def _safe(name: str) -> str:
    """A machine's name as that of a folder."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", printable(name)).strip(".")
    return safe or "machine"


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
    for path in sorted(results.glob(f"{name}-*/{FLEET_FILE}"), reverse=True):
        stored = _marked(path.parent)
        if stored.get("plan") == mark and not stored.get("finished"):
            return path.parent
    return None
