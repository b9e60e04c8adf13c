"""The command that helps to decide: ``recommend``. It reads a stored run and loads no torch."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import AllOption, FormatOption, OutputOption, ResultsOption, RunArgument, answer, stored_run
from attnbench.cli.app import app, example
from attnbench.cli.options import OnlyHostOption, OnlySizeOption
from attnbench.core.errors import InputError

PUBLISHED = "published"
"""In place of a file of accuracies: what sources print of ImageNet. A file of that name is written ./published."""


@app.command(
    short_help="Rank what an NPU target takes and a budget allows.",
    epilog=example(
        "attnbench recommend latest --target aimotive --max-overhead 2%",
        "attnbench recommend latest:report --max-latency 2ms --accuracy metrics.csv --metric mIoU:higher",
    ),
)
def recommend(
    run: RunArgument,
    target: Annotated[
        list[str] | None,
        typer.Option(help="NPU target that must accept.", show_default="all that the run was checked against"),
    ] = None,
    max_overhead: Annotated[
        str | None, typer.Option(help="Most time added, of the baseline's: 2%.", show_default="no limit")
    ] = None,
    max_latency: Annotated[
        str | None, typer.Option(help="Most time ADDED by the variant: 5ms, 0.5s, 300us.", show_default="no limit")
    ] = None,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Keep what the target does not list; it may still not run.")
    ] = False,
    accuracy: Annotated[
        str | None,
        typer.Option(
            help="CSV file: column variant, metrics, perhaps host and size; or published: gains on ImageNet.",
            show_default="none",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="A metric of that file and its better end: mIoU:higher, abs_rel:lower.", show_default="none"),
    ] = None,
    size: OnlySizeOption = None,
    host: OnlyHostOption = None,
    format_: FormatOption = "table",
    output: OutputOption = None,
    all_: AllOption = False,
    results: ResultsOption = Path("results"),
) -> None:
    """Rank a run's variants that an NPU target takes and a budget allows, and say why the others fall out.

    The Pareto front holds what no other beats, in accuracy and overhead, or in cost alone; noise removes nothing from it.
    Exit codes: 0 something is left, 1 nothing is left, 2 bad input.
    """
    from attnbench.judge import recommend as deciding  # noqa: PLC0415
    from attnbench.report import recommendation as shown  # noqa: PLC0415

    published = accuracy == PUBLISHED
    if metric and (accuracy is None or published):
        raise InputError("--metric needs --accuracy: name the CSV file that holds it")
    asked = deciding.Requirements(
        targets=tuple(dict.fromkeys(target or ())),
        max_overhead=None if max_overhead is None else deciding.read_overhead(max_overhead),
        max_latency=None if max_latency is None else deciding.read_latency(max_latency),
        allow_unknown=allow_unknown,
        accuracy=None if accuracy is None or published else Path(accuracy),
        published=published,
        metrics=deciding.read_metrics(metric or ()),
        host=host,
        size=size,
    )
    found = deciding.recommend(stored_run(run, results), asked)
    answer(format_, output, shown.answer(found), everything=all_)
    if not found.left:
        raise typer.Exit(1)
