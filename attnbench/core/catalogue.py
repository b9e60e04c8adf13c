"""Finds what a folder registers: a file there that adds something ends in ``ENTRIES``, a tuple of mostly plain data.

A catalogue can be *described* without running its files: the literal fields of each entry (name, paper, options...) are
read from the syntax tree. So ``attnbench list`` and every "did you mean" answer without importing torch, and importing
one module's file does not import the others. *Loading* an entry imports its file.

Discovery is loud: a file that does not parse, an entry without a literal name, or a name registered twice is an error
that names the file.

Rejected: decorators (registration as a side effect of an import) and a central list (a second file to edit).
"""

import ast
import importlib
import importlib.metadata
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import OptionValue, Spec
from attnbench.core.users import users_code


@dataclass(frozen=True)
class Description:
    """What an entry says of itself in plain data, and where it stands."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""

    def get(self, key: str, default: Any = None) -> Any:
        """A literal field of the entry, or the default."""
        return self.fields.get(key, default)


@dataclass(frozen=True)
class Catalogue:
    """The entries below one package of this project, and those that other distributions add by entry point."""

    kind: str
    package: str
    group: str

    @cache  # noqa: B019  the catalogues are few and live as long as the process
    def describe(self) -> Mapping[str, Description]:
        """Every entry's description by name, built in and from entry points, without importing any of them.

        It is read once a process. A name that is built in stays what it is where another distribution registers it, too;
        ``passed_over`` says so.
        """
        own = _described(self.package)
        others = {
            name: Description(name, {"summary": f"from {point.value}"}, f"{_POINT}{point.value}")
            for name, point in entry_points(self.group).items()
        }
        for name in sorted(own.keys() & others.keys()):
            pass_over(f"{self.kind} '{name}' is built in: {others[name].origin} of that name is passed over; rename it")
        return MappingProxyType({**others, **own})

    def fields(self, name: str) -> Mapping[str, Any]:
        """What an entry says of itself: as written in its file or, of another distribution's, as it is once loaded."""
        found = self.find(name)
        return vars(self.load(name)) if found.origin.startswith(_POINT) else found.fields

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(self.describe())

    def find(self, name: str, hint: str = "") -> Description:
        """The description of that name. Raises ``UnknownName`` with the nearest names, and the hint."""
        described = self.describe()
        if name not in described:
            raise UnknownName(self.kind, name, described, hint)
        return described[name]

    def load(self, name: str) -> Any:
        """The entry itself; its file is imported now. Raises ``UnknownName`` with the nearest names."""
        origin = self.find(name).origin
        if origin.startswith(_POINT):
            return _load_entry_point(self.group, name, self.kind)
        return next(entry for entry in importlib.import_module(origin).ENTRIES if entry.name == name)


_POINT = "entry point "

passed_over: list[str] = []
"""What other distributions add and cannot be used, a line each, for the user to hear of once."""


def pass_over(line: str) -> None:
    """Note what cannot be used and is left out."""
    if line not in passed_over:
        passed_over.append(line)


@cache
def entry_points(group: str) -> dict[str, EntryPoint]:
    """What the installed distributions add to a group, by name; the distributions are looked through once a process."""
    return {point.name: point for point in importlib.metadata.entry_points(group=group)}


def forget() -> None:
    """Look through files and distributions anew from here on: for one that was installed into a running process."""
    for read in (entry_points, Catalogue.describe):
        read.cache_clear()


def load_object(reference: str, kind: str) -> Any:
    """What ``path/to/file.py:name`` or ``package.module:name`` points at.

    Raises ``InputError`` for a file, a package or a name that is not there, with the names that are, and ``CaseFailure`` at
    stage ``load`` where it does not import.
    """
    location, attribute = parts_of(reference, kind)
    with users_code(f"{kind} '{reference}': importing {location} failed", "load"):
        try:
            module = _import_file(Path(location), kind) if location.endswith(".py") else importlib.import_module(location)
        except ModuleNotFoundError as error:
            if error.name and f"{location}.".startswith(f"{error.name}."):
                raise InputError(f"{kind} '{reference}': importing {location} failed: {error}") from error
            raise
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise UnknownName(f"{kind} in {location}", attribute, public)
    return getattr(module, attribute)


def parts_of(reference: str, kind: str) -> tuple[str, str]:
    """The file or package of a reference, and the name in it. Raises ``InputError`` for what is no such thing."""
    location, _, attribute = reference.rpartition(":")
    if not location or not attribute or "\0" in location:
        raise InputError(f"{kind} {reference!r} is not FILE.py:NAME or PACKAGE.MODULE:NAME")
    if location.endswith(".py") and not Path(location).is_file():
        raise InputError(f"{kind}: there is no file {location}")
    if not location.endswith(".py") and not all(map(str.isidentifier, location.split("."))):
        raise InputError(f"{kind} {reference!r} is not FILE.py:NAME or PACKAGE.MODULE:NAME")
    return location, attribute


