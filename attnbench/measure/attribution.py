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

from attnbench.graph.align import Alignment, ExecutedNode, align
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
    """The overhead of a variant over its baseline; each profile of the variant, a fresh process, is one replicate."""
    alignment = align(baseline[0].nodes, variant[0].nodes)
    removed = fmean(_ratio(p, alignment.removed, [left for left, _ in alignment.shared]) for p in baseline)
    shared = [right for _, right in alignment.shared]
    replicates = tuple((_ratio(profile, alignment.added, shared) - removed) / (1 + removed) for profile in variant)
    return Attribution(
        overhead=replicate_interval(replicates),
        replicates=replicates,
        nodes=(*_added_nodes(variant, alignment, removed), *_removed_nodes(baseline, alignment)),
        aligned=fmean(1 - _share_of(p, alignment.removed) for p in baseline),
    )


def _ratio(profile: Profile, part: Sequence[int], shared: Sequence[int]) -> float:
    """Median over the runs of the time of some nodes over that of the shared ones."""
    return median(sum(run[i] for i in part) / sum(run[i] for i in shared) for run in profile.runs)


def _share_of(profile: Profile, part: Sequence[int]) -> float:
    return median(sum(run[i] for i in part) / sum(run) for run in profile.runs)


def _added_nodes(profiles: Sequence[Profile], alignment: Alignment, removed: float) -> list[NodeShare]:
    shared = [right for _, right in alignment.shared]
    sites = _sites(profiles[0].nodes, alignment.added)
    nodes = []
    for index in alignment.added:
        node = profiles[0].nodes[index]
        seconds = fmean(median(run[index] for run in profile.runs) for profile in profiles)
        share = fmean(_ratio(profile, [index], shared) for profile in profiles) / (1 + removed)
        kind: Literal["added", "layout"] = "added" if is_inserted(node.name) else "layout"
        nodes.append(NodeShare(node.name, node.op, sites[index], kind, seconds, share))
    return sorted(nodes, key=lambda node: -node.share)


def _sites(nodes: Sequence[ExecutedNode], added: Sequence[int]) -> dict[int, str]:
    """The site of each added node: its own, or for a layout change that of the nearest inserted node."""
    known = {index: inserted_site(nodes[index].name) for index in added if is_inserted(nodes[index].name)}
    if not known:
        return dict.fromkeys(added, "")
    return {index: known[min(known, key=lambda other: abs(other - index))] for index in added}


def _removed_nodes(profiles: Sequence[Profile], alignment: Alignment) -> list[NodeShare]:
    nodes = []
    for index in alignment.removed:
        node = profiles[0].nodes[index]
        seconds = fmean(median(run[index] for run in profile.runs) for profile in profiles)
        share = -fmean(_share_of(profile, [index]) for profile in profiles)
        nodes.append(NodeShare(node.name, node.op, "", "removed", -seconds, share))
    return nodes
