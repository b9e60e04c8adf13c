"""The clock as cross-check: interleaved pairs of baseline and variant.

The clock is the thread's CPU time, which other processes' time slices do not enter; wall times are kept beside it. The pairs
come from several fresh processes, each with two sessions and no more, the one created first drawn by lot.

Rejected: one process with a baseline and many variants, which would save the baseline's runs. With three sessions in one
process a variant that costs 0.7 % alone with its baseline was seen at 0.1 %, and copies of one graph differed by 0.4 %,
always the same way: sessions do not have like places in memory.
"""

import math
from collections.abc import Sequence

from attnbench.core.statistics import Estimate, blocks, signed_rank_interval


def paired_overhead(ratios: Sequence[float]) -> Estimate:
    """Relative overhead from the ratios of pairs: Hodges-Lehmann of their logs with the exact signed-rank interval.

    From 40 pairs on the unit is a block of neighbouring pairs, because the noise of neighbours is correlated.
    """
    return signed_rank_interval(blocks([math.log(ratio) for ratio in ratios])).map(math.expm1)
