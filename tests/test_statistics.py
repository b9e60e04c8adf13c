import itertools
import math
import random
from statistics import fmean, median

import pytest
from scipy import stats

from attnbench.core.statistics import (
    Estimate,
    blocks,
    difference_interval,
    median_interval,
    noise_floor,
    quantile,
    replicate_interval,
    signed_rank_chance,
    signed_rank_critical,
    signed_rank_interval,
    two_stage_interval,
    unlike_groups,
    walsh_averages,
)
from attnbench.core.variance import moderated


def test_the_replicate_interval_is_students():
    values = [1.0, 1.2, 0.9, 1.1]
    low, high = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    estimate = replicate_interval(values)
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))


def test_one_replicate_has_no_interval():
    estimate = replicate_interval([2.0])
    assert (estimate.value, estimate.low, estimate.high) == (2.0, None, None)


def test_the_second_stage_narrows_the_interval_of_the_first():
    first = [1.0, 1.2, 0.9, 1.1]
    whole = two_stage_interval([*first, 5.0, -3.0, 1.05, 1.15, 1.0, 1.1, 0.95, 1.05], len(first))
    alone = replicate_interval(first)
    assert whole.high - whole.low == pytest.approx((alone.high - alone.low) / math.sqrt(3))
    assert whole.value == pytest.approx(1.05, abs=0.05)


def test_as_many_replicates_as_are_needed_reach_the_precision():
    first = [1.0, 1.2, 0.9, 1.1]
    mean = moderated(first, len(first))
    number = mean.needed(0.05)
    for count, reached in ((number, True), (number - 1, False)):
        found = two_stage_interval([*first, *[1.05] * (count - len(first))], len(first))
        assert ((found.high - found.low) / 2 <= 0.05) == reached
    assert mean.needed(10.0) == 1
    assert mean.needed(0.0) > 1e9


@pytest.mark.parametrize("half_width", [0.3, 0.6, 1.0, 2.0])
def test_taking_replicates_until_the_interval_is_narrow_keeps_its_confidence(half_width):
    draw = random.Random(7)
    trials, covered = 2000, 0
    for _ in range(trials):
        values = [draw.gauss(0, 1) for _ in range(12)]
        number = min(12, max(4, moderated(values, 4).needed(half_width)))
        found = two_stage_interval(values[:number], 4)
        covered += found.low <= 0 <= found.high
    assert stats.binomtest(covered, trials, 0.95).pvalue > 0.001


def test_the_difference_interval_is_welchs():
    one, two = [1.0, 1.2, 0.9, 1.1], [1.3, 1.2, 1.4]
    found, known = difference_interval(one, two), stats.ttest_ind(two, one, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(known.low), pytest.approx(known.high))


def test_a_series_that_scatters_more_is_not_judged_by_one_that_was_taken_longer():
    """Ten replicates of 0.05 and three of 0.3, two-stage: pooled, the interval would miss in every fourth case."""
    draw, missed, trials = random.Random(3), 0, 1000
    for _ in range(trials):
        one, two = [draw.gauss(0, 0.05) for _ in range(10)], [draw.gauss(0, 0.3) for _ in range(3)]
        found = difference_interval(one, two, first=(3, 3))
        missed += not found.low <= 0 <= found.high
    assert stats.binomtest(missed, trials, 0.05).pvalue > 0.001


def test_the_noise_floor_is_no_less_than_what_was_seen():
    small, large = noise_floor([1.0, 1.01, 0.99], [1.0, 1.01, 0.99])
    assert large == pytest.approx(small * math.sqrt(2))
    assert noise_floor([1.0, 1.01, 0.99], [3.0, 3.01, 2.99])[1] == pytest.approx(2.0)
    with pytest.raises(ValueError, match="two replicates"):
        noise_floor([1.0], [1.0, 2.0])


def test_from_forty_pairs_on_the_unit_is_a_block_of_neighbours():
    assert blocks(list(range(39))) == list(range(39))
    assert blocks(list(range(40))) == pytest.approx([3, 9.5, 16, 23, 29.5, 36], abs=0.6)
    found = blocks([float(i // 10) for i in range(600)])
    assert found == [float(i) for i in range(60)]


def test_groups_are_unlike_where_they_differ_by_more_than_their_values_do():
    draw = random.Random(3)
    alike = [[draw.gauss(0, 1) for _ in range(10)] for _ in range(5)]
    apart = [[value + 2 * number for value in own] for number, own in enumerate(alike)]
    assert [unlike_groups(alike), unlike_groups(apart)] == [False, True]
    for groups in (alike, apart):
        assert unlike_groups(groups, 0.05) is bool(stats.kruskal(*groups).pvalue < 0.05)
    assert not unlike_groups([[1.0, 1.0], [1.0]])
    assert not unlike_groups(apart[:1])


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


@pytest.mark.parametrize("n", [5, 12, 40])
def test_the_signed_rank_chance_is_wilcoxons(n):
    draw = random.Random(n)
    values = [draw.gauss(0.4, 1) for _ in range(n)]
    assert signed_rank_chance(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


def test_an_estimate_maps_its_ends():
    estimate = signed_rank_interval([math.log(1.1)] * 8).map(math.expm1)
    assert estimate.low == pytest.approx(0.1)
    assert estimate.high == pytest.approx(0.1)


def test_an_interval_of_the_median_holds_it_as_often_as_it_says_for_any_distribution():
    assert median_interval([1.0] * 5).low is None
    assert median_interval([6, 5, 4, 3, 2, 1]) == Estimate(3.5, 1, 6)
    draw = random.Random(3)
    for number in (10, 40, 201):
        rank = round(median_interval(list(range(number))).low)
        ways = [math.comb(number, k) / 2**number for k in range(number + 1)]
        assert 2 * math.fsum(ways[: rank + 1]) <= 0.05 < 2 * math.fsum(ways[: rank + 2])
    found = [median_interval([draw.expovariate(1) for _ in range(25)]) for _ in range(1000)]
    assert 0.94 <= fmean(one.low <= math.log(2) <= one.high for one in found) <= 0.985


def test_quantiles_interpolate():
    assert quantile([4, 1, 3, 2], 0.5) == 2.5
    assert quantile([1, 2, 3], 1.0) == 3
    assert quantile([5], 0.9) == 5
