"""The command that judges any ONNX file, or a module without a host: ``check``."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from attnbench.cli.answer import AllOption, OutputOption, give, give_sections
from attnbench.cli.app import app, example
from attnbench.core.errors import InputError
from attnbench.core.versions import version
from attnbench.report.table import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx_ir as ir

    from attnbench.npu.check import CheckCause, Checked
    from attnbench.npu.substitutes import Rewrites


Format = Literal["text", "md", "html", "json", "sarif", "netron"]
"""How ``check`` answers."""


@app.command(
    short_help="Ask NPU targets about every node of ONNX files or a module.",
    epilog=example(
        "attnbench check model.onnx --target ti-tidl-11.02 --size 384x640",
        "attnbench check detector.onnx recogniser.onnx --target all --size 640x640",
        "attnbench check --module 'se[reduction=8]' --channels 256 --plane 24x40",
        "attnbench check model.onnx --format netron --output model.netron.json",
    ),
)
def check(
    model: Annotated[
        list[str] | None,
        typer.Argument(help="ONNX files; or --module with --channels and --plane.", show_default="the module"),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="NPU target: a name, FILE.toml, or all.", show_default="aimotive")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Input size HEIGHTxWIDTH, where the file leaves it open.", show_default="the file's"),
    ] = None,
    shape: Annotated[
        list[str] | None, typer.Option(help="Shape of an input: NAME=1x3x48x320.", show_default="the file's")
    ] = None,
    module: Annotated[
        str | None,
        typer.Option(help="Instead of a file: a name[option=value] or FILE.py:CLASS.", show_default="the file"),
    ] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="The module's channels.", show_default="none")] = None,
    plane: Annotated[str | None, typer.Option(help="The module's HEIGHTxWIDTH.", show_default="none")] = None,
    format_: Annotated[Format, typer.Option("--format", "-f", help="How to answer.")] = "text",
    output: OutputOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Every node.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Unknown ops count as found, too.")] = False,
    all_: AllOption = False,
) -> None:
    """Judge every node of models against NPU targets: what would run, what not, why, and on whose word.

    Exit codes: 0 nothing found, 1 refused or fallback found (with --strict also unknown), 2 a model cannot be judged.
    """
    from attnbench.npu.check import causes  # noqa: PLC0415
    from attnbench.npu.check import check as check_model  # noqa: PLC0415
    from attnbench.npu.substitutes import check_with_substitutes  # noqa: PLC0415
    from attnbench.npu.targets import load_target  # noqa: PLC0415
    from attnbench.targets import target_names  # noqa: PLC0415

    names = target or ["aimotive"]
    targets = [load_target(name) for name in (target_names() if "all" in names else names)]
    checked = [
        check_with_substitutes(check_model(graph, one, name), rewrites)
        for graph, name, rewrites in _subjects(model or [], size, shape or [], module, channels, plane)
        for one in targets
    ]
    found = [causes(one.nodes) for one in checked]
    if format_ in ("text", "md"):
        sections = _for_readers(checked, found, verbose=verbose)
        give_sections(sections, output, markdown=format_ == "md", everything=all_ or verbose)
    else:
        give(_for_programs(format_, checked, found), output)
    bad = {"refused", "fallback", *(["unknown"] if strict else [])}
    if any(finding.level in bad for one in checked for finding in one.findings):
        raise typer.Exit(1)


def _subjects(
    models: list[str], size: str | None, shapes: list[str], module: str | None, channels: int | None, plane: str | None
) -> "Iterator[tuple[ir.Model, str, Rewrites]]":
    """What is to be judged: each model, its name, and what may stand in for a refused module."""
    from attnbench.cli.progress import counting  # noqa: PLC0415
    from attnbench.core.grammar import parse_size  # noqa: PLC0415

    if bool(models) == bool(module):
        raise InputError("give an ONNX file, or --module with --channels and --plane; not both")
    if module is None:
        from attnbench.graph.foreign import read_model  # noqa: PLC0415

        with counting("checking file", len(models)) as at:
            for path in models:
                at(path)
                yield read_model(path, parse_size(size) if size else None, dict(map(_shape, shapes))), path, {}
        return
    if channels is None or plane is None:
        raise InputError("--module needs --channels and --plane: say how many channels, and HEIGHTxWIDTH")
    from attnbench.measure.build import lone_module  # noqa: PLC0415

    graph, rewrites = lone_module(module, channels, *parse_size(plane))
    yield graph, f"{module} at {channels}x{plane}", rewrites


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, equals, sides = text.rpartition("=")
    if not equals or not name or not all(side.isdigit() and int(side) for side in sides.split("x")):
        raise InputError(f"--shape '{text}' is not NAME=SIDES: write it like --shape x=1x3x48x320")
    return name, tuple(map(int, sides.split("x")))


def _for_programs(format_: Format, checked: "Sequence[Checked]", found: "Sequence[Sequence[CheckCause]]") -> str:
    if format_ == "json":
        from attnbench.report.checks import as_json  # noqa: PLC0415

        return as_json(checked, found)
    if format_ == "html":
        from attnbench.report.checks import as_page  # noqa: PLC0415

        return as_page(checked, found)
    if format_ == "netron":
        from attnbench.report.netron import of_checks  # noqa: PLC0415

        if len({one.model for one in checked}) > 1:
            raise InputError("--format netron is an attachment to one file: give one")
        return of_checks(checked)
    from attnbench.report.sarif import as_sarif  # noqa: PLC0415

    return as_sarif(version("attnbench"), checked, found)


def _for_readers(checked: "Sequence[Checked]", found: "Sequence[Sequence[CheckCause]]", *, verbose: bool) -> list[Section]:
    """Headings, paragraphs and tables of the answer, in order."""
    from attnbench.report import checks  # noqa: PLC0415

    models = {one.model for one in checked}
    several = len(checked) > len(models)
    sections = [Section("Models by target", "", checks.verdicts(checked))] if len(models) > 1 else []
    for model in dict.fromkeys(one.model for one in checked) if several else ():
        title = f"Ops by target, {model}" if len(models) > 1 else "Ops by target"
        sections.append(Section(title, "", checks.matrix([one for one in checked if one.model == model])))
    for one, causes in zip(checked, found, strict=True):
        sections.append(Section(one.target.name, checks.headline(one), checks.summary(one)))
        if not several or verbose:
            shown = (cause for cause in causes if verbose or cause.level != "supported")
            sections.append(Section("Findings by cause", "", checks.causes(shown)))
        if verbose:
            sections.append(Section("Nodes", "", checks.nodes(one)))
    return sections
