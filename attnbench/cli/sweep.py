"""The command that measures: ``sweep``."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnbench.cli import options
from attnbench.cli.answer import say, show_table, write_reports
from attnbench.cli.app import app, example, grouped
from attnbench.core.errors import InputError
from attnbench.core.files import write_whole
from attnbench.core.protocol import settings
from attnbench.core.records import Run
from attnbench.core.users import VARIABLE as DEBUG
from attnbench.report.table import Table

if TYPE_CHECKING:
    from attnbench.cli.resolving import Reference
    from attnbench.study.plan import Plan


_SETTINGS = settings()


def setting(name: str, help_: str = "", *declarations: str, default: str = "", **more: Any) -> Any:
    """The option for a setting: what it means, and its default where the study has no other."""
    told = _SETTINGS[name]
    shown = ",".join(map(str, told.default)) if isinstance(told.default, tuple) else str(told.default)
    meaning = help_ or f"{told.meaning[0].upper()}{told.meaning[1:]}".rstrip(".") + "."
    return typer.Option(*declarations, help=meaning, show_default=default or f"the study's, or {shown}", **more)


GROUPS = {
    "Cases": "module place variant size host target batch dtype runtime tap site input_channels",
    "Precision and time": "quick budget screen precision processes max_processes repeat warmup alone resolve fail_on",
    "Also measured": "threads deadline memory crosscheck rounds",
    "Graphs and runs": "optimization provider inputs calibration seed raw timeout",
    "Machines": "on dask dask_mode dask_tls shard no_wait",
    "The run's folder": "out results dry_run retry_failed debug quiet",
}
"""What the options are for, and in which order help shows them."""


@app.command(
    cls=grouped(GROUPS),
    short_help="Measure what each case of a study costs.",
    epilog=example(
        "attnbench sweep quick",
        "attnbench sweep --module se --module cbam --place encoder.layer3 --size 384x640",
        "attnbench sweep --host resnet50 --module all --place stage-ends --size 224x224 --quick --dry-run",
        "attnbench sweep --module 'se[reduction=8]' --place each --budget 3min",
        "attnbench sweep quick --runtime onnxruntime,openvino",
        "attnbench sweep quick --dtype fp32,int8",
        "attnbench sweep quick --dask 127.0.0.1:8786",
    ),
)
def sweep(
    study: Annotated[str | None, typer.Argument(help="A study's TOML file or name.", show_default="report")] = None,
    host: options.HostOption = None,
    module: options.ModuleOption = None,
    tap: options.TapOption = None,
    place: options.PlaceOption = None,
    variant: options.VariantOption = None,
    size: options.SizeOption = None,
    target: Annotated[
        list[str] | None, typer.Option(help="NPU target: a name or FILE.toml.", show_default="the study's, or aimotive")
    ] = None,
    site: options.SiteOption = None,
    input_channels: options.ChannelsOption = 3,
    batch: options.BatchOption = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="Number types: fp32,int8 (int8 in onnxruntime alone).", show_default="the study's, or fp32"),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Folder of images or .npy for int8's ranges.", show_default="the study's, or seeded noise"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer processes and runs: wider intervals.")] = False,
    processes: Annotated[int | None, setting("processes")] = None,
    max_processes: Annotated[int | None, setting("max_processes")] = None,
    precision: Annotated[str | None, setting("precision")] = None,
    repeat: Annotated[int | None, setting("repeat")] = None,
    warmup: Annotated[int | None, setting("warmup")] = None,
    alone: Annotated[bool, typer.Option("--alone", help="A graph of its own for every case: slower.")] = False,
    crosscheck: Annotated[int | None, setting("crosscheck")] = None,
    rounds: Annotated[int | None, setting("rounds")] = None,
    screen: Annotated[bool, typer.Option("--screen", help="Two replicates, and more only where they decide.")] = False,
    budget: Annotated[
        str | None, typer.Option(help="Time to spend: 90s, 3min, 1h; screens first.", show_default="no limit")
    ] = None,
    resolve: Annotated[
        str | None,
        typer.Option(
            metavar="BASE",
            help="Then the replicates that a comparison with this run lacks: attnbench compare BASE.",
            show_default="none",
        ),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC:THRESHOLD,...", help="By which --resolve compares.", show_default="that of compare"),
    ] = None,
    threads: Annotated[str | None, setting("threads", "Absolute latency also at these thread counts: 1,2.")] = None,
    deadline: Annotated[str | None, setting("deadline", "Share of runs within a latency like 33ms.", default="none")] = None,
    memory: Annotated[
        bool | None, setting("memory", "Measure the peak of memory.", default="where the static one changes")
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(help="What runs it, of: attnbench list runtimes.", show_default="the study's, or onnxruntime"),
    ] = None,
    provider: Annotated[str | None, setting("provider")] = None,
    optimization: Annotated[
        str | None, setting("optimization", "Graph optimisation: all, layout, extended, basic, none.")
    ] = None,
    seed: Annotated[int | None, setting("seed")] = None,
    inputs: Annotated[str | None, setting("inputs", default="normal noise")] = None,
    timeout: Annotated[float | None, setting("timeout_seconds", "Seconds after which a step is killed.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Leave the exporter's graph as it is.")] = False,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="ssh:HOST|cmd:COMMAND", help="Where timing steps are done (docs/boards.md).", show_default="this machine"
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Only this part of the cases: 1/4; attnbench merge joins them.", show_default="all cases"),
    ] = None,
    dask: options.DaskOption = None,
    dask_mode: options.DaskModeOption = "each",
    dask_tls: options.DaskTlsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; an unfinished run there is continued.", show_default="RESULTS/STUDY-TIME"),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("results"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cases and their estimated time.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Measure again what failed or was skipped in the run that is continued.")
    ] = False,
    debug: Annotated[
        Path | None, typer.Option(help="A file for the whole traceback of each case that fails.", show_default="none")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="End at once where another sweep measures here.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Measure every case of a study (default: the design report's) and write report.md, cases.csv and run.jsonl.

    The same command continues an interrupted run. Exit codes: 0 all well, 1 some cases failed, 2 bad input.
    """
    from attnbench.cli.progress import counting  # noqa: PLC0415
    from attnbench.cli.resolving import reference_of  # noqa: PLC0415
    from attnbench.core.quantities import parse_duration  # noqa: PLC0415
    from attnbench.measure.estimate import estimate  # noqa: PLC0415
    from attnbench.measure.executor import HERE, executor, usual_settings  # noqa: PLC0415
    from attnbench.study import flags  # noqa: PLC0415
    from attnbench.study import plan as planning  # noqa: PLC0415

    given = {
        "processes": processes,
        "max_processes": max_processes,
        "precision": precision,
        "repeat": repeat,
        "warmup": warmup,
        "alone": alone or None,
        "crosscheck": crosscheck,
        "rounds": rounds,
        "screen": True if screen or budget is not None else None,
        "threads": _threads(threads),
        "memory": memory,
        "deadline": deadline,
        "provider": provider,
        "optimization": optimization,
        "seed": seed,
        "inputs": inputs,
        "calibration": None if calibration is None else str(calibration),
        "timeout_seconds": timeout,
        "canonical": False if raw else None,
    }
    hosts = [flags.host_from_flags(h, site or [], input_channels) for h in host or []]
    modules = [*(module or []), *flags.taps_from_flags(tap or [])]
    asked = flags.from_flags(
        study, hosts, modules, place or [], variant or [], size or [], target or [], batch, runtimes=runtime, dtypes=dtype
    )
    overrides = {name: value for name, value in given.items() if value is not None}
    plan = planning.plan(asked, quick=quick, overrides={**usual_settings(on or ""), **overrides})
    if shard is not None:
        plan = planning.shard(plan, shard)
    until = time.monotonic() + (float("inf") if budget is None else parse_duration(budget))
    there = HERE if on is None else executor(on)
    reference = reference_of(plan, resolve, fail_on, results, there)
    if dry_run:
        with counting("describing case", 0 if quiet else len(plan.cases)) as at:
            rows = [{"case": case, "about": about} for case, about in estimate(plan, at, there)]
        title = f"{len(plan.cases)} cases; times are estimates from a short run of each baseline"
        show_table(Table.of(rows), title, most=None)
        return
    if debug is not None:
        write_whole(debug, "")
        os.environ[DEBUG] = str(debug.resolve())  # the processes that build inherit it
    if dask is not None:
        if resolve is not None or shard is not None or on is not None:
            raise InputError("--dask shares out the cases itself: leave out --shard, --resolve and --on")
        _sweep_fleet(plan, results, out, quiet, address=dask, tls=dask_tls, mode=dask_mode, seconds=until - time.monotonic())
    else:
        _sweep_here(plan, results, out, quiet, reference, until, wait=not no_wait, on=there, retry_failed=retry_failed)


