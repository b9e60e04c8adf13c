"""Arithmetic written as text, evaluated: numbers, ``+ - * / **``, parentheses, and calls of the functions that are known.

Rejected: ``eval``, which runs whatever a file holds.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from attnbench.core.errors import InputError, UnknownName

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"sqrt": math.sqrt, "log2": math.log2, "floor": math.floor}

Functions = Mapping[str, Callable[..., float]]


def evaluate(text: str, functions: Functions | None = None) -> float:
    """The value of an expression, a finite number. Raises ``InputError`` for anything that is none.

    ``functions`` are those it may call beside ``sqrt``, ``log2`` and ``floor``, with numbers and quoted words.
    """
    known = {**_FUNCTIONS, **(functions or {})}
    try:
        value = float(_value(ast.parse(text.strip(), mode="eval").body, known))
        if math.isfinite(value):
            return value
    except (SyntaxError, TypeError, ArithmeticError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
    raise InputError(f"arithmetic '{text}' comes to no number: write it like 384 * 640 or sqrt(2) / 3")


def _value(node: ast.AST, known: Functions) -> Any:
    match node:
        case ast.Constant(value=int() | float() | str() as value):
            return value
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            return _OPERATORS[type(sign)](*(float(_value(side, known)) for side in (left, right)))
        case ast.UnaryOp(op=ast.USub() as sign, operand=operand):
            return _OPERATORS[type(sign)](_value(operand, known))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            if name not in known:
                raise UnknownName("function in arithmetic", name, known)
            return known[name](*(_value(argument, known) for argument in arguments))
    raise TypeError(ast.unparse(node))
