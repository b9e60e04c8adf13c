"""The application that the commands join, one file a group of them; errors end here in one line."""

import typer

from attnbench.core.errors import AttnbenchError

app = typer.Typer(
    help="What an attention block costs at a place of a network, measured, and whether an NPU will run it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The console script: one line and the exit code for every error that is the user's to mend."""
    try:
        app()
    except AttnbenchError as error:
        typer.echo(f"attnbench: {error}", err=True)
        raise SystemExit(error.exit_code) from None
