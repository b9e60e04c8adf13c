"""Overheads from inside one run: the time of what modules added, over the time of what both graphs share.

    overhead of a case = (A / S  -  R / S') / (1 + R / S')

A is the time of the nodes that the case added and S that of all shared nodes, in runs of the variant; R is the time of the
nodes that it removed and S' that of the shared ones, in runs of the baseline; a changed node (see ``graph.align``) is in
both A and R. Each ratio is taken within one graph's runs, so the machine's speed cancels out of it; differences of wall
clocks cannot see a module that costs 1 % on a machine whose clock wanders by 5. In the last term R is of all cases in the
graph, so that the shares of several cases add up to what the whole graph costs.

A node's time is a low quantile over the runs, after each run is put on one speed by its shared nodes. What other processes
take of the core comes in slices: they hit the many shared nodes in nearly every run, the few added ones in few, and would
make an overhead look small. A low quantile leaves the hit runs of each node out.

A profile overstates each node by the time that the runtime takes to describe it, about a microsecond, which the node's
own clock includes; what a node takes outside its clock (dispatch) is a fraction of that. The difference of the two is
measured in each process on a chain of nodes that do next to nothing, and taken off every node: at small inputs it would
be a third of what a module with many small nodes seems to cost.

A replicate is one profile of the variant and one of the baseline, taken close in time in a fresh process each: where the
runtime removed or changed nodes, both profiles' noise is in the figure, and so it must differ between replicates.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeVar

from attnbench.core.records import NodeShare, Part
from attnbench.core.statistics import quantile
from attnbench.graph.align import Alignment, ExecutedNode, align
from attnbench.measure.ownership import Nearest, nearest_sites, sites_of_removed

ALIGNED_FLOOR = 0.8
"""Share of the baseline's time that must have a counterpart in the variant. What has none is subtracted between processes,
whose node shares differ by about 1 %: at a fifth of the time that alone is 0.2 points, as much as many modules cost."""

LAYOUT_OPS = frozenset(("ReorderInput", "ReorderOutput", "Transpose", "Reorder", "Reformat"))
RUNTIMES_OWN = LAYOUT_OPS - {"Transpose"}
"""Changes of layout that no ONNX file has: they are the runtime's, whatever they are called after."""

LOW = 0.2
"""The quantile over the runs that a node's time is."""

Owner = TypeVar("Owner", bound=Hashable)


@dataclass(frozen=True)
class Profile:
    """One process's profile: the executed nodes and, a run each, their seconds, less what profiling itself took of them.

    ``edges`` are pairs of positions, of which the first node hands a tensor to the second, in the runtime's own optimised
    graph; none where that graph cannot be had. ``cost`` is what profiling took, seconds a node; ``core_share`` the part of
    its time that the process had its core.
    """

    nodes: tuple[ExecutedNode, ...]
    runs: tuple[tuple[float, ...], ...]
    edges: tuple[tuple[int, int], ...] = ()
    cost: float = 0.0
    core_share: float = 1.0

    @classmethod
    def from_result(cls, result: dict[str, Any]) -> Self:
        """The profile in a timing process's result."""
        nodes, cost = tuple(map(_executed, result["nodes"])), result["cost"]
        runs = tuple(tuple(seconds - cost for seconds in run) for run in result["runs"])
        return cls(nodes, runs, tuple(map(tuple, result["edges"])), cost, result["core_share"])


@dataclass(frozen=True)
class Attribution:
    """One replicate: the overhead (a ratio), its nodes, and the share of the baseline's time with a counterpart.

    ``kinds`` are the kinds of nodes that the runtime's graph has more of by it, or fewer. ``reason`` says why the overhead
    means nothing, where it does not.
    """

    overhead: float
    nodes: tuple[NodeShare, ...]
    aligned: float
    reason: str = ""
    kinds: Mapping[str, int] = field(default_factory=dict)


