"""Predicates that measure one thing of a node and hold it to one relation: a line each, instead of a function each."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import onnx_ir as ir

from attnbench.npu.nodes import Predicate, Reading, text

T = TypeVar("T")


def ask(
    limit: str,
    measured: Callable[[ir.Node], T],
    shown: str | Callable[[T], str],
    within: Callable[[T, Any], bool],
    takes: Any = bool,
) -> Predicate:
    """The predicate of this limit, as a user reads it, on what is measured.

    ``shown`` says in a message what was measured, ``within`` whether that meets the argument of a rule, which is of the type
    ``takes``.
    """

    def read(node: ir.Node, given: Any) -> Reading:
        seen = measured(node)
        words = shown.format(text(seen) if isinstance(seen, tuple) else seen) if isinstance(shown, str) else shown(seen)
        return Reading(within(seen, given), words)

    read.__doc__, read.__annotations__["given"] = limit, takes
    return read


def one_of(seen: Any, limit: Sequence[Any]) -> bool:
    """One of the values that the rule lists."""
    return seen in limit


def all_in(seen: Sequence[Any], limit: Sequence[Any]) -> bool:
    """Nothing but values that the rule lists."""
    return set(seen) <= set(limit)


def multiple_of(seen: int, limit: int) -> bool:
    """A multiple."""
    return seen % limit == 0


def each_multiple_of(seen: Sequence[int], limit: int) -> bool:
    """Multiples, all of them."""
    return all(side % limit == 0 for side in seen)


def each_at_most(seen: Sequence[int], limit: int | list[int]) -> bool:
    """No side beyond the limit, or beyond that of its own direction."""
    most = limit if isinstance(limit, list) else [limit] * len(seen)
    return all(side <= top for side, top in zip(seen, most, strict=False))


def largest_at_most(seen: Sequence[int], limit: int) -> bool:
    """No side beyond the limit; where there are no sides, they are 1."""
    return max(seen, default=1) <= limit


def not_taller(seen: Sequence[float], _true: bool) -> bool:
    """No more in height than in width."""
    return seen[0] <= seen[-1]


def powers_of_two(seen: Sequence[int], _true: bool) -> bool:
    """Powers of two, all of them."""
    return all(side & (side - 1) == 0 for side in seen)