def _sweep_here(
    plan: "Plan", results: Path, out: Path | None, quiet: bool, reference: "Reference | None", until: float, **asked: Any
) -> None:
    """Measure with this machine's lock held, here or on a board, and show what was found."""
    from attnbench.cli.progress import interruptible, observing  # noqa: PLC0415
    from attnbench.measure.sweep import run_plan  # noqa: PLC0415

    with observing(quiet) as observer, interruptible():
        run, folder = run_plan(plan, results, out, observer, seconds=until - time.monotonic(), **asked)
        if lacking := reference.lacking(run) if reference else {}:
            asked |= {"more": lacking, "retry_failed": False}
            run, folder = run_plan(plan, results, folder, observer, seconds=until - time.monotonic(), **asked)
    write_reports(run, folder)
    _show(run, folder)
    if reference:
        typer.echo(reference.outcome(run, folder))
    failed = sum(record.status == "failed" for record in run.records)
    if failed:
        typer.echo(f"{failed} of {len(run.records)} cases failed; the report says why", err=True)
        raise typer.Exit(1)


def _sweep_fleet(plan: "Plan", results: Path, out: Path | None, quiet: bool, **asked: Any) -> None:
    """Measure on the machines of a cluster, and show what they found."""
    from attnbench.cli import fleet  # noqa: PLC0415
    from attnbench.cli.progress import interruptible, observing  # noqa: PLC0415

    with observing(quiet) as observer, interruptible():
        found = fleet.swept(plan, results, out, observer, **asked)
    if found.merged is not None:
        _show(found.merged, found.folder)
    fleet.tell(found)


