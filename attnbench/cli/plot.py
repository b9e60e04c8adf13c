"""The command that draws one picture of a run: ``plot``. It reads stored runs and loads no torch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from attnbench.cli.answer import ResultsOption, RunArgument, stored_run
from attnbench.cli.app import app, example

Kind = Literal["heatmap", "overhead", "decomposition", "pareto", "npu", "trend"]
"""What may be drawn."""


@app.command(
    short_help="Draw one picture of a run.",
    epilog=example(
        "attnbench plot latest heatmap --output heatmap.svg",
        "attnbench plot latest overhead --place 'encoder.*' --output overhead.pdf",
    ),
)
def plot(
    run: RunArgument,
    kind: Annotated[Kind, typer.Argument(help="What to draw; trend takes a folder of runs for RUN.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file: its name ends in .svg, .png or .pdf.")],
    host: Annotated[str | None, typer.Option(help="Of this host.", show_default="the only one")] = None,
    size: Annotated[str | None, typer.Option(help="At this input size HEIGHTxWIDTH.", show_default="the only one")] = None,
    runtime: Annotated[str | None, typer.Option(help="As this runtime ran it.", show_default="the only one")] = None,
    place: Annotated[list[str] | None, typer.Option(help="Only these places: names or globs.", show_default="all")] = None,
    module: Annotated[list[str] | None, typer.Option(help="Only these modules: names or globs.", show_default="all")] = None,
    variant: Annotated[str | None, typer.Option(help="The variant of a trend.", show_default="all")] = None,
    metric: Annotated[str, typer.Option(help="The figure of a trend: overhead, latency, params...")] = "overhead",
    results: ResultsOption = Path("results"),
) -> None:
    """Draw one picture of a stored run, for a paper or a README. An SVG turns dark where the reader's page is.

    Exit codes: 0 drawn, 2 bad input.
    """
    from attnbench.report.charts.drawing import required  # noqa: PLC0415
    from attnbench.report.pictures import picture, trend_picture  # noqa: PLC0415

    required("attnbench plot")
    if kind == "trend":
        drawn = trend_picture(Path(run), metric, host=host, size=size, variant=variant)
    else:
        where = {"host": host, "size": size, "runtime": runtime}
        drawn = picture(stored_run(run, results), kind, **where, place=place or (), module=module or ())
    drawn.save(output)
    typer.echo(f"wrote {output}")
