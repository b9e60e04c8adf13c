"""The tables of a report: what to show of a run's rows and records, as text."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from attnbench.core.grammar import parse_size, parse_spec, parse_variant
from attnbench.core.naming import display_name, inserted_module, plain_name
from attnbench.core.records import INT8, Case, Check, NodeShare, Record, Run
from attnbench.core.units import MISSING, count, fixed, scaled, significant, with_interval
from attnbench.hosts import HOSTS, REPLACED, declared_places
from attnbench.judge.rows import Row, rows_of
from attnbench.report.table import VARIANT, WHERE, Table, places, some

BAR = 12
"""Signs of the longest bar."""


def baselines(rows: Sequence[Row]) -> Table:
    """The hosts as they are: one row a host, size and runtime."""
    runtime = places((row.case for row in rows), keys=("runtime",))
    return Table.of(
        {
            "host": row.case.host,
            "size": row.case.at,
            **runtime(row.case),
            "params (M)": scaled(row.number("params"), 1e6, 3),
            "MACs (G)": scaled(row.number("macs"), 1e9, 3),
            "activation peak (MB)": scaled(row.number("activation_peak_bytes"), 1e6, 1),
            "measured (MB)": scaled(row.number("memory_peak_bytes"), 1e6, 1),
            "weights (MB)": scaled(row.number("weight_bytes"), 1e6, 1),
            "latency median (ms)": fixed(row.number("latency_median_ms"), 1),
            "p90 (ms)": fixed(row.number("latency_p90_ms"), 1),
            "status": row.record.status,
            "NPU, whole graph": row.text("npu_verdict_graph") or MISSING,
        }
        for row in rows
        if row.case.is_baseline
    ).keyed("host", "size", "runtime", minor=("measured (MB)", "weights (MB)", "status", "activation peak (MB)", "p90 (ms)"))


def matrix(run: Run, rows: Sequence[Row], *, brief: bool = False) -> Table:
    """Places against modules, each cell the overhead in %, or why there is none; of one host and size.

    Of a ``brief`` one it stands there without its interval.
    """
    return _crossed_table(crossed(run, rows), lambda row: overhead_text(row).partition(" [" if brief else "\0")[0])


def npu_matrix(run: Run, rows: Sequence[Row]) -> Table:
    """Places against modules, each cell the target's verdict and the number of refused nodes that the module adds."""
    return _crossed_table(crossed(run, rows), npu_text)


class CrossedCases(NamedTuple):
    """Cases of one assignment by place and module, both in the order of the study's own matrices."""

    places: list[str]
    modules: list[str]
    cells: dict[tuple[str, str], Row]


def rows_at(run: Run, baseline: Case) -> list[Row]:
    """The rows of the cases of one baseline."""
    return [row for row in rows_of(run) if row.case.baseline == baseline]


def crossed(run: Run, rows: Iterable[Row]) -> CrossedCases:
    """Places against modules; the rows are of one host and size."""
    cells: dict[tuple[str, str], Row] = {}
    for row in rows:
        assignments = parse_variant(row.case.variant).assignments
        if len(assignments) == 1:
            cells["+".join(assignments[0].places), "+".join(map(str, assignments[0].modules))] = row
    tables = run.header.study.get("matrix", [])
    found = dict.fromkeys(place for place, _ in cells)
    names = dict.fromkeys(module for place in found for at, module in cells if at == place)
    places, modules = (
        _in_order(own, [name for table in tables for name in _listed(table.get(key))])
        for key, own in (("places", found), ("modules", names))
    )
    return CrossedCases(places, modules, cells)


def _crossed_table(table: CrossedCases, text: Callable[[Row], str]) -> Table:
    return Table.of(
        {"place": p, **{m: text(table.cells[p, m]) if (p, m) in table.cells else MISSING for m in table.modules}}
        for p in table.places
    )


def planes(case: Case) -> dict[str, str]:
    """A registered host's sites in the order of its entry, each with its shape; of other hosts nothing is known here."""
    known = declared_places(parse_spec(case.host)).sites if case.host.partition("[")[0] in HOSTS.names() else {}
    shapes = {site: plane.at(*parse_size(case.size)) for site, plane in known.items() if not site.endswith(REPLACED)}
    return {site: f"{plane.channels} channels, {plane.height}×{plane.width}" for site, plane in shapes.items()}


