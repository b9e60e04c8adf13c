"""The command that judges any ONNX file, or a module without a host: ``check``."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from attnbench.cli.answer import OutputOption, give, give_sections
from attnbench.cli.app import app
from attnbench.core.errors import InputError
from attnbench.core.versions import version
from attnbench.report.table import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from attnbench.npu.check import CheckCause, Checked
    from attnbench.npu.substitutes import Rewrites


Format = Literal["text", "md", "json", "sarif"]
"""How ``check`` answers."""


@app.command()
def check(
    model: Annotated[str | None, typer.Argument(help="An ONNX file; or --module with --channels and --plane.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="NPU target: a name, FILE.toml, or all.")] = None,
    size: Annotated[str | None, typer.Option(help="Input size HEIGHTxWIDTH, where the file leaves it open.")] = None,
    shape: Annotated[list[str] | None, typer.Option(help="Shape of an input: NAME=1x3x48x320.")] = None,
    module: Annotated[str | None, typer.Option(help="Instead of a file: a name[option=value] or FILE.py:CLASS.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="The module's channels.")] = None,
    plane: Annotated[str | None, typer.Option(help="The module's HEIGHTxWIDTH.")] = None,
    format_: Annotated[Format, typer.Option("--format", "-f", help="How to answer.")] = "text",
    output: OutputOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Every node.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Unknown ops count as found, too.")] = False,
) -> None:
    """Judge every node of a model against NPU targets: what would run, what not, why, and on whose word.

    Exit codes: 0 nothing found, 1 refused or fallback found (with --strict also unknown), 2 the model cannot be judged.
    """
    from attnbench.npu.check import causes  # noqa: PLC0415
    from attnbench.npu.check import check as check_model  # noqa: PLC0415
    from attnbench.npu.substitutes import check_with_substitutes  # noqa: PLC0415
    from attnbench.npu.targets import load_target  # noqa: PLC0415
    from attnbench.targets import target_names  # noqa: PLC0415

    names = target or ["aimotive"]
    targets = [load_target(name) for name in (target_names() if "all" in names else names)]
    graph, name, rewrites = _subject(model, size, shape or [], module, channels, plane)
    checked = [check_with_substitutes(check_model(graph, one, name), rewrites) for one in targets]
    found = [causes(one.nodes) for one in checked]
    if format_ in ("json", "sarif"):
        give(_for_programs(format_, checked, found), output)
    else:
        give_sections(_for_readers(checked, found, verbose=verbose), output, markdown=format_ == "md")
    bad = {"refused", "fallback", *(["unknown"] if strict else [])}
    if any(finding.level in bad for one in checked for finding in one.findings):
        raise typer.Exit(1)


def _subject(
    model: str | None, size: str | None, shapes: list[str], module: str | None, channels: int | None, plane: str | None
) -> "tuple[ir.Model, str, Rewrites]":
    """What is to be judged: the model, its name, and what may stand in for a refused module."""
    from attnbench.core.grammar import parse_size  # noqa: PLC0415

    if (model is None) == (module is None):
        raise InputError("give an ONNX file, or --module with --channels and --plane; not both")
    if model is not None:
        from attnbench.graph.foreign import read_model  # noqa: PLC0415

        return read_model(model, parse_size(size) if size else None, dict(map(_shape, shapes))), model, {}
    if module is None or channels is None or plane is None:
        raise InputError("--module needs --channels and --plane: say how many channels, and HEIGHTxWIDTH")
    from attnbench.measure.build import lone_module  # noqa: PLC0415

    graph, rewrites = lone_module(module, channels, *parse_size(plane))
    return graph, f"{module} at {channels}x{plane}", rewrites


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, equals, sides = text.rpartition("=")
    if not equals or not name or not all(side.isdigit() and int(side) for side in sides.split("x")):
        raise InputError(f"--shape '{text}' is not NAME=SIDES: write it like --shape x=1x3x48x320")
    return name, tuple(map(int, sides.split("x")))


def _for_programs(format_: Format, checked: "Sequence[Checked]", found: "Sequence[Sequence[CheckCause]]") -> str:
    if format_ == "json":
        from attnbench.report.checks import as_json  # noqa: PLC0415

        return as_json(checked, found)
    from attnbench.report.sarif import as_sarif  # noqa: PLC0415

    return as_sarif(version("attnbench"), checked, found)


def _for_readers(checked: "Sequence[Checked]", found: "Sequence[Sequence[CheckCause]]", *, verbose: bool) -> list[Section]:
    """Headings, paragraphs and tables of the answer, in order."""
    from attnbench.report import checks  # noqa: PLC0415

    sections = [Section("Ops by target", "", checks.matrix(checked))] if len(checked) > 1 else []
    for one, causes in zip(checked, found, strict=True):
        sections.append(Section(one.target.name, checks.headline(one), checks.summary(one)))
        if len(checked) == 1 or verbose:
            shown = (cause for cause in causes if verbose or cause.level != "supported")
            sections.append(Section("Findings by cause", "", checks.causes(shown)))
        if verbose:
            sections.append(Section("Nodes", "", checks.nodes(one)))
    return sections
