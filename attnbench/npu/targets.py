"""Targets fit to judge by: every op a rule names is ONNX's, every predicate is known, and its argument is what it takes.

What a predicate takes is the annotation of its second parameter, so a profile cannot ask what no predicate can answer.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import onnx.defs

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.validation import validate
from attnbench.npu.rules import PREDICATES, argument_type
from attnbench.targets import EVERY, Rule, Target, read_target, target_path


def load_target(name: str) -> Target:
    """A target by name, or the user's own by the path of its TOML file, validated once a process. Raises ``InputError``."""
    path = target_path(name)
    target = read_target(path)
    validate_rules(target, f"target {path}")
    return target


@cache
def validate_rules(target: Target, where: str) -> None:
    """Raise ``InputError`` for the first rule that names what ONNX or this package does not have."""
    _validate_limits({"limits": target.limits}, where)
    for rule in target.rules:
        _validate_rule(rule, f"{where}: rule {rule.id!r:.60}", _onnx_ops())
    for rule in target.quantised:
        _validate_rule(rule, f"{where}: rule {rule.id!r:.60}", _onnx_ops() | {EVERY})


def _validate_rule(rule: Rule, where: str, ops: frozenset[str]) -> None:
    for op in rule.ops:
        if op not in ops:
            raise UnknownName(f"op in {where}", op, ops)
    _validate_limits({"where": rule.where, "limits": rule.limits, "advice": rule.advice}, where)


def _validate_limits(tables: Mapping[str, Mapping[str, Any]], where: str) -> None:
    for table, limits in tables.items():
        for predicate, limit in limits.items():
            if predicate not in PREDICATES:
                raise UnknownName(f"predicate in {where}: {table}", predicate, PREDICATES)
            kind = argument_type(predicate)
            validate(limit, kind, f"{where}: {table}: {predicate}")
            if kind is bool and limit is not True:
                raise InputError(f"{where}: {table}: {predicate} takes only true, not {limit!r}")


@cache
def _onnx_ops() -> frozenset[str]:
    return frozenset(schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == "")
