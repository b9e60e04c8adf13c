"""What a reader must know before the tables: what was compared with what, what came of it, and what it rests on."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from attnbench.core.records import Run
from attnbench.core.units import count, fixed, significant
from attnbench.judge.compare.gates import FailOn
from attnbench.judge.compare.match import unlike
from attnbench.judge.compare.noisy import OVERHEAD
from attnbench.judge.compare.rows import ADDED, BETTER, CASE, INCOMPARABLE, JUDGED, REMOVED, SAME, WORSE, Row
from attnbench.judge.verdicts import CROWDED
from attnbench.runs.store import finished

COUNTED: Final = (SAME, BETTER, WORSE, INCOMPARABLE)
"""The verdicts on figures, in the order in which they are summed up."""


@dataclass(frozen=True)
class Sides:
    """The two runs with what they are called, and whether their machines were to be passed over."""

    base: Run
    new: Run
    names: tuple[str, str]
    across_machines: bool


def notes(
    sides: Sides, rows: Sequence[Row], fail_on: FailOn, threshold: float, unanswered: Sequence[str]
) -> tuple[str, ...]:
    """Sentences: the two runs, the sum, the outcome, and what the verdicts on overheads rest on."""
    return (
        _side("BASE", sides.base, sides.names[0]),
        _side("NEW", sides.new, sides.names[1]),
        _summary(rows),
        *_outcome(rows, fail_on, unanswered),
        *_assumed(sides, rows),
        *_crowded(sides, rows),
        *_rule(rows, threshold),
    )


def _side(word: str, run: Run, name: str) -> str:
    header = run.header
    commit = f"commit {header.software['commit']}" if header.software.get("commit") else "of no known commit"
    when = f" of {header.software['commit_time']}" if header.software.get("commit_time") else ""
    machine = f"{header.machine.get('cpu', 'unknown machine')} (id {header.machine.get('id', 'unknown')})"
    unfinished = "" if finished(run) else "; the run is not finished"
    cases = f"{count(len(run.records))} of {_number(len(header.cases), 'case')}"
    called = f" {name}" if name else ""
    return f"{word}{called}: {header.started}, {commit}{when}, on {machine}, {cases}{unfinished}."


def _summary(rows: Sequence[Row]) -> str:
    figures = Counter(row.verdict for row in rows)
    cases = len({row.case for row in rows if row.verdict in (*JUDGED, INCOMPARABLE)})
    told = ", ".join(f"{count(figures[verdict])} {verdict}" for verdict in COUNTED)
    lone = ", ".join(f"{_number(figures[verdict], 'case')} {verdict}" for verdict in (ADDED, REMOVED) if figures[verdict])
    whole = sum(figures[verdict] for verdict in COUNTED)
    return f"Of {_number(whole, 'figure')} of {_number(cases, 'case')}: {told}{f'; {lone}' if lone else ''}."


def _number(number: int, what: str) -> str:
    return f"{count(number)} {what}{'s' * (number != 1)}"


def _outcome(rows: Sequence[Row], fail_on: FailOn, unanswered: Sequence[str]) -> Iterator[str]:
    regressions = [row for row in rows if row.trips]
    asked = f"--fail-on {fail_on.text}" + ("" if fail_on.asked else " (the default)")
    if regressions:
        cases = len({row.case for row in regressions})
        yield f"{_number(len(regressions), 'regression')} in {_number(cases, 'case')} by {asked}."
    elif not any(row.verdict in JUDGED for row in rows):
        yield "Nothing could be compared: the reasons stand below."
    else:
        yield f"No regression by {asked}."
    if unanswered and any(row.verdict in JUDGED for row in rows):
        named = " and ".join(unanswered)
        yield f"Of {named}, named in {asked}, nothing could be compared: no word on that is no pass."


def _assumed(sides: Sides, rows: Sequence[Row]) -> Iterator[str]:
    if sides.base == sides.new:
        yield "Both are the same run."
    if sides.across_machines and unlike(sides.base.header, sides.new.header) != unlike(
        sides.base.header, sides.new.header, across_machines=True
    ):
        yield (
            "Overheads are compared across machines, as asked. That assumes that a module takes the same share of the "
            "host's time on both, and that attribution is off by the same on both; neither holds in general, for caches, "
            "instruction sets and memory differ. Absolute latencies are not compared."
        )
    if any(row.metric == CASE and row.verdict == REMOVED for row in rows):
        yield "Cases that NEW has not planned are removed, and fail nothing."


def _crowded(sides: Sides, rows: Sequence[Row]) -> Iterator[str]:
    """That a run was not alone on its machine: its figures may be compared, and may mislead."""
    if not any(row.family == OVERHEAD and row.verdict in JUDGED for row in rows):
        return
    for word, run in (("BASE", sides.base), ("NEW", sides.new)):
        shares = [share for record in run.records if (share := record.value("core_share")) is not None and share < CROWDED]
        if shares:
            yield (
                f"{word} was not alone: in {_number(len(shares), 'case')} other processes left a timing process as little "
                f"as {fixed(100 * min(shares), 0)} % of its core. Overheads tend to read lower then, so that a change may "
                "hide, or come from that alone: measure again on an idle machine before you rely on it."
            )


def _rule(rows: Sequence[Row], threshold: float) -> Iterator[str]:
    family = sum(row.p is not None for row in rows if row.family == OVERHEAD)
    if family:
        points = significant(100 * threshold, 2)
        yield (
            f"An overhead is worse or better where its change is told from noise (95 % interval without 0, at least as wide "
            f"as the runs' noise floors; Welch's p after Holm's correction over {count(family)} at most 5 %) and the "
            f"interval reaches the threshold of {points} points; the same where the whole interval lies within it; else it "
            "is not resolved. Exact figures compare by equality."
        )
