"""The graph that a runtime runs, after its own optimisations: its edges, its kinds of nodes, and what a variant adds."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attnbench.runtimes import OptimisedNode


def edges_of(nodes: Sequence[Mapping[str, Any]], graph: Sequence[OptimisedNode]) -> list[tuple[int, int]]:
    """Pairs of positions of executed nodes, the first of which hands a tensor to the second."""
    places = {node["name"]: index for index, node in enumerate(nodes)}
    made = {tensor: places[node.name] for node in graph if node.name in places for tensor in node.writes}
    return [
        (made[tensor], places[node.name]) for node in graph if node.name in places for tensor in node.reads if tensor in made
    ]


def with_kinds(nodes: Iterable[Mapping[str, Any]], graph: Sequence[OptimisedNode]) -> list[dict[str, Any]]:
    """The executed nodes, each with its kind; its op alone where the graph does not name it."""
    kinds = {node.name: node.kind for node in graph}
    return [{**node, "kind": kinds.get(node["name"], node["op"])} for node in nodes]


def kinds_added(baseline: Iterable[OptimisedNode], variant: Iterable[OptimisedNode]) -> dict[str, int]:
    """The kinds of nodes that a variant's graph has more of than its baseline's, or fewer."""
    difference = Counter(node.kind for node in variant)
    difference.subtract(node.kind for node in baseline)
    return {kind: number for kind, number in sorted(difference.items()) if number}
