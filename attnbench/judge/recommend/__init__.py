"""Which variants of a stored run to take: what the NPU target and the budget leave, ranked, and why the rest fell out.

Everything is decided on the run's table and its findings; nothing is measured, built or looked up, and no heavy library is
loaded. How variants are compared where figures are uncertain stands in ``front``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from attnbench.core.errors import UnknownName
from attnbench.core.records import BASELINE, Case, Run
from attnbench.judge.recommend.accuracy import Accuracy, read_accuracy
from attnbench.judge.recommend.candidates import BUDGET, FIGURE, TARGET, Candidate, Reason, Verdict, candidates
from attnbench.judge.recommend.front import Point, doubts, front
from attnbench.judge.recommend.notes import notes
from attnbench.judge.recommend.wish import Limit, Wish, wish_from_flags

__all__ = [
    "BUDGET",
    "FIGURE",
    "TARGET",
    "Candidate",
    "Limit",
    "Reason",
    "Recommendation",
    "Verdict",
    "Wish",
    "recommend",
    "wish_from_flags",
]

NEAREST = (BUDGET, TARGET, FIGURE)
"""What fell out is listed like this: the budget's first, the nearest of them foremost."""


@dataclass(frozen=True)
class Recommendation:
    """What is left, by rank within each host and size; what fell out; and what a reader must know, a sentence each.

    ``wish`` names the targets that were asked for, or all of the run's.
    """

    wish: Wish
    left: tuple[Candidate, ...]
    fallen: tuple[Candidate, ...]
    notes: tuple[str, ...]


def recommend(run: Run, wish: Wish) -> Recommendation:
    """Hold every variant of a run against a wish, and rank what is left.

    Raises ``InputError`` for a target, host or size that the run lacks, and for accuracies that cannot be read.
    """
    planned = tuple(dict.fromkeys((*run.header.cases, *(record.case for record in run.records))))
    asked, wish = wish, replace(wish, targets=_targets(run, wish))
    cases = _narrowed(planned, wish)
    accuracy = read_accuracy(wish.accuracy, wish.metrics, planned, cases) if wish.accuracy else None
    judged = candidates(run, cases, wish)
    if accuracy is not None:
        judged = [replace(found, metrics=accuracy.by_case.get(found.case, {})) for found in judged]
    left = [found for found in judged if not found.reasons]
    groups = list(dict.fromkeys(case.baseline for case in cases))
    ranked = [found for group in groups for found in _ranked([f for f in left if f.group == group], group, accuracy)]
    fallen = sorted((found for found in judged if found.reasons), key=_distance)
    return Recommendation(wish, tuple(ranked), tuple(fallen), notes(run, asked, wish.targets, accuracy, ranked, fallen))


def _targets(run: Run, wish: Wish) -> tuple[str, ...]:
    checked = tuple(filter(None, run.header.study.get("targets", ())))
    for name in wish.targets:
        if name not in checked:
            raise UnknownName("target of this run", name, checked, "sweep with --target to check others")
    return wish.targets or checked


def _narrowed(planned: Sequence[Case], wish: Wish) -> tuple[Case, ...]:
    cases = tuple(planned)
    for key, wanted in (("host", wish.host), ("size", wish.size)):
        named = tuple(case for case in cases if wanted in (None, getattr(case, key)))
        if not named:
            raise UnknownName(f"{key} of this run", str(wanted), (getattr(case, key) for case in cases))
        cases = named
    return cases


def _ranked(left: Sequence[Candidate], group: Case, accuracy: Accuracy | None) -> list[Candidate]:
    """One host at one size: the front by overhead, then what it dominates, then what was not compared."""
    compared = [found for found in left if accuracy is None or found.metrics]
    floor = max((found.floor for found in compared), default=0.0)
    points = [_point(found, accuracy) for found in compared]
    if accuracy is not None and group in accuracy.by_case:
        points.append(Point(BASELINE, accuracy.costs(group), 0.0, 0.0, 0.0))
    beaten = front(points, floor)
    unsure = doubts([point for point in points if not beaten[point.name]], floor)
    placed = [_placed(found, beaten.get(found.case.variant), unsure.get(found.case.variant, ())) for found in left]
    placed.sort(key=lambda found: (not found.on_front, not found.dominated_by, found.overhead or 0.0))
    return [replace(found, rank=rank) for rank, found in enumerate(placed, start=1)]


def _point(found: Candidate, accuracy: Accuracy | None) -> Point:
    """What a variant is compared by; a cost that the run does not hold counts as the worst."""
    costs = (float("inf") if cost is None else cost for cost in (found.params, found.memory))
    exact = tuple(costs) if accuracy is None else accuracy.costs(found.case)
    return Point(found.case.variant, exact, found.overhead or 0.0, found.low, found.high)


def _placed(found: Candidate, beaten: tuple[str, ...] | None, unsure: tuple[str, ...]) -> Candidate:
    if beaten is None:
        return replace(found, remarks=("no accuracy given", *found.remarks))
    if beaten:
        return replace(found, dominated_by=beaten)
    doubt = f"overhead not told apart from that of {unsure[0]}, which is no worse in the rest" if unsure else ""
    return replace(found, on_front=True, remarks=tuple(filter(None, (doubt, *found.remarks))))


def _distance(found: Candidate) -> tuple[int, float]:
    kind = found.reasons[0].kind
    return NEAREST.index(kind), found.overhead or 0.0 if kind == BUDGET else 0.0
