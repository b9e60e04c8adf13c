"""The page of a run: the answer first, then where it costs, how sure that is, why, what to take, and all behind it."""

from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

from attnbench.core.errors import InputError
from attnbench.core.grammar import parse_variant
from attnbench.core.records import Case, Run
from attnbench.core.units import MISSING, count, counted, fixed, significant
from attnbench.hosts import HostReference, declared_placements, resolve_place
from attnbench.judge.recommend import Recommendation, Requirements, recommend
from attnbench.judge.rows import Row, rows_of
from attnbench.report import claims, markdown, outcome, recommendation, tables, trust
from attnbench.report.answer import Figure
from attnbench.report.charts import bars, choices, heatmap
from attnbench.report.charts.theme import Draw, Spec
from attnbench.report.page import Chain, ChainSite, Listing, Page, PagePart, SiteCost, Tile
from attnbench.report.parts import RunPart, parts_of
from attnbench.report.recommendation import of_part
from attnbench.report.table import Section, Table

BESIDE = ("host", "size", "priority", "place", "module", "claimed", "time overhead (%)", "claim", "NPU")
"""The columns of the priority matrix that come first."""

LONG = 25
"""Rows from which a table is folded, and may be filtered."""

BEST = 6
"""Variants that the short answer recommends at most; the whole ranking follows further down."""

DETAILS = (("What the overhead is made of", tables.explanation), ("What the targets say of each node", tables.node_findings),
           ("Deployment checklist", tables.checks))  # fmt: skip


def page_of(run: Run) -> Page:
    """The page of a run."""
    rows = rows_of(run)
    anchors = {record.case: f"case-{at}" for at, record in enumerate(run.records)}
    details = {
        anchors[record.case]: (
            record.case.label,
            [("Why there are no figures", Table.of([{"status": record.status, "reason": str(record.failure)}]))]
            if record.failure
            else [(title, table) for title, make in DETAILS if (table := make(record))],
        )
        for record in run.records
    }
    return Page(run.header.title, [outcome.setting(run)], list(_tiles(run, rows)), list(_parts(run, rows, anchors)), details)


def _parts(run: Run, rows: Sequence[Row], anchors: Mapping[Case, str]) -> Iterator[PagePart]:
    told = {row.case.baseline for row in rows}
    groups = [part for part in parts_of(run) if part.baseline in told]
    behind = {section.title: section for section in markdown.tables_of(run)}
    if groups:
        chosen = recommend(run, Requirements())
        yield _short(run, chosen)
        yield _where(rows, groups, anchors, behind)
        yield _sure(run, groups, behind)
        points = Listing("The same in points, by op", behind["Where the time goes"].table, closed=True)
        yield PagePart("Where the time goes", figures=_drawn(bars.decomposition, groups), listings=[points])
        yield _take(chosen, groups)
        yield _npu(run, [group for group in groups if group.baseline.runtime == groups[0].baseline.runtime], behind)
        yield _all(rows, anchors, behind)
    yield _how(run, behind)


def _tiles(run: Run, rows: Sequence[Row]) -> Iterator[Tile]:
    """The few figures to know before all others."""
    for row in {row.case: row for row in rows if row.case.is_baseline}.values():
        latency, where = row.number("latency_median_ms"), row.case.where
        if latency is not None:
            yield Tile(f"{fixed(latency, 1)} ms", "the host alone", where)
    floors = {floor["critical value (points)"]: floor for floor in trust.floors(run).records()}
    for figure, floor in floors.items():
        apart = f"two are told apart from {floor['critical difference (points)']} points on"
        yield Tile(f"{figure} %", "the least overhead told from 0", apart)
    timed = sorted((row for row in rows if tables.has_overhead(row)), key=lambda row: row.number("overhead_pct") or 0.0)
    if timed:
        ends = [significant(row.number("overhead_pct"), 2) for row in (timed[0], timed[-1])]
        yield Tile(f"{ends[0]} – {ends[1]} %", "overheads, the least and the most",
                   f"{timed[0].case.variant} and {timed[-1].case.variant}")  # fmt: skip
    lacking = sum(record.status != "ok" for record in run.records)
    yield Tile(
        count(len(run.records) - lacking), "cases with figures", f"{counted(lacking, 'case')} without" if lacking else ""
    )


