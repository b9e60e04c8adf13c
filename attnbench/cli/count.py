"""The command that counts: ``count``. It loads torch, runs no clock and writes no graph."""

from typing import Annotated

import typer

from attnbench.cli.answer import AllOption, FormatOption, OutputOption, answer
from attnbench.cli.app import app, example
from attnbench.cli.asking import (
    BatchOption,
    ChannelsOption,
    HostOption,
    ModuleOption,
    PlaceOption,
    SiteOption,
    SizeOption,
    TapOption,
    VariantOption,
)
from attnbench.report.answer import Answer


@app.command(
    short_help="Count parameters, MACs and FLOPs, without a clock.",
    epilog=example(
        "attnbench count --host mobilenet_v2 --module se --module coord --place after-depthwise --size 224x224",
        "attnbench count --module 'se[reduction=8]' --place encoder.layer3 --size 384x640 --per-op",
        "attnbench count literature",
    ),
)
def count(
    study: Annotated[
        str | None, typer.Argument(help="A study whose claims on counts are judged.", show_default="none, or report")
    ] = None,
    host: HostOption = None,
    module: ModuleOption = None,
    tap: TapOption = None,
    place: PlaceOption = None,
    variant: VariantOption = None,
    size: SizeOption = None,
    site: SiteOption = None,
    input_channels: ChannelsOption = 3,
    batch: BatchOption = None,
    per_op: Annotated[bool, typer.Option("--per-op", help="Show how each count comes about, op by op.")] = False,
    format_: FormatOption = "table",
    output: OutputOption = None,
    all_: AllOption = False,
) -> None:
    """Count parameters, MACs and FLOPs of variants at any size, without timing; a host alone is its baseline.

    Exit codes: 0 all counted or refused for a reason, 1 some cases failed, 2 bad input.
    """
    from attnbench.cli.progress import counting  # noqa: PLC0415
    from attnbench.judge.rows import rows_of  # noqa: PLC0415
    from attnbench.measure.count import count_plan  # noqa: PLC0415
    from attnbench.report import counts  # noqa: PLC0415
    from attnbench.study import flags  # noqa: PLC0415
    from attnbench.study import plan as planning  # noqa: PLC0415

    hosts = [flags.host_from_flags(h, site or [], input_channels) for h in host or []]
    alone = bool(hosts) and not (study or module or tap or place or variant)
    variants = ["baseline"] if alone else variant or []
    modules = [*(module or []), *flags.taps_from_flags(tap or [])]
    plan = planning.plan(flags.from_flags(study, hosts, modules, place or [], variants, size or [], [], batch))
    with counting("counting case", len(plan.cases)) as at:
        counted = count_plan(plan, per_op=per_op, at=at)
    claims = counts.claims(counted.run, counted.readings)
    rows = [{name: row.get(name) for name in counts.COLUMNS} for row in rows_of(counted.run)]
    plain = list(map(dict, counted.derived)) if per_op else rows
    columns = tuple(plain[0]) if per_op and plain else counts.COLUMNS
    document = {"cases": plain, **({"claims": claims.records()} if claims else {})}
    shown = counts.derivation(counted.derived) if per_op else counts.cases(counted.run)
    told = Answer((("Counts", shown), ("Claims", claims)), columns, plain, document)
    answer(format_, output, told, everything=all_)
    if any(record.status == "failed" for record in counted.run.records):
        raise typer.Exit(1)
