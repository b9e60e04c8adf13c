"""The command that examines the machine: ``doctor``."""

import typer

from attnbench.cli.answer import say, show_table
from attnbench.cli.app import app, example
from attnbench.core.units import fixed, significant
from attnbench.report.table import Table


@app.command(short_help="Say what this machine resolves and what disturbs it.", epilog=example("attnbench doctor"))
def doctor() -> None:
    """Say what this machine resolves today and what disturbs it, in under a minute; change nothing.

    Exit codes: 0 fit or usable, 1 not fit to measure.
    """
    from attnbench.measure.doctor import examine  # noqa: PLC0415

    found = examine()
    rows = [{"what": d.name, "state": d.state, "seen": d.seen, "what would help": d.advice} for d in found.disturbances]
    show_table(Table.of(rows), "What may disturb a measurement", most=None)
    if found.difference is not None:
        say(
            f"\nAt 96x160 ({fixed(found.latency_ms, 1)} ms) this machine resolves overheads from "
            f"{significant(found.overhead, 2)} percentage points on and differences between two from "
            f"{significant(found.difference, 2)}; the clock alone, overheads from {significant(found.paired, 2)} on."
        )
    say(found.verdict)
    if not found.fit:
        raise typer.Exit(1)
