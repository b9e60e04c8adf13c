"""The application that the commands join, one file a group of them; errors end here in one line.

An exit code below 64 says what a command found. One that it could not end with is no such code: a crash is ``CRASHED``, and
a reader that went away (``attnbench compare ... | head``) is ``UNREAD``, as a shell tells of that signal.
"""

import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from attnbench.core.catalogue import passed_over
from attnbench.core.errors import AttnbenchError, InputError
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
            _let_go()
            raise typer.Exit(UNREAD) from None
        except SystemExit as end:
            raise RuntimeError(f"code that is not ours ended the process: sys.exit({end.code!r})") from end
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


def grouped(groups: Mapping[str, str]) -> type[TyperCommand]:
    """A command whose help shows its options in groups: by a title, their names in order. What is in none comes last."""
    titles = {name: title for title, names in groups.items() for name in names.split()}

    class Grouped(TyperCommand):
        def format_options(self, ctx: Any, formatter: Any) -> None:
            """Write each group under its title."""
            params = {param.name: param for param in self.get_params(ctx)}
            shown: dict[str, list[Any]] = {title: [] for title in ("Arguments", *groups, "Options")}
            for name in dict.fromkeys((*titles, *params)):
                kind = f"{params[name].param_type_name.title()}s"
                shown[titles.get(name, kind)].append(params[name].get_help_record(ctx))
            for title, records in shown.items():
                with formatter.section(title):
                    formatter.write_dl(list(filter(None, records)))

    return Grouped


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
        try:
            code = _run()
        finally:
            for line in passed_over:
                _tell(line)
            passed_over.clear()
    except AttnbenchError as error:
        _tell(str(error))
        code = error.exit_code
    except OSError as error:
        _tell(_of_the_system(error))
        code = AttnbenchError.exit_code
    except Exception as error:  # noqa: BLE001  whatever it is, it must not end with a code that means something
        _tell(f"internal error: {_line(error)}: {_kept(error)}")
        code = CRASHED
    raise SystemExit(code)


def _run() -> int:
    """Run the command, and see that all that it said went out. Raises what it ended in."""
    for number, argument in enumerate(sys.argv[1:], 1):
        if not argument.strip():
            raise InputError(f"argument {number} is empty: name something, or leave it out with its option")
    try:
        code = app(standalone_mode=False, prog_name="attnbench")
        sys.stdout.flush()
    except OSError:
        _let_go()
        raise
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own, for what it cannot parse; its class is not public
            raise
        if "Help" in type(error).__name__:
            error.show()  # type: ignore[attr-defined]
        else:
            where = getattr(getattr(error, "ctx", None), "command_path", "attnbench")
            _tell(f"{error.format_message().rstrip('.')}: {where} --help shows what there is")
        return int(getattr(error, "exit_code", 2))
    return code if isinstance(code, int) else 0


def _tell(line: str) -> None:
    """A line on standard error, without what a terminal would obey instead of showing it."""
    typer.echo(f"attnbench: {printable(' '.join(line.splitlines()))}", err=True)


def _of_the_system(error: OSError) -> str:
    """What the system refuses, and of which file."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else f"the answer cannot be written: {reason}"


def _let_go() -> None:
    """Write nothing more to a standard output that takes no more, not at this process's end either."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _kept(error: Exception) -> str:
    """Where the traceback of a crash is kept."""
    trace = getattr(error, "trace", "") or "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="attnbench-crash-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(trace)
    except OSError as failure:
        return f"its traceback could not be kept ({failure.strerror})"
    return f"a defect of attnbench, please report it with {file.name}"
