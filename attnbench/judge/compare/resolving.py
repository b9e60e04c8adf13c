"""How many more replicates would resolve a change that they do not yet tell, if its means and its scatter stay what they are.

A change is resolved where its interval lies within the threshold (*same*), or where it is told from noise among all that is
compared and the interval reaches the threshold (*worse*, *better*). Both say how small the standard error of the change must
become; of two that would do, the larger is the cheaper one. An interval is so many standard errors wide, however many
replicates follow.

BASE was measured before: NEW's replicates are added alone where that is enough, and else both runs need as many in all.
``sweep --resolve`` takes those of NEW, once: who measures until something is told finds it in the end, true or not.
"""

import math
from collections.abc import Sequence

from attnbench.core.statistics import Estimate, student_quantile, variance_of_mean
from attnbench.judge.compare.rows import MoreReplicates


def more_replicates(
    one: Sequence[float], two: Sequence[float], found: Estimate, *, threshold: float, floor: float, chance: float
) -> MoreReplicates | None:
    """How many more of each run resolve a change that is ``found`` so far; ``None`` where no number would.

    No interval becomes narrower than the noise ``floor``. ``chance`` is that at which one of all that is compared is told
    from noise by Holm's correction, at its strictest.
    """
    shares = variance_of_mean(one), variance_of_mean(two)
    error, change = math.sqrt(sum(shares)), abs(found.value)
    if not error or found.high is None:
        return None
    errors_wide = (found.high - found.value) / error
    told = change / student_quantile(1 - chance / 2, len(one) + len(two) - 2)
    wanted = [(threshold - change) / errors_wide] if change + floor < threshold else []
    wanted += [told] if floor < change and change + max(floor, told * errors_wide) >= threshold else []
    if not wanted:
        return None
    variance = min(max(wanted), error) ** 2
    if (left := variance - shares[0]) > 0:
        return MoreReplicates(0, max(1, _in_all(shares[1] * len(two), left) - len(two)))
    each = _in_all(shares[0] * len(one) + shares[1] * len(two), variance)
    return MoreReplicates(max(0, each - len(one)), max(1, each - len(two)))


def _in_all(scatter: float, variance: float) -> int:
    """How many replicates of such a variance have a mean of that one."""
    return math.ceil(scatter / variance - 1e-9)
