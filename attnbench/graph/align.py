"""Which executed nodes two graphs share, from the node sequences that ONNX Runtime reports of their runs.

The runtime fuses, renames and renumbers nodes, and surrounds blocked kernels with layout reorders that carry no prefix of
ours, so names do not hold across graphs. The longest common subsequence over what a node *is* (op, shapes, parameter
bytes) does: what the variant has beside it was added, what the baseline has beside it was removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from attnbench.naming import is_inserted


@dataclass(frozen=True)
class ExecutedNode:
    """A node as the runtime ran it."""

    name: str
    op: str
    shapes: str
    parameter_bytes: int

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes two nodes of different graphs the same."""
        return self.op, self.shapes, self.parameter_bytes


@dataclass(frozen=True)
class Alignment:
    """Positions in the two sequences: shared ones in pairs, and what stands beside them."""

    shared: tuple[tuple[int, int], ...]
    added: tuple[int, ...]
    removed: tuple[int, ...]


def align(baseline: Sequence[ExecutedNode], variant: Sequence[ExecutedNode]) -> Alignment:
    """Align two executed sequences. Nodes with our prefix are never shared, whatever they look like."""
    candidates = [i for i, node in enumerate(variant) if not is_inserted(node.name)]
    pairs = _longest_common([node.key for node in baseline], [variant[i].key for i in candidates])
    shared = tuple((left, candidates[right]) for left, right in pairs)
    kept_left, kept_right = {left for left, _ in shared}, {right for _, right in shared}
    return Alignment(
        shared=shared,
        added=tuple(i for i in range(len(variant)) if i not in kept_right),
        removed=tuple(i for i in range(len(baseline)) if i not in kept_left),
    )


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
