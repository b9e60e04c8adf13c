"""NPU profiles as data, one TOML a target, and the predicates their rules may name.

A profile restates facts about which ONNX ops a chip's tool chain takes, each with its evidence and the place it was read.
It is validated on load: an unknown key, op, level, evidence or predicate is an error that names the file and the rule.

    [target]
    name, title, vendor, chip, version, date      what it is, and of when
    document, source                              what was read, and where it can be read (repository, path, commit; page)
    unlisted                                      what an op without a rule means: unknown, error, or fallback:<where>
    beyond                                        what a broken limit means: the same words; by default as unlisted, or
                                                  error where that is unknown

    [[rule]]
    id, ops, level                                level: supported, constrained, unknown, refused, fallback:<where>
    where, limits, advice                         predicates: which nodes the rule is for, what they must meet, and what
                                                  they should meet to run efficiently
    beyond                                        this rule's own word for a broken limit
    evidence, section, reason                     on whose word, where in the document, and the fact in our own words

The first rule that names a node's op and whose ``where`` holds is the one that judges it. An op whose rules are all for
other nodes is beyond the profile, as a broken limit is. Ops are ONNX's, and the composites that are recognised before
their parts are judged carry ONNX's names too: ``HardSwish``, ``Gelu``, ``LayerNormalization``, ``Swish``, ``Attention``.
"""

import importlib.metadata
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnbench.core.errors import InputError, UnknownName

EVIDENCE = ("vendor-doc", "vendor-source", "third-party", "report", "presumed")
LEVELS = ("supported", "constrained", "unknown", "refused", "fallback:<where>")
POLICIES = ("unknown", "error", "fallback:<where>")
FOLDER = Path(__file__).parent
GROUP = "attnbench.targets"

_REQUIRED_HEAD = {"name", "title", "vendor", "chip", "version", "date", "document", "source", "unlisted"}
_HEAD_KEYS = _REQUIRED_HEAD | {"beyond"}
_REQUIRED_RULE = {"id", "ops", "level", "evidence", "section", "reason"}
_RULE_KEYS = _REQUIRED_RULE | {"where", "limits", "advice", "beyond"}


@dataclass(frozen=True)
class Rule:
    """What a target says of some ops.

    ``level`` is ``supported``, ``constrained`` (supported, but under a condition that the source warns of), ``unknown`` (the
    source names the op and leaves its fate open), ``refused``, or ``fallback:<where>`` (run elsewhere than on the NPU).
    ``limits`` must be met, or ``beyond`` is the level; ``advice`` should be. Both, and ``where``, which says what nodes the
    rule is for, map a predicate's name to its argument.
    """

    id: str
    ops: tuple[str, ...]
    level: str
    beyond: str
    evidence: str
    section: str
    reason: str
    where: Mapping[str, Any]
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
    source: str
    unlisted: str
    beyond: str
    rules: tuple[Rule, ...]

    def rules_for(self, op: str) -> list[Rule]:
        """The rules that name an op, in the file's order."""
        return [rule for rule in self.rules if op in rule.ops]


def target_names() -> list[str]:
    """The built-in targets and those of other distributions."""
    return sorted({path.stem for path in FOLDER.glob("*.toml")} | set(_points()))


def check_target(name: str) -> None:
    """Raise ``UnknownName`` where a name is no target and no file."""
    if not name.endswith(".toml") and name not in target_names():
        raise UnknownName("target", name, target_names(), "your own: path/to/target.toml")


def load_target(name: str) -> Target:
    """A target by name, or the user's own by the path of its TOML file.

    Another distribution's entry point in ``attnbench.targets`` gives the path of its TOML file, or a function that does.
    """
    check_target(name)
    path = Path(name) if name.endswith(".toml") else _path(name)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"target: there is no file {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"target {path}: not valid TOML: {error}") from error
    except OSError as error:
        raise InputError(f"target {path}: cannot be read: {error.strerror}") from error
    return _target(data, path)


def _points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


