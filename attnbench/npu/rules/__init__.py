"""The predicates that a target's rules may name. Each measures one thing of a node and says whether it is within a limit.

A predicate's docstring is the limit as a user reads it, with the rule's argument for ``{limit}``, and so also the
documentation of what a profile can say (``attnbench list predicates``). Its second parameter's annotation is the type of
that argument, and what a rule gives is validated by it; ``bool`` takes only ``true``. What measures one thing and compares
it is a line with ``ask`` instead of a function. A fact that the graph does not hold makes a node ``unknown``, never
supported.
"""

import inspect
from typing import Any

import onnx_ir as ir

from attnbench.npu.nodes import Predicate, Reading, Unmeasured
from attnbench.npu.rules import axes, integers, neighbours, operands, resizing, shapes, values, windows

GROUPS = (windows, shapes, axes, operands, values, resizing, neighbours, integers)

PREDICATES: dict[str, Predicate] = {
    name: found
    for group in GROUPS
    for name, found in vars(group).items()
    if inspect.isfunction(found) and found.__annotations__["return"] is Reading
}
"""Every function of these files that gives a ``Reading``, by its name."""


def argument_type(name: str) -> Any:
    """The type of what a rule gives a predicate."""
    return list(inspect.signature(PREDICATES[name]).parameters.values())[1].annotation


def measure(name: str, node: ir.Node, limit: Any) -> Reading:
    """What a predicate says of a node. Raises ``Unmeasured``, also where a node of that form has nothing to measure."""
    try:
        return PREDICATES[name](node, limit)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # the limit is valid, so it is the node's form
        raise Unmeasured(f"{name} of a {node.op_type} of this form") from error


def limit_text(name: str, limit: Any) -> str:
    """The limit of a rule as a user reads it."""
    return (PREDICATES[name].__doc__ or name).format(limit=_words(limit))


def _words(limit: Any) -> str:
    if isinstance(limit, dict):
        return ", ".join(f"{key} {_words(value)}" for key, value in limit.items())
    if isinstance(limit, list):
        return ", ".join(map(str, limit))
    return str(limit)