def _in_order(found: Iterable[str], first: list[str]) -> list[str]:
    """What was found, that which the study lists first in its order, the rest as it came."""
    rank = {name: index for index, name in enumerate(dict.fromkeys(first))}
    return sorted(found, key=lambda name: rank.get(name, len(rank)))


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def checklist(run: Run) -> Table:
    """The deployment checklist; cases of which it says the same share a row."""
    shared: defaultdict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    where = places(record.case for record in run.records)
    for record in run.records:
        if record.checks:
            case = " ".join((*where(record.case).values(), record.case.variant))
            shared[tuple((check.name, _check_text(check)) for check in record.checks)].append(case)
    return Table.of({"cases": some(cases, 3), **dict(checks)} for checks, cases in shared.items())


def checks(record: Record) -> Table:
    """The deployment checklist of one case, a row a check."""
    return Table.of({"check": check.name, "passed": _check_text(check)} for check in record.checks)


def _check_text(check: Check) -> str:
    if check.passed is None:
        return check.detail
    return "yes" if check.passed else f"no: {check.detail}"


def failures(rows: Sequence[Row]) -> Table:
    """Cases without figures, and why."""
    where = places((row.case for row in rows), VARIANT)
    return Table.of(
        {**where(row.case), "status": row.record.status, "reason": row.text("reason")}
        for row in rows
        if row.record.status != "ok"
    ).keyed(*WHERE)


def noted(run: Run) -> Table:
    """What else a reader should know of a case: replicates that were set aside, a check that could not be made."""
    where = places((record.case for record in run.records), VARIANT)
    return Table.of({**where(record.case), "note": note} for record in run.records for note in record.notes)


def explanation(record: Record, *, bars: bool = False) -> Table:
    """The nodes an overhead consists of, the largest first; with a bar a node, if asked for."""
    return shares_table(record.nodes, bars=bars)


def shares_table(nodes: Sequence[NodeShare], *, bars: bool = False, cycles: bool = False) -> Table:
    """Parts of an overhead, the largest first; their times are seconds, or cycles."""
    most = max((abs(node.share) for node in nodes), default=0.0)
    time = "cycles" if cycles else "time (ms)"
    return Table.of(
        {
            "site": node.site or MISSING,
            "module": inserted_module(node.node) or MISSING,
            "node": plain_name(node.node),
            "op": node.op,
            "kind": node.kind,
            time: count(node.seconds) if cycles else fixed(1e3 * node.seconds, 3),
            "overhead (%)": fixed(100 * node.share, 3),
            **({"": _bar(node.share, most)} if bars else {}),
        }
        for node in sorted(nodes, key=lambda node: -abs(node.share))
    ).keyed("node", minor=(time, "module", "site"))


