"""The commands that hold two runs against each other, ``compare``, and name the one to compare with, ``baseline``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.cli.app import app
from attnbench.cli.screen import Format, FormatOption, OutputOption, answer, show_noted, stored_run, uncollected

if TYPE_CHECKING:
    from attnbench.records import Run

BASELINE = "baseline"
Results = Annotated[Path, typer.Option(help="Where 'latest' and 'baseline' look.")]


@app.command()
def compare(
    base: Annotated[str, typer.Argument(help="The run before: its folder or file, latest, or baseline.")],
    new: Annotated[str, typer.Argument(help="The run after, named likewise.")],
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC:THRESHOLD,...",
            help="What is a regression: overhead:1% in points of the baseline's latency; params:0 or memory:5% by how much "
            "an exact figure may rise; npu:refused, fallback or unknown, how bad a verdict may become; latency:5%; or none.",
            show_default=False,
        ),
    ] = None,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="Compare overheads of unlike machines; it says what that assumes.")
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="Every figure, also those that are the same.")] = False,
    format_: FormatOption = Format.table,
    output: OutputOption = None,
    results: Results = Path("results"),
) -> None:
    """Say what became of every figure of one run in another: same, better, worse or incomparable, why, and by what cause.

    Unless told otherwise it fails on overhead:1%,params:0,macs:0,memory:5%,npu:refused and on lost cases.
    Exit codes: 0 no regression, 1 a regression, 2 bad input, 3 nothing, or not all that is failed on, could be compared.
    """
    from attnbench import comparing  # noqa: PLC0415

    gates = comparing.parse(fail_on or [])
    with uncollected():
        (before, base), (after, new) = _run(base, results), _run(new, results)
        found = comparing.compare(before, after, gates, across_machines=across_machines, names=(base, new))
        from attnbench.report import comparison as shown  # noqa: PLC0415  pandas is slow to import
    answer(
        format_,
        output,
        screen=lambda: show_noted(found.notes, shown.sections(found, everything=all_)),
        md=lambda: shown.as_markdown(found, everything=all_),
        csv=lambda: shown.as_csv(found),
        json=lambda: shown.as_json(found),
    )
    raise typer.Exit(found.exit_code)


baseline = typer.Typer(help="Name the run that others are compared with, in a small file to commit.", no_args_is_help=True)
app.add_typer(baseline, name=BASELINE)


@baseline.command(name="set")
def set_(
    run: Annotated[str, typer.Argument(help="A run's folder or file, or latest.")],
    results: Results = Path("results"),
) -> None:
    """Make a run the baseline: write its path, time, commit and a hash of its file to RESULTS/baseline.toml."""
    from attnbench.baseline import BASELINE_FILE, pin  # noqa: PLC0415
    from attnbench.store import finished, latest_run  # noqa: PLC0415

    where = latest_run(results) if run == "latest" else Path(run)
    stored = stored_run(str(where), results)
    found = pin(where, stored, results)
    typer.echo(f"{results / BASELINE_FILE} names {found.run} of {found.started}: commit both")
    if not finished(stored):
        typer.echo("that run is not finished: once it goes on, it must be named again")


@baseline.command()
def show(results: Results = Path("results")) -> None:
    """Show which run is the baseline, and whether it is there as it was. Exit codes: 0 it is, 2 it is not."""
    from attnbench.baseline import pinned, pinned_run  # noqa: PLC0415

    found = pinned(results)
    typer.echo(f"{found.run}, started {found.started}, commit {found.commit or 'unknown'}, sha256 {found.sha256[:12]}...")
    pinned_run(results)
    typer.echo("the run is there, and as it was when it was named")


def _run(name: str, results: Path) -> "tuple[Run, str]":
    """The run that a name stands for, and what it is called: with its place, where the name does not say it."""
    if name == BASELINE:
        from attnbench.baseline import pinned_run as found  # noqa: PLC0415
    elif name == "latest":
        from attnbench.store import latest_run as found  # noqa: PLC0415
    else:
        return stored_run(name, results), name
    path = found(results)
    return stored_run(str(path), results), f"{name} ({path.parent})"
