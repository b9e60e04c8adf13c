"""The command that rewrites an ONNX file for a target: ``rewrite``. It loads ONNX Runtime for the proof, and no torch."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import give_sections
from attnbench.cli.app import app, example
from attnbench.cli.options import OpenSizeOption, ShapeOption


@app.command(
    short_help="Rewrite a model exactly where a target needs it.",
    epilog=example("attnbench rewrite model.onnx --target aimotive --output rewritten.onnx"),
)
def rewrite(
    model: Annotated[str, typer.Argument(help="An ONNX file of float32.")],
    target: Annotated[str, typer.Option(help="NPU target: a name or FILE.toml.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
    size: OpenSizeOption = None,
    shape: ShapeOption = None,
) -> None:
    """Rewrite a model's graph exactly where a target needs it, and prove that it computes the same.

    Exit codes: 0 written, or nothing needs rewriting; 1 nothing written, because no rewrite helps or a proof failed;
    2 bad input.
    """
    from attnbench.core.grammar import parse_shape, parse_size  # noqa: PLC0415
    from attnbench.graph.foreign import read_model  # noqa: PLC0415
    from attnbench.npu import rewriting  # noqa: PLC0415
    from attnbench.npu.check import check  # noqa: PLC0415
    from attnbench.npu.rewriting import files  # noqa: PLC0415
    from attnbench.npu.targets import load_target  # noqa: PLC0415
    from attnbench.report.rewriting import improved, sections  # noqa: PLC0415

    profile = load_target(target)
    given = read_model(model, parse_size(size) if size else None, dict(map(parse_shape, shape or [])))
    files.check_output(model, output)
    done = rewriting.rewrite(given, profile, files.read_original(model, rewriting.input_shapes(given)))
    if done.changes:
        files.write_model(done.model, output)
    give_sections(sections(done, given, model, check(done.model, profile, model)), None, markdown=False)
    if not improved(done):
        raise typer.Exit(1)
