"""What profiles taken elsewhere come to: the overhead, what it is made of, and what they do not say."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from attnbench.core.records import NodeShare
from attnbench.core.units import count, counted, fixed, percent, with_interval
from attnbench.measure.elsewhere import Elsewhere
from attnbench.report.answer import Answer
from attnbench.report.table import Table
from attnbench.report.tables import shares_table

SCHEMA = 1
"""Of the JSON; keys are only ever added."""

COLUMNS = ("site", "node", "op", "kind", "time", "unit", "overhead_pct")
KINDS = {
    "added": "the module's own layers",
    "layout": "changes of layout around it",
    "unfused": "the host's own layers without a counterpart",
    "changed": "the host's layers that hold other nodes than before",
    "removed": "layers of the baseline without a counterpart",
}


def answer(found: Elsewhere, tool: str, names: tuple[str, str]) -> Answer:
    """The overhead in a sentence, its parts by kind and one by one; every part; and all of it as a document."""
    nodes = () if found.shown.reason else found.shown.nodes
    rows = [_row(node, found) for node in sorted(nodes, key=lambda one: -abs(one.share))]
    sections = (
        ("What it is made of", _by_kind(nodes)),
        ("Layer by layer", shares_table(nodes, bars=sys.stdout.isatty(), cycles=found.unit == "cycles")),
    )
    notes = tuple(_notes(found, tool))
    return Answer(sections, COLUMNS, rows, _document(found, tool, names, rows), _title(names), notes, headline=notes[:1])


def _title(names: tuple[str, str]) -> str:
    return f"{names[1]} over {names[0]}"


def _notes(found: Elsewhere, tool: str) -> Iterator[str]:
    if found.shown.reason:
        yield f"not attributed: {found.shown.reason}"
    else:
        one = found.estimate
        figure = "" if one.low is None else with_interval(percent(one.value), percent(one.low), percent(one.high))
        yield f"overhead {figure or fixed(percent(one.value), 3)} % of the baseline's time, by {tool}"
        if not figure:
            yield "one pair of profiles has no interval: give more pairs, each of two fresh processes"
        else:
            yield f"mean of {counted(len(found.overheads), 'pair')}; the parts are those of the one nearest to it"
        yield f"{found.shown.aligned:.1%} of the baseline's time has a counterpart in the variant"
    before, after = (_time(seconds, found) for seconds in found.seconds)
    yield f"the layers' times come to {before} in the baseline, {after} in the variant"
    yield from found.untold


def _time(value: float, found: Elsewhere) -> str:
    return f"{count(value)} cycles" if found.unit == "cycles" else f"{fixed(1e3 * value, 3)} ms"


def _by_kind(nodes: tuple[NodeShare, ...]) -> Table:
    parts: defaultdict[str, list[NodeShare]] = defaultdict(list)
    for node in nodes:
        parts[node.kind].append(node)
    return Table.of(
        {
            "kind": kind,
            "what": what,
            "layers": count(len(parts[kind])),
            "overhead (%)": fixed(percent(sum(node.share for node in parts[kind])), 3),
        }
        for kind, what in KINDS.items()
        if kind in parts
    )


def _row(node: NodeShare, found: Elsewhere) -> dict[str, Any]:
    told = {"site": node.site, "node": node.node, "op": node.op, "kind": node.kind}
    return {**told, "time": node.seconds, "unit": found.unit, "overhead_pct": percent(node.share)}


def _document(found: Elsewhere, tool: str, names: tuple[str, str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    told = not found.shown.reason
    return {
        "schema": SCHEMA,
        "baseline": names[0],
        "variant": names[1],
        "tool": tool,
        "overhead_pct": percent(found.estimate.value) if told else None,
        "overhead_pct_low": percent(found.estimate.low) if told else None,
        "overhead_pct_high": percent(found.estimate.high) if told else None,
        "overheads_pct": [percent(one) for one in found.overheads] if told else [],
        "reason": found.shown.reason,
        "aligned": found.shown.aligned if told else None,
        "unit": found.unit,
        "baseline_time": found.seconds[0],
        "variant_time": found.seconds[1],
        "layers": rows,
        "untold": list(found.untold),
    }
