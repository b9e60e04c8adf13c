"""Where timing steps are done: in a fresh process here, on a board over ssh, or by a command of the user's.

Hosts and modules are always built here; what goes elsewhere is a job (plain JSON values) and the graphs that it names.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from attnbench.core.errors import AttnbenchError, InputError
from attnbench.measure import machine
from attnbench.measure.lock import measuring
from attnbench.measure.timing import time_in_process

GRAPHS, FOLDERS = ("model", "models", "chain"), ("inputs",)
"""The keys of a job that name graphs, and those that name folders of files."""


class BoardLost(AttnbenchError):
    """The board cannot be reached, or is another than before: that is no failure of a case. What was recorded is kept."""


class Executor(Protocol):
    """Does timing steps, and says of what machine and with what software.

    ``at_a_time`` is how many jobs without a clock are done together there.
    """

    @property
    def at_a_time(self) -> int:
        """One, where jobs come in turn."""

    def time(self, job: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Do a job in a fresh process and return its result. Raises ``CaseFailure``, ``BoardLost``."""

    def machine(self) -> dict[str, Any]:
        """The facts of ``machine.machine``, of where steps are done."""

    def software(self, runtimes: Iterable[str] = ()) -> dict[str, Any]:
        """The facts of ``machine.software``, with the versions of what runs there."""

    def held(self, what: str, *, wait: bool, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the machine's lock for a sweep, where it must be held for all of it."""

    def skip(self, need: int) -> str:
        """Why a case that needs so many bytes of memory must not be run there; empty where it may."""


class ThisMachine:
    """Steps in fresh processes of this machine."""

    @property
    def at_a_time(self) -> int:
        """One a core."""
        return machine.granted_cores()

    def time(self, job: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Do a job."""
        return time_in_process(job, timeout)

    def machine(self) -> dict[str, Any]:
        """This machine."""
        return machine.machine()

    def software(self, runtimes: Iterable[str] = ()) -> dict[str, Any]:
        """What is installed here."""
        return machine.software(runtimes)

    def held(self, what: str, *, wait: bool, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
        """The lock of this machine."""
        return measuring(what, wait=wait, waiting=waiting)

    def skip(self, need: int) -> str:  # noqa: ARG002  what is built here knows this machine's memory
        """Nothing more than was said when the case was built."""
        return ""


HERE = ThisMachine()


def usual_settings(text: str) -> dict[str, Any]:
    """The settings of a sweep there, where no others are asked for."""
    if text.startswith("cmd:"):
        from attnbench.measure.command import USUAL  # noqa: PLC0415  only for a command

        return USUAL
    return {}


def executor(text: str) -> Executor:
    """What ``--on`` names: ``ssh:[USER@]HOST[:PYTHON]`` or ``cmd:COMMAND``. Raises ``InputError``."""
    kind, _, rest = text.partition(":")
    if kind == "ssh" and rest:
        from attnbench.measure.ssh import Board  # noqa: PLC0415  only for a board

        return Board.of(rest)
    if kind == "cmd" and rest:
        from attnbench.measure.command import Command  # noqa: PLC0415  only for a command

        return Command.of(rest)
    raise InputError(f"--on '{text}' is neither ssh:HOST, ssh:USER@HOST:PYTHON nor cmd:COMMAND (docs/boards.md)")
