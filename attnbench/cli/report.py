"""The command that writes a stored run down: ``report``. It loads no torch."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import AllOption, OutputOption, ResultsOption, RunArgument, give, say, show_table, stored_run
from attnbench.cli.app import app, example
from attnbench.core.records import Run
from attnbench.report import FORMATS

FORMAT_HELP = "md, html, csv, json, latex, junit, benchstat, bmf, pytest-benchmark or github-action-benchmark."


@app.command(
    short_help="Write a stored run down, in any of the formats.",
    epilog=example(
        "attnbench report latest",
        "attnbench report latest --format csv --output cases.csv",
        "attnbench report results/report --format latex",
    ),
)
def report(
    run: RunArgument,
    format_: Annotated[
        str | None, typer.Option("--format", "-f", help=FORMAT_HELP, show_default="md; on a terminal, tables that fit it")
    ] = None,
    output: OutputOption = None,
    all_: AllOption = False,
    results: ResultsOption = Path("results"),
) -> None:
    """Write a stored run as Markdown, or in a format that other programs read."""
    found = stored_run(run, results)
    if format_ is None and output is None and sys.stdout.isatty():
        _show(found, everything=all_)
    else:
        give(FORMATS.load(format_ or "md").render(found), output)


def _show(run: Run, *, everything: bool) -> None:
    """The report fitted to the terminal: the answer, and on demand what it rests on."""
    from attnbench.judge.rows import rows_of  # noqa: PLC0415
    from attnbench.report import markdown, outcome  # noqa: PLC0415

    rows = rows_of(run)
    for sentence in (run.header.title, outcome.setting(run), *outcome.found(run)):
        say(sentence)
    for title, _, table in markdown.answers(run, rows, brief=not everything):
        show_table(table, title, everything=everything)
    behind = [section for section in markdown.behind(run, rows) if section.table]
    for title, _, table in behind if everything else ():
        show_table(table, title, everything=True)
    if everything:
        say(f"\nHow it was measured\n{markdown.machine_text(run)}")
    else:
        say(f"\nBehind it, shown by --all: {'; '.join(section.title for section in behind)}; how it was measured.")
