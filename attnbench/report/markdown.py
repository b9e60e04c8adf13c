"""The report a person reads: the answer, the claims beside what was measured, and everything behind them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attnbench.core.grammar import parse_spec, parse_variant
from attnbench.core.records import DEFAULT_RUNTIME, Case, Run
from attnbench.core.units import MISSING, bytes_text, seconds_text
from attnbench.judge.claims import ABOUT
from attnbench.judge.rows import Row, rows_of
from attnbench.judge.verdicts import SYSTEMATIC_POINTS, SYSTEMATIC_RELATIVE
from attnbench.report import ReportFormat, claims, npu, outcome, tables, trust
from attnbench.report.answer import sections_text
from attnbench.report.parts import SIDE_BY_SIDE, by_runtime, of_runtime, runtimes_of
from attnbench.report.table import Section, Table, markdown_text

TERMS = {
    "overhead": "time of the nodes that a variant adds, in % of the baseline's, read within one profiled run of one pinned "
    "thread; what profiling itself takes is off",
    "overhead (ms)": "the overhead times the baseline's median latency",
    "latency": "of plain runs; those of different cases lie minutes apart and drift with the machine: compare overheads",
    "[low, high]": "95 % interval over fresh processes, and over runs as far as this machine's were known",
    "critical value": "the least overhead that is told from 0; the *critical difference* tells two apart",
    "systematic": f"what attribution cannot see (caches): within ±{SYSTEMATIC_POINTS:g} points ±{SYSTEMATIC_RELATIVE:.0%} "
    "of the figure in 62 references of 62, which shows that it is in 95 % at least",
    "judged as": "the interval, as wide as the critical difference at least, with the systematic part on both sides",
    "confirmed": "all of that lies in the claimed band "
    f'(±{ABOUT:.0%} for "about"); *refuted*: none of it does; *not resolvable*: a part does',
    "MACs": "of convolutions and matrix products alone",
    "NPU": "what the target says of the nodes that a variant adds; *unknown* is not *supported*",
}
"""The words of a report, each in a line."""


def render(run: Run) -> str:
    """The run as one Markdown page: the answer first, what it rests on after it."""
    head = "\n".join(f"- {markdown_text(sentence)}" for sentence in outcome.found(run))
    parts = (f"# {markdown_text(run.header.title)}", outcome.setting(run), head, sections_text(tables_of(run)))
    return "\n\n".join(filter(None, parts)) + f"\n## How it was measured\n\n{machine_text(run)}\n"


INT8_TEXT = (
    "Overheads are of the baseline of the same number type. Float ops and conversions are all that a baseline has, and of a "
    "variant what it has beyond that."
)


def tables_of(run: Run) -> Iterator[Section]:
    """The tables of a run under their titles, in the order of the page."""
    rows = rows_of(run)
    yield from answers(run, rows)
    yield from behind(run, rows)


def answers(run: Run, rows: Sequence[Row], *, brief: bool = False) -> Iterator[Section]:
    """What it costs, what was claimed, and what the NPU says; a ``brief`` matrix has no intervals."""
    targets, once = run.header.study.get("targets", ()), runtimes_of(run)[:1]
    yield Section("Priority and cost", table=claims.priorities(run))
    parts: dict[Case, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.case.baseline, []).append(row)
    for baseline, part in parts.items():
        yield Section(f"Overhead in % of {baseline.where}", table=tables.matrix(run, part, brief=brief))
    several = [row for row in rows if len(parse_variant(row.case.variant).assignments) > 1]
    yield Section("Modules at several places together", table=tables.cases_table(several))
    yield Section("Claims", table=claims.claims(run))
    yield Section("Stages", table=claims.stages(run))
    yield Section("Baseline", table=tables.baselines(rows))
    yield Section("What int8 makes of them", INT8_TEXT if (quantised := tables.int8(rows)) else "", quantised)
    if beside := by_runtime(run):
        yield Section("Runtimes side by side", SIDE_BY_SIDE, beside)
    for baseline, part in parts.items():  # what is read off a graph does not ask what runs it
        if [baseline.runtime] == once and len(targets) == 1:
            yield Section(f"NPU verdicts of {targets[0]}, {baseline.where}", table=tables.npu_matrix(run, part))
    yield Section("Modules by NPU target, in cases", table=npu.by_target(_once(run)))
    yield Section("Cases without figures", table=tables.failures(rows))


def behind(run: Run, rows: Sequence[Row]) -> Iterator[Section]:
    """What that is made of, how sure it is, and what else was seen."""
    first = _once(run)
    yield Section("Where the time goes", table=tables.ingredients(run))
    yield Section("Memory of one inference", table=trust.memory(run))
    yield Section("Latency by threads", table=trust.threads(rows))
    yield Section("Latency and the deadline", table=trust.deadline(rows))
    yield Section("Ops on which two profiles of a vendor differ", table=npu.disputed(first))
    yield Section("Ops that are refused or unknown, by module", table=npu.refused_ops(first))
    yield Section("Deployment checklist", table=tables.checklist(first))
    yield Section("What this run tells apart", table=trust.floors(run))
    yield Section("Attribution against the clock, many cases in one graph", table=trust.crosschecks(run))
    if pooled := trust.pooled(rows):
        yield Section("Attribution against the clock, over all cases", trust.POOLED, pooled)
    yield Section("Cases whose two clocks disagree", table=trust.disagreements(rows))
    yield Section("Cases whose interval is wider than asked", table=trust.imprecise(rows))
    yield Section("Cases that shared their core", table=trust.crowded(rows))
    if limits := trust.uncertainties(rows):
        yield Section("Uncertainty and limits, in points", trust.limits_text(run), limits)
    yield Section("Notes on cases", table=tables.noted(run))
    yield Section("Terms", table=Table.of({"term": term, "meaning": meaning} for term, meaning in TERMS.items()))


def _once(run: Run) -> Run:
    """The run in one runtime."""
    return of_runtime(run, runtimes[0]) if (runtimes := runtimes_of(run)) else run


def machine_text(run: Run) -> str:
    """The run, its machine, software, settings and time, as a list."""
    header = run.header
    machine, software = (_told(part) for part in (header.machine, header.software))
    memory = MISSING if header.machine.get("memory_bytes") is None else bytes_text(header.machine["memory_bytes"])
    spent = {stage: sum(record.seconds.get(stage, 0.0) for record in run.records) for stage in ("build", "lint", "ort")}
    rest = sum(record.seconds.get("total", 0.0) for record in run.records) - sum(spent.values())
    protocol, effort = (
        ", ".join(f"{key} {value}" for key, value in asked.items() if value != "")
        for asked in (header.protocol, header.effort)
    )
    runtime = "ONNX Runtime" if runtimes_of(run) in ([], [DEFAULT_RUNTIME]) else "runtimes"
    commit = f", commit {header.software['commit']}" if header.software.get("commit") else ""
    lines = (
        f"Run of {header.started} with attnbench {header.attnbench}{commit};",
        f"{len(run.records)} of {len(header.cases)} cases",
        f"\n- Machine: {machine['cpu']}, {machine['cores']} cores granted, {memory},",
        f"{machine['system']}, load {machine['load']} at the start (id {machine['id']}){_limits(header.machine)}",
        f"\n- Software: Python {software['python']}, torch {software['torch']}, onnx {software['onnx']},",
        f"{_runtimes(run)}, {software['exporter']}, opset {software['opset']},",
        f"canonical pass {software['canonical_pass']}, protocol {software.get('protocol', 1)} (id {software['id']})",
        f"\n- Protocol: {protocol}",
        f"\n- Effort, unless a case asks for another: {effort}",
        f"\n- Time: building {seconds_text(spent['build'])}, checking {seconds_text(spent['lint'])},",
        f"in {runtime} {seconds_text(spent['ort'])}, process starts and the rest {seconds_text(rest)}",
    )
    return ("- " + " ".join(lines)).replace(" \n", "\n")


def _told(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Facts of a header; what an older or a mended one lacks is missing."""
    return defaultdict(lambda: MISSING, {key: value for key, value in facts.items() if value is not None})


def _runtimes(run: Run) -> str:
    """The runtimes with their versions."""
    names = dict.fromkeys((DEFAULT_RUNTIME, *(parse_spec(runtime).name for runtime in runtimes_of(run))))
    return ", ".join(f"{name} {run.header.software.get(name, MISSING)}" for name in names)


def _limits(machine: Mapping[str, Any]) -> str:
    """The container's limits, where there are any."""
    limits = machine.get("container") or {}
    cores, memory = limits.get("cores"), limits.get("memory_bytes")
    parts = [f"{cores:g} cores' worth of time" if cores else "", bytes_text(memory) if memory else ""]
    return f"; the container is limited to {' and '.join(filter(None, parts))}" if any(parts) else ""


ENTRIES = (ReportFormat(name="md", file="report.md", render=render, summary="the whole report as Markdown"),)
