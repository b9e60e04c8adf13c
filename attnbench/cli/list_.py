"""The command that lists what exists: ``list``. It loads no torch."""

from enum import StrEnum
from typing import Annotated

import typer

from attnbench.cli.answer import show_table
from attnbench.cli.app import app


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
    from attnbench.report import listing  # noqa: PLC0415
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
