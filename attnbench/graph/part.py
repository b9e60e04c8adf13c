"""A host or a module on its own, with what is known of it: plain values, kept and read without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TorchCounts:
    """What torch's side says of a module: parameters, MACs, and ops without a handle. MACs are ``None`` if not traced."""

    params: int
    macs: int | None
    uncounted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parity:
    """Largest absolute difference of any output, and the tolerance it was held to."""

    error: float
    tolerance: float


@dataclass(frozen=True)
class Part:
    """A host or a module on its own: the graph, what torch counts, and how far the two outputs differ.

    ``lasting`` says that it would come out the same at another time: nothing was left out for want of memory.
    ``replaced`` are the counts of what a module takes the place of, by site.
    """

    graph: bytes
    counts: TorchCounts | None
    parity: Parity | None
    notes: tuple[str, ...] = ()
    lasting: bool = True
    replaced: Mapping[str, TorchCounts] = field(default_factory=dict)