def check_factory(kind: str, spec: Spec, factory: Any) -> None:
    """Raise ``InputError`` for an object of the user's that gives no module or host when it is called with these options."""
    name = spec.name
    if not callable(factory):
        must = "a class or a function" if kind == "module" else "a function that builds a module"
        raise InputError(f"{kind} '{name}' is a {type(factory).__name__}: it must be {must}")
    try:
        takes_channels = "channels" in accepted(factory, {"channels": 0})
    except (TypeError, ValueError):  # what has no signature is C code, and builds nothing
        takes_channels = False
        if kind == "host":
            raise InputError(f"host '{name}' cannot be called: it must be a function that builds a module") from None
    if kind == "module" and not takes_channels:
        raise InputError(f"module '{name}' takes no argument 'channels': it must take channels [, height, width]")
    if unknown := set(spec.options) - set(accepted(factory, spec.options)):
        raise InputError(f"{kind} '{name}' takes no option {', '.join(sorted(unknown))}")


def is_reference(name: str) -> bool:
    """Whether a name points at the user's own code rather than into a registry."""
    return ":" in name or name.endswith(".py")


def merge_options(kind: str, spec: Spec, known: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """The entry's options with the spec's own in place; an unknown one or one of another type is an ``InputError``."""
    merged = dict(known)
    for key, value in spec.options.items():
        if key not in known:
            raise UnknownName(f"option of {kind} '{spec.name}'", key, known)
        default = known[key]
        number = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
        if type(value) is not type(default) and not number:
            raise InputError(
                f"option {key} of {kind} '{spec.name}' takes {_type_word(default)} (default {default}), not '{value}'"
            )
        merged[key] = float(value) if number else value
    return merged


def check_ranges(
    kind: str,
    spec: Spec,
    options: Mapping[str, OptionValue],
    least: Mapping[str, float],
    choices: Mapping[str, tuple[OptionValue, ...]],
) -> None:
    """Raise ``InputError`` for an option that is no choice, or a number below the smallest that it may be."""
    for key, value in options.items():
        if key in choices and value not in choices[key]:
            raise InputError(
                f"option {key} of {kind} '{spec.name}' is one of {', '.join(map(str, choices[key]))}, not '{value}'"
            )
        if isinstance(value, bool | str) or key in choices:
            continue
        below = value < least[key] if key in least else value <= 0
        if below or not math.isfinite(value):
            raise InputError(f"option {key} of {kind} '{spec.name}' is {range_text(key, value, least)}, not {value}")


def range_text(key: str, value: float, least: Mapping[str, float]) -> str:
    """What numbers an option may be, in words: ``at least 1``, ``above 0``."""
    return "above 0" if isinstance(value, float) and key not in least else f"at least {least.get(key, 1)}"


def accepted(function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the offered keyword arguments that the function takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return dict(offered)
    names = {p.name for p in parameters if p.kind is not inspect.Parameter.POSITIONAL_ONLY}
    return {key: value for key, value in offered.items() if key in names}


def _described(package: str) -> dict[str, Description]:
    found: dict[str, Description] = {}
    folder = Path(importlib.import_module(package).__file__ or "").parent
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith("_"):
            continue
        for description in _read_entries(path, f"{package}.{path.stem}"):
            if description.name in found:
                raise InputError(f"'{description.name}' is registered twice: in {found[description.name].origin} and {path}")
            found[description.name] = description
    return found


def _read_entries(path: Path, origin: str) -> list[Description]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="ENTRIES")], value=ast.Tuple(elts=calls)):
                return [_describe_call(call, origin, path) for call in calls]
    return []


def _describe_call(call: ast.expr, origin: str, path: Path) -> Description:
    literal: dict[str, Any] = {}
    if isinstance(call, ast.Call):
        for keyword in call.keywords:
            try:
                literal[keyword.arg or ""] = ast.literal_eval(keyword.value)
            except ValueError:
                continue  # a function or class of the file: only loading gives it
    if not isinstance(literal.get("name"), str):
        raise InputError(f"{path}:{call.lineno}: an entry's name must be a literal string")
    return Description(literal["name"], literal, origin)


def _load_entry_point(group: str, name: str, kind: str) -> Any:
    point = entry_points(group)[name]
    with users_code(f"{kind} '{name}' ({point.value}) does not load"):
        entry = point.load()
    if getattr(entry, "name", None) != name or not callable(getattr(entry, "build", None)):
        raise InputError(f"{kind} '{name}' ({point.value}) is a {type(entry).__name__}: it must be an entry of that name")
    return entry


def _import_file(path: Path, kind: str) -> ModuleType:
    name = f"attnbench_user_{path.resolve().as_posix().strip('/').replace('/', '_').removesuffix('.py')}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{kind}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))  # the file may import its neighbours, as a script may
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.pop(0)
    return module


def _type_word(value: OptionValue) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}[type(value)]
