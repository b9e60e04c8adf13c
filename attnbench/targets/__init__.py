"""NPU profiles as data, one TOML a target, and the predicates their rules may name.

A profile restates facts about which ONNX ops a chip's tool chain takes, each with its evidence and the place it was read.
It is validated on load: an unknown key, level, evidence or predicate is an error that names the file and the rule.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnbench.errors import InputError, UnknownName

EVIDENCE = ("vendor-doc", "vendor-source", "third-party", "report", "presumed")
LEVELS = ("supported", "constrained", "refused")
UNLISTED = ("unknown", "error")
FOLDER = Path(__file__).parent

_HEAD_KEYS = {"name", "title", "vendor", "chip", "version", "date", "document", "unlisted"}
_RULE_KEYS = {"id", "ops", "level", "limits", "advice", "evidence", "section", "reason"}


@dataclass(frozen=True)
class Rule:
    """What a target says of some ops.

    ``level`` is ``supported``, ``constrained`` (supported, but under a condition that the source warns of) or ``refused``.
    An op that is not refused may have ``limits``, which a node must meet or is refused, and ``advice``, which it should
    meet to run efficiently; both map a predicate's name to its argument.
    """

    id: str
    ops: tuple[str, ...]
    level: str
    evidence: str
    section: str
    reason: str
    limits: Mapping[str, Any]
    advice: Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """A profile: where it comes from, what an op it does not list means, and its rules."""

    name: str
    title: str
    vendor: str
    chip: str
    version: str
    date: str
    document: str
    unlisted: str
    rules: tuple[Rule, ...]

    def rules_for(self, op: str) -> list[Rule]:
        """The rules that name an op, in the file's order."""
        return [rule for rule in self.rules if op in rule.ops]


def target_names() -> list[str]:
    """The built-in targets."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def check_target(name: str) -> None:
    """Raise ``UnknownName`` where a name is no built-in target and no file."""
    if not name.endswith(".toml") and name not in target_names():
        raise UnknownName("target", name, target_names(), "your own: path/to/target.toml")


def load_target(name: str) -> Target:
    """A built-in target by name, or the user's own by the path of its TOML file."""
    check_target(name)
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"target: there is no file {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"target {path}: not valid TOML: {error}") from error
    return _target(data, path)


def _target(data: dict[str, Any], path: Path) -> Target:
    head, rules = data.get("target"), data.get("rule", [])
    if not isinstance(head, dict) or set(data) - {"target", "rule"}:
        raise InputError(f"target {path}: needs one table [target] and tables [[rule]], and nothing else")
    _hold_keys(head, _HEAD_KEYS, _HEAD_KEYS, f"target {path}: [target]")
    _hold_value(head["unlisted"], UNLISTED, f"target {path}: unlisted")
    return Target(**{key: str(head[key]) for key in _HEAD_KEYS}, rules=tuple(_rule(rule, path) for rule in rules))


def _rule(data: dict[str, Any], path: Path) -> Rule:
    from attnbench.targets.rules import PREDICATES  # noqa: PLC0415  needs onnx_ir; listing targets does not

    where = f"target {path}: rule '{data.get('id', '?')}'"
    _hold_keys(data, _RULE_KEYS, _RULE_KEYS - {"limits", "advice"}, where)
    _hold_value(data["level"], LEVELS, f"{where}: level")
    _hold_value(data["evidence"], EVIDENCE, f"{where}: evidence")
    limits, advice = data.get("limits", {}), data.get("advice", {})
    for predicate in (*limits, *advice):
        if predicate not in PREDICATES:
            raise UnknownName(f"predicate in {where}", predicate, PREDICATES)
    return Rule(
        id=data["id"],
        ops=tuple(data["ops"]),
        level=data["level"],
        evidence=data["evidence"],
        section=data["section"],
        reason=data["reason"],
        limits=limits,
        advice=advice,
    )


def _hold_keys(data: Mapping[str, Any], allowed: set[str], required: set[str], where: str) -> None:
    for key in data:
        if key not in allowed:
            raise UnknownName(f"key in {where}", key, allowed)
    missing = sorted(required - set(data))
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)}")


def _hold_value(value: str, allowed: tuple[str, ...], where: str) -> None:
    if value not in allowed:
        raise InputError(f"{where} is one of {', '.join(allowed)}, not '{value}'")
