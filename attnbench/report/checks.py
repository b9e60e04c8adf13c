"""What a check found, for a reader: the verdict, the causes, every node, and ops against targets."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from msgspec import structs

from attnbench.core.naming import display_name
from attnbench.core.records import LEVELS, Level
from attnbench.core.units import MISSING, count, counted, fixed, percent
from attnbench.judge.verdicts import npu_verdict
from attnbench.npu.check import CheckCause, Checked, IntegerPart
from attnbench.report.answer import Figure, json_text
from attnbench.report.table import Table, some

CHECK_SCHEMA = 1
"""Of ``check --format json``; keys are only ever added."""

SHARED = ("level", "reason", "limit", "rule", "evidence", "source", "composite", "device", "substitute", "dtype")
"""What the nodes of a cause have in common, in the JSON."""

SHARES = {"nodes": "nodes", "macs": "MACs", "params": "params"}
WORDS = {"supported": "supported", "constrained": "with constraint", "efficiency": "inefficient"}
"""How levels are called in tables where their own name says too little."""


def summary(checked: Checked) -> Table:
    """How much of a model has which level, in nodes, MACs and parameters."""
    nodes = [node.finding.level for node in checked.nodes]
    return Table.of(
        {
            "level": WORDS.get(level, level),
            "nodes": count(nodes.count(level)),
            **{f"{name} (%)": fixed(percent(checked.share(level, of)), 1) for of, name in SHARES.items()},
        }
        for level in LEVELS
        if level in nodes
    )


def answer(all_checked: Sequence[Checked]) -> str:
    """On how many targets a model runs as it is, and what the others say; of one alone what that says."""
    first, said = all_checked[0], Counter(npu_verdict(one.findings) for one in all_checked)
    if len(all_checked) == 1:
        return f"{first.model} on {first.target.name}: {npu_verdict(first.findings)}; {_cut(first)}."
    told = [f"{said[verdict]} {words}" for verdict, words in ELSEWHERE.items() if said[verdict]]
    runs = f"runs as it is on {said['ok']} of {len(all_checked)} targets"
    return "; ".join((f"{first.model} {runs}", *told)) + "."


ELSEWHERE = {
    "ok with constraint": "with a constraint",
    "unknown": "unknown",
    "fallback": "with a part on another device",
    "refused": "refused",
}
"""How targets that do not run a model as it is are summed up, by their verdict."""


def headline(checked: Checked) -> str:
    """What the target says of the whole, how the graph would be cut up, and where its rules were read."""
    target = checked.target
    about = f"{target.title}; version {target.version}; {target.date}"
    return f"{answer([checked])} {about}. Rules restated from: {target.source}."


def by_model(all_checked: Sequence[Checked]) -> list[list[Checked]]:
    """What was checked of each model, in the order in which they come."""
    names = dict.fromkeys(one.model for one in all_checked)
    return [[one for one in all_checked if one.model == name] for name in names]


def by_target(all_checked: Sequence[Checked]) -> Table:
    """A row a target: its verdict, how the graph would be cut up, and the ops that do not run there as they are."""
    return Table.of(
        {
            "target": one.target.name,
            "verdict": npu_verdict(one.findings),
            "islands": count(one.cut.islands),
            "crossings": count(one.cut.crossings),
            "in the way": "; ".join(_ops(one)) or MISSING,
        }
        for one in all_checked
    ).keyed("target", "verdict", minor=("crossings",))


def _ops(checked: Checked) -> Iterator[str]:
    """By level, the worst first, the ops that are not simply supported; an op stands at its worst."""
    worst: dict[str, Level] = {}
    for node in checked.nodes:
        op, level = node.finding.op, node.finding.level
        worst[op] = max(worst.get(op, level), level, key=LEVELS.index)
    for level in reversed(LEVELS[1:]):
        if ops := sorted(op for op, found in worst.items() if found == level):
            yield f"{WORDS.get(level, level)} ({' '.join(ops)})"


def _cut(checked: Checked) -> str:
    """How the graph would be cut up, and what of it computes in integers."""
    (islands, crossings), other = (
        (counted(cut.islands, "island"), counted(cut.crossings, "crossing"))
        for cut in (checked.cut, checked.cut_if_unknown_runs)
    )
    parts = f"{islands} on the NPU, {crossings}"
    if (islands, crossings) != other:
        parts += f" ({' and '.join(other)} if all unknown ops run there)"
    if checked.precision is not None:
        parts += f"; {precision(checked.precision)}"
    return parts


def precision(found: IntegerPart) -> str:
    """How much of a quantised network computes in integers, and what stayed float."""
    total = found.quantised + sum(found.stayed_float.values())
    text = f"{found.form}: {counted(found.quantised, 'node')} of {total} in integers"
    if not found.stayed_float:
        return text
    ops = ", ".join(f"{number} {op}" for op, number in found.stayed_float.items())
    floats, conversions = sum(found.stayed_float.values()), counted(found.conversions, "conversion")
    return f"{text}, {floats} stayed float ({ops}), {conversions} between"


def level_text(cause: CheckCause) -> str:
    """What becomes of a cause's nodes, in a word, and on which device where that is another."""
    level, device = cause.finding.level, cause.finding.device
    return f"{level} to {device}" if device else WORDS.get(level, level)


def ops_text(cause: CheckCause) -> str:
    """A cause's ops, and what they were read as together."""
    composite = cause.finding.composite
    return ", ".join(cause.ops) + (f" (as {composite})" if composite else "")


