"""The command that begins a project of one's own: ``init``."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.app import app, example
from attnbench.core.errors import InputError
from attnbench.core.files import write_whole
from attnbench.core.versions import version

FILES = {
    "study.toml": "study.toml",
    "gate.py": "gate.py",
    "attention-cost.yml": ".github/workflows/attention-cost.yml",
}
"""The templates, and where each is written."""


@app.command(
    short_help="Write a study, a module and a workflow to begin with.",
    epilog=example("attnbench init", "attnbench init my-modules && cd my-modules && attnbench sweep study.toml"),
)
def init(folder: Annotated[Path, typer.Argument(help="Where; it is made if it is not there.")] = Path()) -> None:
    """Write a commented study, a module of one's own and a workflow for GitHub into a folder; each runs as it is.

    Exit codes: 0 written, 2 a file is there already.
    """
    places = {name: folder / place for name, place in FILES.items()}
    for place in places.values():
        if place.exists():
            raise InputError(f"{place} is there already: move it away, or name another folder")
    for name, place in places.items():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write {place}: {error.strerror}") from error
        text = files("attnbench.cli").joinpath("templates", name).read_text(encoding="utf-8")
        write_whole(place, text.replace("@VERSION@", version("attnbench")))
        typer.echo(f"wrote {place}")
    there = "" if folder == Path() else f"cd {folder} && "
    typer.echo(f"next: {there}attnbench sweep study.toml")
