"""Overhead from inside one run: the time of what a module added, over the time of what both graphs share.

    overhead = (A / S  -  R / S') / (1 + R / S')

A is the time of added and S of shared nodes in a run of the variant; R of removed and S' of shared nodes in a run of the
baseline; a changed node (see ``graph.align``) is in both A and R. Each ratio is taken within one run, so the machine's speed
cancels out of it; differences of wall clocks cannot see a module that costs 1 % on a machine whose clock wanders by 5.

A profile overstates each node by the time that the runtime takes to describe it, about a microsecond, which the node's
own clock includes; what a node takes outside its clock (dispatch) is a fraction of that. The difference of the two is
measured in each process on a chain of nodes that do next to nothing, and taken off every node: at small inputs it would
be a third of what a module with many small nodes seems to cost.

A replicate is one profile of the variant and one of the baseline, taken close in time in a fresh process each: where the
runtime removed or changed nodes, both profiles' noise is in the figure, and so it must differ between replicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Self

from attnbench.core.naming import inserted_site, is_inserted
from attnbench.core.records import NodeShare, Part
from attnbench.graph.align import ExecutedNode, align

ALIGNED_FLOOR = 0.8
"""Share of the baseline's time that must have a counterpart in the variant. What has none is subtracted between processes,
whose node shares differ by about 1 %: at a fifth of the time that alone is 0.2 points, as much as many modules cost."""

LAYOUT_OPS = frozenset(("ReorderInput", "ReorderOutput", "Transpose"))


@dataclass(frozen=True)
class Profile:
    """One process's profile: the executed nodes and, a run each, their seconds, less what profiling itself took of them.

    ``cost`` is that, seconds a node; ``core_share`` the part of its time that the process had its core.
    """

    nodes: tuple[ExecutedNode, ...]
    runs: tuple[tuple[float, ...], ...]
    cost: float = 0.0
    core_share: float = 1.0

    @classmethod
    def from_result(cls, result: dict[str, Any]) -> Self:
        """The profile in a timing process's result."""
        nodes, cost = tuple(ExecutedNode(**node) for node in result["nodes"]), result["cost"]
        runs = tuple(tuple(seconds - cost for seconds in run) for run in result["runs"])
        return cls(nodes, runs, cost, result["core_share"])


@dataclass(frozen=True)
class Attribution:
    """One replicate: the overhead (a ratio), its nodes, and the share of the baseline's time with a counterpart.

    ``reason`` says why the overhead means nothing, where it does not.
    """

    overhead: float
    nodes: tuple[NodeShare, ...]
    aligned: float
    reason: str = ""


def attribute(baseline: Profile, variant: Profile) -> Attribution:
    """The overhead of a variant over its baseline. The nodes' shares add up to it.

    There is none where the runtime ran no inserted node by itself: a provider that compiles whole graphs shows one node for
    each, and the two look the same. There is none either where too little of the baseline has a counterpart.
    """
    if not any(is_inserted(node.name) for node in variant.nodes):
        return Attribution(0.0, (), 0.0, "the runtime ran no inserted node by itself")
    alignment = align(baseline.nodes, variant.nodes)
    before, after = ([pair[side] for pair in alignment.shared] for side in (0, 1))
    if not before:
        return Attribution(0.0, (), 0.0, "the two graphs share no node")
    were, are = ([pair[side] for pair in alignment.changed] for side in (0, 1))
    lost = _Nodes(baseline, [*were, *alignment.removed], before)
    gained = _Nodes(variant, [*are, *alignment.added], after)
    whole = 1 + sum(lost.shares.values())
    sites = _sites(variant.nodes, [*are, *alignment.added])
    aligned = 1 - sum(lost.shares[i] for i in alignment.removed) / whole
    enough = aligned >= ALIGNED_FLOOR
    return Attribution(
        overhead=(sum(gained.shares.values()) + 1) / whole - 1,
        nodes=(
            *(gained.node(i, _kind(variant.nodes[i]), sites[i], whole) for i in alignment.added),
            *(_change(gained.node(j, "changed", sites[j], whole), lost.node(i, "removed", "", whole))
              for i, j in alignment.changed),
            *(_negative(lost.node(i, "removed", "", whole)) for i in alignment.removed),
        ),
        aligned=aligned,
        reason="" if enough else f"{aligned:.0%} of the baseline's time has a counterpart, {ALIGNED_FLOOR:.0%} are needed",
    )  # fmt: skip


class _Nodes:
    """Some nodes of a profile: each one's share of the time of the shared nodes."""

    def __init__(self, profile: Profile, part: Sequence[int], shared: Sequence[int]) -> None:
        self.profile = profile
        self.shares = dict(zip(part, _shares(profile, part, shared), strict=True))

    def node(self, index: int, kind: Part, site: str, whole: float) -> NodeShare:
        """One of the nodes, its share over that of the whole baseline."""
        node = self.profile.nodes[index]
        seconds = median(run[index] for run in self.profile.runs)
        return NodeShare(node.name, node.op, site, kind, seconds, self.shares[index] / whole)


def _kind(node: ExecutedNode) -> Part:
    """Why an added node is there: inserted, a change of layout, or the host's own that a fusion used to hide."""
    if is_inserted(node.name):
        return "added"
    return "layout" if node.op in LAYOUT_OPS else "unfused"


def _change(after: NodeShare, before: NodeShare) -> NodeShare:
    difference = after.seconds - before.seconds, after.share - before.share
    return NodeShare(after.node, after.op, after.site, "changed", *difference)


def _negative(node: NodeShare) -> NodeShare:
    return NodeShare(node.node, node.op, node.site, node.kind, -node.seconds, -node.share)


def _shares(profile: Profile, part: Sequence[int], shared: Sequence[int]) -> list[float]:
    """Each node's time over that of the shared nodes, in the run whose sum of these is the median.

    With an even number of runs, the mean of the two in the middle. So the sum is the median of the runs' sums.
    """
    ratios = [[run[i] / sum(run[j] for j in shared) for i in part] for run in profile.runs]
    ordered = sorted(ratios, key=sum)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return [(a + b) / 2 for a, b in zip(low, high, strict=True)]


def _sites(nodes: Sequence[ExecutedNode], part: Sequence[int]) -> dict[int, str]:
    """The site of each node: its own, or for one of the host that of the nearest inserted node."""
    known = {index: inserted_site(node.name) for index, node in enumerate(nodes) if is_inserted(node.name)}
    if not known:
        return dict.fromkeys(part, "")
    return {index: known[min(known, key=lambda other: abs(other - index))] for index in part}
