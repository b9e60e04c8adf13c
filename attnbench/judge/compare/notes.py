"""What a reader must know before the tables: what was compared with what, what came of it, and what it rests on."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from statistics import median
from typing import TYPE_CHECKING, Final

from attnbench.core.records import Run
from attnbench.core.statistics import median_interval
from attnbench.core.units import count, counted, fixed, significant
from attnbench.judge.compare.match import unlike
from attnbench.judge.compare.noisy import LATENCY, OVERHEAD
from attnbench.judge.compare.rows import CASE, COMPARED, ComparisonRow
from attnbench.judge.verdicts import CROWDED
from attnbench.runs.store import finished

if TYPE_CHECKING:
    from attnbench.judge.compare import Comparison

SHIFT, SHIFT_CASES = 1.05, 10
"""What all overheads must have moved by, as a factor and by its whole interval, and how many there must be, to be said."""

COUNTED: Final = ("same", "better", "worse", "incomparable", "unresolved")
"""The verdicts on figures, in the order in which they are summed up."""


def notes(found: "Comparison") -> Iterator[str]:
    """Sentences: the two runs, the sum, the outcome, and what the verdicts on overheads rest on."""
    yield _side("BASE", found.base, found.names[0])
    yield _side("NEW", found.new, found.names[1])
    yield summary(found)
    yield from outcome(found)
    yield from _assumed(found)
    if any(row.family == OVERHEAD and row.verdict in COMPARED for row in found.rows):
        yield from _crowded(found)
        yield from _shifted(found)
    yield from _rule(found)


def _side(word: str, run: Run, name: str) -> str:
    header = run.header
    commit, time = (header.software.get(name) for name in ("commit", "commit_time"))
    machine = f"{header.machine.get('cpu', 'unknown machine')} (id {header.machine.get('id', 'unknown')})"
    unfinished = "" if finished(run) else "; the run is not finished"
    cases = f"{count(len(run.records))} of {counted(len(header.cases), 'case')}"
    made = f"{f'commit {commit}' if commit else 'of no known commit'}{f' of {time}' if time else ''}"
    return f"{' '.join(filter(None, (word, name)))}: {header.started}, {made}, on {machine}, {cases}{unfinished}."


def summary(found: "Comparison") -> str:
    """How many figures became what."""
    figures = Counter(row.verdict for row in found.rows)
    cases = len({row.case for row in found.rows if row.verdict in COUNTED})
    sums = ", ".join(f"{count(figures[verdict])} {verdict}" for verdict in COUNTED)
    lone = ", ".join(
        f"{counted(figures[verdict], 'case')} {verdict}" for verdict in ("added", "removed") if figures[verdict]
    )
    whole = sum(figures[verdict] for verdict in COUNTED)
    return f"Of {counted(whole, 'figure')} of {counted(cases, 'case')}: {sums}{f'; {lone}' if lone else ''}."


def outcome(found: "Comparison") -> Iterator[str]:
    """Whether it is a regression, first of all; then what the gate has no answer to."""
    asked = f"--fail-on {found.fail_on.text}" + ("" if found.fail_on.asked else " (the default)")
    if found.regressions:
        cases = len({row.case for row in found.regressions})
        yield f"{counted(len(found.regressions), 'regression')} in {counted(cases, 'case')} by {asked}."
    elif found.nothing_compared:
        yield "Nothing could be compared: the reasons stand below."
    else:
        seen = "" if found.exit_code == 0 else " is seen"
        yield f"No regression{seen} by {asked}."
    if found.not_compared and not found.nothing_compared:
        named = " and ".join(found.not_compared)
        yield f"Of {named}, which --fail-on names, nothing could be compared: no word on that is no pass."
    yield from _open(found)


def _open(found: "Comparison") -> Iterator[str]:
    """What the gate asks for and has no answer to."""
    if found.missing:
        cases = len({gap.case for gap in found.missing})
        yield (
            f"{counted(len(found.missing), 'gated figure')} of {counted(cases, 'case')} could not be compared, which is no "
            "pass: listed below."
        )
    if unresolved := len(found.unresolved):
        lacking = sum(row.more.new for row in found.unresolved if row.more is not None and not row.more.base)
        allowed = f", of which {count(found.allow_unresolved)} may be" if found.allow_unresolved else ""
        more = (
            f": about {counted(lacking, 'more replicate')} of NEW would tell, which sweep --resolve takes" if lacking else ""
        )
        yield f"{counted(unresolved, 'gated figure')} not resolved{allowed}{more}."


def _assumed(found: "Comparison") -> Iterator[str]:
    if found.base == found.new:
        yield "Both are the same run."
    headers = found.base.header, found.new.header
    if found.across_machines and unlike(*headers) != unlike(*headers, across_machines=True):
        yield (
            "Overheads are compared across machines, as asked. That assumes that a module takes the same share of the "
            "host's time on both, and that attribution is off by the same on both; neither holds in general, for caches, "
            "instruction sets and memory differ. Absolute latencies are not compared."
        )
    if any(row.metric == CASE and row.verdict == "removed" for row in found.rows):
        yield "Cases that NEW has not planned are removed: what became of their figures nobody knows."


def _crowded(found: "Comparison") -> Iterator[str]:
    """That a run was not alone on its machine: its figures may be compared, and may mislead."""
    for word, run in (("BASE", found.base), ("NEW", found.new)):
        shares = [share for record in run.records if (share := record.value("core_share")) is not None and share < CROWDED]
        if shares:
            yield (
                f"{word} was not alone: in {counted(len(shares), 'case')} other processes left a timing process as little "
                f"as {fixed(100 * min(shares), 0)} % of its core. Overheads scatter more then, so that a change may "
                "hide, or come from that alone: measure again on an idle machine before you rely on it."
            )


def _shifted(found: "Comparison") -> Iterator[str]:
    """That all overheads moved together, which is no one module's doing."""
    changes = _changes(row for row in found.rows if row.metric == OVERHEAD and row.verdict in COMPARED)
    if len(changes) < SHIFT_CASES:
        return
    shift = median_interval(changes).map(math.exp)
    if shift.low is None or shift.high is None or (shift.low <= SHIFT and shift.high >= 1 / SHIFT):
        return
    networks = _changes(row for row in found.rows if row.metric == LATENCY and row.case.is_baseline)
    alone = f"; networks without modules take {fixed(math.exp(median(networks)))} times as long" if networks else ""
    yield (
        f"Overheads of NEW are {fixed(shift.value)} times those of BASE throughout (median of {count(len(changes))} cases, "
        f"95 % interval {fixed(shift.low)} to {fixed(shift.high)}){alone}. No module does that: the host, the runtime or "
        "the machine's state (its memory above all) is another. Measure both again in turn before you believe a change of "
        "that size."
    )


def _changes(rows: Iterable[ComparisonRow]) -> list[float]:
    """Logarithms of NEW over BASE, of figures above 0."""
    figures = ((row.before, row.after) for row in rows)
    return [
        math.log(two / one)
        for one, two in figures
        if isinstance(one, float) and isinstance(two, float) and min(one, two) > 0
    ]


def _rule(found: "Comparison") -> Iterator[str]:
    family = sum(row.p is not None for row in found.rows)
    if any(row.p is not None for row in found.rows if row.family == OVERHEAD):
        yield (
            f"An overhead is worse or better where its change is told from noise (95 % interval without 0, at least as wide "
            f"as the runs' noise floors; Welch's p after Holm's correction over {count(family)} at most 5 %) and the "
            f"interval reaches the threshold of {_threshold(found)}; the same where the whole interval lies "
            "within it; else it is not resolved. Exact figures compare by equality."
        )


def _threshold(found: "Comparison") -> str:
    """The change of an overhead that counts, in words; of several the smallest does."""
    parts = (
        f"{significant(100 * gate.limit, 2)} points"
        + (f", or {significant(100 * gate.share, 2)} % of the overhead where that is more" if gate.share else "")
        for gate in found.thresholds
    )
    return "; ".join(parts)
