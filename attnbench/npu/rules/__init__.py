"""The predicates that a target's rules may name. Each measures one thing of a node and says whether it is within a limit.

A predicate's docstring is the limit as a user reads it, with the rule's argument for ``{limit}``, and so also the
documentation of what a profile can say (``attnbench list predicates``); one without ``{limit}`` takes only ``true``. A fact
that the graph does not hold makes a node ``unknown``, never supported.
"""

from typing import Any

from attnbench.npu.nodes import Predicate
from attnbench.npu.rules import axes, neighbours, operands, resizing, shapes, values, windows

GROUPS = (windows, shapes, axes, operands, values, resizing, neighbours)

PREDICATES: dict[str, Predicate] = {predicate.__name__: predicate for group in GROUPS for predicate in group.PREDICATES}


def limit_text(name: str, limit: Any) -> str:
    """The limit of a rule as a user reads it."""
    return (PREDICATES[name].__doc__ or name).format(limit=_words(limit))


def _words(limit: Any) -> str:
    if isinstance(limit, dict):
        return ", ".join(f"{key} {_words(value)}" for key, value in limit.items())
    if isinstance(limit, list):
        return ", ".join(map(str, limit))
    return str(limit)