def _bar(share: float, most: float) -> str:
    """A share as a bar, in eighths of a sign; what a variant saves is drawn as dots."""
    eighths = round(8 * BAR * abs(share) / most) if most else 0
    if share < 0:
        return "·" * (-(-eighths // 8))
    return "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]


def ingredients(run: Run) -> Table:
    """What the overheads of the study's own cases are made of: points by op, layout changes together, the largest first."""
    named, where = named_variants(run), places((record.case for record in run.records), VARIANT)
    return Table.of(
        {**where(record.case), "overhead in points of %, by op": _by_op(record)}
        for record in run.records
        if record.nodes and (record.case.variant in named or not named)
    ).keyed(*WHERE)


BY_KIND = {"layout": "layout changes", "unfused": "broken fusions", "changed": "broken fusions", "removed": "broken fusions"}
"""How parts of an overhead that are not the module's own are called together."""


def _by_op(record: Record, most: int = 6) -> str:
    points: defaultdict[str, float] = defaultdict(float)
    for node in record.nodes:
        points[BY_KIND.get(node.kind, node.op)] += 100 * node.share
    largest = sorted(points.items(), key=lambda item: -abs(item[1]))
    shown = [f"{op} {significant(share, 2)}" for op, share in largest[:most]]
    if rest := sum(share for _, share in largest[most:]):
        shown.append(f"the rest {significant(rest, 2)}")
    return ", ".join(shown)


def node_findings(record: Record) -> Table:
    """What each target says of each node that a variant adds (of every node, for the baseline)."""
    return Table.of(
        {
            "target": finding.target,
            "node": display_name(finding.node),
            "op": finding.op,
            "verdict": finding.level,
            "measured": finding.measured or MISSING,
            "limit": finding.limit or MISSING,
            "evidence": finding.evidence or MISSING,
            "reason": finding.reason,
            **({"substitute": finding.substitute or MISSING} if any(f.substitute for f in record.findings) else {}),
        }
        for finding in record.findings
        if finding.inserted or record.case.is_baseline
    ).keyed("target", "node", "verdict", minor=("evidence", "reason"))


def cases_table(rows: Sequence[Row]) -> Table:
    """One line a case, for a terminal."""
    where = places((row.case for row in rows), VARIANT)
    return Table.of(
        {
            **where(row.case),
            "status": row.record.status,
            "overhead (%)": overhead_text(row),
            "(ms)": fixed(row.number("overhead_ms"), 2),
            "params (+)": count(row.number("params_delta")),
            "MACs (+M)": significant(None if (macs := row.number("macs_delta")) is None else macs / 1e6),
            "peak (+MB)": scaled(row.number("activation_peak_delta_bytes"), 1e6, 1),
            "latency (ms)": fixed(row.number("latency_median_ms"), 1),
            "NPU": npu_text(row),
            "clocks": row.agreement or MISSING,
        }
        for row in rows
    ).keyed(*WHERE, minor=("status", "clocks", "latency (ms)", "peak (+MB)", "MACs (+M)", "params (+)"))


def int8(rows: Sequence[Row]) -> Table:
    """What int8 makes of each case: its overhead beside that in fp32, what it gains, and what it leaves in floats."""
    shown = [row for row in {row.case: row for row in rows}.values() if row.case.dtype == INT8]
    where = places((row.case for row in shown), VARIANT, ("host", "size"))
    sqnr = any(row.number("sqnr_db") is not None for row in shown)
    return Table.of(
        {
            **where(row.case),
            "overhead in fp32 (%)": MISSING if row.case.is_baseline or row.floats is None else overhead_text(row.floats),
            "in int8 (%)": MISSING if row.case.is_baseline else overhead_text(row),
            "faster than fp32 (times)": significant(row.number("int8_gain"), 3),
            "float ops (+)": count(row.number(f"int8_float_ops{'' if row.case.is_baseline else '_added'}")),
            "conversions (+)": count(row.number(f"int8_conversions{'' if row.case.is_baseline else '_added'}")),
            **({"SQNR (dB)": fixed(row.number("sqnr_db"), 1)} if sqnr else {}),
            "stayed float": row.text("int8_float_ops_named") or MISSING,
        }
        for row in shown
    ).keyed(*WHERE, minor=("stayed float",))


def named_variants(run: Run) -> set[str]:
    """The variants of the study's own cases."""
    return {case["variant"] for case in run.header.study.get("cases", [])}


def named_rows(run: Run, *, everything: bool = False) -> list[Row]:
    """A row a case of those that have figures of their own: the study's own cases, or all where it has none."""
    named = named_variants(run)
    rows = {row.case: row for row in rows_of(run) if not row.case.is_baseline}
    return [row for row in rows.values() if everything or not named or row.case.variant in named]


def has_overhead(row: Row) -> bool:
    """Whether the row has an overhead that may be shown."""
    told = row.record.status == "ok" and not row.text("stopped").startswith("not attributed")
    return told and row.get("overhead_pct") is not None


def overhead_text(row: Row) -> str:
    """An overhead with its interval, or the status that stands in its place."""
    if row.record.status != "ok":
        return row.record.status
    if row.text("stopped").startswith("not attributed"):
        return "not attributed"
    return interval_text(row, "overhead_pct")


def interval_text(row: Row, column: str) -> str:
    """A figure with its interval, from the column and those of its ends."""
    return with_interval(row.number(column), row.number(f"{column}_low"), row.number(f"{column}_high"))


def npu_text(row: Row) -> str:
    """The NPU verdict on what a variant adds, with the number of refused nodes."""
    refused = row.get("npu_refused_added")
    return f"{row.npu_verdict} ({refused} nodes)" if refused else row.npu_verdict or MISSING
