"""Figures without noise: counts, bytes and what NPU targets say. Any difference is a change, on whatever machines.

They are read off graphs, so that another exporter, opset or canonicalising pass may change them. They are compared all the
same, and the cause says so.
"""

from collections import Counter
from collections.abc import Iterator

from attnbench.core.records import Case, Finding, Measurement, Record
from attnbench.core.units import count
from attnbench.judge.compare.match import Pair
from attnbench.judge.compare.rows import BETTER, INCOMPARABLE, SAME, WORSE, Row, Verdict
from attnbench.judge.verdicts import VERDICTS, npu_verdict

NPU, NPU_OPS, NODES = "npu", "npu_ops", "nodes"

HARM = ("refused", "fallback", "unknown", "efficiency", "constrained")
"""Levels of findings that a graph had better have fewer of, the worst first."""

Kind = tuple[str, str, str]
"""Of a finding: the op, the level and the rule."""


def exact_rows(pair: Pair) -> Iterator[Row]:
    """A row for each exact measurement of a case, its number of nodes, and each target's findings."""
    before, after = _measured(pair.before), _measured(pair.after)
    for metric in dict.fromkeys((*before, *after)):
        yield from _exact(pair.case, metric, before.get(metric), after.get(metric))
    one, two = _findings(pair.before), _findings(pair.after)
    for target in dict.fromkeys((*one, *two)):
        if target in one and target in two:
            yield from _npu(pair.case, target, one[target], two[target])
        else:
            side = "NEW" if target in one else "BASE"
            yield Row(pair.case, f"{NPU}@{target}", INCOMPARABLE, f"{side} was not checked against {target}")
    if common := one.keys() & two.keys():
        target = min(common)
        yield _compared(pair.case, NODES, len(one[target]), len(two[target]), "1", "lower")


def _measured(record: Record) -> dict[str, Measurement]:
    return {m.metric: m for m in record.measurements if m.exact and m.better != "neither"}


def _exact(case: Case, metric: str, before: Measurement | None, after: Measurement | None) -> Iterator[Row]:
    """The row of a metric that either record holds; none where both only say that it could not be counted."""
    one, two = before.value if before else None, after.value if after else None
    held = after or before
    if held is None or (one is None and two is None):
        return
    if one is None or two is None:
        yield Row(case, metric, INCOMPARABLE, f"not counted in {'BASE' if one is None else 'NEW'}", one, two, held.unit)
    else:
        yield _compared(case, metric, one, two, held.unit, held.better)


def _compared(case: Case, metric: str, before: float, after: float, unit: str, better: str) -> Row:
    if before == after:
        return Row(case, metric, SAME, "equal", before, after, unit, 0)
    rose = after > before
    verdict: Verdict = BETTER if rose == (better == "higher") else WORSE
    return Row(case, metric, verdict, "exact: more" if rose else "exact: less", before, after, unit, after - before)


def _findings(record: Record) -> dict[str, list[Finding]]:
    """By target the findings on a variant's own nodes, which may be none; on all nodes for the host alone."""
    found: dict[str, list[Finding]] = {}
    for finding in record.findings:
        own = found.setdefault(finding.target, [])
        if finding.inserted or record.case.is_baseline:
            own.append(finding)
    return found


def _npu(case: Case, target: str, one: list[Finding], two: list[Finding]) -> Iterator[Row]:
    before, after = npu_verdict(one), npu_verdict(two)
    verdict, why = _ranked([_rank(before)], [_rank(after)], ("equal", "the target says worse", "the target says better"))
    yield Row(case, f"{NPU}@{target}", verdict, why, before, after)
    yield _ops_row(case, f"{NPU_OPS}@{target}", _kinds(one), _kinds(two))


def _ops_row(case: Case, metric: str, one: Counter[Kind], two: Counter[Kind]) -> Row:
    """What the multiset of a target's findings became; it may change without being better or worse."""
    text = _levels_text(one)
    if one == two:
        return Row(case, metric, SAME, "equal", text, text)
    moved = _moved(one, two)
    verdict, why = _ranked(_harm(one), _harm(two), (f"equal in levels: {moved}", moved, moved))
    return Row(case, metric, verdict, why, text, _levels_text(two))


def _rank(word: str) -> int:
    """How good an NPU verdict is: 0 for the worst."""
    return VERDICTS.index(word)


def _harm(found: Counter[Kind]) -> list[int]:
    """The nodes at each level that a graph had better have fewer of, as negative numbers: the greater, the better."""
    return [-sum(number for kind, number in found.items() if kind[1] == level) for level in HARM]


def _ranked(before: list[int], after: list[int], whys: tuple[str, str, str]) -> tuple[Verdict, str]:
    """A verdict with its reason, one for each outcome; of two lists the greater, by its first difference, is the better."""
    if after == before:
        return SAME, whys[0]
    return (WORSE, whys[1]) if after < before else (BETTER, whys[2])


def _kinds(findings: list[Finding]) -> Counter[Kind]:
    return Counter((finding.op, finding.level, finding.rule) for finding in findings)


def _moved(before: Counter[Kind], after: Counter[Kind]) -> str:
    """What a multiset of findings gained and lost."""
    parts = []
    for word, found in (("more", after - before), ("fewer", before - after)):
        named = ", ".join(f"{count(n)} {op} {level} ({rule})" for (op, level, rule), n in sorted(found.items()))
        if named:
            parts.append(f"{word}: {named}")
    return "; ".join(parts)


def _levels_text(found: Counter[Kind]) -> str:
    levels: Counter[str] = Counter()
    for (_, level, _), number in found.items():
        levels[level] += number
    return ", ".join(f"{count(levels[level])} {level}" for level in (*HARM, "supported") if levels[level]) or "no nodes"