def _short(run: Run, chosen: Recommendation) -> PagePart:
    """The study's own question with its verdicts, and what is left under the target."""
    ranking = recommendation.ranking(chosen)
    best = Table(ranking.columns, tuple(row for row, one in zip(ranking.rows, chosen.left, strict=True)
                                        if one.on_front)[:BEST])  # fmt: skip
    listings = (
        Listing("Priorities: what was claimed, and what was measured", _verdicts_first(claims.priorities(run))),
        Listing("Cheapest on the Pareto front", best, note=" ".join(chosen.notes[:2])),
    )
    return PagePart("In short", list(outcome.found(run)), listings=listings)


def _verdicts_first(table: Table) -> Table:
    """The matrix with the verdicts beside the claims and the overhead: the rest may be cut off on a small screen."""
    first = [name for name in BESIDE if name in table.columns]
    order = [table.columns.index(name) for name in (*first, *(n for n in table.columns if n not in first))]
    columns, *rows = (tuple(row[at] for at in order) for row in (table.columns, *table.rows))
    return Table(columns, tuple(rows))


def _where(
    rows: Sequence[Row],
    groups: Sequence[RunPart],
    anchors: Mapping[Case, str],
    behind: Mapping[str, Section],
) -> PagePart:
    links = {case: f"#{anchor}" for case, anchor in anchors.items()}
    tabled = [(group, behind[f"Overhead in % of {group.baseline.where}"].table) for group in groups]
    maps = [Figure(heatmap.heatmap(*group, links), table) for group, table in tabled if table]
    chains = [chain for group in groups if (chain := _chain(rows, group, anchors)).sites]
    return PagePart("Where it costs", figures=maps, chains=chains, listings=_listings(behind, "Runtimes side by side"))


def _sure(run: Run, groups: Sequence[RunPart], behind: Mapping[str, Section]) -> PagePart:
    """Intervals, the floor and claims; then all cases by size, where the study has some of its own that are shown first."""
    own, every = _drawn(bars.overheads, groups), _drawn(partial(bars.overheads, everything=True), groups)
    return PagePart(
        "How sure that is",
        figures=[*own, *every] if tables.named_variants(run) else every,
        listings=_listings(
            behind,
            "Claims",
            "Stages",
            "What this run tells apart",
            "Attribution against the clock, many cases in one graph",
        ),
    )


def _take(chosen: Recommendation, groups: Sequence[RunPart]) -> PagePart:
    specs = [choices.pareto(of_part(chosen, group), group.baseline) for group in groups]
    figures = [Figure(spec) for spec in specs if _filled(spec)]
    left, fallen = recommendation.ranking(chosen), recommendation.fell_out(chosen)
    return PagePart("What to take", chosen.notes, figures,
                listings=(Listing(recommendation.LEFT, left, tools=True, closed=len(left.rows) > 20),
                          Listing(recommendation.FALLEN, fallen, tools=True, closed=len(fallen.rows) > 20)))  # fmt: skip


def _npu(run: Run, groups: Sequence[RunPart], behind: Mapping[str, Section]) -> PagePart:
    several = len(run.header.study.get("targets", ())) > 1
    figures = [
        Figure(
            spec,
            Table() if several else tables.npu_matrix(group.run, tables.rows_at(*group)),
        )
        for group in groups
        if _filled(spec := choices.npu(*group))
    ]
    titles = ("Modules by NPU target, in cases", "Ops that are refused or unknown, by module",
              "Ops on which two profiles of a vendor differ", "Deployment checklist")  # fmt: skip
    return PagePart("What the NPU says", figures=figures, listings=_listings(behind, *titles))


