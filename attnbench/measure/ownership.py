"""Whose node is it? By the runtime's own optimised graph, the site that is nearest.

Inserted nodes carry their site's prefix. Changes of layout and the host's own nodes that a module unfused, changed or
removed carry nothing: they belong to the site that is the fewest edges away, over producers and consumers alike.

Rejected: the nearest inserted node in the order of execution. Where several sites are occupied, independent branches
interleave in that order, and one module's reorders counted for another.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from attnbench.core.naming import inserted_site, is_inserted
from attnbench.graph.align import Alignment, ExecutedNode

FAR = 1_000_000
"""More edges than any graph has."""

Edges = Sequence[tuple[int, int]]


class Nearest(NamedTuple):
    """How many edges away the nearest occupied site is, and which one that is."""

    edges: int
    site: str


def nearest_sites(nodes: Sequence[ExecutedNode], edges: Edges) -> dict[int, Nearest]:
    """The nearest occupied site of each node; in the order of execution where the runtime's graph is not known."""
    inserted = {index: inserted_site(node.name) for index, node in enumerate(nodes) if is_inserted(node.name)}
    if not inserted:
        return {index: Nearest(FAR, "") for index in range(len(nodes))}
    found = _spread({index: Nearest(0, site) for index, site in inserted.items()}, edges) if edges else {}
    for index in set(range(len(nodes))).difference(found):
        closest = min(inserted, key=lambda other: abs(other - index))
        found[index] = Nearest(FAR, inserted[closest])
    return found


def sites_of_removed(edges: Edges, alignment: Alignment, nearest: Mapping[int, Nearest]) -> dict[int, str]:
    """The site that each removed node of the baseline made way for: the nearest one of its neighbours' counterparts."""
    counterparts = {i: nearest[j] for i, j in (*alignment.shared, *alignment.changed)}
    around = _neighbours(edges)
    found = {}
    for start in alignment.removed:
        best, seen, ring = Nearest(FAR, ""), {start}, [start]
        for distance in range(1, 1 + len(around)):
            ring = list(dict.fromkeys(n for index in ring for n in around[index] if n not in seen))
            seen.update(ring)
            known = [Nearest(distance + near.edges, near.site) for i in ring if (near := counterparts.get(i))]
            best = min([best, *known])
            ring = [i for i in ring if i not in counterparts]
            if not ring:
                break
        found[start] = best.site or min(nearest.values()).site
    return found


def _spread(sources: Mapping[int, Nearest], edges: Edges) -> dict[int, Nearest]:
    """The nearest of the sources for each node that edges lead to; of two equally near ones the first in the graph."""
    around, found, ring = _neighbours(edges), dict(sources), sorted(sources)
    while ring:
        reached: dict[int, Nearest] = {}
        for index in ring:
            for neighbour in around[index]:
                if neighbour not in found:
                    reached.setdefault(neighbour, Nearest(found[index].edges + 1, found[index].site))
        found |= reached
        ring = list(reached)
    return found


def _neighbours(edges: Iterable[tuple[int, int]]) -> defaultdict[int, list[int]]:
    around: defaultdict[int, list[int]] = defaultdict(list)
    for one, other in edges:
        around[one].append(other)
        around[other].append(one)
    return around