def _path(name: str) -> Path:
    built_in = FOLDER / f"{name}.toml"
    if built_in.exists():
        return built_in
    point = _points()[name]
    try:
        found = point.load()
        return Path(found() if callable(found) else found)
    except Exception as error:  # a plugin may raise anything; it must not take the rest down
        raise InputError(f"target '{name}' ({point.value}) does not load: {type(error).__name__}: {error}") from error


def _target(data: dict[str, Any], path: Path) -> Target:
    head, rules = data.get("target"), data.get("rule", [])
    if not isinstance(head, dict) or not isinstance(rules, list) or set(data) - {"target", "rule"}:
        raise InputError(f"target {path}: needs one table [target] and tables [[rule]], and nothing else")
    _hold_keys(head, _HEAD_KEYS, _REQUIRED_HEAD, f"target {path}: [target]")
    values = {key: str(value) for key, value in head.items()}
    unlisted = _held(values["unlisted"], POLICIES, f"target {path}: unlisted")
    values["beyond"] = values.get("beyond", "error" if unlisted == "unknown" else unlisted)
    _held(values["beyond"], POLICIES, f"target {path}: beyond")
    made = tuple(_rule(rule, path, values["beyond"]) for rule in rules)
    repeated = sorted({rule.id for rule in made if [other.id for other in made].count(rule.id) > 1})
    if repeated:
        raise InputError(f"target {path}: two rules have the id {', '.join(repeated)}")
    return Target(**values, rules=made)


def _rule(data: Any, path: Path, beyond: str) -> Rule:
    from attnbench.npu.rules import PREDICATES  # noqa: PLC0415  needs onnx_ir; listing targets does not

    where = f"target {path}: rule '{data.get('id', '?') if isinstance(data, dict) else data}'"
    if not isinstance(data, dict):
        raise InputError(f"{where} is not a table")
    _hold_keys(data, _RULE_KEYS, _REQUIRED_RULE, where)
    _held(data["level"], LEVELS, f"{where}: level")
    _held(data.get("beyond", beyond), POLICIES, f"{where}: beyond")
    if data["evidence"] not in EVIDENCE:
        raise InputError(f"{where}: evidence is one of {', '.join(EVIDENCE)}, not '{data['evidence']}'")
    _hold_ops(data["ops"], where)
    for table in ("where", "limits", "advice"):
        for predicate, limit in data.get(table, {}).items():
            if predicate not in PREDICATES:
                raise UnknownName(f"predicate in {where}: {table}", predicate, PREDICATES)
            if "{limit}" not in (PREDICATES[predicate].__doc__ or "") and limit is not True:
                raise InputError(f"{where}: {table}: {predicate} takes only true, not {limit!r}")
    return Rule(
        id=str(data["id"]),
        ops=tuple(data["ops"]),
        level=data["level"],
        beyond=data.get("beyond", beyond),
        evidence=data["evidence"],
        section=str(data["section"]),
        reason=str(data["reason"]),
        where=data.get("where", {}),
        limits=data.get("limits", {}),
        advice=data.get("advice", {}),
    )


def _hold_ops(ops: Any, where: str) -> None:
    import onnx.defs  # noqa: PLC0415  slow to import, and listing names needs none of it

    known = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    if not isinstance(ops, list):
        raise InputError(f"{where}: ops must be a list of ONNX ops")
    for op in ops:
        if op not in known:
            raise UnknownName(f"op in {where}", op, known)


def _hold_keys(data: Mapping[str, Any], allowed: set[str], required: set[str], where: str) -> None:
    for key in data:
        if key not in allowed:
            raise UnknownName(f"key in {where}", key, allowed)
    missing = sorted(required - set(data))
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)}")


def _held(value: str, allowed: tuple[str, ...], where: str) -> str:
    if value not in allowed and not (value.startswith("fallback:") and len(value) > len("fallback:")):
        raise InputError(f"{where} is one of {', '.join(allowed)}, not '{value}'")
    return value
