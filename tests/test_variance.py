"""The variance model: what it says of made cases, whether its intervals hold what they should, and where it is put to use."""

import math
import random
from dataclasses import replace

import pytest
from conftest import case
from scipy import stats

from attnbench.core.records import Case, Measurement, Record
from attnbench.core.statistics import Mean, two_stage_interval
from attnbench.core.variance import (
    RunToRun,
    critical_value,
    detection_limit,
    moderated,
    run_to_run,
    variance_trend,
)
from attnbench.judge.compare import compare
from attnbench.runs.uncertainty import RUN_TO_RUN, means_of

FIRST = 3


def cases(draw, number, *, beside=math.inf):
    """Overheads, the true scatter of each (0.03 of it, or beside that on so many degrees of freedom), and replicates."""
    found = []
    for _ in range(number):
        overhead = math.exp(draw.uniform(math.log(0.001), math.log(0.5)))
        wider = 1.0 if math.isinf(beside) else math.sqrt(beside / draw.gammavariate(beside / 2, 2))
        scatter = 0.03 * overhead * wider

        found.append((overhead, scatter, [draw.gauss(overhead, scatter) for _ in range(FIRST)]))
    return found


def test_without_other_cases_it_is_the_interval_of_a_cases_own_replicates():
    values = [1.0, 1.2, 0.9, 1.1, 1.05]
    assert moderated(values, 4).whole.interval() == two_stage_interval(values, 4)
    assert moderated([1.0], 4) is None
    assert variance_trend([[1.0, 1.1, 1.2]] * 4) is None


def test_the_trend_follows_the_overhead_and_knows_what_it_is_worth():
    draw = random.Random(1)
    exact = variance_trend([stage for *_, stage in cases(draw, 400)])
    assert exact.slope == pytest.approx(2, abs=0.3)
    assert exact.variance(0.1) == pytest.approx((0.03 * 0.1) ** 2, rel=0.25)
    assert exact.degrees > 30
    loose = variance_trend([stage for *_, stage in cases(draw, 2000, beside=4)])
    assert loose.degrees == pytest.approx(4, rel=0.35)


def test_replicates_that_are_all_alike_make_no_trend_and_one_alike_by_chance_no_error():
    assert variance_trend([[0.5, 0.5, 0.5]] * 20) is None
    found = variance_trend([[0.1, 0.1, 0.1], *(stage for *_, stage in cases(random.Random(2), 20))])
    assert found.variance(0.1) > 0


@pytest.mark.parametrize("number", [5, 6, 12, 85])
@pytest.mark.parametrize("beside", [math.inf, 6])
def test_intervals_hold_the_truth_as_often_as_they_say_and_are_narrower(number, beside):
    draw, held, width, own, trials = random.Random(number), 0, 0.0, 0.0, 1500 // number
    for _ in range(trials):
        found = cases(draw, number, beside=beside)
        trend = variance_trend([stage for *_, stage in found])
        for overhead, scatter, stage in found:
            interval, alone = moderated(stage, FIRST, trend).whole.interval(), two_stage_interval(stage, FIRST)
            held += interval.low <= overhead <= interval.high
            width += (interval.high - interval.low) / scatter
            own += (alone.high - alone.low) / scatter
    assert 0.93 <= held / (trials * number) <= 0.97
    assert width < own


def test_what_runs_differ_by_is_learned_and_makes_intervals_hold_again():
    draw, ratio = random.Random(4), 0.5
    runs = []
    truths = [(0.01 * at, 0.0003 * at) for at in range(1, 21)]
    for _ in range(40):
        levels = [draw.gauss(overhead, scatter * math.sqrt(ratio)) for overhead, scatter in truths]
        runs.append([[draw.gauss(one, truth[1]) for _ in range(FIRST)] for one, truth in zip(levels, truths, strict=True)])
    trends = [variance_trend(run) for run in runs]
    told = [[moderated(stage, FIRST, trend) for stage in run] for run, trend in zip(runs, trends, strict=True)]
    found, degrees = run_to_run(zip(*told, strict=True))
    assert found == pytest.approx(ratio, abs=0.2)
    assert degrees == 39
    for between, least, most in ((RunToRun(found, degrees), 0.93, 0.97), (RunToRun(), 0.0, 0.92)):
        held = 0
        for run in runs:
            trend = variance_trend(run)
            for stage, (overhead, _) in zip(run, truths, strict=True):
                interval = moderated(stage, FIRST, trend, between).whole.interval()
                held += interval.low <= overhead <= interval.high
        assert least <= held / 800 <= most
    assert run_to_run([told[0][:1]]) is None


def test_equal_runs_that_differ_by_less_than_their_replicates_promise_differ_by_nothing():
    assert run_to_run([[moderated([1.0, 2.0, 3.0], FIRST)] * 3]) == (0.0, 2)


def test_the_limits_are_what_they_are_called():
    """Above the critical value nothing is called something in one of twenty; at it, something is found in half; see Currie."""
    mean = Mean(0.0, 0.01, 8.0)
    critical, limit = critical_value(mean), detection_limit(mean)
    told = lambda truth: stats.nct.sf(critical / 0.1, 8, truth / 0.1) + stats.nct.cdf(-critical / 0.1, 8, truth / 0.1)  # noqa: E731
    assert 1 - stats.t.cdf(critical / 0.1, 8) + stats.t.cdf(-critical / 0.1, 8) == pytest.approx(0.05)
    assert told(critical) == pytest.approx(0.5, abs=0.08)
    assert told(limit) == pytest.approx(0.95, abs=1e-3)


def records(draw, truths, shift=0.0):
    made = []
    for at, (overhead, scatter) in enumerate(truths):
        samples = tuple(draw.gauss(overhead + shift * (at == 0), scatter) for _ in range(FIRST))
        made.append(Record(case(f"v{at}"), "ok", (Measurement("overhead", sum(samples) / FIRST, samples=samples),)))
    return made


def test_a_comparison_of_many_cases_finds_what_each_alone_does_not(make):
    """One point more in one case of 85 with three replicates that scatter by a tenth of it."""
    draw = random.Random(5)
    truths = [(0.01, 0.001), *((0.002 * at, 0.0002 * at) for at in range(1, 85))]
    settings = {"processes": FIRST, "max_processes": FIRST}
    found = 0
    for _ in range(10):
        one, two = (make(*records(draw, truths, shift), settings=settings) for shift in (0.0, 0.01))
        row = next(row for row in compare(one, two).rows if row.case == case("v0") and row.metric == "overhead")
        found += row.verdict == "worse"
    assert found >= 9


def test_what_a_machine_is_known_for_widens_what_is_read_of_its_runs(make):
    run = make(*records(random.Random(6), [(0.01 * at, 0.0005 * at) for at in range(1, 7)]))
    known = replace(run.header, machine={**run.header.machine, RUN_TO_RUN: {"ratio": 1.0, "degrees": 30.0, "source": "x"}})
    plain, wide = means_of(run), means_of(replace(run, header=known))
    for one in plain:
        assert wide[one].within == plain[one].within
        assert wide[one].whole.variance == pytest.approx(plain[one].whole.variance * (1 + FIRST))


def test_hosts_and_sizes_have_a_trend_each(make):
    few = records(random.Random(7), [(0.01, 0.001)] * 4)
    other = [replace(one, case=Case("resnetsan01", one.case.variant, "96x160")) for one in few]
    assert all(mean.degrees == FIRST - 1 for mean in means_of(make(*few, *other)).values())
