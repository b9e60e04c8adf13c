"""Which variants no other one beats, where some of what they are compared by is known only within an interval.

**The rule.** One variant *dominates* another where it is at least as good in everything and better beyond the uncertainty
in something.

* Accuracies, parameters and bytes are taken as they are: at least as good is no worse, better is better.
* Gains that several sources published are a range: at least as good is one whose worst is no worse than the other's best.
* An overhead is at least as good where the figure is lower, or higher by no more than the run's floor, which is the smallest
  difference between two overheads that the run resolves. It is better only where the two can be *told apart*: the intervals
  do not overlap, and the figures differ by more than the floor. One without an interval is told apart from nothing.

So noise removes nothing, however wide its interval. Noise may keep a variant; ``doubts`` then names it.

**The Pareto front.** A variant is off it where one on it dominates it. That is not quite "where any does": "within the
floor" is not transitive, so that a chain of small steps could otherwise remove the cheapest for one that is clearly dearer.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class ParetoPoint:
    """A variant as the comparison sees it: ``exact`` figures, turned so that less is better, and the overhead in %.

    ``ranges`` are figures that are only known from a best to a worst, turned like that.
    """

    name: str
    exact: tuple[float, ...]
    overhead: float
    low: float | None = None
    high: float | None = None
    ranges: tuple[tuple[float, float], ...] = ()

    def no_worse(self, other: "ParetoPoint") -> bool:
        """Whether it is at least as good in every exact figure, and its worst at least as good as the other's best."""
        exact = all(mine <= theirs for mine, theirs in zip(self.exact, other.exact, strict=True))
        return exact and all(worst <= best for (_, worst), (best, _) in zip(self.ranges, other.ranges, strict=True))


def told_apart(one: ParetoPoint, other: ParetoPoint, floor: float) -> bool:
    """Whether the first one's overhead is lower beyond the uncertainty; ``floor`` in percentage points."""
    if one.high is None or other.low is None:
        return False
    return one.high < other.low and other.overhead - one.overhead > floor


def dominates(one: ParetoPoint, other: ParetoPoint, floor: float) -> bool:
    """Whether the first is at least as good in everything and better beyond the uncertainty in something."""
    if one.overhead > other.overhead + floor or not one.no_worse(other):
        return False
    return (one.exact, one.ranges) != (other.exact, other.ranges) or told_apart(one, other, floor)


def pareto_front(points: Iterable[ParetoPoint], floor: float = 0.0) -> dict[str, tuple[str, ...]]:
    """For each variant those on the front that dominate it, the cheapest first: nothing, for the front itself."""
    members: list[ParetoPoint] = []
    beaten: dict[str, tuple[str, ...]] = {}
    for point in sorted(points, key=lambda p: (p.exact, p.ranges, p.overhead)):  # what dominates comes before what it does
        over = [member for member in members if dominates(member, point, floor)]
        beaten[point.name] = tuple(member.name for member in sorted(over, key=lambda p: p.overhead))
        if not over:
            members.append(point)
    return beaten


def doubts(points: Iterable[ParetoPoint], floor: float = 0.0) -> dict[str, tuple[str, ...]]:
    """For each variant the others that are no worse in the exact figures and cannot be told apart in overhead.

    What stands here with something on the front is there by an overhead that may be noise.
    """
    listed = list(points)
    return {
        point.name: tuple(
            other.name
            for other in listed
            if other is not point
            and other.no_worse(point)
            and not told_apart(point, other, floor)
            and not told_apart(other, point, floor)
        )
        for point in listed
    }
