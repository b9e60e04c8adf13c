"""The command that lists what exists: ``list``. It loads no torch."""

from typing import Annotated, Literal

import typer

from attnbench.cli.answer import show_table
from attnbench.cli.app import app

Listing = Literal["modules", "hosts", "placements", "targets", "predicates"]
"""What ``list`` can list."""


@app.command(name="list")
def list_(
    what: Annotated[Listing, typer.Argument(help="What to list.")],
    host: Annotated[str, typer.Option(help="Whose placements.")] = "resnetsan01",
    ops: Annotated[bool, typer.Option("--ops", help="With targets: what each says of each op.")] = False,
    target: Annotated[list[str] | None, typer.Option(help="Whose ops: a name or FILE.toml; all of them by default.")] = None,
) -> None:
    """List what exists: modules with paper and options, hosts, a host's places, NPU targets, what their rules can ask."""
    from attnbench.report import listing  # noqa: PLC0415
    from attnbench.targets import target_names  # noqa: PLC0415

    match what:
        case "modules":
            table = listing.modules()
        case "hosts":
            table = listing.hosts()
        case "placements":
            table = listing.placements(host)
        case "targets":
            table = listing.ops(target or target_names()) if ops or target else listing.targets()
        case "predicates":
            table = listing.predicates()
    show_table(table)
