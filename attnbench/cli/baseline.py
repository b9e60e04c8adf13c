"""The command that names the run to compare with: ``baseline``."""

from pathlib import Path

import typer

from attnbench.cli.answer import NamesOption, RunArgument
from attnbench.cli.app import app, example
from attnbench.core.naming import printable

baseline = typer.Typer(
    help="Name the run that others are compared with.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(baseline, name="baseline")


@baseline.command(name="set", epilog=example("attnbench baseline set latest", "attnbench baseline set results/first"))
def set_(run: RunArgument, results: NamesOption = Path("results")) -> None:
    """Make a run the baseline: write its path, time, commit and a hash of its file to RESULTS/baseline.toml."""
    from attnbench.runs.reference import BASELINE_FILE, pin  # noqa: PLC0415
    from attnbench.runs.store import find_run, finished, load_run  # noqa: PLC0415

    where = find_run(run, results)
    stored = load_run(where)
    found = pin(where, stored, results)
    typer.echo(f"{results / BASELINE_FILE} names {found.run} of {found.started}: commit both")
    if not finished(stored):
        typer.echo("that run is not finished: once it goes on, it must be named again")


@baseline.command(epilog=example("attnbench baseline show"))
def show(results: NamesOption = Path("results")) -> None:
    """Show which run is the baseline, and whether it is there as it was. Exit codes: 0 it is, 2 it is not."""
    from attnbench.runs.reference import pinned, pinned_run  # noqa: PLC0415

    found = pinned(results)
    commit = found.commit or "unknown"
    typer.echo(printable(f"{found.run}, started {found.started}, commit {commit}, sha256 {found.sha256[:12]}..."))
    pinned_run(results)
    typer.echo("the run is there, and as it was when it was named")
