"""The commands that read what exists and what was measured: ``list``, ``explain`` and ``report``; none loads torch."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.app import app
from attnbench.cli.screen import save_text, show_table, stored_run

FORMAT_HELP = "md, csv, json, latex, junit, benchstat, bmf, pytest-benchmark or github-action-benchmark."


class Listing(StrEnum):
    """What ``list`` can list."""

    modules = "modules"
    hosts = "hosts"
    placements = "placements"
    targets = "targets"
    predicates = "predicates"


@app.command(name="list")
def list_(
    what: Annotated[Listing, typer.Argument(help="What to list.")],
    host: Annotated[str, typer.Option(help="Whose placements.")] = "resnetsan01",
    ops: Annotated[bool, typer.Option("--ops", help="With targets: what each says of each op.")] = False,
    target: Annotated[list[str] | None, typer.Option(help="Whose ops: a name or FILE.toml; all of them by default.")] = None,
) -> None:
    """List what exists: modules with paper and options, hosts, a host's places, NPU targets, what their rules can ask."""
    from attnbench import listing  # noqa: PLC0415
    from attnbench.targets import target_names  # noqa: PLC0415

    match what:
        case Listing.modules:
            table = listing.modules()
        case Listing.hosts:
            table = listing.hosts()
        case Listing.placements:
            table = listing.placements(host)
        case Listing.targets:
            table = listing.ops(target or target_names()) if ops or target else listing.targets()
        case Listing.predicates:
            table = listing.predicates()
    show_table(table)


@app.command()
def explain(
    run: Annotated[str, typer.Argument(help="A run's folder or file, or latest.")],
    case: Annotated[str, typer.Argument(help="A case's variant, or enough of its label to tell it apart.")],
    results: Annotated[Path, typer.Option(help="Where 'latest' looks.")] = Path("results"),
) -> None:
    """Show which nodes an overhead is made of, the largest first, and what the NPU target says of each."""
    from attnbench.report.tables import checks, explanation, node_findings  # noqa: PLC0415
    from attnbench.store import find_case  # noqa: PLC0415
    from attnbench.units import fixed  # noqa: PLC0415

    record = find_case(stored_run(run, results), case)
    overhead = record.value("overhead")
    title = record.case.label + (f": {fixed(100 * overhead, 3)} % of the baseline's time" if overhead is not None else "")
    if record.failure:
        typer.echo(f"{record.case.label} was {record.status}: {record.failure.stage}: {record.failure.message}")
    show_table(explanation(record), title)
    show_table(node_findings(record), "NPU verdicts, node by node")
    show_table(checks(record), "Deployment checklist")


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="A run's folder or file, or latest.")],
    format_: Annotated[str, typer.Option("--format", "-f", help=FORMAT_HELP)] = "md",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of the screen.")] = None,
    results: Annotated[Path, typer.Option(help="Where 'latest' looks.")] = Path("results"),
) -> None:
    """Write a stored run as Markdown, or in a format that other programs read."""
    from attnbench.report import FORMATS  # noqa: PLC0415

    text = FORMATS.load(format_).render(stored_run(run, results))
    if output is None:
        sys.stdout.write(text)
        return
    save_text(output, text)
