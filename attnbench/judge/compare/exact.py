"""Figures without noise: counts, bytes and what NPU targets say. Any difference is a change, on whatever machines.

They are read off graphs, so that another exporter, opset or canonicalising pass may change them. They are compared all the
same, and the cause says so.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from attnbench.core.records import Case, Finding, Level, Measurement, Record
from attnbench.core.units import count
from attnbench.judge.compare.match import Pair, unlike_figures
from attnbench.judge.compare.rows import ComparisonRow, Verdict
from attnbench.judge.verdicts import VERDICTS, npu_verdict, own_findings

NPU, NPU_OPS, NODES = "npu", "npu_ops", "nodes"

HARM: tuple[Level, ...] = ("refused", "fallback", "unknown", "efficiency", "constrained")
"""Levels of findings that a graph had better have fewer of, the worst first."""

FindingKind = tuple[str, Level, str]
"""Op, level and rule."""


def exact_rows(pair: Pair) -> Iterator[ComparisonRow]:
    """A row for each exact measurement of a case, its number of nodes, and each target's findings."""
    before, after = _measured(pair.before), _measured(pair.after)
    for metric in dict.fromkeys((*before, *after)):
        yield from _exact(pair.case, metric, before.get(metric), after.get(metric))
    one, two = own_findings(pair.before), own_findings(pair.after)
    for target in dict.fromkeys((*one, *two)):
        if target in one and target in two:
            yield from _npu(pair.case, target, one[target], two[target])
        else:
            side = "NEW" if target in one else "BASE"
            yield ComparisonRow(pair.case, f"{NPU}@{target}", "incomparable", f"{side} was not checked against {target}")
    if common := one.keys() & two.keys():
        target = min(common)
        yield _compared(pair.case, NODES, len(one[target]), len(two[target]), "1", "lower")


def _measured(record: Record) -> dict[str, Measurement]:
    return {m.metric: m for m in record.measurements if m.exact and m.better != "neither"}


def _exact(case: Case, metric: str, before: Measurement | None, after: Measurement | None) -> Iterator[ComparisonRow]:
    """The row of a metric that either record has; none where both only say that it could not be counted."""
    one, two = _finite(before), _finite(after)
    known = after or before
    if known is None or (one is None and two is None):
        return
    if one is None or two is None:
        why = f"not counted in {'BASE' if one is None else 'NEW'}"
        yield ComparisonRow(case, metric, "incomparable", why, one, two, known.unit)
    elif before and after and (other := unlike_figures(before, after)):
        yield ComparisonRow(case, metric, "incomparable", other, one, two)
    else:
        yield _compared(case, metric, one, two, known.unit, known.better)


def _finite(measured: Measurement | None) -> float | None:
    """The value, where there is one that can be compared: of two that are no numbers neither is the better."""
    value = measured.value if measured else None
    return None if value is None or not math.isfinite(value) else value


def _compared(case: Case, metric: str, before: float, after: float, unit: str, better: str) -> ComparisonRow:
    if before == after:
        return ComparisonRow(case, metric, "same", "equal", before, after, unit, 0)
    rose = after > before
    verdict: Verdict = "better" if rose == (better == "higher") else "worse"
    return ComparisonRow(case, metric, verdict, f"exact: {'more' if rose else 'less'}", before, after, unit, after - before)


def _npu(case: Case, target: str, one: list[Finding], two: list[Finding]) -> Iterator[ComparisonRow]:
    """What became of a target's verdict, and of its findings; these may change without being better or worse."""
    before, after = npu_verdict(one), npu_verdict(two)
    whys = ("equal", "the target says worse", "the target says better")
    yield ComparisonRow(
        case, f"{NPU}@{target}", *_ranked(VERDICTS.index(before), VERDICTS.index(after), whys), before, after
    )
    levels, other_levels = (Counter(f.level for f in found) for found in (one, two))
    moved = "" if one == two else _moved(*(Counter((f.op, f.level, f.rule) for f in found) for found in (one, two)))
    harm, other_harm = ([-counted[level] for level in HARM] for counted in (levels, other_levels))
    verdict, why = _ranked(harm, other_harm, (f"equal in levels: {moved}" if moved else "equal", moved, moved))
    yield ComparisonRow(case, f"{NPU_OPS}@{target}", verdict, why, _levels_text(levels), _levels_text(other_levels))


def _ranked(before: Any, after: Any, whys: tuple[str, str, str]) -> tuple[Verdict, str]:
    """A verdict with its reason, those for equal, worse and better being given; of two ranks the greater is the better."""
    if after == before:
        return "same", whys[0]
    return ("worse", whys[1]) if after < before else ("better", whys[2])


def _moved(before: Counter[FindingKind], after: Counter[FindingKind]) -> str:
    """What a multiset of findings gained and lost; empty where it is the same."""
    parts = []
    for word, found in (("more", after - before), ("fewer", before - after)):
        named = ", ".join(f"{count(n)} {op} {level} ({rule})" for (op, level, rule), n in sorted(found.items()))
        if named:
            parts.append(f"{word}: {named}")
    return "; ".join(parts)


def _levels_text(levels: Counter[Level]) -> str:
    return ", ".join(f"{count(levels[level])} {level}" for level in (*HARM, "supported") if levels[level]) or "no nodes"
