"""The command that keeps runs together: ``merge``. It reads and writes run files and loads no torch."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import write_reports
from attnbench.cli.app import app, example


@app.command(
    short_help="Join the shards of one study into one run.",
    epilog=example("attnbench merge results/part-1 results/part-2 --output results/whole"),
)
def merge(
    runs: Annotated[list[str], typer.Argument(help="Folders or files of the shards.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder for the whole run.")],
) -> None:
    """Join the shards of one study (sweep --shard 1/4) into one run: report.md, cases.csv and run.jsonl.

    Runs of another study, other settings, another machine or other software are refused. Exit codes: 0 merged, 2 bad input.
    """
    from attnbench.runs import merge as merging  # noqa: PLC0415

    merged = merging.merge(runs)
    merging.keep(merged, output)
    run = merged.run
    write_reports(run, output)
    total = run.header.study.get("shard", {}).get("total", len(run.header.cases))
    typer.echo(f"wrote {output / 'report.md'}, cases.csv and run.jsonl: {len(run.records)} of {total} cases")
