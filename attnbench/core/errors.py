"""What can go wrong, as a tree.

    AttnbenchError            anything the tool reports in one line; exit code 2
    ├── InputError            the user's input is at fault: says what, where, what to do
    │   └── UnknownName       a name that no registry holds, with the nearest ones
    └── CaseFailure           one case cannot be had; becomes a row with a stage and a reason
        ├── MachineFailure    the machine's doing (no memory, no room, killed): the same command tries the case again
        ├── CaseRefused       the module cannot stand there (a shape it does not accept)
        └── CaseSkipped       not run on purpose (it would need more memory than there is)

``cli.main`` is the only place that catches ``AttnbenchError``; ``sweep`` catches ``CaseFailure`` case by case.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal


class AttnbenchError(Exception):
    """Something the user should read as one line, without a traceback."""

    exit_code = 2


class InputError(AttnbenchError, ValueError):
    """The input cannot be used. The message names what is wrong, where it stands, and what to do.

    It is a ``ValueError``, so that one raised by a struct's ``__post_init__`` gets its place from ``validation.validate``.
    """


class UnknownName(InputError):
    """A name that nothing answers to."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(set(known))
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            advice = f"did you mean {' or '.join(repr(n) for n in near)}?"
        elif names:
            advice = f"known: {', '.join(names)}"
        else:
            advice = "none is known"
        super().__init__(f"unknown {kind} {str(name)!r}: {advice}{f' ({hint})' if hint else ''}")
        self.name = name


class CaseFailure(AttnbenchError):
    """One case failed at a stage; the sweep goes on and the row keeps the reason."""

    status: Literal["failed", "refused", "skipped"] = "failed"

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.stage, self.reason)


class MachineFailure(CaseFailure):
    """A case failed by what the machine was short of at that time; a resumed sweep tries it again."""


class CaseRefused(CaseFailure):
    """The module cannot stand at this place, by its own definition."""

    status = "refused"


class CaseSkipped(CaseFailure):
    """The case was left out on purpose, for a reason that the row gives."""

    status = "skipped"
