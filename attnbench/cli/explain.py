"""The command that shows what an overhead is made of: ``explain``. It reads a stored run and loads no torch."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import ResultsOption, RunArgument, show_table, stored_run
from attnbench.cli.app import app
from attnbench.core.units import fixed


@app.command()
def explain(
    run: RunArgument,
    case: Annotated[str, typer.Argument(help="A case's variant, or enough of its label to tell it apart.")],
    results: ResultsOption = Path("results"),
) -> None:
    """Show which nodes an overhead is made of, the largest first, and what the NPU target says of each."""
    from attnbench.report.tables import checks, explanation, node_findings  # noqa: PLC0415
    from attnbench.runs.store import find_case  # noqa: PLC0415

    record = find_case(stored_run(run, results), case)
    overhead = record.value("overhead")
    title = record.case.label + (f": {fixed(100 * overhead, 3)} % of the baseline's time" if overhead is not None else "")
    if record.failure:
        typer.echo(f"{record.case.label} was {record.status}: {record.failure}")
    show_table(explanation(record), title)
    show_table(node_findings(record), "NPU verdicts, node by node")
    show_table(checks(record), "Deployment checklist")
