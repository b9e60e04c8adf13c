"""Whose node is it? By the runtime's own optimised graph, the site that is nearest.

Inserted nodes carry their site's prefix. Changes of layout and the host's own nodes that a module unfused, changed or
removed carry nothing: they belong to the site that is the fewest edges away, over producers and consumers alike.

Rejected: the nearest inserted node in the order of execution. Where several sites are occupied, independent branches
interleave in that order, and one module's reorders counted for another.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from attnbench.graph.align import Alignment, ExecutedNode

FAR = 1_000_000
"""More edges than any graph has."""

Edges = Sequence[tuple[int, int]]


class Nearest(NamedTuple):
    """How many edges away the nearest occupied sites are, and which ones are: mostly one."""

    edges: int
    sites: tuple[str, ...]


NOWHERE = Nearest(FAR, ("",))


def nearest_sites(nodes: Sequence[ExecutedNode], edges: Edges) -> dict[int, Nearest]:
    """The nearest occupied sites of each node; in the order of execution where the runtime's graph is not known."""
    inserted = {index: node.site for index, node in enumerate(nodes) if node.site}
    if not inserted:
        return dict.fromkeys(range(len(nodes)), NOWHERE)
    found = _spread({index: Nearest(0, (site,)) for index, site in inserted.items()}, edges) if edges else {}
    for index in set(range(len(nodes))).difference(found):
        closest = min(inserted, key=lambda other: abs(other - index))
        found[index] = Nearest(FAR, (inserted[closest],))
    return found


def sites_of_removed(edges: Edges, alignment: Alignment, nearest: Mapping[int, Nearest]) -> dict[int, Nearest]:
    """The sites that each removed node of the baseline made way for: the nearest ones of its neighbours' counterparts."""
    counterparts = {i: nearest[j] for i, j in (*alignment.shared, *alignment.changed)}
    around = _neighbours(edges)
    found = {}
    for start in alignment.removed:
        best, seen, ring, distance = NOWHERE, {start}, [start], 0
        while ring and distance < best.edges:
            distance += 1
            ring = list(dict.fromkeys(n for index in ring for n in around[index] if n not in seen))
            seen.update(ring)
            for near in (counterparts[index] for index in ring if index in counterparts):
                best = _nearer(best, Nearest(distance + near.edges, near.sites))
            ring = [index for index in ring if index not in counterparts]
        found[start] = best if best.edges < FAR else min(nearest.values())
    return found


def _spread(sources: Mapping[int, Nearest], edges: Edges) -> dict[int, Nearest]:
    """The nearest of the sources for each node that edges lead to."""
    around, found, ring = _neighbours(edges), dict(sources), sorted(sources)
    while ring:
        reached: dict[int, Nearest] = {}
        for index in ring:
            there = Nearest(found[index].edges + 1, found[index].sites)
            for neighbour in around[index]:
                if neighbour not in found:
                    reached[neighbour] = _nearer(reached.get(neighbour, NOWHERE), there)
        found |= reached
        ring = list(reached)
    return found


def _nearer(one: Nearest, other: Nearest) -> Nearest:
    """The nearer of two; of two as near, both."""
    if one.edges != other.edges:
        return min(one, other)
    return Nearest(one.edges, tuple(dict.fromkeys((*one.sites, *other.sites))))


def _neighbours(edges: Iterable[tuple[int, int]]) -> defaultdict[int, list[int]]:
    around: defaultdict[int, list[int]] = defaultdict(list)
    for one, other in edges:
        around[one].append(other)
        around[other].append(one)
    return around
