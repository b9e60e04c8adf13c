"""Which variants of a stored run to take: what the NPU target and the budget leave, ranked, and why the rest fell out.

Everything is decided on the run's records; nothing is measured, built or looked up, and no heavy library is loaded. How
variants are compared where figures are uncertain stands in ``pareto``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from attnbench.core.errors import UnknownName
from attnbench.core.records import BASELINE, Case, Run
from attnbench.judge.recommend.accuracy import Accuracy, published_accuracy, read_accuracy
from attnbench.judge.recommend.candidates import BUDGET, FIGURE, TARGET, Candidate, candidates
from attnbench.judge.recommend.notes import notes
from attnbench.judge.recommend.pareto import ParetoPoint, doubts, pareto_front
from attnbench.judge.recommend.requirements import Requirements, read_latency, read_metrics, read_overhead

__all__ = [
    "BUDGET",
    "FIGURE",
    "TARGET",
    "Candidate",
    "Recommendation",
    "Requirements",
    "read_latency",
    "read_metrics",
    "read_overhead",
    "recommend",
]

NO_EVIDENCE = "no evidence: nothing is published of it"

NEAREST = (BUDGET, TARGET, FIGURE)
"""What fell out is listed like this: the budget's first, the nearest of them foremost."""


@dataclass(frozen=True)
class Recommendation:
    """What is left, by rank within each host and size, and what fell out.

    ``targets`` are those that were asked for, or all of the run's.
    """

    run: Run
    asked: Requirements
    targets: tuple[str, ...]
    accuracy: Accuracy | None
    left: tuple[Candidate, ...]
    fallen: tuple[Candidate, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know, a sentence each."""
        return tuple(notes(self))


def recommend(run: Run, asked: Requirements) -> Recommendation:
    """Judge every variant of a run by what is asked, and rank what is left.

    Raises ``InputError`` for a target, host or size that the run lacks, and for accuracies that cannot be read.
    """
    planned = tuple(dict.fromkeys((*run.header.cases, *(record.case for record in run.records))))
    targets, cases = _targets(run, asked), _narrowed(planned, asked)
    accuracy = published_accuracy(cases) if asked.published else None
    if asked.accuracy:
        accuracy = read_accuracy(asked.accuracy, asked.metrics, planned, cases)
    judged = candidates(run, cases, replace(asked, targets=targets))
    if accuracy is not None:
        judged = [
            replace(one, metrics=accuracy.by_case.get(one.case, {}), gains=accuracy.bars.get(one.case)) for one in judged
        ]
    left: list[Candidate] = []
    for group in dict.fromkeys(case.baseline for case in cases):
        left += _ranked([one for one in judged if not one.reasons and one.case.baseline == group], group, accuracy)
    fallen = sorted((one for one in judged if one.reasons), key=_distance)
    return Recommendation(run, asked, targets, accuracy, tuple(left), tuple(fallen))


def _targets(run: Run, asked: Requirements) -> tuple[str, ...]:
    checked = tuple(filter(None, run.header.study.get("targets", ())))
    for name in asked.targets:
        if name not in checked:
            raise UnknownName("target of this run", name, checked, "sweep with --target to check others")
    return asked.targets or checked


def _narrowed(planned: Sequence[Case], asked: Requirements) -> tuple[Case, ...]:
    cases = tuple(planned)
    for key, wanted in (("host", asked.host), ("size", asked.size)):
        named = tuple(case for case in cases if wanted in (None, getattr(case, key)))
        if not named:
            raise UnknownName(f"{key} of this run", str(wanted), (getattr(case, key) for case in cases))
        cases = named
    return cases


def _ranked(left: Sequence[Candidate], group: Case, accuracy: Accuracy | None) -> list[Candidate]:
    """One host at one size: the Pareto front by overhead, then what it dominates, then what was not compared."""
    compared = [one for one in left if accuracy is None or accuracy.knows(one.case)]
    floor = max((one.floor for one in compared), default=0.0)
    points = [_point(one, accuracy) for one in compared]
    if accuracy is not None and accuracy.knows(group):
        points.append(ParetoPoint(BASELINE, accuracy.costs(group), 0.0, 0.0, 0.0, accuracy.ranges(group)))
    beaten = pareto_front(points, floor)
    unsure = doubts([point for point in points if not beaten[point.name]], floor)
    published = accuracy is not None and bool(accuracy.bars)
    placed = [
        _placed(one, beaten.get(one.case.variant), unsure.get(one.case.variant, ()), published=published) for one in left
    ]
    placed.sort(key=lambda one: (not one.on_front, not one.dominated_by, one.overhead or 0.0))
    return [replace(one, rank=rank) for rank, one in enumerate(placed, start=1)]


def _point(found: Candidate, accuracy: Accuracy | None) -> ParetoPoint:
    """What a variant is compared by; a cost that the run does not have counts as the worst."""
    costs = (float("inf") if cost is None else cost for cost in (found.params, found.memory))
    exact = tuple(costs) if accuracy is None else accuracy.costs(found.case)
    ranges = () if accuracy is None else accuracy.ranges(found.case)
    return ParetoPoint(found.case.variant, exact, found.overhead or 0.0, found.low, found.high, ranges)


def _placed(found: Candidate, beaten: tuple[str, ...] | None, unsure: tuple[str, ...], *, published: bool) -> Candidate:
    if beaten is None:
        return replace(found, remarks=(NO_EVIDENCE if published else "no accuracy given", *found.remarks))
    if beaten:
        return replace(found, dominated_by=beaten)
    doubt = f"overhead not told apart from that of {unsure[0]}, which is no worse in the rest" if unsure else ""
    return replace(found, on_front=True, remarks=tuple(filter(None, (doubt, *found.remarks))))


def _distance(found: Candidate) -> tuple[int, float]:
    kind = found.reasons[0].kind
    return NEAREST.index(kind), found.overhead or 0.0 if kind == BUDGET else 0.0
