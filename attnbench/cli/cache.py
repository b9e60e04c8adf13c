"""The commands that look after what is kept across runs: ``cache show`` and ``cache clear``."""

import typer

from attnbench.cli.app import app, example

cache = typer.Typer(
    help="What was exported and described before, kept across runs.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(cache, name="cache")


@cache.command(epilog=example("attnbench cache show"))
def show() -> None:
    """Say where the cache is, and how much it holds."""
    from attnbench.core.units import bytes_text  # noqa: PLC0415
    from attnbench.measure.cache import SIZE_LIMIT, cache_folder, entries  # noqa: PLC0415

    folder, found = cache_folder(), entries()
    if folder is None:
        typer.echo("the cache is turned off")
        return
    size = sum(path.stat().st_size for path in found)
    typer.echo(f"{folder}: {len(found)} entries, {bytes_text(size)} of {bytes_text(SIZE_LIMIT)} at most")


@cache.command(epilog=example("attnbench cache clear"))
def clear() -> None:
    """Delete all that the cache holds; the next sweep exports anew."""
    from attnbench.core.units import bytes_text  # noqa: PLC0415
    from attnbench.measure import cache as kept  # noqa: PLC0415

    typer.echo(f"freed {bytes_text(kept.clear())}")
