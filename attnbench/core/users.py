"""Code that is not ours: the user's own modules and hosts, and those of other distributions.

It is trusted to run, and not to be right. It may raise anything, end the process, or print where an answer is expected.
What it ends in becomes one line with the last line of that code; what it prints goes to standard error. Where
``ATTNBENCH_DEBUG`` names a file (``--debug``), the whole traceback is appended to that.
"""

import errno
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

from attnbench.core.errors import AttnbenchError, CaseFailure, InputError, MachineFailure

VARIABLE = "ATTNBENCH_DEBUG"
MOST = 300
"""Signs of a message that a line has."""

_OTHERS = tuple(str(Path(folder)) for folder in {*sysconfig.get_paths().values(), *map(str, Path(__file__).parents[1:2])})


@contextmanager
def users_code(what: str, stage: str = "") -> Iterator[None]:
    """Whatever the code within ends in, as ``CaseFailure`` at the stage or, without one, as ``InputError``.

    ``what`` begins the line. Errors of this package pass, and so does Ctrl-C.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (AttnbenchError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        text = f"{what}: {told(error)}"
        if stage:
            raise (MachineFailure if of_the_machine(error) else CaseFailure)(stage, text) from error
        raise InputError(text) from error


def told(error: BaseException) -> str:
    """An error in a line: its kind, what it says, and the last line of the user's own code that led to it."""
    keep_trace(error)
    text = " ".join(str(error).split())
    text = text if len(text) <= MOST else f"{text[: MOST - 1]}…"
    kind = type(error).__name__
    if isinstance(error, SystemExit):
        kind, text = "it ended the process", f"sys.exit({error.code!r})"
    where = _own_line(error)
    return f"{kind}{f': {text}' if text else ''}{f' ({where})' if where else ''}"


def of_the_machine(error: BaseException) -> bool:
    """Whether an error is of the machine at that time: no room, no memory, too many files. Later it may go well."""
    return isinstance(error, OSError) and error.errno in _PASSING


_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EAGAIN}


def keep_trace(error: BaseException) -> None:
    """Append an error's whole traceback to the file that ``ATTNBENCH_DEBUG`` names, where it names one."""
    if file := os.environ.get(VARIABLE):
        with suppress(OSError), Path(file).open("a", encoding="utf-8", errors="backslashreplace") as trace:
            trace.write("".join(traceback.format_exception(error)) + "\n")


def _own_line(error: BaseException) -> str:
    """``mine.py:12: x = y / 0``: the innermost line that is neither ours nor an installed library's; empty without one."""
    found = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if not frame.filename.startswith((*_OTHERS, "<")):
            found = f"{Path(frame.filename).name}:{frame.lineno}: {(frame.line or '')[:80]}".rstrip(": ")
    return found
