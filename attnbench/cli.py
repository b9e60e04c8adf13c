"""The command line: parse, call, print. Nothing is decided here, and only ``main`` catches errors.

Heavy imports stand inside the commands, so that ``--help`` and the reading commands stay quick.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.errors import AttnbenchError, InputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pandas as pd

    from attnbench.records import Run
    from attnbench.sweep import Observer

app = typer.Typer(
    help="What an attention block costs at a place of a network, measured, and whether an NPU will run it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130


class Listing(StrEnum):
    """What ``list`` can list."""

    modules = "modules"
    hosts = "hosts"
    placements = "placements"
    targets = "targets"


@app.command()
def sweep(
    study: Annotated[str | None, typer.Argument(help="A study's TOML file or name.", show_default="report")] = None,
    host: Annotated[list[str] | None, typer.Option(help="Host: a name, FILE.py:FACTORY or MODEL.onnx.")] = None,
    module: Annotated[list[str] | None, typer.Option(help="Module: a name[option=value], FILE.py:CLASS, or all.")] = None,
    place: Annotated[list[str] | None, typer.Option(help="Place: a site, placement, glob, a+b, or each.")] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Variant: PLACE=MODULE[,PLACE=MODULE].")] = None,
    size: Annotated[list[str] | None, typer.Option(help="Input size HEIGHTxWIDTH.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="NPU target: a name or FILE.toml.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="Site of a factory's host: SUBMODULE.PATH=NAME.")] = None,
    input_channels: Annotated[int, typer.Option(help="Image channels of a factory's host.")] = 3,
    batch: Annotated[int | None, typer.Option(min=1, help="Batch size.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer processes and runs: wider intervals.")] = False,
    processes: Annotated[int | None, typer.Option(help="Fresh timing processes a case, at least.")] = None,
    max_processes: Annotated[int | None, typer.Option(help="The same at most: the budget for --precision.")] = None,
    precision: Annotated[str | None, typer.Option(help="Wanted half width: points, share or both: 0.05,5%.")] = None,
    repeat: Annotated[int | None, typer.Option(help="Profiled runs a process.")] = None,
    warmup: Annotated[int | None, typer.Option(help="Runs before those.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Interleaved pairs of the cross-check; 0 leaves it out.")] = None,
    threads: Annotated[str | None, typer.Option(help="Absolute latency also at these thread counts: 1,2.")] = None,
    memory: Annotated[bool | None, typer.Option(help="Measure the peak of memory.", show_default="on")] = None,
    provider: Annotated[str | None, typer.Option(help="ONNX Runtime execution provider: cpu, xnnpack, openvino...")] = None,
    optimization: Annotated[str | None, typer.Option(help="Graph optimisation: all, layout, extended, basic, none.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, inputs and orders.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which a step is killed.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Leave the exporter's graph as it is.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; an unfinished run there is continued.")] = None,
    results: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("results"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cases and their estimated time.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Measure every case of a study (default: the design report's) and write report.md, cases.csv and run.jsonl.

    The same command continues an interrupted run. Exit codes: 0 all well, 1 some cases failed, 2 bad input.
    """
    from attnbench import study as studies  # noqa: PLC0415
    from attnbench.sweep import estimate, run_plan  # noqa: PLC0415

    overrides = {
        "processes": processes,
        "max_processes": max_processes,
        "precision": precision,
        "repeat": repeat,
        "warmup": warmup,
        "rounds": rounds,
        "threads": _threads(threads),
        "memory": memory,
        "provider": provider,
        "optimization": optimization,
        "seed": seed,
        "timeout_seconds": timeout,
        "canonical": False if raw else None,
    }
    hosts = [studies.host_from_flags(h, site or [], input_channels) for h in host or []]
    data = studies.from_flags(study, hosts, module or [], place or [], variant or [], size or [], target or [], batch)
    plan = studies.plan(data, quick=quick, overrides={k: v for k, v in overrides.items() if v is not None})
    if dry_run:
        _print(estimate(plan), f"{len(plan.cases)} cases; times are estimates from a short run of each baseline")
        return
    with _observer(quiet) as observer:
        try:
            run, folder = run_plan(plan, results, out, observer)
        except KeyboardInterrupt:
            typer.echo("interrupted: what was recorded is kept; the same command goes on from there", err=True)
            raise typer.Exit(INTERRUPTED) from None
    _write(run, folder)
    _show(run)
    typer.echo(f"\nwrote {folder / 'report.md'}, cases.csv and run.jsonl")
    failed = sum(record.status == "failed" for record in run.records)
    if failed:
        typer.echo(f"{failed} of {len(run.records)} cases failed; the report says why", err=True)
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Say what this machine resolves today and what disturbs it, in under a minute; change nothing.

    Exit codes: 0 fit or usable, 1 not fit to measure.
    """
    import pandas as pd  # noqa: PLC0415

    from attnbench.doctor import examine  # noqa: PLC0415
    from attnbench.units import fixed, significant  # noqa: PLC0415

    found = examine()
    rows = [{"what": d.name, "state": d.state, "seen": d.seen, "what would help": d.advice} for d in found.disturbances]
    _print(pd.DataFrame(rows), "What may disturb a measurement")
    if found.difference is not None:
        typer.echo(
            f"\nAt 96x160 ({fixed(found.latency_ms, 1)} ms) this machine resolves overheads from "
            f"{significant(found.overhead, 2)} percentage points on and differences between two from "
            f"{significant(found.difference, 2)}; the clock alone, overheads from {significant(found.paired, 2)} on."
        )
    typer.echo(found.verdict)
    if not found.fit:
        raise typer.Exit(1)


@app.command(name="list")
def list_(
    what: Annotated[Listing, typer.Argument(help="What to list.")],
    host: Annotated[str, typer.Option(help="Whose placements.")] = "resnetsan01",
) -> None:
    """List what exists: modules with paper and options, hosts, a host's places, NPU targets."""
    from attnbench import listing  # noqa: PLC0415

    match what:
        case Listing.modules:
            table = listing.modules()
        case Listing.hosts:
            table = listing.hosts()
        case Listing.placements:
            table = listing.placements(host)
        case Listing.targets:
            table = listing.targets()
    _print(table)


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

    record = find_case(_load(run, results), case)
    overhead = record.value("overhead")
    title = record.case.label + (f": {fixed(100 * overhead, 3)} % of the baseline's time" if overhead is not None else "")
    if record.failure:
        typer.echo(f"{record.case.label} was {record.status}: {record.failure.stage}: {record.failure.message}")
    _print(explanation(record), title)
    _print(node_findings(record), "NPU verdicts, node by node")
    _print(checks(record), "Deployment checklist")


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="A run's folder or file, or latest.")],
    format_: Annotated[str, typer.Option("--format", "-f", help="md or csv.")] = "md",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of the screen.")] = None,
    results: Annotated[Path, typer.Option(help="Where 'latest' looks.")] = Path("results"),
) -> None:
    """Write a stored run as Markdown or CSV."""
    from attnbench.report import FORMATS  # noqa: PLC0415

    text = FORMATS.load(format_).render(_load(run, results))
    if output is None:
        sys.stdout.write(text)
        return
    _save(output, text)


