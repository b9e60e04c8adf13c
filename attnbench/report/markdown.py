"""The report a person reads: the machine, the baseline, the claims held against measurements, and everything behind them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from attnbench.core.records import Run
from attnbench.core.units import bytes_text, seconds_text
from attnbench.judge.verdicts import ABOUT, SYSTEMATIC_POINTS, SYSTEMATIC_RELATIVE
from attnbench.report import Format, claims, npu, tables, trust
from attnbench.report.frame import to_frame
from attnbench.report.table import Table

HOW_TO_READ = " ".join(
    (
        "**How to read the figures.** An overhead is attributed: the time of the nodes that a variant adds, over the time",
        "of those it shares with the baseline, inside one profiled run, at one thread, pinned; what profiling itself takes",
        "of a node is measured and taken off. The brackets are a 95 % interval over fresh processes, spread along the",
        "sweep, as many as the wanted precision needs within the budget. What attribution cannot see (caches) is within",
        f"±{SYSTEMATIC_POINTS:g} points ±{SYSTEMATIC_RELATIVE:.0%} of the figure; that, and the noise floor above where it",
        "is wider than the interval, is added before a claim is judged:",
        f'*confirmed* where the whole interval lies in the claimed band (±{ABOUT:.0%} for "about"), *refuted* where none of',
        "it does, else *not resolvable*. MACs count convolutions and matrix products only. Overhead in ms is the attributed",
        "part of the baseline's median latency. Absolute latencies of different cases lie minutes apart and drift with the",
        "machine: compare cases by overhead. NPU verdicts are on the nodes a variant adds; *unknown* is not *supported*.",
    )
)


def render(run: Run) -> str:
    """The run as one Markdown page."""
    return "\n\n".join(_sections(run)) + "\n"


def table_text(table: pd.DataFrame | Table) -> str:
    """A table of text as a Markdown table; empty where it has no rows."""
    if isinstance(table, Table):
        return table.markdown() if table else ""
    if table.empty:
        return ""
    safe = table.map(lambda value: str(value).replace("|", "\\|"))
    return safe.to_markdown(index=False, disable_numparse=True)


def noted_text(title: str, notes: Sequence[str], tables: Iterable[tuple[str, pd.DataFrame | Table]]) -> str:
    """A page: what a reader must know first as a list, and then tables under their titles."""
    page = f"# {title}\n\n" + "\n".join(f"- {note}" for note in notes)
    body = sections_text((heading, "", table) for heading, table in tables)
    return f"{page}\n\n{body}".rstrip() + "\n"


def sections_text(sections: Iterable[tuple[str, str, pd.DataFrame | Table]]) -> str:
    """Headings, paragraphs and tables; a section without either of the latter is left out."""
    parts = (
        "\n\n".join(filter(None, (f"## {title}", paragraph, text)))
        for title, paragraph, text in ((title, paragraph, table_text(table)) for title, paragraph, table in sections)
        if paragraph or text
    )
    return "\n\n".join(parts) + "\n"


def _sections(run: Run) -> Iterator[str]:
    frame = to_frame(run)
    study = run.header.study
    yield f"# {study.get('title') or study['name']}"
    yield _machine(run)
    yield from _section("What this run resolves", trust.floors(run))
    yield HOW_TO_READ
    yield from _section("Baseline", tables.baselines(frame))
    yield from _section("Priority and cost", claims.priorities(run, frame))
    yield from _section("Claims", claims.claims(run, frame))
    yield from _section("Stages", claims.stages(run, frame))
    yield from _section("Where the time goes", tables.ingredients(run))
    yield from _section("Memory of one inference", trust.memory(run, frame))
    yield from _section("Latency by threads", trust.threads(frame))
    for host, size in frame[["host", "size"]].drop_duplicates().itertuples(index=False):
        yield from _section(f"Overhead in % of {host} at {size}", tables.matrix(run, frame, host, size))
        yield from _section(f"NPU verdicts, {host} at {size}", tables.npu_matrix(run, frame, host, size))
    yield from _section("Modules by NPU target, in cases", npu.by_target(run, frame))
    yield from _section("Ops on which two profiles of a vendor differ", npu.disputed(run))
    yield from _section("Ops that are refused or unknown, by module", npu.refused_ops(run))
    yield from _section("Deployment checklist", tables.checklist(run))
    yield from _section("Cases whose interval is wider than asked", trust.imprecise(frame))
    yield from _section("Cases whose two clocks disagree", trust.disagreements(frame))
    yield from _section("Cases that shared their core", trust.crowded(frame))
    yield from _section("Cases without figures", tables.failures(frame))


def _section(title: str, table: pd.DataFrame) -> Iterator[str]:
    if not table.empty:
        yield f"## {title}"
        yield table_text(table)


def _machine(run: Run) -> str:
    header = run.header
    machine, software, settings = header.machine, header.software, header.settings
    spent = {stage: sum(record.seconds.get(stage, 0.0) for record in run.records) for stage in ("build", "lint", "ort")}
    rest = sum(record.seconds.get("total", 0.0) for record in run.records) - sum(spent.values())
    chosen = ", ".join(f"{key} {value}" for key, value in settings.items())
    commit = f", commit {software['commit']}" if software.get("commit") else ""
    lines = (
        f"Run of {header.started} with attnbench {header.attnbench}{commit};",
        f"{len(run.records)} of {len(header.cases)} cases",
        f"\n- Machine: {machine['cpu']}, {machine['cores']} cores granted, {bytes_text(machine['memory_bytes'])},",
        f"{machine['system']}, load {machine['load']} at the start (id {machine['id']}){_limits(machine)}",
        f"\n- Software: Python {software['python']}, torch {software['torch']}, onnx {software['onnx']},",
        f"onnxruntime {software['onnxruntime']}, {software['exporter']}, opset {software['opset']},",
        f"canonical pass {software['canonical_pass']}, protocol {software.get('protocol', 1)} (id {software['id']})",
        f"\n- Settings, unless a case has its own: {chosen}",
        f"\n- Time: building {seconds_text(spent['build'])}, checking {seconds_text(spent['lint'])},",
        f"in ONNX Runtime {seconds_text(spent['ort'])}, process starts and the rest {seconds_text(rest)}",
    )
    return ("- " + " ".join(lines)).replace(" \n", "\n")


def _limits(machine: Mapping[str, Any]) -> str:
    """The container's limits, where there are any."""
    limits = machine.get("container") or {}
    cores, memory = limits.get("cores"), limits.get("memory_bytes")
    parts = [f"{cores:g} cores' worth of time" if cores else "", bytes_text(memory) if memory else ""]
    return f"; the container is limited to {' and '.join(filter(None, parts))}" if any(parts) else ""


ENTRIES = (Format(name="md", file="report.md", render=render, summary="the whole report as Markdown"),)
