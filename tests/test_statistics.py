import itertools
import math
import random
from statistics import median

import pytest
from scipy import stats

from attnbench.statistics import (
    quantile,
    replicate_interval,
    signed_rank_critical,
    signed_rank_interval,
    walsh_averages,
)


def test_the_replicate_interval_is_students():
    values = [1.0, 1.2, 0.9, 1.1]
    low, high = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    estimate = replicate_interval(values)
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))


def test_one_replicate_has_no_interval():
    estimate = replicate_interval([2.0])
    assert (estimate.value, estimate.low, estimate.high) == (2.0, None, None)


@pytest.mark.parametrize("n", range(1, 13))
def test_the_critical_value_against_enumeration_of_all_signs(n):
    sums = [
        sum(r for r, s in zip(range(1, n + 1), signs, strict=True) if s) for signs in itertools.product([0, 1], repeat=n)
    ]
    k = signed_rank_critical(n, 0.05)
    within = [c for c in range(n * n) if sum(s <= c for s in sums) / 2**n <= 0.025]
    assert k == (max(within) if within else None)


def test_below_six_pairs_there_is_no_interval_and_from_six_on_there_is():
    assert signed_rank_interval([0.1, 0.2, 0.3, 0.4, 0.5]).low is None
    assert signed_rank_interval([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).low == pytest.approx(0.1)


def test_the_centre_is_the_median_of_the_walsh_averages():
    values = [0.3, -0.1, 0.7]
    by_hand = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2)]
    assert walsh_averages(values) == sorted(by_hand)
    assert signed_rank_interval(values).value == median(by_hand)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draw = random.Random(0)
    covered = 0
    for _ in range(400):
        estimate = signed_rank_interval([0.01 + draw.gauss(0, 0.02) for _ in range(15)])
        covered += estimate.low <= 0.01 <= estimate.high
    assert stats.binomtest(covered, 400, 0.95).pvalue > 0.01


def test_an_estimate_maps_its_ends():
    estimate = signed_rank_interval([math.log(1.1)] * 8).map(math.expm1)
    assert estimate.low == pytest.approx(0.1)
    assert estimate.high == pytest.approx(0.1)


def test_quantiles_interpolate():
    assert quantile([4, 1, 3, 2], 0.5) == 2.5
    assert quantile([1, 2, 3], 1.0) == 3
    assert quantile([5], 0.9) == 5
