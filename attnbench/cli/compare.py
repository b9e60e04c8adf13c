"""The command that compares two runs: ``compare``."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import FormatOption, NamesOption, OutputOption, answer, stored_run, uncollected
from attnbench.cli.app import app
from attnbench.core.records import Run


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
    format_: FormatOption = "table",
    output: OutputOption = None,
    results: NamesOption = Path("results"),
) -> None:
    """Say what became of every figure of one run in another: same, better, worse or incomparable, why, and by what cause.

    Unless told otherwise it fails on overhead:1%,params:0,macs:0,memory:5%,npu:refused and on lost cases.
    Exit codes: 0 no regression, 1 a regression, 2 bad input, 3 nothing, or not all that is failed on, could be compared.
    """
    from attnbench.judge import compare as comparing  # noqa: PLC0415
    from attnbench.report import comparison as shown  # noqa: PLC0415

    gates = comparing.parse(fail_on or [])
    with uncollected():
        (before, base), (after, new) = _run(base, results), _run(new, results)
        found = comparing.compare(before, after, gates, across_machines=across_machines, names=(base, new))
    answer(format_, output, shown.answer(found, everything=all_))
    raise typer.Exit(found.exit_code)


def _run(name: str, results: Path) -> tuple[Run, str]:
    """The run that a name stands for, and what it is called: with its place, where the name does not say it."""
    if name == "baseline":
        from attnbench.runs.reference import pinned_run as found  # noqa: PLC0415
    elif name == "latest":
        from attnbench.runs.store import latest_run as found  # noqa: PLC0415
    else:
        return stored_run(name, results), name
    path = found(results)
    return stored_run(str(path), results), f"{name} ({path.parent})"
