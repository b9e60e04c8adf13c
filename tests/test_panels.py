"""Several cases in one graph: who may stand together, whose node is whose, and that the figures add up."""

import random
from typing import ClassVar

import numpy as np
import pytest
from msgspec import structs

from attnbench.core.metrics import measurement
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import Case, NodeShare
from attnbench.graph.align import Alignment, ExecutedNode
from attnbench.graph.splice import regions
from attnbench.hosts import HostReference
from attnbench.measure.attribution import Profile, attribute, attribute_each, low_times
from attnbench.measure.bench import timing_job
from attnbench.measure.build import CaseBuilder
from attnbench.measure.observer import Silent
from attnbench.measure.ownership import Nearest, nearest_sites, sites_of_removed
from attnbench.measure.panels import graphs, pack, room, takes
from attnbench.measure.schedule import crosscheck_rounds
from attnbench.measure.session import profile
from attnbench.measure.sweep import run_plan
from attnbench.runs.crosscheck import crosscheck
from attnbench.runs.facts import ApartFact, BuiltFact, PairsFact, ProfileFact
from attnbench.runs.ledger import Ledger
from attnbench.runs.store import read_run_file
from attnbench.study.plan import PlannedCase, plan

HOST, SIZE = "resnetsan01", "64x96"
VARIANTS = (
    "encoder.layer2=se_npu",
    "encoder.layer4=eca",
    "decoder.upconv2=axial_conv",
    "skip.2=cbam_npu",
    "encoder.layer3=at_conv",
    "decoder.upconv4=at",
)


def case(variant: str) -> Case:
    return Case(HOST, variant, SIZE)


class TestPack:
    PLACES: ClassVar = {f"{place}={module}": frozenset({place}) for place in "abcde" for module in "xyz"}
    BOTH: ClassVar = {"a+b=x": frozenset("ab"), "c+d+e=y": frozenset("cde")}

    def packed(self, number: int, places=PLACES) -> list[list[Case]]:
        cases = [case(variant) for variant in places]
        return pack(cases, lambda one: places[one.variant], number)

    @pytest.mark.parametrize("number", range(5))
    def test_each_case_is_in_one_panel_and_no_two_of_one_panel_touch(self, number):
        places = self.PLACES | self.BOTH
        panels = self.packed(number, places)
        assert sorted(one.variant for panel in panels for one in panel) == sorted(places)
        for panel in panels:
            tensors = [tensor for one in panel for tensor in places[one.variant]]
            assert len(tensors) == len(set(tensors))

    def test_there_are_as_many_panels_as_the_most_crowded_place_has_cases(self):
        assert [len(panel) for panel in self.packed(0)] == [5, 5, 5]

    def test_neighbours_are_drawn_anew_for_each_replicate_and_alike_for_the_same(self):
        assert self.packed(0) == self.packed(0)
        assert self.packed(0) != self.packed(1)


@pytest.mark.parametrize(
    ("macs", "dtype", "shared"),
    [(1e9, "fp32", {"module eca"}), (6e9, "int8", {"module eca"}), (6e9, "fp32", set()), (2e10, "int8", set())],
)
def test_in_a_small_network_cases_with_one_module_do_not_share_a_graph(macs, dtype, shared):
    cases = [
        structs.replace(case(variant), dtype=dtype) for variant in ("baseline", "a=eca+se[reduction=8]", "b=eca[kernel=5]")
    ]
    ledger = Ledger()
    for one in cases:
        ledger.add(
            BuiltFact(
                case=one, measurements=(measurement("macs", macs),), regions=() if one.is_baseline else (one.variant[0],)
            )
        )
    first, second = (takes(ledger, one) for one in cases[1:])
    assert first & second == shared
    assert first - second >= {"a"}


@pytest.mark.parametrize(
    ("processes", "most", "pairs"), [(3, 100, (8, 46, 46)), (3, 6, (6, 6, 6)), (2, 12, (8, 8, 8)), (1, 100, (92, 92, 92))]
)
def test_few_pairs_of_a_panel_are_taken_first_and_the_others_spread_over_the_first_stage(processes, most, pairs):
    effort = Effort(processes=processes, crosscheck=most)
    assert tuple(crosscheck_rounds(effort, number) for number in range(3)) == pairs