def attribute(baseline: Profile, variant: Profile) -> Attribution:
    """The overhead of a variant over its baseline. The nodes' shares add up to it."""
    return attribute_each(baseline, variant, defaultdict(str))[""]


def attribute_each(
    baseline: Profile,
    panel: Profile,
    owners: Mapping[str, Owner],
    expected: Mapping[Owner, Mapping[str, int]] = MappingProxyType({}),
    *,
    fused: bool = False,
) -> dict[Owner, Attribution]:
    """The overhead of each case in a graph over the baseline; ``owners`` maps each occupied site to its case.

    A node belongs to the site that is nearest in the runtime's own graph; of cases as near, to the one that still lacks such
    a node of those that it is ``expected`` to add, by kind. There is no overhead where the runtime ran no inserted node by
    itself: a provider that compiles whole graphs shows one node for each, and the two look the same. With ``fused`` it is
    known that some ran within nodes of the host. There is none either where too little of the baseline has a counterpart.
    """
    alignment = align(baseline.nodes, panel.nodes)
    reason = _impossible(panel, alignment, fused=fused)
    if reason:
        return {owner: Attribution(0.0, (), 0.0, reason) for owner in owners.values() or [owners[""]]}
    nearest = nearest_sites(panel.nodes, panel.edges)
    were = {j: i for i, j in alignment.changed}
    lost = _Shares(baseline, [*were.values(), *alignment.removed], [i for i, _ in alignment.shared])
    gained = _Shares(panel, [*were, *alignment.added], [j for _, j in alignment.shared])
    whole = 1 + sum(lost.shares.values())
    parts = [
        _Part(nearest[j], gained.node(j, _part(panel.nodes[j]), whole), (panel.nodes[j].kind,)) for j in alignment.added
    ]
    for j, i in were.items():
        change = _change(gained.node(j, "changed", whole), lost.node(i, "removed", whole))
        parts.append(_Part(nearest[j], change, (panel.nodes[j].kind,), (baseline.nodes[i].kind,)))
    for i, near in sites_of_removed(baseline.edges, alignment, nearest).items():
        parts.append(_Part(near, _negative(lost.node(i, "removed", whole)), fewer=(baseline.nodes[i].kind,)))
    aligned = 1 - sum(lost.shares[i] for i in alignment.removed) / whole
    if aligned < ALIGNED_FLOOR:
        reason = f"{aligned:.0%} of the baseline's time has a counterpart, {ALIGNED_FLOOR:.0%} are needed"
    found, kinds = _dealt_out(parts, owners, expected)
    return {
        owner: Attribution(
            overhead=sum(node.share for node in found[owner]),
            nodes=tuple(found[owner]),
            aligned=aligned,
            reason=reason,
            kinds={kind: number for kind, number in sorted(kinds[owner].items()) if number},
        )
        for owner in {**dict.fromkeys(owners.values()), **dict.fromkeys(found)}
    }


def unlike(found: Attribution, alone: Mapping[str, int]) -> str:
    """In what a case in a panel is not what it is alone, by the runtime's own graphs; empty where it is."""
    if found.reason or found.kinds == alone:
        return ""
    differing = [kind for kind in sorted({*found.kinds, *alone}) if found.kinds.get(kind, 0) != alone.get(kind, 0)]
    shown = ", ".join(f"{k} {found.kinds.get(k, 0):+d} for {alone.get(k, 0):+d}" for k in differing[:3])
    return f"among others the runtime's graph changes otherwise than by it alone ({shown})"


class _Part(NamedTuple):
    """A node of an overhead, the sites that it may belong to, and the kinds that it is one more and one fewer of."""

    near: Nearest
    node: NodeShare
    more: tuple[str, ...] = ()
    fewer: tuple[str, ...] = ()


