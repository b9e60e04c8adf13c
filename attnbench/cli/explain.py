"""The command that shows what an overhead is made of: ``explain``. It reads a stored run and loads no torch."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from attnbench.cli.answer import AllOption, OutputOption, ResultsOption, RunArgument, give, say, show_table, stored_run
from attnbench.cli.app import app, example
from attnbench.core.records import LEVELS, Record
from attnbench.core.units import fixed

Format = Literal["table", "netron"]
"""How ``explain`` answers."""


@app.command(
    short_help="Show which nodes an overhead is made of.",
    epilog=example(
        "attnbench explain latest encoder.layer3=cbam_npu",
        "attnbench explain results/report encoder.layer3=cbam_npu --format netron --output cbam.netron.json",
    ),
)
def explain(
    run: RunArgument,
    case: Annotated[str, typer.Argument(help="A case's variant, or enough of its label to tell it apart.")],
    format_: Annotated[
        Format, typer.Option("--format", "-f", help="A table, or an attachment for Netron to attnbench export's file.")
    ] = "table",
    output: OutputOption = None,
    all_: AllOption = False,
    results: ResultsOption = Path("results"),
) -> None:
    """Show which nodes an overhead is made of, the largest first, and what the NPU target says of each."""
    from attnbench.report.tables import checks, explanation, node_findings  # noqa: PLC0415
    from attnbench.runs.store import find_case  # noqa: PLC0415

    record = find_case(stored_run(run, results), case)
    if format_ == "netron":
        from attnbench.report.netron import of_record  # noqa: PLC0415

        give(of_record(record), output)
        return
    terminal = sys.stdout.isatty()
    title = record.case.label + _overhead(record)
    if record.failure:
        say(f"{record.case.label} was {record.status}: {record.failure}")
    show_table(explanation(record, bars=terminal), title, everything=all_)
    plain = record if all_ or not terminal else without_supported(record)
    show_table(node_findings(plain), "NPU verdicts, node by node", everything=all_)
    if hidden := len(record.findings) - len(plain.findings):
        say(f"{hidden} more nodes are supported (--all shows them)")
    show_table(checks(record), "Deployment checklist", everything=all_)


def _overhead(record: Record) -> str:
    """What the case costs, and what each replicate of it said."""
    found = record.get("overhead")
    if found is None or found.value is None:
        return ""
    text = f": {fixed(100 * found.value, 3)} % of the baseline's time"
    told = ", ".join(fixed(100 * sample, 3) for sample in sorted(found.samples))
    return f"{text}; its {len(found.samples)} replicates: {told}" if len(found.samples) > 1 else text


def without_supported(record: Record) -> Record:
    """The record with those findings alone that are more than *supported*, the worst first."""
    order = {level: -at for at, level in enumerate(LEVELS)}
    found = sorted((f for f in record.findings if f.level != "supported"), key=lambda f: order[f.level])
    return replace(record, findings=tuple(found))
