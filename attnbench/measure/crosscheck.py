"""The clock as cross-check: interleaved pairs of baseline and variant.

The clock is the thread's CPU time, which other processes' time slices do not enter; wall times are kept beside it.
"""

import math
from collections.abc import Sequence

from attnbench.statistics import Estimate, signed_rank_interval


def paired_overhead(rounds: Sequence[Sequence[float]]) -> Estimate:
    """Relative overhead from (baseline, variant) times: Hodges-Lehmann of the log ratios, exact signed-rank interval."""
    logs = [math.log(variant / baseline) for baseline, variant in rounds]
    return signed_rank_interval(logs).map(math.expm1)