def _dealt_out(
    parts: Sequence[_Part], owners: Mapping[str, Owner], expected: Mapping[Owner, Mapping[str, int]]
) -> tuple[dict[Owner, list[NodeShare]], dict[Owner, Counter[str]]]:
    """The nodes of each case and what they come to by kind: first those with one case nearest, then the others by need."""
    found: defaultdict[Owner, list[NodeShare]] = defaultdict(list)
    kinds: defaultdict[Owner, Counter[str]] = defaultdict(Counter)
    for part in sorted(parts, key=lambda one: len({owners[site] for site in one.near.sites})):
        sites = {owners[site]: site for site in reversed(part.near.sites)}

        def need(owner: Owner, part: _Part = part) -> int:
            wanted, had = expected.get(owner, {}), kinds[owner]
            lacking = [wanted.get(kind, 0) - had[kind] for kind in part.more]
            return sum(lacking) - sum(wanted.get(kind, 0) - had[kind] for kind in part.fewer)

        owner = max(reversed(sites), key=need)
        found[owner].append(replace(part.node, site=sites[owner]))
        kinds[owner].update(part.more)
        kinds[owner].subtract(part.fewer)
    return found, kinds


def _impossible(panel: Profile, alignment: Alignment, *, fused: bool) -> str:
    """Why nothing can be attributed; empty where it can."""
    if not panel.nodes:
        return "no layer was timed by itself"
    if not fused and not any(node.site for node in panel.nodes):
        return "the runtime ran no inserted node by itself"
    return "" if alignment.shared else "the two graphs share no node"


def low_times(runs: Sequence[Sequence[float]], shared: Sequence[int], low: float = LOW) -> list[float]:
    """Seconds of each node: a low quantile over the runs, each run put on one speed by its shared nodes.

    A run's speed is the median, over its shared nodes, of what each took beside what it takes in the middle of all runs.
    """
    columns = list(zip(*runs, strict=True))
    middles = {j: median(columns[j]) for j in shared}
    speeds = [_weighted_median([(run[j] / middles[j], middles[j]) for j in shared if middles[j] > 0]) for run in runs]
    return [quantile([seconds / speed for seconds, speed in zip(column, speeds, strict=True)], low) for column in columns]


def _weighted_median(pairs: Sequence[tuple[float, float]]) -> float:
    """The value at which half of the weight is reached; 1 without any."""
    reached, half = 0.0, sum(weight for _, weight in pairs) / 2
    for value, weight in sorted(pairs):
        reached += weight
        if reached >= half:
            return value
    return 1.0


class _Shares:
    """Some nodes of a profile: each one's share of the time of the shared nodes."""

    def __init__(self, profile: Profile, part: Sequence[int], shared: Sequence[int]) -> None:
        self.profile = profile
        self.seconds = low_times(profile.runs, shared)
        whole = sum(self.seconds[i] for i in shared)
        self.shares = {i: self.seconds[i] / whole for i in part}

    def node(self, index: int, part: Part, whole: float) -> NodeShare:
        """One of the nodes, its share over that of the whole baseline; its site is still open."""
        node = self.profile.nodes[index]
        return NodeShare(node.name, node.op, "", part, self.seconds[index], self.shares[index] / whole)


def _executed(row: Mapping[str, Any]) -> ExecutedNode:
    return ExecutedNode(**{**row, "originals": tuple(row.get("originals", ()))})


def _part(node: ExecutedNode) -> Part:
    """Why an added node is there: inserted, a change of layout, or the host's own that a fusion used to hide."""
    if node.site and node.op not in RUNTIMES_OWN:
        return "added"
    return "layout" if node.op in LAYOUT_OPS else "unfused"


def _change(after: NodeShare, before: NodeShare) -> NodeShare:
    difference = after.seconds - before.seconds, after.share - before.share
    return NodeShare(after.node, after.op, after.site, "changed", *difference)


def _negative(node: NodeShare) -> NodeShare:
    return NodeShare(node.node, node.op, node.site, node.kind, -node.seconds, -node.share)
