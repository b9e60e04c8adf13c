"""The command that looks back over all runs: ``track``. It loads neither torch nor ONNX Runtime."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import AllOption, FormatOption, OutputOption, answer, uncollected
from attnbench.cli.app import app, example
from attnbench.cli.options import OnlyHostOption, OnlySizeOption


@app.command(
    short_help="Show how figures went over all runs of a folder.",
    epilog=example("attnbench track results", "attnbench track results --metric latency --fail-on-step 1%"),
)
def track(
    results: Annotated[Path, typer.Argument(help="The folder below which the runs are, however deep.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Figure to follow, by its name in run.jsonl: overhead, latency, params, macs, memory, npu...",
            show_default="overhead",
        ),
    ] = None,
    host: OnlyHostOption = None,
    size: OnlySizeOption = None,
    variant: Annotated[str | None, typer.Option(help="Only this variant.", show_default="all")] = None,
    fail_on_step: Annotated[
        str | None,
        typer.Option(
            help="Fail on a step for the worse of that size, in points of an overhead, at the newest end: 1%.",
            show_default="never",
        ),
    ] = None,
    format_: FormatOption = "table",
    output: OutputOption = None,
    all_: AllOption = False,
) -> None:
    """Show how figures went over all runs of a folder by the time of their commits, and where they changed for good.

    Runs of unlike machines or settings are kept apart. Files that are no runs are left out, and named.
    Exit codes: 0, 1 where --fail-on-step finds one, 2 bad input, 3 where it could not: the newest run has no figure.
    """
    from attnbench.judge import track as tracking  # noqa: PLC0415
    from attnbench.report import trends as shown  # noqa: PLC0415

    with uncollected():
        found = tracking.track(
            results, metric or ["overhead"], host=host, size=size, variant=variant, fail_on_step=fail_on_step
        )
    answer(format_, output, shown.answer(found), everything=all_)
    if found.failing or found.lost:
        raise typer.Exit(1 if found.failing else 3)