def main() -> None:
    """The console script: one line and the exit code for every error that is the user's to mend."""
    try:
        app()
    except AttnbenchError as error:
        typer.echo(f"attnbench: {error}", err=True)
        raise SystemExit(error.exit_code) from None


def _load(where: str, results: Path) -> "Run":
    from attnbench.store import latest_run, load_run  # noqa: PLC0415

    return load_run(latest_run(results) if where == "latest" else where)


def _threads(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--threads takes whole numbers like 1,2, not '{text}'") from None


def _observer(quiet: bool) -> "AbstractContextManager[Observer]":
    from contextlib import nullcontext  # noqa: PLC0415

    from attnbench.progress import Bar, Lines, Silent  # noqa: PLC0415

    if quiet:
        return nullcontext(Silent())
    return Bar() if sys.stderr.isatty() else nullcontext(Lines())


def _write(run: "Run", folder: Path) -> None:
    from attnbench.report import FORMATS  # noqa: PLC0415

    for name in ("md", "csv"):
        entry = FORMATS.load(name)
        _save(folder / entry.file, entry.render(run))


def _save(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _show(run: "Run") -> None:
    from attnbench.report import claims, tables, trust  # noqa: PLC0415
    from attnbench.report.frame import to_frame  # noqa: PLC0415

    frame = to_frame(run)
    _print(trust.floors(run), "What this run resolves")
    _print(tables.baselines(frame), "Baseline")
    matrix = claims.priorities(run, frame)
    if matrix.empty:
        _print(tables.cases_table(frame[frame["variant"] != "baseline"]), "Cases")
    else:
        _print(matrix, "Priority and cost")
    _print(tables.failures(frame), "Cases without figures")


def _print(table: "pd.DataFrame", title: str = "") -> None:
    """A table on the screen: fitted to a terminal, plain and unwrapped elsewhere."""
    if table.empty:
        return
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        shown = Table(title=title, title_justify="left")
        for column in table.columns:
            shown.add_column(str(column), overflow="fold")
        for row in table.itertuples(index=False):
            shown.add_row(*map(str, row))
        Console(highlight=False, markup=False).print(shown)
        return
    from tabulate import tabulate  # noqa: PLC0415

    typer.echo(f"\n{title}\n" if title else "", nl=bool(title))
    typer.echo(tabulate(table.to_numpy().tolist(), headers=list(map(str, table.columns)), disable_numparse=True))