def test_a_case_that_was_sent_apart_twice_has_no_room_in_a_panel():
    base, one = case("baseline"), PlannedCase(case("a=se"), HostReference(HOST), Effort())
    ledger = Ledger(
        [BuiltFact(case=base, measurements=(measurement("macs", 1e10),)), BuiltFact(case=one.case, regions=("a",))]
    )
    for _ in range(2):
        assert room(ledger, one) == {"a"}
        assert graphs(ledger, [one, one]) == 2
        ledger.add(ApartFact(case=one.case, panel="p", why="unlike"))
    assert room(ledger, one) is None


def node(name: str, op: str = "Conv") -> ExecutedNode:
    return ExecutedNode(name, op, "i", f"o {name}", 0, op)


class TestOwnership:
    def test_a_node_belongs_to_the_site_that_is_nearest_in_the_graph_and_not_in_the_order_of_execution(self):
        nodes = [node("c"), node("@a@0.m@/n"), node("@b@0.m@/n"), node("reorder of a"), node("reorder of b")]
        edges = [(0, 1), (1, 3), (0, 2), (2, 4)]
        found = nearest_sites(nodes, edges)
        assert [found[index].sites for index in (3, 4)] == [("a",), ("b",)]
        assert found[0] == Nearest(1, ("a", "b")), "it is as near to both"
        assert nearest_sites(nodes, [])[3].sites == ("b",), "without a graph, the order is all there is"

    def test_a_removed_node_made_way_for_the_site_next_to_its_neighbours(self):
        alignment = Alignment(shared=((0, 0), (2, 2)), changed=(), added=(1,), removed=(1,))
        nearest = {0: Nearest(5, ("far",)), 1: Nearest(0, ("near",)), 2: Nearest(1, ("near",))}
        assert sites_of_removed([(0, 1), (1, 2)], alignment, nearest) == {1: Nearest(2, ("near",))}

    def test_a_node_as_near_to_two_cases_is_that_ones_that_lacks_it(self):
        nodes = (node("c"), node("@a@0.m@/n"), node("@b@0.m@/n"), node("r", "ReorderInput"))
        edges = ((0, 1), (0, 2), (1, 3), (2, 3))
        panel = Profile(nodes, ((1.0, 0.1, 0.2, 0.5),), edges)
        alone = {"case a": {"Conv": 1}, "case b": {"Conv": 1, "ReorderInput": 1}}
        found = attribute_each(Profile(nodes[:1], ((1.0,),)), panel, {"a": "case a", "b": "case b"}, alone)
        assert {owner: one.overhead for owner, one in found.items()} == pytest.approx({"case a": 0.1, "case b": 0.7})
        assert found["case b"].kinds == alone["case b"]
        assert [share.site for share in found["case b"].nodes] == ["b", "b"]


class TestLowTimes:
    def stolen(self, share: float, runs: int = 30, seed: int = 0) -> list[list[float]]:
        """Runs of 100 shared nodes of 1 ms and 4 added ones of 0.1 ms, beside which others take slices of the core."""
        draw = random.Random(seed)
        rows = []
        for _ in range(runs):
            speed = draw.uniform(1.0, 1.3)
            row = [speed * (1e-3 if index < 100 else 1e-4) for index in range(104)]
            for index, seconds in enumerate(row):
                while draw.random() < seconds / speed * (1 / share - 1) / 4e-3:
                    row[index] += draw.expovariate(1 / 4e-3)
            rows.append(row)
        return rows

    @pytest.mark.parametrize("share", [1.0, 0.95, 0.8, 0.6])
    def test_slices_that_other_processes_take_do_not_change_what_a_node_costs(self, share):
        truth, found = 0.4 / 100, []
        for seed in range(10):
            times = low_times(self.stolen(share, seed=seed), range(100))
            found.append(sum(times[100:]) / sum(times[:100]))
        assert np.mean(found) == pytest.approx(truth, rel=0.02)

    def test_a_run_is_put_on_the_others_speed(self):
        runs = [[2.0, 0.2], [1.0, 0.1], [4.0, 0.4]]
        assert low_times(runs, [0]) == pytest.approx([2.0, 0.2])


@pytest.fixture(scope="module")
def profiles(tmp_path_factory):
    """The profiles of a baseline, of four variants, and of one graph with all four; and what is known of them."""
    builder = CaseBuilder(Protocol(), tmp_path_factory.mktemp("graphs"))
    host = HostReference(HOST)
    graphs = {"baseline": ["baseline"], **{v: [v] for v in VARIANTS}, "all": [*VARIANTS]}
    effort = Effort()
    found = {}
    for name, variants in graphs.items():
        path = builder.write([(case(variant), host) for variant in variants], name.replace("/", " "))
        job = timing_job({"kind": "profile", "model": str(path), "repeat": 3, "chain": ""}, Protocol(), effort)
        found[name] = Profile.from_result(profile(job))
    return found, {variant: builder.describe(case(variant), host, ()) for variant in VARIANTS}


