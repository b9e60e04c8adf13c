"""Which executed nodes two graphs share, from the node sequences that a runtime reports of their runs.

The runtime fuses, renames and renumbers nodes, runs independent ones in another order, and surrounds blocked kernels with
layout reorders that carry no prefix of ours, so names do not hold across graphs. What a node *is* (op, shapes, parameter
bytes) does, in three steps:

1. the longest common subsequence over what nodes are: the same nodes in the same order;
2. of what is left, nodes that are the same but moved (the runtime picks another order among independent branches);
3. of what is left, nodes that kept op, weights and output but not their inputs: a convolution that had an addition or an
   activation fused into it in one graph and not in the other. They are *changed*: shared in meaning, not in time.

What the variant has beside these was added, what the baseline has beside them was removed. Inserted nodes are known by
their prefix and are never shared, whatever they look like. A runtime may fold an inserted node into one of the host's, and
say so (``originals``): that one is changed if it kept its weights and output, and else added, the host's being removed. So
is a node of the host that stands for other nodes of the file than in the baseline.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attnbench.core.naming import inserted_site


@dataclass(frozen=True)
class ExecutedNode:
    """A node as the runtime ran it. ``inputs`` and ``outputs`` are its tensors' types and shapes, as text.

    ``kind`` is its op and the shapes of its weights: what is known of it without a run. ``originals`` are the nodes of the
    file that it stands for, where the runtime tells.
    """

    name: str
    op: str
    inputs: str
    outputs: str
    parameter_bytes: int
    kind: str = ""
    originals: tuple[str, ...] = ()

    @property
    def site(self) -> str:
        """The site that it, or a node that it stands for, was inserted at; empty for a node of the host alone."""
        return next(filter(None, map(inserted_site, (self.name, *self.originals))), "")

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What makes two nodes of different graphs the same."""
        return self.op, self.inputs, self.outputs, self.parameter_bytes

    @property
    def role(self) -> tuple[str, str, int] | None:
        """What stays of a node with weights when the runtime fuses something else into it; none without weights."""
        return (self.op, self.outputs, self.parameter_bytes) if self.parameter_bytes else None


@dataclass(frozen=True)
class Alignment:
    """Positions in the two sequences: the same nodes and changed ones in pairs, and what stands beside them."""

    shared: tuple[tuple[int, int], ...]
    changed: tuple[tuple[int, int], ...]
    added: tuple[int, ...]
    removed: tuple[int, ...]


def align(baseline: Sequence[ExecutedNode], variant: Sequence[ExecutedNode]) -> Alignment:
    """Align two executed sequences."""
    left = list(range(len(baseline)))
    hosts = {name for node in baseline for name in node.originals}
    stands_for = hosts.intersection(name for node in variant for name in node.originals)
    inserted = {j for j, node in enumerate(variant) if node.site}
    folded = [j for j in sorted(inserted) if not hosts.isdisjoint(variant[j].originals)]
    right = [j for j in range(len(variant)) if j not in inserted]
    left_keys = [(node.key, frozenset(stands_for.intersection(node.originals))) for node in baseline]
    right_keys = [(node.key, frozenset(stands_for.intersection(node.originals))) for node in variant]
    in_order = _longest_common([left_keys[i] for i in left], [right_keys[j] for j in right])
    shared = [(left[i], right[j]) for i, j in in_order]
    left, right = _without(left, right, shared)
    shared += _paired(left, right, lambda i: left_keys[i], lambda j: right_keys[j])
    left, right = _without(left, right, shared)
    changed = _paired(left, sorted([*right, *folded]), lambda i: baseline[i].role, lambda j: variant[j].role)
    left, right = _without(left, right, changed)
    added = inserted.difference(j for _, j in changed).union(right)
    return Alignment(tuple(sorted(shared)), tuple(changed), tuple(sorted(added)), tuple(left))


def _without(left: Sequence[int], right: Sequence[int], pairs: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """What is left on both sides of what has found its counterpart."""
    lefts, rights = {i for i, _ in pairs}, {j for _, j in pairs}
    return [i for i in left if i not in lefts], [j for j in right if j not in rights]


def _paired(
    left: Sequence[int], right: Sequence[int], of_left: Callable[[int], object], of_right: Callable[[int], object]
) -> list[tuple[int, int]]:
    """Pairs with the same property, in order of appearance; what has none (``None``) finds no counterpart."""
    waiting: defaultdict[object, list[int]] = defaultdict(list)
    for j in right:
        waiting[of_right(j)].append(j)
    return [(i, waiting[of_left(i)].pop(0)) for i in left if of_left(i) is not None and waiting[of_left(i)]]


def _longest_common(left: Sequence[object], right: Sequence[object]) -> list[tuple[int, int]]:
    """Index pairs of a longest common subsequence, by the textbook table; sequences here have some hundred items."""
    lengths = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        for j in range(len(right) - 1, -1, -1):
            same = left[i] == right[j]
            lengths[i][j] = lengths[i + 1][j + 1] + 1 if same else max(lengths[i + 1][j], lengths[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs
