"""The command that counts: ``count``. It loads torch, runs no clock and writes no graph."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.cli import options
from attnbench.cli.answer import AllOption, Format, FormatOption, OutputOption, answer
from attnbench.cli.app import app, example
from attnbench.core.errors import InputError
from attnbench.report.answer import Answer

if TYPE_CHECKING:
    from attnbench.measure.count import CountedPlan


@app.command(
    short_help="Count parameters, MACs and FLOPs, without a clock.",
    epilog=example(
        "attnbench count --host mobilenet_v2 --module se --module coord --place after-depthwise --size 224x224",
        "attnbench count --module 'se[reduction=8]' --place encoder.layer3 --size 384x640 --per-op",
        "attnbench count --module cbam --module se --channels 256 --plane 56x56",
        "attnbench count literature",
    ),
)
def count(
    study: Annotated[
        str | None, typer.Argument(help="A study whose claims on counts are judged.", show_default="none, or report")
    ] = None,
    host: options.HostOption = None,
    module: options.ModuleOption = None,
    tap: options.TapOption = None,
    place: options.PlaceOption = None,
    variant: options.VariantOption = None,
    size: options.SizeOption = None,
    channels: Annotated[
        int | None, typer.Option(min=1, help="Channels, for modules without a host.", show_default="none")
    ] = None,
    plane: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH, for modules without a host.", show_default="none")] = None,
    site: options.SiteOption = None,
    input_channels: options.ChannelsOption = 3,
    batch: options.BatchOption = None,
    per_op: Annotated[bool, typer.Option("--per-op", help="Show how each count comes about, op by op.")] = False,
    format_: FormatOption = "table",
    output: OutputOption = None,
    all_: AllOption = False,
) -> None:
    """Count parameters, MACs and FLOPs of variants at any size, without timing; a host alone is its baseline.

    With --channels and --plane, modules are counted without a host.

    Exit codes: 0 all counted or refused for a reason, 1 some cases failed, 2 bad input.
    """
    from attnbench.cli.progress import counting  # noqa: PLC0415
    from attnbench.measure.count import count_plan  # noqa: PLC0415
    from attnbench.study import flags  # noqa: PLC0415
    from attnbench.study import plan as planning  # noqa: PLC0415

    if channels is not None or plane is not None:
        if study or host or tap or place or variant or size or site or not module or not channels or not plane:
            raise InputError("modules without a host are --module with --channels and --plane, and nothing of a host")
        counted = _alone(module, channels, plane, batch or 1, per_op=per_op)
    else:
        hosts = [flags.host_from_flags(h, site or [], input_channels) for h in host or []]
        baseline = bool(hosts) and not (study or module or tap or place or variant)
        variants = ["baseline"] if baseline else variant or []
        modules = [*(module or []), *flags.taps_from_flags(tap or [])]
        plan = planning.plan(flags.from_flags(study, hosts, modules, place or [], variants, size or [], [], batch))
        with counting("counting case", len(plan.cases)) as at:
            counted = count_plan(plan, per_op=per_op, at=at)
    _answer(counted, per_op, format_, output, everything=all_)


def _alone(modules: list[str], channels: int, plane: str, batch: int, *, per_op: bool) -> "CountedPlan":
    from attnbench.core.grammar import parse_size, parse_spec  # noqa: PLC0415
    from attnbench.measure.count import count_modules  # noqa: PLC0415
    from attnbench.modules import MODULES, Plane  # noqa: PLC0415

    names = [name for one in modules for name in (MODULES.names() if one == "all" else [one])]
    return count_modules(map(parse_spec, names), Plane(channels, *parse_size(plane)), batch, per_op=per_op)


def _answer(counted: "CountedPlan", per_op: bool, format_: Format, output: Path | None, *, everything: bool) -> None:
    from attnbench.judge.rows import rows_of  # noqa: PLC0415
    from attnbench.report import counts  # noqa: PLC0415

    claims = counts.claims(counted.run, counted.readings)
    rows = [{name: row.get(name) for name in counts.COLUMNS} for row in rows_of(counted.run)]
    plain = list(map(dict, counted.derived)) if per_op else rows
    columns = tuple(plain[0]) if per_op and plain else counts.COLUMNS
    document = {"cases": plain, **({"claims": claims.records()} if claims else {})}
    alone = all(not record.case.host for record in counted.run.records)
    plainly = counts.modules(counted.run) if alone else counts.cases(counted.run)
    shown = counts.derivation(counted.derived) if per_op else plainly
    told = Answer((("Counts", shown), ("Claims", claims)), columns, plain, document)
    answer(format_, output, told, everything=everything)
    if any(record.status == "failed" for record in counted.run.records):
        raise typer.Exit(1)
