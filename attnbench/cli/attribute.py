"""The command for profiles that other tools took: ``attribute``. It loads no torch and no runtime."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import AllOption, FormatOption, OutputOption, answer
from attnbench.cli.app import app, example
from attnbench.core.errors import InputError


@app.command(
    short_help="Attribute an overhead from profiles that other tools took.",
    epilog=example(
        "attnbench attribute base.json cbam.json --graphs base.onnx cbam.onnx",
        "attnbench attribute base.json cbam.json --layer-info base.layers.json cbam.layers.json",
    ),
)
def attribute(
    profiles: Annotated[
        list[Path],
        typer.Argument(metavar="BASELINE VARIANT...", help="Profiles of both; more pairs give an interval."),
    ],
    graphs: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="BASELINE VARIANT", help="The two ONNX files, by which names are found.", show_default="none"),
    ] = None,
    layer_info: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="BASELINE VARIANT", help="The tool's files of layer names.", show_default="none"),
    ] = None,
    profiler: Annotated[
        str | None, typer.Option(help="The tool: attnbench list profiles.", show_default="told by the file")
    ] = None,
    format_: FormatOption = "table",
    output: OutputOption = None,
    all_: AllOption = False,
) -> None:
    """Attribute an overhead from profiles of a baseline and a variant, taken by TensorRT, OpenVINO, LiteRT, a board's tool.

    Take them of the files that attnbench export writes, of baseline and of the variant: inserted nodes are known by name.

    Exit codes: 0 attributed, 1 cannot be attributed (it says why), 2 bad input.
    """
    from attnbench.measure.elsewhere import NOTHING, NamedGraph, attribute_elsewhere  # noqa: PLC0415
    from attnbench.profiles import read_profile  # noqa: PLC0415
    from attnbench.report import elsewhere as shown  # noqa: PLC0415

    if len(profiles) % 2:
        raise InputError("profiles come in pairs: BASELINE VARIANT, and once more for each further pair")
    read = [
        read_profile(path, profiler or "", layer_info[at % 2] if layer_info else None) for at, path in enumerate(profiles)
    ]
    tools = list(dict.fromkeys(tool for tool, _ in read))
    if len(tools) > 1:
        raise InputError(f"profiles of different tools do not compare: {' and '.join(tools)}")
    pairs = [(read[at][1], read[at + 1][1]) for at in range(0, len(read), 2)]
    named = (NamedGraph.read(graphs[0]), NamedGraph.read(graphs[1])) if graphs else (NOTHING, NOTHING)
    found = attribute_elsewhere(pairs, named)
    told = shown.answer(found, tools[0], (profiles[0].name, profiles[1].name))
    answer(format_, output, told, everything=all_)
    if found.shown.reason:
        raise typer.Exit(1)
