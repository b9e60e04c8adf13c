"""What a reader must know before the tables: what was asked, what came of it, and what the figures do not say."""

from collections import Counter
from collections.abc import Iterator, Sequence

from attnbench.core.records import BASELINE, Run
from attnbench.core.units import count, significant
from attnbench.judge.recommend.accuracy import Accuracy
from attnbench.judge.recommend.candidates import BUDGET, FIGURE, TARGET, Candidate
from attnbench.judge.recommend.wish import Wish
from attnbench.judge.rows import rows_of
from attnbench.judge.verdicts import SYSTEMATIC_POINTS, SYSTEMATIC_RELATIVE

DECIDED = {TARGET: "for the NPU target", FIGURE: "without a figure", BUDGET: "over budget"}
"""What decided that variants fell out, after their number."""


def notes(
    run: Run,
    wish: Wish,
    targets: Sequence[str],
    accuracy: Accuracy | None,
    left: Sequence[Candidate],
    fallen: Sequence[Candidate],
) -> tuple[str, ...]:
    """Sentences, the question first; ``targets`` are those that ``wish`` names, or all of the run's where it names none."""
    return (
        _asked(wish, targets),
        _outcome(left, fallen),
        *(_compared(accuracy, left) if left else ()),
        *(_uncertainty(left) if left else ()),
        *_hosts(run, wish, targets),
        _machine(run),
    )


def _asked(wish: Wish, targets: Sequence[str]) -> str:
    words = "ok, ok with constraint or unknown" if wish.allow_unknown else "ok or ok with constraint"
    said = f"{' and '.join(targets)} must say {words} of all that a variant adds"
    if not targets:
        said = "the run was checked against no NPU target, so none has a say"
    elif not wish.targets:
        said += " (no target was named: these are all that the run was checked against)"
    budgets = [f"at most {limit.text} added" for limit in (wish.max_overhead, wish.max_latency) if limit is not None]
    return f"Asked: {said}; {' and '.join(budgets) or 'no budget'}."


def _outcome(left: Sequence[Candidate], fallen: Sequence[Candidate]) -> str:
    kinds = Counter(found.reasons[0].kind for found in fallen)
    fell = ", ".join(f"{count(kinds[kind])} {words}" for kind, words in DECIDED.items() if kinds[kind])
    members = sum(found.on_front for found in left)
    kept = f"{count(len(left))} left, {count(members)} of them on the front" if left else "nothing left"
    return (
        f"Of {count(len(left) + len(fallen))} variants: {kept}; {count(len(fallen))} fell out{f' ({fell})' if fell else ''}."
    )


def _compared(accuracy: Accuracy | None, left: Sequence[Candidate]) -> Iterator[str]:
    if accuracy is None:
        yield (
            "No accuracy was given: the front is of cost alone (overhead, parameters and activation memory added). It says "
            "what is cheap, not what is worth its cost; --accuracy FILE.csv with --metric NAME:higher or NAME:lower does."
        )
        return
    named = ", ".join(f"{name} ({better} is better)" for name, better in accuracy.metrics.items())
    yield (
        f"The front weighs {named} against overhead. The file's figures count as exact: a difference decides even where it "
        "is no larger than that of two trainings."
    )
    bases = [values for case, values in accuracy.by_case.items() if case.variant == BASELINE]
    for values in bases:
        shown = ", ".join(f"{name} {significant(value, 4)}" for name, value in values.items())
        yield f"The baseline ({shown}) takes part with no overhead: what is no better than it is dominated by it."
    if not bases:
        yield "The file has no line for the baseline: whether a variant is better than none is not judged."
    if lacking := sum(not found.metrics for found in left):
        yield f"No accuracy given for {count(lacking)} of those left: they stay out of the front."
    if any(found.dominated_by for found in left) and not any(found.on_front for found in left):
        yield "The baseline dominates all that was compared: on these figures, add nothing."


def _uncertainty(left: Sequence[Candidate]) -> Iterator[str]:
    floors = sorted({found.floor for found in left})
    shown = " or ".join(significant(floor, 2) for floor in floors)
    apart = f" and they differ by more than this run's floor ({shown} points)" if floors != [0.0] else ""
    yield (
        "A variant is off the front where one on it is at least as good in everything and better beyond the uncertainty in "
        f"something. Two overheads are told apart where their intervals do not overlap{apart}."
    )
    yield (
        f"The intervals are of repetition; attribution may be off by a further ±{significant(SYSTEMATIC_POINTS, 2)} points "
        f"±{count(100 * SYSTEMATIC_RELATIVE)} % of the figure. The comparison leaves that out; "
        "where it could decide whether a budget is met, that is said."
    )


def _hosts(run: Run, wish: Wish, targets: Sequence[str]) -> Iterator[str]:
    """The hosts that a target does not take even without a module."""
    for row in rows_of(run):
        asked = row.case.is_baseline and row.target in targets and wish.host in (None, row.host)
        if asked and wish.size in (None, row.size) and row.npu_verdict in ("refused", "fallback", "unknown"):
            yield (
                f"{row.host} at {row.size} alone, without any module, is '{row.npu_verdict}' on {row.target}: "
                "what a variant adds may be accepted, and the whole still not run."
            )


def _machine(run: Run) -> str:
    cpu = run.header.machine.get("cpu", "the machine of the run")
    return (
        f"Overheads and milliseconds are those of one thread of {cpu}. No NPU was timed: targets only say what it accepts."
    )
