"""The command that lists what exists: ``list``. It loads torch for the places of a user's own network alone."""

from typing import Annotated, Literal

import typer

from attnbench.cli.answer import AllOption, show_table
from attnbench.cli.app import app, example
from attnbench.core.catalogue import is_reference
from attnbench.core.grammar import normal_size, parse_spec
from attnbench.study.file import normal_host

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
        "attnbench list placements --host my_net.py:build --size 224x224",
        "attnbench list targets --ops --target nvidia-orin-dla-trt10",
        "attnbench list settings",
    ),
)
def list_(
    what: Annotated[Listing, typer.Argument(help="What to list.")],
    host: Annotated[str, typer.Option(help="Whose placements: a name, FILE.py:FACTORY or MODEL.onnx.")] = "resnetsan01",
    size: Annotated[str, typer.Option(help="With a factory's host: its input size HEIGHTxWIDTH.")] = "384x640",
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
        case "placements" if is_reference(parse_spec(host).name):
            from attnbench.measure.parts import places_of  # noqa: PLC0415  torch, where it is needed

            table = listing.shapes(places_of(normal_host(host), normal_size(size)))
        case "placements":
            table = listing.placements(host)
        case "targets":
            table = listing.ops(target or target_names()) if ops or target else listing.targets()
        case _:
            table = getattr(listing, what)()
    show_table(table, everything=all_, most=None)
    if what == "targets" and not (ops or target):
        show_table(listing.without_table(), "NPUs without a target", everything=all_, most=None)