def _threads(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part.encode("ascii")) for part in text.split(","))
    except ValueError:
        raise InputError(f"--threads takes whole numbers like 1,2, not '{text}'") from None


def _show(run: Run, folder: Path) -> None:
    """The tables, and then what is to be read last: what was found, what to beware of, and what to do next."""
    from attnbench.judge.rows import rows_of  # noqa: PLC0415
    from attnbench.report import claims, outcome, tables, trust  # noqa: PLC0415

    rows = rows_of(run)
    shown = {
        "What this run tells apart": trust.floors(run),
        "Attribution against the clock, many cases in one graph": trust.crosschecks(run),
        "Baseline": tables.baselines(rows),
    }
    if matrix := claims.priorities(run):
        shown["Priority and cost"] = matrix
    else:
        shown["Cases"] = tables.cases_table([row for row in rows if not row.case.is_baseline])
    shown["What int8 makes of them"] = tables.int8(rows)
    shown["Cases without figures"] = tables.failures(rows)
    for title, table in shown.items():
        show_table(table, title, more=f"all in {folder / 'report.md'}")
    typer.echo()
    for sentence in outcome.found(run):
        say(sentence)
    for warning in outcome.warnings(run):
        say(f"warning: {warning}")
    typer.echo(f"\nwrote {folder / 'report.md'}, cases.csv and run.jsonl")
    if left := sum(record.pending > 0 for record in run.records):
        typer.echo(f"the time was spent with {left} of {len(run.records)} cases unfinished: the same command goes on")
    elif following := outcome.next_command(run, str(folder)):
        typer.echo(f"next: {following}")
