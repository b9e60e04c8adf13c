"""What a reader must know before the tables: what was asked, what came of it, and what the figures do not say."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attnbench.core.records import BASELINE
from attnbench.core.units import count, counted, significant
from attnbench.judge.published import published_gains
from attnbench.judge.recommend.candidates import BUDGET, FIGURE, TARGET
from attnbench.judge.verdicts import SYSTEMATIC_POINTS, SYSTEMATIC_RELATIVE, npu_verdict

if TYPE_CHECKING:
    from attnbench.judge.recommend import Recommendation
    from attnbench.judge.recommend.accuracy import Accuracy

DECIDED = {TARGET: "for the NPU target", FIGURE: "without a figure", BUDGET: "over budget"}
"""What decided that variants fell out, after their number."""


def notes(found: "Recommendation") -> Iterator[str]:
    """Sentences, the question first."""
    yield _asked(found)
    yield outcome(found)
    if found.left:
        yield from _compared(found)
        yield from _uncertainty(found)
    yield from _hosts(found)
    cpu = found.run.header.machine.get("cpu", "the machine of the run")
    yield (
        f"Overheads and milliseconds are those of one thread of {cpu}. No NPU was timed: targets only say what it accepts."
    )


def _asked(found: "Recommendation") -> str:
    asked = found.asked
    words = "ok, ok with constraint or unknown" if asked.allow_unknown else "ok or ok with constraint"
    said = f"{' and '.join(found.targets)} must say {words} of all that a variant adds"
    if not found.targets:
        said = "the run was checked against no NPU target, so none has a say"
    elif not asked.targets:
        said += " (no target was named: these are all that the run was checked against)"
    budgets = [f"at most {limit} added" for limit in (asked.max_overhead, asked.max_latency) if limit is not None]
    return f"Asked: {said}; {' and '.join(budgets) or 'no budget'}."


def outcome(found: "Recommendation") -> str:
    """How many variants are left, and what became of the others."""
    kinds = Counter(one.reasons[0].kind for one in found.fallen)
    fell = ", ".join(f"{count(kinds[kind])} {words}" for kind, words in DECIDED.items() if kinds[kind])
    number, members = len(found.left), sum(one.on_front for one in found.left)
    kept = f"{count(number)} left, {count(members)} of them on the Pareto front" if number else "nothing left"
    whole, out = count(number + len(found.fallen)), count(len(found.fallen))
    return f"Of {whole} variants: {kept}; {out} fell out{f' ({fell})' if fell else ''}."


def _compared(found: "Recommendation") -> Iterator[str]:
    accuracy = found.accuracy
    if accuracy is None:
        yield (
            "No accuracy was given: the Pareto front is of cost alone (overhead, parameters and activation memory added). "
            "It says what is cheap, not what is worth its cost; --accuracy FILE.csv with --metric NAME:higher or NAME:lower "
            "does."
        )
        return
    if accuracy.bars:
        yield from _published(found, accuracy)
        return
    named = ", ".join(f"{name} ({better} is better)" for name, better in accuracy.metrics.items())
    yield (
        f"The Pareto front weighs {named} against overhead. The file's figures count as exact: a difference decides even "
        "where it is no larger than that of two trainings."
    )
    bases = [values for case, values in accuracy.by_case.items() if case.variant == BASELINE]
    for values in bases:
        shown = ", ".join(f"{name} {significant(value, 4)}" for name, value in values.items())
        yield f"The baseline ({shown}) takes part with no overhead: what is no better than it is dominated by it."
    if not bases:
        yield "The file has no line for the baseline: whether a variant is better than none is not judged."
    if lacking := sum(not one.metrics for one in found.left):
        yield f"No accuracy given for {count(lacking)} of those left: they stay out of the Pareto front."
    if any(one.dominated_by for one in found.left) and not any(one.on_front for one in found.left):
        yield "The baseline dominates all that was compared: on these figures, add nothing."


def _published(found: "Recommendation", accuracy: "Accuracy") -> Iterator[str]:
    bars = accuracy.bars.values()
    sources = dict.fromkeys(source for bar in bars for source in bar.sources)
    yield (
        "The Pareto front weighs published gains in top-1 accuracy against overhead. ImageNet, not your task: "
        f"{counted(sum(len(bar.gains) for bar in bars), 'figure')} of {', '.join(sources)}, each against the same source's "
        "network without the module, trained alike and tested at 224x224 unless its recipe says otherwise."
    )
    yield (
        "A bar spans what the sources say. A variant is only off the front where another's whole bar is no lower. The host "
        "alone takes part with no gain and no overhead."
    )
    if lacking := sum(not one.gains for one in found.left):
        yield f"Nothing is published of {count(lacking)} of those left: they stay out of the Pareto front."
    if absent := [gain for gain in published_gains() if gain.lacks]:
        named = dict.fromkeys(f"{gain.row.module} in {gain.table.network} ({gain.lacks})" for gain in absent)
        yield f"Published, and not measured here: {'; '.join(named)}."


def _uncertainty(found: "Recommendation") -> Iterator[str]:
    floors = sorted({one.floor for one in found.left})
    shown = " or ".join(significant(floor, 2) for floor in floors)
    apart = f" and they differ by more than this run's floor ({shown} points)" if floors != [0.0] else ""
    yield (
        "A variant is off the Pareto front where one on it is at least as good in everything and better beyond the "
        f"uncertainty in something. Two overheads are told apart where their intervals do not overlap{apart}."
    )
    yield (
        f"The intervals are of repetition; attribution may be off by a further ±{significant(SYSTEMATIC_POINTS, 2)} points "
        f"±{count(100 * SYSTEMATIC_RELATIVE)} % of the figure. The comparison leaves that out; "
        "where it could decide whether a budget is met, that is said."
    )


def _hosts(found: "Recommendation") -> Iterator[str]:
    """The hosts that a target does not take even without a module."""
    asked = found.asked
    for record in found.run.records:
        case = record.case
        if not case.is_baseline or asked.host not in (None, case.host) or asked.size not in (None, case.size):
            continue
        for target in found.targets:
            verdict = npu_verdict(finding for finding in record.findings if finding.target == target)
            if verdict in ("refused", "fallback", "unknown"):
                yield (
                    f"{case.where} alone, without any module, is '{verdict}' on {target}: "
                    "what a variant adds may be accepted, and the whole still not run."
                )
