"""Many machines: ``fleet status``, and what ``sweep --dask`` says when it is over."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnbench.cli.answer import say, show_table, write_reports
from attnbench.cli.app import app, example
from attnbench.cli.options import DaskTlsOption
from attnbench.core.files import write_whole
from attnbench.core.units import counted, seconds_text
from attnbench.report.table import Table

if TYPE_CHECKING:
    from attnbench.fleet.run import FleetRuns
    from attnbench.measure.observer import Observer
    from attnbench.study.plan import Plan

fleet = typer.Typer(help="The machines of a sweep over many.", no_args_is_help=True)
app.add_typer(fleet, name="fleet", short_help="See the machines of a sweep over many.")


@fleet.command(
    short_help="Say which machines are there and what they measure.",
    epilog=example(
        "attnbench fleet status 127.0.0.1:8786",
        "attnbench fleet status tls://gate:8786 --dask-tls ca.pem cert.pem key.pem",
    ),
)
def status(
    address: Annotated[str, typer.Argument(help="Where the Dask scheduler listens: HOST:PORT or tls://HOST:PORT.")],
    dask_tls: DaskTlsOption = None,
) -> None:
    """Say of each machine its id, what it measures and since when, and what it could tell apart last.

    Exit codes: 0 there are machines, 1 there is none, 2 bad input.
    """
    from attnbench.fleet.channel import Channel  # noqa: PLC0415  what measures is slow to import
    from attnbench.fleet.trust import check_address, plain_data_only  # noqa: PLC0415

    channel = Channel(check_address(address, dask_tls), dask_tls)
    channel.connect()
    try:
        with plain_data_only():
            found = channel.describe_workers()
    finally:
        channel.close()
    show_table(Table.of([_row(where, about) for where, about in found.items()]), "Machines", most=None)
    if not found:
        say(f"no worker is connected to {address}: dask worker {address} --nthreads 1")
        raise typer.Exit(1)


def _row(address: str, about: Mapping[str, Any]) -> dict[str, str]:
    since = about.get("since")
    return {
        "machine": about.get("called") or address,
        "id": about.get("machine") or "",
        "software": about.get("software") or "",
        "CPU": about.get("cpu") or "",
        "does": " ".join(str(about[key]) for key in ("state", "step", "holder") if about.get(key)),
        "for": seconds_text(max(0.0, time.time() - since)) if since else "",
        "resolved last": about.get("resolved") or "",
    }


def swept(plan: "Plan", results: Path, out: Path | None, observer: "Observer", address: str, **asked: Any) -> "FleetRuns":
    """Measure on many machines, and write the reports of each and of all."""
    from attnbench.fleet.run import run_fleet  # noqa: PLC0415
    from attnbench.report.machines import render  # noqa: PLC0415

    found = run_fleet(plan, results, out, observer, address, **asked)
    for name, run in found.runs.items():
        write_reports(run, found.folder / name)
    if found.merged is not None:
        write_reports(found.merged, found.folder)
    elif found.runs:
        write_whole(found.folder / "machines.md", render(found.runs))
    return found


def tell(found: "FleetRuns") -> None:
    """How overheads differ between machines, what was not had, and how to go on; exits with 1 where something is missing."""
    from attnbench.report.machines import sections  # noqa: PLC0415

    if found.merged is None:
        for title, paragraph, table in sections(found.runs):
            show_table(table, title, more=f"all in {found.folder / 'machines.md'}")
            if table:
                say(paragraph)
    for name, why in found.refused.items():
        say(f"warning: {name} was not taken: {why}")
    if found.runs:
        typer.echo(f"\nwrote {found.folder}: {counted(len(found.runs), 'machine')}")
    failed = sum(record.status == "failed" for run in found.runs.values() for record in run.records)
    if not found.finished:
        typer.echo("not all is measured, and what is recorded is kept: the same command goes on", err=True)
        raise typer.Exit(1)
    if failed:
        typer.echo(f"{counted(failed, 'case')} failed; the reports say why", err=True)
        raise typer.Exit(1)
