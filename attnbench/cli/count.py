"""The command that counts: ``count``. It loads torch, runs no clock and writes no graph."""

from typing import Annotated

import typer

from attnbench.cli.answer import FormatOption, OutputOption, answer
from attnbench.cli.app import app
from attnbench.report.answer import Answer


@app.command()
def count(
    study: Annotated[str | None, typer.Argument(help="A study whose claims on counts are judged.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="Host: a name, FILE.py:FACTORY or MODEL.onnx.")] = None,
    module: Annotated[list[str] | None, typer.Option(help="Module: a name[option=value], FILE.py:CLASS, or all.")] = None,
    place: Annotated[list[str] | None, typer.Option(help="Place: a site, placement, glob, a+b, or each.")] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Variant: PLACE=MODULE[,PLACE=MODULE].")] = None,
    size: Annotated[list[str] | None, typer.Option(help="Input size HEIGHTxWIDTH.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="Site of a factory's host: SUBMODULE.PATH=NAME.")] = None,
    input_channels: Annotated[int, typer.Option(help="Image channels of a factory's host.")] = 3,
    batch: Annotated[int | None, typer.Option(min=1, help="Batch size.")] = None,
    per_op: Annotated[bool, typer.Option("--per-op", help="Show how each count comes about, op by op.")] = False,
    format_: FormatOption = "table",
    output: OutputOption = None,
) -> None:
    """Count parameters, MACs and FLOPs of variants at any size, without timing; a host alone is its baseline.

    Exit codes: 0 all counted or refused for a reason, 1 some cases failed, 2 bad input.
    """
    from attnbench.judge.rows import rows_of  # noqa: PLC0415
    from attnbench.measure.count import count_plan  # noqa: PLC0415
    from attnbench.report import counts  # noqa: PLC0415
    from attnbench.study import flags  # noqa: PLC0415
    from attnbench.study import plan as planning  # noqa: PLC0415

    hosts = [flags.host_from_flags(h, site or [], input_channels) for h in host or []]
    alone = bool(hosts) and not (study or module or place or variant)
    variants = ["baseline"] if alone else variant or []
    plan = planning.plan(flags.from_flags(study, hosts, module or [], place or [], variants, size or [], [], batch))
    counted = count_plan(plan, per_op=per_op)
    claims = counts.claims(counted.run, counted.readings)
    rows = [{name: row.get(name) for name in counts.COLUMNS} for row in rows_of(counted.run)]
    plain = list(map(dict, counted.derived)) if per_op else rows
    columns = tuple(plain[0]) if per_op and plain else counts.COLUMNS
    document = {"cases": plain, **({"claims": claims.records()} if claims else {})}
    shown = counts.derivation(counted.derived) if per_op else counts.cases(counted.run)
    answer(format_, output, Answer((("Counts", shown), ("Claims", claims)), columns, plain, document))
    if any(record.status == "failed" for record in counted.run.records):
        raise typer.Exit(1)
