"""How many more replicates would resolve a change that they do not yet tell, if they scatter as they did so far.

With an interval half as wide as the threshold, a change is either within the threshold (*same*) or told from noise. Among
very many others it may still not be told by Holm's rule; then it takes an interval so narrow that whatever is not within the
threshold is told among all of them. An interval is so many standard errors wide, however many replicates follow.

BASE was measured before: NEW's replicates are added alone where that is enough, and else both runs need as many in all.

Rejected: to ask how many are enough if the change stays what it is. It asks for fewer, and whoever measures on wherever a
change is not yet told looks twice for an alarm: simulated, noise then raises one in a tenth of all comparisons, and not in a
twentieth. Here the scatter alone says how many, whatever the change is and whether it is told or not.
"""

import math
from typing import NamedTuple

from attnbench.core.statistics import student_quantile
from attnbench.judge.compare.rows import MoreReplicates

HALF = 0.5
"""Half of an interval's width, as a share of the threshold, that tells a single change."""


class Scatter(NamedTuple):
    """The variance of one replicate of a run, and how many it has."""

    variance: float
    number: int


def more_replicates(
    base: Scatter, new: Scatter, half: float, *, threshold: float, floor: float, chance: float
) -> MoreReplicates | None:
    """How many more of each run resolve a change whose interval is ``half`` wide so far; ``None`` where no number would.

    No interval becomes narrower than the noise ``floor``. ``chance`` is that at which one of all that is compared is told
    from noise by Holm's correction, at its strictest.
    """
    share = base.variance / base.number
    error = math.sqrt(share + new.variance / new.number)
    if not error:
        return None
    errors_wide = half / error
    told = student_quantile(1 - chance / 2, base.number + new.number - 2)
    wanted = threshold * (HALF if half > HALF * threshold else errors_wide / (errors_wide + told))
    if floor > wanted:
        return None
    variance = min(wanted / errors_wide, error) ** 2
    if variance > share:
        return MoreReplicates(0, max(1, _in_all(new.variance, variance - share) - new.number))
    each = _in_all(base.variance + new.variance, variance)
    return MoreReplicates(max(0, each - base.number), max(1, each - new.number))


def _in_all(scatter: float, variance: float) -> int:
    """How many replicates of such a variance have a mean of that one."""
    return math.ceil(scatter / variance - 1e-9)
