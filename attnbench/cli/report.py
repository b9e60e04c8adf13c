"""The command that writes a stored run down: ``report``. It loads no torch."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import OutputOption, ResultsOption, RunArgument, give, stored_run
from attnbench.cli.app import app
from attnbench.report import FORMATS

FORMAT_HELP = "md, csv, json, latex, junit, benchstat, bmf, pytest-benchmark or github-action-benchmark."


@app.command()
def report(
    run: RunArgument,
    format_: Annotated[str, typer.Option("--format", "-f", help=FORMAT_HELP)] = "md",
    output: OutputOption = None,
    results: ResultsOption = Path("results"),
) -> None:
    """Write a stored run as Markdown, or in a format that other programs read."""
    give(FORMATS.load(format_).render(stored_run(run, results)), output)