def causes(found: Iterable[CheckCause]) -> Table:
    """One row a cause, the worst first: what, how often, what was measured, what the limit is, why, and on whose word."""
    found = list(found)
    typed = any(cause.finding.dtype for cause in found)
    return Table.of(
        {
            "level": level_text(cause),
            "op": ops_text(cause),
            **({"dtype": cause.finding.dtype or MISSING} if typed else {}),
            "nodes": count(len(cause.nodes)),
            "MACs": count(cause.macs) if cause.macs else MISSING,
            "measured": some(cause.measured, 3) or MISSING,
            "limit": cause.finding.limit or MISSING,
            "why": cause.finding.reason,
            "substitute": cause.finding.substitute or MISSING,
            "first node": display_name(cause.nodes[0]),
            "evidence": cause.finding.evidence or MISSING,
            "source": cause.finding.source,
        }
        for cause in found
    ).keyed("level", "op", minor=("source", "evidence", "first node", "MACs"))


def nodes(checked: Checked) -> Table:
    """Every node with its level, what was measured and what the limit is."""
    return Table.of(
        {
            "node": display_name(node.finding.node),
            "op": node.finding.op,
            **({"dtype": node.finding.dtype or MISSING} if checked.precision else {}),
            "part of": node.finding.composite or MISSING,
            "level": node.finding.level,
            "measured": node.finding.measured or MISSING,
            "limit": node.finding.limit or MISSING,
            "MACs": MISSING if node.macs is None else count(node.macs),
            "params": count(node.params),
            "rule": node.finding.rule,
            "why": node.finding.reason,
        }
        for node in checked.nodes
    ).keyed("node", "op", "level", minor=("params", "MACs", "part of", "rule"))


def verdicts(all_checked: Sequence[Checked]) -> Table:
    """Models against targets, each cell the verdict and the islands that the graph would be cut into."""
    rows: dict[str, dict[str, str]] = {}
    for one in all_checked:
        cell = f"{npu_verdict(one.findings)} ({counted(one.cut.islands, 'island')})"
        rows.setdefault(one.model, {"model": one.model})[one.target.name] = cell
    return Table.of(rows.values())


def matrix(all_checked: Sequence[Checked]) -> Table:
    """Ops against targets: the worst level, and how many of the op's nodes have it where not all do; first the verdicts."""
    ops = sorted({node.finding.op for checked in all_checked for node in checked.nodes})
    rows: list[dict[str, str]] = [
        {"op": "verdict", **{checked.target.name: npu_verdict(checked.findings) for checked in all_checked}},
        {"op": "islands", **{checked.target.name: count(checked.cut.islands) for checked in all_checked}},
    ]
    for op in ops:
        cells = {}
        for checked in all_checked:
            seen: list[str] = [node.finding.level for node in checked.nodes if node.finding.op == op]
            worst = max(seen, key=list[str](LEVELS).index, default="")
            number = seen.count(worst) if worst else 0
            cells[checked.target.name] = f"{WORDS.get(worst, worst)}{f' {number}/{len(seen)}' if number < len(seen) else ''}"
        rows.append({"op": op, **cells})
    return Table.of(rows)


def as_json(all_checked: Sequence[Checked], found: Sequence[Sequence[CheckCause]]) -> str:
    """Everything a program needs, one object a target."""
    checks = [_plain(checked, groups) for checked, groups in zip(all_checked, found, strict=True)]
    return json_text({"schema": CHECK_SCHEMA, "checks": checks})


def _plain(checked: Checked, groups: Sequence[CheckCause]) -> dict[str, Any]:
    levels = {node.finding.level for node in checked.nodes}
    head = {
        key: value for key, value in structs.asdict(checked.target).items() if key not in ("rules", "quantised", "beyond")
    }
    return {
        "model": checked.model,
        "target": head,
        "verdict": npu_verdict(checked.findings),
        "shares": {level: {of: checked.share(level, of) for of in SHARES} for level in sorted(levels)},
        "cut": asdict(checked.cut),
        "cut_if_unknown_runs": asdict(checked.cut_if_unknown_runs),
        **({"precision": asdict(checked.precision)} if checked.precision else {}),
        "causes": list(map(_cause, groups)),
        "nodes": [{**asdict(node.finding), "macs": node.macs, "params": node.params} for node in checked.nodes],
    }


def _cause(cause: CheckCause) -> dict[str, Any]:
    shared = {name: getattr(cause.finding, name) for name in SHARED}
    return {**shared, **{name: value for name, value in asdict(cause).items() if name != "finding"}}


def as_page(all_checked: Sequence[Checked], found: Sequence[Sequence[CheckCause]]) -> str:
    """The verdicts as one page for a browser: what each target takes, the causes, and every node. It needs the extra."""
    from attnbench.report.charts.changes import levels  # noqa: PLC0415  charts are for a page alone
    from attnbench.report.charts.drawing import required  # noqa: PLC0415
    from attnbench.report.page import Listing, Page, PagePart  # noqa: PLC0415

    required("--format html")
    models = by_model(all_checked)
    several = len(all_checked) > len(models)
    first = [
        listing
        for own in models
        if several
        for listing in (
            Listing(f"Targets, {own[0].model}", by_target(own)),
            Listing(f"Ops by target, {own[0].model}", matrix(own), closed=True, tools=True),
        )
    ]
    parts = [PagePart("In short", figures=[Figure(levels(all_checked))], listings=first)]
    for checked, groups in zip(all_checked, found, strict=True):
        listings = (
            Listing(f"How much has which level, {checked.target.name}", summary(checked)),
            Listing(f"Findings by cause, {checked.target.name}", causes(groups)),
            Listing(f"Every node, {checked.target.name}", nodes(checked), closed=several, tools=True),
        )
        title = checked.target.name if len(models) == 1 else f"{checked.model} on {checked.target.name}"
        parts.append(PagePart(title, [headline(checked)], listings=listings))
    return Page(" and ".join(own[0].model for own in models[:3]), parts=parts, headline=" ".join(map(answer, models))).html()
