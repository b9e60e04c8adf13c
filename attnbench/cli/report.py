"""The command that writes a stored run down: ``report``. It loads no torch."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import give, stored_run
from attnbench.cli.app import app

FORMAT_HELP = "md, csv, json, latex, junit, benchstat, bmf, pytest-benchmark or github-action-benchmark."


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="A run's folder or file, or latest.")],
    format_: Annotated[str, typer.Option("--format", "-f", help=FORMAT_HELP)] = "md",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of the screen.")] = None,
    results: Annotated[Path, typer.Option(help="Where 'latest' looks.")] = Path("results"),
) -> None:
    """Write a stored run as Markdown, or in a format that other programs read."""
    from attnbench.report import FORMATS  # noqa: PLC0415

    give(FORMATS.load(format_).render(stored_run(run, results)), output)
