"""The command that lists what exists: ``list``. It loads no torch."""

from typing import Annotated, Literal

import typer

from attnbench.cli.answer import AllOption, show_table
from attnbench.cli.app import app, example

Listing = Literal[
    "modules", "hosts", "placements", "runtimes", "targets", "predicates", "studies", "settings", "formats", "profiles"
]
"""What ``list`` can list."""


@app.command(
    short_help="List modules, hosts, places, targets, settings and more.",
    name="list",
    epilog=example(
        "attnbench list modules",
        "attnbench list placements --host yolov5s",
        "attnbench list targets --ops --target nvidia-orin-dla-trt10",
        "attnbench list settings",
    ),
)
def list_(
    what: Annotated[Listing, typer.Argument(help="What to list.")],
    host: Annotated[str, typer.Option(help="Whose placements.")] = "resnetsan01",
    ops: Annotated[bool, typer.Option("--ops", help="With targets: what each says of each op.")] = False,
    target: Annotated[
        list[str] | None, typer.Option(help="Whose ops: a name or FILE.toml.", show_default="all targets'")
    ] = None,
    all_: AllOption = False,
) -> None:
    """List what exists: modules, hosts, places, runtimes, NPU targets and rules, studies, settings, formats, profiles."""
    from attnbench.report import listing  # noqa: PLC0415
    from attnbench.targets import target_names  # noqa: PLC0415

    match what:
        case "placements":
            table = listing.placements(host)
        case "targets":
            table = listing.ops(target or target_names()) if ops or target else listing.targets()
        case _:
            table = getattr(listing, what)()
    show_table(table, everything=all_, most=None)
    if what == "targets" and not (ops or target):
        show_table(listing.without_table(), "NPUs without a target", everything=all_, most=None)
