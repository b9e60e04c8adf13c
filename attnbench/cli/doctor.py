"""The command that examines the machine: ``doctor``."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.answer import say, show_table, uncollected
from attnbench.cli.app import app, example
from attnbench.core.units import fixed, significant
from attnbench.report.table import Table


@app.command(short_help="Say what this machine can tell and what disturbs it.", epilog=example("attnbench doctor"))
def doctor(
    learn: Annotated[
        bool, typer.Option("--learn", help="Learn from the equal runs below --results what runs differ by; measure nothing.")
    ] = False,
    results: Annotated[Path, typer.Option(help="The folder below which --learn looks for runs.")] = Path("results"),
) -> None:
    """Say what this machine can tell today and what disturbs it, in under a minute; change nothing.

    With --learn, keep what its equal runs differ by: the intervals of later sweeps hold that, too.
    Exit codes: 0 fit or usable, 1 not fit to measure, 2 bad input.
    """
    if learn:
        _learn(results)
        return
    from attnbench.measure.doctor import examine  # noqa: PLC0415

    found = examine()
    rows = [{"what": d.name, "state": d.state, "seen": d.seen, "what would help": d.advice} for d in found.disturbances]
    show_table(Table.of(rows), "What may disturb a measurement", most=None)
    if found.difference is not None:
        say(
            f"\nAt 96x160 ({fixed(found.latency_ms, 1)} ms) this machine tells an overhead from 0 above "
            f"{significant(found.overhead, 2)} percentage points (critical value), and one of "
            f"{significant(found.detected, 2)} in 95 % of measurements (detection limit); two overheads apart from "
            f"{significant(found.difference, 2)} on; on the clock alone, one from 0 above {significant(found.paired, 2)}."
        )
    say(found.verdict)
    if not found.fit:
        raise typer.Exit(1)


def _learn(results: Path) -> None:
    """Learn what equal runs differ by, and say what that comes to."""
    from attnbench.judge.track.learning import learn  # noqa: PLC0415
    from attnbench.measure.learned import keep  # noqa: PLC0415
    from attnbench.measure.machine import machine  # noqa: PLC0415

    here = machine()["id"]
    with uncollected():
        found = learn(results, here)
    path = keep(here, found)
    say(
        f"By {found.source}, runs of this machine differ by {fixed(100 * found.ratio, 0)} % of the variance of a replicate "
        f"beyond what their replicates promise. Kept in {path}: the intervals of later sweeps hold it."
    )