def _all(rows: Sequence[Row], anchors: Mapping[Case, str], behind: Mapping[str, Section]) -> PagePart:
    table = tables.cases_table(rows)
    if len({row.target for row in rows}) > 1:
        targets = tuple(row.target for row in rows)
        table = Table(
            (*table.columns, "target"), tuple((*cells, target) for cells, target in zip(table.rows, targets, strict=True))
        )
    first = {row.case: at for at, row in reversed(list(enumerate(rows)))}
    marks = [anchors[row.case] if first[row.case] == at else "" for at, row in enumerate(rows)]
    listings = (
        *_listings(behind, "Baseline"),
        Listing(
            "Every case",
            table,
            "A click on a column's name sorts. A click on a variant opens what it is made of, node by node.",
            marks,
            tools=True,
        ),
        *_listings(behind, "Memory of one inference", "Latency and the deadline", "Latency by threads", closed=True),
        *_listings(behind, "Cases without figures"),
    )
    return PagePart("All cases", listings=listings)


def _how(run: Run, behind: Mapping[str, Section]) -> PagePart:
    lines = [line.removeprefix("- ") for line in markdown.machine_text(run).splitlines()]
    rest = ("Cases whose interval is wider than asked", "Cases whose two clocks disagree", "Cases that shared their core",
            "Notes on cases", "Terms")  # fmt: skip
    return PagePart("How it was measured", lines, listings=_listings(behind, *rest))


def _listings(behind: Mapping[str, Section], *titles: str, closed: bool = False) -> list[Listing]:
    """Tables of the Markdown report by their titles; long ones are folded, and others where that is asked."""
    found = [behind[title] for title in titles if title in behind and behind[title].table]
    return [
        Listing(one.title, one.table, one.paragraph, closed=closed or long, tools=long)
        for one in found
        for long in [len(one.table.rows) > LONG]
    ]


def _drawn(draw: Draw, groups: Sequence[RunPart]) -> list[Figure]:
    return [Figure(spec) for group in groups if _filled(spec := draw(*group))]


def _filled(spec: Spec) -> bool:
    return bool(spec["data"]["values"])


def _chain(rows: Sequence[Row], part: RunPart, anchors: Mapping[Case, str]) -> Chain:
    """The host's sites in the order of the network, each with what stands there and what that costs, the cheapest first.

    A placement's cost stands at each of its sites, as that of all of them.
    """
    sites: dict[str, dict[str, SiteCost]] = {}
    host, planes = part.baseline.host, tables.planes(part.baseline)
    for row in (one for one in rows if one.case.baseline == part.baseline):
        assignments = parse_variant(row.case.variant).assignments
        for place in assignments[0].places if len(assignments) == 1 else ():
            try:
                found = resolve_place(place, planes, declared_placements(HostReference(host)), host) if planes else [place]
            except InputError:
                found = [place]
            note = f"{place}, {len(found)} sites" if len(found) > 1 else ""
            if len(assignments[0].places) > 1:
                note = "+".join(assignments[0].places)
            module = "+".join(map(str, assignments[0].modules))
            for site in found:
                sites.setdefault(site, {})[anchors[row.case]] = _cost(row, module, anchors[row.case], note)
    order = [*planes, *(site for site in sites if site not in planes)] if planes else list(sites)
    shown: list[ChainSite] = []
    for bare, names in groupby(order, key=lambda site: site not in sites):
        listed = list(names)
        if bare and len(listed) > 2:
            shown.append(ChainSite(f"{len(listed)} sites without a case", f"{listed[0]} to {listed[-1]}"))
            continue
        for site in listed:
            costly = sorted(sites.get(site, {}).values(), key=lambda cost: (bool(cost.note), cost.step is None, cost.order))
            shown.append(ChainSite(site, planes.get(site, ""), costly))
    return Chain(f"{part.baseline.where}, site by site, what stands there and what it costs", shown if sites else ())


def _cost(row: Row, module: str, anchor: str, note: str) -> SiteCost:
    value = row.number("overhead_pct") if tables.has_overhead(row) else None
    text = tables.overhead_text(row) if value is None else f"{significant(value, 2)} %"
    return SiteCost(module, MISSING if text == "" else text, None if value is None else bisect(heatmap.EDGES, value), anchor,
                    note, float("inf") if value is None else value)  # fmt: skip
