"""The application that the commands join, one file a group of them; errors end here in one line.

An exit code below 64 says what a command found. One that it could not end with is no such code: a crash is ``CRASHED``, and
a reader that went away (``attnbench compare ... | head``) is ``UNREAD``, as a shell tells of that signal.
"""

import os
import sys
import tempfile
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from attnbench.core.errors import AttnbenchError
from attnbench.core.naming import printable
from attnbench.core.versions import version

CRASHED, UNREAD = 70, 141
"""``EX_SOFTWARE`` of sysexits.h, and 128 more than the number of SIGPIPE."""


class Commands(TyperGroup):
    """Takes from typer what it ends with 1, which means something here: the end of a pipe, on either side."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(UNREAD) from None
        except EOFError as error:
            raise RuntimeError(f"a process ended without an answer: {error!r}") from error


app = typer.Typer(
    cls=Commands,
    help="What an attention block costs at a place of a network, measured, and whether an NPU will run it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # se[reduction=8] is no markup
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def example(*commands: str) -> str:
    """What stands at the foot of a command's help: commands to paste, as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"attnbench {version('attnbench')}")
        raise typer.Exit


@app.callback(epilog=example("attnbench doctor", "attnbench sweep quick", "attnbench recommend latest", "attnbench init"))
def attnbench(
    *, _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False
) -> None:
    """What an attention block costs at a place of a network, measured, and whether an NPU will run it."""


def main() -> None:
    """The console script: one line and the exit code for every error that is the user's to mend, and for a crash."""
    try:
        app()
    except AttnbenchError as error:
        typer.echo(f"attnbench: {printable(str(error))}", err=True)
        raise SystemExit(error.exit_code) from None
    except Exception as error:  # noqa: BLE001  whatever it is, it must not end with a code that means something
        typer.echo(f"attnbench: internal error: {_line(error)}: {_kept(traceback.format_exc())}", err=True)
        raise SystemExit(CRASHED) from None


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _kept(trace: str) -> str:
    """Where the traceback of a crash is kept."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="attnbench-crash-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(trace)
    except OSError as error:
        return f"its traceback could not be kept ({error.strerror})"
    return f"a defect of attnbench, please report it with {file.name}"
