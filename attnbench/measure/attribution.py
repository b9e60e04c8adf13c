"""Overhead from inside one run: the time of what a module added, over the time of what both graphs share.

    overhead = (A / S  -  R / S') / (1 + R / S')

A is the time of added and S of shared nodes in a run of the variant; R of removed and S' of shared nodes in a run of the
baseline. Each ratio is taken within one run, so the machine's speed cancels out of it; differences of wall clocks cannot
see a module that costs 1 % on a machine whose clock wanders by 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal

from attnbench.graph.align import ExecutedNode, align
from attnbench.naming import inserted_site, is_inserted
from attnbench.records import NodeShare
from attnbench.statistics import Estimate, replicate_interval


@dataclass(frozen=True)
class Profile:
    """One process's profile: the executed nodes and, a run each, their seconds."""

    nodes: tuple[ExecutedNode, ...]
    runs: tuple[tuple[float, ...], ...]

    @classmethod
    def from_result(cls, result: dict[str, Any]) -> "Profile":
        """The profile in a timing process's result."""
        nodes = tuple(ExecutedNode(**node) for node in result["nodes"])
        return cls(nodes, tuple(tuple(run) for run in result["runs"]))


@dataclass(frozen=True)
class Attribution:
    """An attributed overhead, the processes' figures it rests on, its nodes, and the aligned share of the baseline."""

    overhead: Estimate
    replicates: tuple[float, ...]
    nodes: tuple[NodeShare, ...]
    aligned: float


def attribute(baseline: Sequence[Profile], variant: Sequence[Profile]) -> Attribution:
    """The overhead of a variant over its baseline; each profile of the variant, a fresh process, is one replicate.

    The nodes' shares add up to the overhead.
    """
    alignment = align(baseline[0].nodes, variant[0].nodes)
    left, right = ([pair[side] for pair in alignment.shared] for side in (0, 1))
    removed = [_shares(profile, alignment.removed, left) for profile in baseline]
    added = [_shares(profile, alignment.added, right) for profile in variant]
    lost = fmean(sum(shares) for shares in removed)
    replicates = tuple((sum(shares) - lost) / (1 + lost) for shares in added)
    return Attribution(
        overhead=replicate_interval(replicates),
        replicates=replicates,
        nodes=(
            *_nodes(variant, alignment.added, added, 1 / (1 + lost)),
            *_nodes(baseline, alignment.removed, removed, -1 / (1 + lost)),
        ),
        aligned=1 / (1 + lost),
    )


def _shares(profile: Profile, part: Sequence[int], shared: Sequence[int]) -> list[float]:
    """Each node's time over that of the shared nodes, in the run whose sum of these is the median.

    With an even number of runs, the mean of the two in the middle. So the sum is the median of the runs' sums.
    """
    ratios = [[run[i] / sum(run[j] for j in shared) for i in part] for run in profile.runs]
    ordered = sorted(ratios, key=sum)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return [(a + b) / 2 for a, b in zip(low, high, strict=True)]


def _nodes(
    profiles: Sequence[Profile], part: Sequence[int], shares: Sequence[Sequence[float]], scale: float
) -> list[NodeShare]:
    """What each node of a part takes; a negative scale marks those that the variant no longer runs."""
    sites = _sites(profiles[0].nodes, part)
    found = []
    for position, index in enumerate(part):
        node = profiles[0].nodes[index]
        kind: Literal["added", "layout", "removed"] = "added" if is_inserted(node.name) else "layout"
        seconds = fmean(median(run[index] for run in profile.runs) for profile in profiles)
        share = scale * fmean(shares_of_one[position] for shares_of_one in shares)
        if scale < 0:
            kind, seconds = "removed", -seconds
        found.append(NodeShare(node.name, node.op, sites[index], kind, seconds, share))
    return found


def _sites(nodes: Sequence[ExecutedNode], added: Sequence[int]) -> dict[int, str]:
    """The site of each added node: its own, or for a layout change that of the nearest inserted node."""
    known = {index: inserted_site(nodes[index].name) for index in added if is_inserted(nodes[index].name)}
    if not known:
        return dict.fromkeys(added, "")
    return {index: known[min(known, key=lambda other: abs(other - index))] for index in added}
