"""The command that takes one case out of a sweep: ``export``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from attnbench.cli.app import app, example
from attnbench.cli.options import BatchOption, ChannelsOption, OneSizeOption, SiteOption
from attnbench.core.files import write_whole

Format = Literal["onnx", "perfetto"]
"""What ``export`` writes."""


@app.command(
    short_help="Write one case as an ONNX file, or a profiled run of it.",
    epilog=example(
        "attnbench export encoder.layer3=cbam_npu --size 384x640 --output cbam.onnx",
        "attnbench export encoder.layer3=cbam_npu --size 384x640 --format perfetto --output cbam.trace.json",
        "attnbench export baseline --host mobilenet_v2 --size 224x224 --output host.onnx",
    ),
)
def export(
    case: Annotated[str, typer.Argument(help="A variant, PLACE=MODULE[,PLACE=MODULE], or baseline.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    host: Annotated[str, typer.Option(help="Host: a name, FILE.py:FACTORY or MODEL.onnx.")] = "resnetsan01",
    size: OneSizeOption = None,
    site: SiteOption = None,
    input_channels: ChannelsOption = 3,
    batch: BatchOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and inputs.")] = 0,
    raw: Annotated[bool, typer.Option("--raw", help="Leave the exporter's graph as it is.")] = False,
    format_: Annotated[
        Format, typer.Option("--format", "-f", help="The graph, or one profiled run of it as a trace for Perfetto.")
    ] = "onnx",
) -> None:
    """Write the graph of one case as an ONNX file, or one profiled run of it as a trace: what a sweep times.

    Exit codes: 0 written, 2 bad input, or a case that cannot be had.
    """
    from attnbench.measure import export as exporting  # noqa: PLC0415
    from attnbench.npu.rewriting.files import check_output  # noqa: PLC0415
    from attnbench.study import flags  # noqa: PLC0415
    from attnbench.study import plan as planning  # noqa: PLC0415

    check_output(host, output)
    hosts = [flags.host_from_flags(host, site or [], input_channels)]
    study = flags.from_flags(None, hosts, [], [], [case], [size] if size else [], [], batch)
    plan = planning.plan(study, overrides={"seed": seed, "canonical": not raw})
    planned = plan.cases[-1]
    if format_ == "perfetto":
        from attnbench.report.perfetto import trace_text  # noqa: PLC0415

        nodes = exporting.traced(plan, planned, lambda holder: typer.echo(f"waiting for {holder}", err=True))
        write_whole(output, trace_text(planned.case.label, nodes))
    else:
        exporting.write_graph(plan, planned, output)
    typer.echo(f"wrote {output}: {planned.case.label}")
