"""The timing processes on a real small graph, the attribution on profiles whose answer is known, and the time left."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from attnbench.cli import progress
from attnbench.core.errors import CaseFailure
from attnbench.core.records import Case
from attnbench.graph.align import ExecutedNode
from attnbench.graph.chain import LENGTH, chain
from attnbench.graph.export import to_onnx
from attnbench.graph.load import serialise
from attnbench.judge.verdicts import agreement
from attnbench.measure.attribution import Profile, attribute
from attnbench.measure.timing import time_in_process
from attnbench.runs.figures import paired_overhead


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.Sigmoid())
    path = tmp_path_factory.mktemp("graph") / "g.onnx"
    path.write_bytes(to_onnx(module, (1, 3, 32, 32), canonical=True))
    return str(path)


@pytest.fixture(scope="module")
def chain_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("chain") / "chain.onnx"
    path.write_bytes(serialise(chain()))
    return str(path)


def job(kind: str, **values):
    return {"kind": kind, "warmup": 2, "seed": 0, "step_seconds": 30.0, **values}


def test_a_profile_has_each_node_of_each_run_after_the_warm_ups(graph, chain_file):
    result = time_in_process(job("profile", model=graph, repeat=4, chain=chain_file), 60)
    profile = Profile.from_result(result)
    assert len(profile.runs) == 4
    assert all(len(run) == len(profile.nodes) for run in profile.runs)
    assert sum(node.op == "Conv" for node in profile.nodes) == 2
    assert sum(sum(run) for run in profile.runs) > 0
    assert result["finite"]
    assert len(result["cores"]) <= 1
    assert 0 < profile.core_share <= 1


def test_what_profiling_costs_a_node_is_measured_and_taken_off(graph, chain_file):
    result = time_in_process(job("profile", model=graph, repeat=3, chain=chain_file), 60)
    assert result["cost"] != 0
    profile = Profile.from_result(result)
    assert profile.runs[0][0] == pytest.approx(result["runs"][0][0] - result["cost"])
    assert time_in_process(job("profile", model=graph, repeat=3), 60)["cost"] == 0


def test_the_runtime_takes_none_of_the_chain_away(chain_file):
    result = time_in_process(job("profile", model=chain_file, repeat=3), 60)
    assert [node["op"] for node in result["nodes"]] == ["Sigmoid"] * LENGTH


def test_pairs_and_latencies_are_as_many_as_asked(graph):
    pairs = time_in_process(job("pairs", models=[graph, graph], rounds=7, number=0), 60)
    assert len(pairs["wall"]) == len(pairs["cpu"]) == 7
    assert all(seconds > 0 for pair in pairs["wall"] for seconds in pair)
    assert len(time_in_process(job("latency", model=graph, repeat=5, threads=2), 60)["wall"]) == 5


def test_the_session_that_is_created_first_changes_from_process_to_process(graph, monkeypatch):
    from attnbench.measure import session

    created = []
    real = session.opened
    monkeypatch.setattr(session, "opened", lambda job, model: created.append(model) or real(job, model))
    other = str(Path(graph).with_name("other.onnx"))
    Path(other).write_bytes(Path(graph).read_bytes())
    for number in range(4):
        session.pairs(job("pairs", models=[graph, other], rounds=1, number=number))
    firsts = created[::2]
    assert firsts[0] != firsts[1]
    assert firsts[:2] == firsts[2:]


@pytest.mark.parametrize("level", ["all", "layout", "extended", "basic", "none"])
def test_the_level_of_optimisation_is_the_jobs(graph, level):
    ops = [node["op"] for node in time_in_process(job("profile", model=graph, repeat=1, optimization=level), 60)["nodes"]]
    assert ("Relu" in ops) == (level in ("basic", "none")), "fused into the convolution from extended on"


def test_a_provider_is_found_by_its_short_name_and_a_missing_one_is_an_error(graph):
    installed = time_in_process({"kind": "devices"}, 60)["devices"]
    assert "cpu" in installed
    assert len(time_in_process(job("latency", model=graph, repeat=3, threads=1, provider="cpu"), 60)["wall"]) == 3
    for name in installed:
        try:
            time_in_process(job("latency", model=graph, repeat=3, threads=1, provider=name), 60)
        except CaseFailure as failure:
            assert "did not start and gave way to" in failure.reason  # noqa: PT017  a provider without its device
    with pytest.raises(CaseFailure, match="execution provider 'nowhere' is not installed"):
        time_in_process(job("latency", model=graph, repeat=1, threads=1, provider="nowhere"), 60)


def test_a_step_stops_early_but_not_below_its_smallest_sample(graph):
    quick = {"step_seconds": 0.0}
    assert len(time_in_process({**job("latency", model=graph, repeat=50, threads=1), **quick}, 60)["wall"]) == 3


def test_a_timing_process_that_fails_hangs_or_crashes_is_a_reason(graph, tmp_path):
    with pytest.raises(CaseFailure, match="latency process failed: .*"):
        time_in_process(job("latency", model=str(tmp_path / "none.onnx"), repeat=1, threads=1), 60)
    with pytest.raises(CaseFailure, match="did not end within 0 s and was killed"):
        time_in_process(job("latency", model=graph, repeat=1, threads=1), 0.01)


def made(*runs, names=("Conv", "Conv2", "@s@0.m@/Mul", "ReorderOutput"), weights=()) -> Profile:
    nodes = tuple(ExecutedNode(name, name.split("/")[-1], "i", "o", 8 * (name in weights)) for name in names)
    return Profile(nodes, tuple(tuple(run) for run in runs))


BASE = made((1.0, 3.0), (2.0, 6.0), names=("Conv", "Conv2"))


def test_an_overhead_is_added_over_shared_whatever_the_machines_speed():
    found = attribute(BASE, made((1.0, 3.0, 0.04, 0.04), (10.0, 30.0, 0.4, 0.4)))
    assert found.overhead == pytest.approx(0.02)
    assert found.aligned == 1.0
    assert {node.kind: node.site for node in found.nodes} == {"added": "s", "layout": "s"}
    assert sum(node.share for node in found.nodes) == pytest.approx(0.02)


def test_what_a_variant_removes_is_taken_off():
    # the baseline ran a fused node of a fifth of its time that the variant replaced by two that take a quarter more
    baseline = made((4.0, 1.0), names=("Conv", "Fused"))
    variant = made((4.0, 0.75, 0.5), names=("Conv", "Part", "@s@0.m@/Relu"))
    found = attribute(baseline, variant)
    assert found.overhead == pytest.approx((4.0 + 1.25) / 5.0 - 1)
    assert found.aligned == pytest.approx(0.8)
    assert {node.op: node.kind for node in found.nodes} == {"Part": "unfused", "Relu": "added", "Fused": "removed"}
    assert sum(node.share for node in found.nodes) == pytest.approx(found.overhead)


def test_a_changed_node_counts_by_its_difference():
    first, inserted = ExecutedNode("a", "Conv", "i", "o", 4), ExecutedNode("@s@0.m@/x", "Mul", "", "", 0)
    fused = Profile((first, ExecutedNode("b", "Conv", "i residual", "o", 8)), ((4.0, 1.0),))
    plain, add = ExecutedNode("b", "Conv", "i", "o", 8), ExecutedNode("add", "Add", "", "", 0)
    found = attribute(fused, Profile((first, plain, inserted, add), ((8.0, 1.9, 0.1, 0.3),)))
    assert found.overhead == pytest.approx((4.0 + 0.95 + 0.05 + 0.15) / 5.0 - 1)
    assert found.aligned == 1.0, "it has a counterpart"
    shares = {(node.op, node.kind): node.share for node in found.nodes}
    assert shares == pytest.approx({("Mul", "added"): 0.01, ("Add", "unfused"): 0.03, ("Conv", "changed"): -0.01})


def test_graphs_with_nothing_in_common_have_no_overhead_but_a_reason():
    found = attribute(made((1.0,), names=("One",)), made((1.0, 1.0), names=("Two", "@s@0.m@/Mul")))
    assert (found.aligned, found.reason) == (0, "the two graphs share no node")


def test_a_graph_that_was_compiled_into_one_node_is_not_taken_for_its_baseline():
    whole = made((1.0,), names=("compiled",))
    found = attribute(whole, made((1.1,), names=("compiled",)))
    assert found.reason == "the runtime ran no inserted node by itself"
    assert not found.nodes


def test_a_baseline_of_which_too_much_is_gone_is_a_reason():
    found = attribute(made((2.0, 1.0), names=("Conv", "Fused")), made((2.0, 1.2), names=("Conv", "@s@0.m@/Mul")))
    assert found.aligned == pytest.approx(2 / 3)
    assert found.reason == "67% of the baseline's time has a counterpart, 80% are needed"


def test_the_nodes_add_up_to_the_overhead_even_if_each_has_its_own_slow_run():
    runs = [(1.0, 3.0, 0.01, 0.04), (1.0, 3.0, 0.09, 0.01), (1.0, 3.0, 0.02, 0.05), (1.1, 3.0, 0.02, 0.02)]
    for number in (3, 4):
        found = attribute(BASE, made(*runs[:number]))
        assert sum(node.share for node in found.nodes) == pytest.approx(found.overhead)


def test_pairs_see_through_drift_that_multiplies_both():
    draw = random.Random(1)
    rounds = [(speed, speed * 1.05 * draw.uniform(0.999, 1.001)) for speed in (draw.uniform(1, 3) for _ in range(20))]
    found = paired_overhead([after / before for before, after in rounds])
    assert found.low <= 0.05 <= found.high
    assert found.high - found.low < 0.002


def test_processes_that_differ_by_more_than_their_pairs_are_the_unit_of_the_interval():
    draw = random.Random(2)
    for spread in (0.0, 0.03):
        processes = [
            [1.01 * draw.gauss(1 + at, 0.002) for _ in range(20)] for at in (spread, -spread, spread / 3, -spread / 3)
        ]
        found, pooled = paired_overhead(*processes), paired_overhead([ratio for own in processes for ratio in own])
        assert found.value == pytest.approx(0.01, abs=0.001)
        assert found.high - found.low > spread
        assert (found == pooled) is (spread == 0)


@pytest.mark.parametrize(
    ("figures", "word"),
    [
        ((1.0, 0.5, 1.5), "agree"),
        ((1.0, 0.2, 1.8), "too blunt"),
        ((1.0, 1.2, 2.6), "agree"),
        ((0.1, 0.0, 0.2), "too blunt"),
        ((1.0, 1.5, 3.0), "disagree"),
        ((1.0, None, None), ""),
        ((None, 0, 1), ""),
    ],
)
def test_the_two_clocks_agree_within_the_systematic_part(figures, word):
    assert agreement(*figures) == word


def test_the_time_left_follows_the_pace_so_far(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    left = progress.TimeLeft(40.0)
    assert left.text() == "time left unknown yet"
    now[0] = 110.0
    left.update(30.0)
    assert left.text() == "about 30 s left"
    left.update(50.0)
    assert left.text() == "about 50 s left", "a wide interval asked for more, and nothing was done"
    now[0] = 150.0
    left.update(0.0)
    assert left.text() == "nearly done", "never no time while there is work"


def test_that_cases_turn_out_to_share_graphs_is_no_work_done(run, capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    lines = progress.Lines()
    lines.started("results/x", 9, 0, 3_000.0)
    now[0] = 60.0
    lines.described(9, 9)
    for now[0], left in ((65.0, 800.0), (75.0, 700.0)):
        lines.recorded(run.records[0], left)
    first, second = capsys.readouterr().err.splitlines()[1:]
    assert first.endswith("time left unknown yet")
    assert second.endswith("about 1 min 45 s left"), "100 in 15 s, and nothing else"


def test_the_bar_shows_options_in_brackets_as_they_are(run, capsys):
    failed = replace(run.records[-1], case=Case("h", "a=cbam[reduction=8]", "8x8"))
    with progress.Bar() as bar:
        bar.started(Path("results/x[1]"), 2, 0, 8.0)
        bar.at((failed.case,), 1, "profile")
        bar.recorded(failed, 4.0)
    seen = capsys.readouterr().err
    assert "results/x[1]" in seen
    assert "a=cbam[reduction=8]: export: it | broke" in seen
    assert "1 done, 1 failed, 1 left" in seen


def test_a_line_a_step_says_what_came_of_it(run, capsys):
    lines = progress.Lines()
    lines.started("results/x", len(run.records), 2, 10.0)
    for number, record in enumerate(run.records[2:]):
        lines.recorded(replace(record, pending=number == 2), 6.0)
    lines.recorded(run.records[1], 0.0)
    seen = capsys.readouterr().err
    assert "5 cases, 2 of them finished before" in seen
    assert "encoder.layer3=cbam_npu: overhead 3.00 ± 0.10 %, 3 replicates" in seen
    assert "skipped resnetsan01 384x640 encoder.stem=self_attention: memory: needs 41 GB" in seen
    assert "[5/5 done]" in seen, "the last of the three is not done yet"
