"""The command that judges any ONNX file, or a module without a host: ``check``."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from attnbench.cli.answer import AllOption, OutputOption, give, give_sections
from attnbench.cli.app import app, example
from attnbench.cli.options import OpenSizeOption, ShapeOption
from attnbench.core.errors import InputError
from attnbench.core.naming import printable
from attnbench.core.versions import version
from attnbench.report.table import Section, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from attnbench.npu.check import CheckCause, Checked
    from attnbench.targets import Target


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
    size: OpenSizeOption = None,
    shape: ShapeOption = None,
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
    from attnbench.cli.progress import counting  # noqa: PLC0415
    from attnbench.core.grammar import parse_shape, parse_size  # noqa: PLC0415
    from attnbench.core.guarded import guarded  # noqa: PLC0415
    from attnbench.npu.targets import load_target  # noqa: PLC0415
    from attnbench.targets import target_names, usable  # noqa: PLC0415

    if bool(model) == bool(module):
        raise InputError("give an ONNX file, or --module with --channels and --plane; not both")
    names = target or ["aimotive"]
    targets = usable(target_names(), load_target) if "all" in names else [load_target(name) for name in names]
    sides, shapes = None if size is None else parse_size(size), dict(map(parse_shape, shape or []))
    checked = [] if module is None else guarded(lambda: _module(module, targets, channels, plane), f"module '{module}'")
    with counting("checking file", len(model or [])) as at:
        for path in model or []:
            at(path)
            checked += guarded(lambda path=path: _file(path, targets, sides, shapes), f"model '{path}'")  # type: ignore[misc]
    for one in (one for one in checked if one.unsearched):
        line = f"{one.model}: no rewrites were looked for, by a defect of attnbench: {one.unsearched}"
        typer.echo(f"attnbench: {printable(line)}", err=True)
    found = [one.causes for one in checked]
    if format_ in ("text", "md"):
        whole = format_ == "md" or verbose or all_
        sections = _for_readers(checked, found, verbose=verbose, whole=whole)
        give_sections(sections, output, markdown=format_ == "md", everything=all_ or verbose)
    else:
        give(_for_programs(format_, checked, found), output)
    bad = {"refused", "fallback", *(["unknown"] if strict else [])}
    if any(finding.level in bad for one in checked for finding in one.findings):
        raise typer.Exit(1)


def _file(
    model: str, targets: "Sequence[Target]", size: tuple[int, int] | None, shapes: "Mapping[str, tuple[int, ...]]"
) -> "list[Checked]":
    """A file against each target; against a single one also what ``rewrite`` would cure."""
    from attnbench.graph.foreign import read_model  # noqa: PLC0415
    from attnbench.npu.check import check_all  # noqa: PLC0415
    from attnbench.npu.substitutes import check_with_rewrites  # noqa: PLC0415

    graph = read_model(model, size, shapes)
    checked = check_all(graph, targets, model)
    return [check_with_rewrites(checked[0], graph)] if len(checked) == 1 else checked


def _module(module: str, targets: "Sequence[Target]", channels: int | None, plane: str | None) -> "list[Checked]":
    """A module by itself against each target, with what may stand in for it."""
    from attnbench.core.grammar import parse_size  # noqa: PLC0415
    from attnbench.measure.describe import lone_module  # noqa: PLC0415
    from attnbench.npu.check import check_all  # noqa: PLC0415
    from attnbench.npu.substitutes import check_with_substitutes  # noqa: PLC0415

    if channels is None or plane is None:
        raise InputError("--module needs --channels and --plane: say how many channels, and HEIGHTxWIDTH")
    graph, rewrites = lone_module(module, channels, *parse_size(plane))
    return [check_with_substitutes(one, rewrites) for one in check_all(graph, targets, f"{module} at {channels}x{plane}")]


def _for_programs(format_: Format, checked: "Sequence[Checked]", found: "Sequence[Sequence[CheckCause]]") -> str:
    from attnbench.report import checks, netron, sarif  # noqa: PLC0415

    match format_:
        case "json":
            return checks.as_json(checked, found)
        case "html":
            return checks.as_page(checked, found)
        case "sarif":
            return sarif.as_sarif(version("attnbench"), checked, found)
    if len({one.model for one in checked}) > 1:
        raise InputError("--format netron is an attachment to one file: give one")
    return netron.of_checks(checked)


def _for_readers(
    checked: "Sequence[Checked]", found: "Sequence[Sequence[CheckCause]]", *, verbose: bool, whole: bool
) -> list[Section]:
    """Headings, paragraphs and tables of the answer, in order; of several targets one table but for the ``whole``."""
    from attnbench.report import checks  # noqa: PLC0415

    models = checks.by_model(checked)
    several = len(checked) > len(models)
    sections = [Section("Models by target", "", checks.verdicts(checked))] if len(models) > 1 else []
    for own in models if several else ():
        sections.append(Section("Targets", checks.answer(own), checks.by_target(own)))
        sections.append(Section(f"Ops by target, {own[0].model}", "", checks.matrix(own) if whole else Table()))
    for one, causes in zip(checked, found, strict=True) if whole or not several else ():
        sections.append(Section(one.target.name, checks.headline(one), checks.summary(one)))
        if not several or verbose:
            shown = (cause for cause in causes if verbose or cause.finding.level != "supported")
            sections.append(Section("Findings by cause", "", checks.causes(shown)))
        if verbose:
            sections.append(Section("Nodes", "", checks.nodes(one)))
    return sections
