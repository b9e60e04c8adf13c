"""The run files of a fleet, one a machine, and who may have one."""

import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnbench.core.errors import InputError
from attnbench.core.naming import slug
from attnbench.fleet.admission import unlike_machine, unlike_software
from attnbench.fleet.pool import Fleet, Member, Mode
from attnbench.measure.header import hashes_of, make_header, runtimes_of, sources_of
from attnbench.measure.machine import software
from attnbench.measure.sweep import recorded
from attnbench.runs.store import RUN_FILE, open_run, read_run_file
from attnbench.study.plan import Plan


class Files:
    """The run files of a fleet's folder, opened as machines come."""

    def __init__(self, folder: Path, plan: Plan, mode: Mode, stack: ExitStack) -> None:
        self.folder = folder
        self.plan = plan
        self.mode = mode
        self.stack = stack
        self.own = software(runtimes_of(plan))
        self.hashes = {planned.case: hashes_of(planned) for planned in plan.cases}
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
        folder = self.folder / slug(name, otherwise="machine")
        if member is not None:
            if member.header.study["fingerprint"] != header.study["fingerprint"]:
                raise InputError(f"{folder} holds what another machine of that name has measured")
            return self.fleet.join(name, member.header, (), member.write)
        own = {"run": uuid.uuid4().hex, "mode": self.mode, "machine": name}
        stored = recorded(folder, replace(header, study={**header.study, "fleet": own}))
        writer = self.stack.enter_context(open_run(folder, stored.header))
        return self.fleet.join(name, stored.header, stored.facts, writer.append)
