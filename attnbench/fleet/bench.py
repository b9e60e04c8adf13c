"""The measuring process of a machine: ``python -m attnbench.fleet.bench FOLDER``. It takes steps, one by one.

It is a process of its own, so that a step that hangs can be killed, the user's sources have a folder to be found in, and
what a killed worker began is taken to its end and kept. The machine's lock is held from before a step to after it is kept,
whoever started this. Lines of JSON come in on standard input, a step each, and go out on standard output.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from attnbench.core.errors import AttnbenchError
from attnbench.core.records import Case
from attnbench.core.scratch import share
from attnbench.fleet.journal import Journal, key_of
from attnbench.measure.bench import Bench
from attnbench.measure.executor import HERE
from attnbench.measure.header import about, check_machine, hashes_of, runtimes_of, sources_of
from attnbench.measure.lock import measuring
from attnbench.measure.schedule import TimingStep
from attnbench.measure.sweep import open_builders, preflight
from attnbench.runs.facts import AnyFact, encode
from attnbench.study.plan import Plan

PLAN_FILE, JOURNAL_FILE = "plan.json", "journal.path"


class Taker(Protocol):
    """What takes steps: a ``Bench``, or a script of one where no clock is wanted."""

    def take(self, step: TimingStep) -> Iterator[AnyFact]:
        """What the step saw."""


@contextmanager
def open_bench(plan: Plan, hashes: Mapping[Case, Mapping[str, str]], sources: Mapping[Case, str]) -> Iterator[Taker]:
    """The bench of a plan, after its user's own hosts and modules were loaded once."""
    with open_builders(plan, len(plan.cases)) as builders:
        preflight(builders, plan.cases)
        yield Bench(builders, plan, sources, hashes)


def serve(folder: Path, opened: Any = open_bench) -> None:
    """Take steps until standard input ends. The first line out says whether this machine can, and what its sources are."""
    share(folder)  # a killed worker's goes once this process has ended, too
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer

    def say(state: str, **more: Any) -> None:
        out.write(json.dumps({"state": state, **more}) + "\n")

    plan = msgspec.json.decode((folder / PLAN_FILE).read_bytes(), type=Plan)
    journal = Journal(Path((folder / JOURNAL_FILE).read_text(encoding="utf-8")))
    hashes = {planned.case: hashes_of(planned) for planned in plan.cases}
    sources = sources_of(hashes)
    told: dict[str, str] = {}
    for own in hashes.values():
        told |= own
    try:
        check_machine(plan, HERE, about(runtimes=runtimes_of(plan)))
        with opened(plan, hashes, sources) as bench:
            say("ready", hashes=told)
            for line in sys.stdin.buffer:
                step = msgspec.json.decode(line, type=TimingStep)
                with measuring("a step of a fleet", wait=True, waiting=lambda holder: say("waiting", holder=holder)):
                    key = key_of(step, sources)
                    facts = journal.find(key)
                    if facts is None:
                        say("began")
                        facts = [encode(fact).decode() for fact in bench.take(step)]
                        journal.keep(key, facts)
                say("had", facts=facts)
    except BrokenPipeError:
        return  # the worker is gone, and the answer is kept
    except (AttnbenchError, OSError) as error:
        say("refused", why=" ".join(str(error).split()))


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
