"""The command that compares two runs: ``compare``."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import FormatOption, NamesOption, OutputOption, answer, named_run, uncollected
from attnbench.cli.app import app, example


@app.command(
    short_help="Say what became of every figure of one run in another.",
    epilog=example(
        "attnbench compare results/before results/after",
        "attnbench compare baseline latest --fail-on overhead:1%:10%,params:0,npu:refused",
    ),
)
def compare(
    base: Annotated[str, typer.Argument(help="The run before: its folder or file, latest, latest:STUDY, or baseline.")],
    new: Annotated[str, typer.Argument(help="The run after, named likewise.")],
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC:THRESHOLD,...",
            help="What is a regression: overhead:1%:10% in points of the baseline's latency or, where that is more, as a "
            "share of the overhead; params:0 or memory:5% by how much an exact figure may rise; npu:refused, fallback or "
            "unknown, how bad a verdict may become; latency:5%; or none.",
            show_default="overhead:1%:10%,params:0,macs:0,memory:5%,npu:refused",
        ),
    ] = None,
    allow_unresolved: Annotated[
        int, typer.Option(min=0, help="So many figures that are failed on may be unresolved: noise does not tell.")
    ] = 0,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="Compare overheads of unlike machines; it says what that assumes.")
    ] = False,
    across_runtimes: Annotated[
        bool,
        typer.Option("--across-runtimes", help="Compare figures of one runtime in two versions; the change is a cause."),
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="Every figure, also those that are the same.")] = False,
    format_: FormatOption = "table",
    output: OutputOption = None,
    results: NamesOption = Path("results"),
) -> None:
    """Say what became of each figure of one run in another: same, better, worse, unresolved or incomparable, and why.

    Unless told otherwise it fails on overhead:1%:10%,params:0,macs:0,memory:5%,npu:refused and on lost cases.
    Exit codes: 0 every planned case excludes every threshold, 1 a regression, 2 bad input, 3 a figure that is failed on is
    missing, 4 one is not resolved.
    """
    from attnbench.judge import compare as comparing  # noqa: PLC0415
    from attnbench.report import comparison as shown  # noqa: PLC0415

    gates = comparing.parse(fail_on or [])
    with uncollected():
        (before, base), (after, new) = named_run(base, results), named_run(new, results)
        found = comparing.compare(
            before,
            after,
            gates,
            across_machines=across_machines,
            across_runtimes=across_runtimes,
            allow_unresolved=allow_unresolved,
            names=(base, new),
        )
    answer(format_, output, shown.answer(found, everything=all_), everything=all_)
    raise typer.Exit(found.exit_code)