def test_a_case_in_a_panel_has_the_nodes_that_it_has_alone(profiles):
    found, built = profiles
    owners = {site: variant for variant in VARIANTS for site in built[variant].sites}
    together = attribute_each(found["baseline"], found["all"], owners)
    assert set(together) == set(VARIANTS)
    for variant in VARIANTS:
        alone = attribute(found["baseline"], found[variant])
        assert together[variant].kinds == alone.kinds == built[variant].kinds
        assert sorted((n.op, n.kind) for n in together[variant].nodes) == sorted((n.op, n.kind) for n in alone.nodes)


def test_the_shares_of_the_cases_add_up_to_the_panels_overhead(profiles):
    found, built = profiles
    owners = {site: variant for variant in VARIANTS for site in built[variant].sites}
    together = attribute_each(found["baseline"], found["all"], owners)
    whole = attribute(found["baseline"], found["all"])
    assert sum(one.overhead for one in together.values()) == pytest.approx(whole.overhead)
    for one in together.values():
        assert sum(share.share for share in one.nodes) == pytest.approx(one.overhead)
        assert all(isinstance(share, NodeShare) for share in one.nodes)


@pytest.mark.parametrize(
    ("host", "one", "other", "touch"),
    [
        ("resnetsan01", "encoder.stem", "skip.1", True),  # on one tensor
        ("resnetsan01", "encoder.stem", "encoder.layer3", False),
        ("resnetsan01", "encoder.layer1", "encoder.layer2", False),
        ("resnet18", "layer1.0.branch", "layer1.0.end", True),  # an addition and an activation between them
        ("resnet18", "layer1.0.end", "layer1.1.end", True),  # along the identity shortcut
        ("resnet18", "layer1.1.end", "layer2.0.end", False),  # the shortcut has a convolution
        ("mobilenet_v2", "features.4.depthwise", "features.5.depthwise", False),
    ],
)
def test_sites_touch_where_nothing_but_elementwise_ops_is_between_them(host, one, other, touch, tmp_path):
    graph = CaseBuilder(Protocol(), tmp_path).host(Case(host, "baseline", SIZE), HostReference(host)).graph
    assert (regions(graph, [one]) == regions(graph, [other])) is touch


STUDY = {
    "name": "panels",
    "hosts": [HOST],
    "sizes": [SIZE],
    "case": [{"variant": variant} for variant in VARIANTS],
    "settings": {"processes": 2, "max_processes": 2, "warmup": 1, "repeat": 3, "crosscheck": 12, "memory": False},
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    run, _ = run_plan(plan(STUDY), out, out / "run", Silent())
    return run, read_run_file(out / "run")


def test_a_sweep_profiles_its_cases_together_and_names_the_panel(swept):
    run, stored = swept
    facts = [fact for fact in stored.facts if isinstance(fact, ProfileFact) and not fact.case.is_baseline]
    assert not [fact for fact in stored.facts if isinstance(fact, ApartFact)]
    assert all(fact.panel for fact in facts)
    assert len({fact.panel for fact in facts if not fact.repeat}) == 2, "one graph a replicate"
    assert all(record.value("overhead") is not None for record in run.records if not record.case.is_baseline)
    assert len(run.records[0].get("aa_repeat").samples) == 2


def test_the_sum_of_a_panels_parts_is_held_against_the_clock(swept):
    run, stored = swept
    pairs = [fact for fact in stored.facts if isinstance(fact, PairsFact)]
    assert [sorted(fact.together) for fact in pairs] == [sorted(VARIANTS)] * len(pairs)
    found = crosscheck(stored.header, Ledger(stored.facts), run.records[0].case)
    assert found.total == pytest.approx(sum(record.value("overhead") for record in run.records[1:]))
    assert run.records[0].value("panel_sum") == pytest.approx(found.total)
    assert len(run.records[0].get("panel_paired").samples) == len(found.ratios) >= 6
    assert found.left == 0 or len(found.ratios) == 12


def test_alone_each_case_has_a_graph_of_its_own(tmp_path):
    asked = {**STUDY, "case": STUDY["case"][:2], "settings": {**STUDY["settings"], "alone": True, "processes": 1}}
    run_plan(plan(asked), tmp_path, tmp_path / "run", Silent())
    facts = [fact for fact in read_run_file(tmp_path / "run").facts if isinstance(fact, ProfileFact)]
    assert not any(fact.panel for fact in facts)
