"""Input from outside, validated once: plain data to typed structs, and every mistake as one line that says where it stands.

msgspec checks types, unknown keys and ranges; what it finds becomes an ``InputError`` that names the place in words, or an
``UnknownName`` with the nearest known ones. Structs say what they take: subclass ``Strict`` and give each field its type.

Rejected: pydantic (ten times the import time for the same checks) and tables of types checked by hand, one a file.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from attnbench.core.errors import InputError, UnknownName

T = TypeVar("T")


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of outside data: keys that are not fields are mistakes. A subclass is ``frozen=True``, too, for mypy."""


_WORDS = {
    "object": "a table",
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)
_CHOICE = re.compile(r"Invalid enum value (?P<name>.*)", re.DOTALL)
_STEP = re.compile(r"\.(?P<field>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")


def validate(data: Any, kind: type[T], where: str) -> T:
    """The data as the struct or type it should be. Raises ``InputError`` with one line that begins with ``where``.

    A number that is infinite or none (``nan``) is refused anywhere.
    """
    try:
        found = msgspec.convert(data, kind, dec_hook=_opaque)
    except msgspec.ValidationError as error:
        message, _, path = str(error).rpartition(" - at `") if " - at `" in str(error) else (str(error), "", "")
        raise _explained(message, path.rstrip("`"), data, kind, where) from None
    except (RecursionError, OverflowError, UnicodeEncodeError) as error:
        wrong = {RecursionError: "nested too deeply", OverflowError: "a number is too large"}
        raise InputError(f"{where}: {wrong.get(type(error), 'a text is not valid Unicode')}") from None
    for path, number in _floats(data, "$"):
        if not math.isfinite(number):
            raise _explained("Expected `a finite number`", path, data, kind, where)
    return found


def _floats(data: Any, path: str) -> Iterator[tuple[str, float]]:
    """The floating point numbers of data that were validated, with their places as msgspec writes them."""
    if isinstance(data, float):
        yield path, data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _floats(value, f"{path}.{key}")
    elif isinstance(data, list | tuple):
        for index, value in enumerate(data):
            yield from _floats(value, f"{path}[{index}]")


def _opaque(kind: type, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    raise TypeError(f"expected {kind.__name__}")


def _explained(message: str, path: str, data: Any, kind: Any, where: str) -> InputError:
    """The error in our words, at its place: ``study x: case 2: claim: unknown key 'vaule': did you mean 'value'?``."""
    _, of_key, path = path.rpartition("key` in `")
    value, types, place = _at(path, data, kind)
    where = ": ".join(filter(None, (where, place)))
    if of_key:
        return InputError(f"{where} has a key that is not text")
    if unknown := _UNKNOWN.fullmatch(message):
        known = [name for one in types for name in _fields(one)]
        return UnknownName(f"key in {where}", unknown["name"], known)
    if missing := _MISSING.fullmatch(message):
        return InputError(f"{where} lacks the key '{missing['name']}'")
    if _CHOICE.fullmatch(message):
        table, _, name = where.rpartition(": ")
        words = [str(word) for one in types if isinstance(one, inspect.LiteralType) for word in one.values]
        return UnknownName(f"{name} in {table}", str(value), words)
    wanted = re.match(r"Expected `([^`]*)`(.*)", message)
    if wanted:
        kinds = " or ".join(dict.fromkeys(_WORDS.get(word.strip(), word.strip()) for word in wanted[1].split("|")))
        bound = re.sub(r", got .*", "", wanted[2])
        return InputError(f"{where} must be {kinds}{bound}, not {_shown(value)}")
    return InputError(f"{where}: {message}")


def _at(path: str, data: Any, kind: Any) -> tuple[Any, list[inspect.Type], str]:
    """What stands at a path of msgspec's: the value, the types it may have, and the place in words."""
    value, types, place = data, _alternatives(inspect.type_info(kind)), []
    for step in _STEP.finditer(path):
        if (field := step["field"]) is not None:
            value = value.get(field) if isinstance(value, dict) else None
            types = [a for one in types if field in _fields(one) for a in _alternatives(_fields(one)[field])]
            place.append(field if field.isprintable() else repr(field))
        else:
            index = step["index"]
            items = value if isinstance(value, list | tuple) else []
            value = items[int(index)] if index != "..." and int(index) < len(items) else None
            inner = (getattr(one, "item_type", getattr(one, "value_type", None)) for one in types)
            types = [a for one in inner if one is not None for a in _alternatives(one)]
            number = f" {int(index) + 1}" if index != "..." else ""
            place[-1:] = [f"{place[-1]}{number}"] if place else [f"item{number}"] if number else []
    return value, types, ": ".join(place)


def _alternatives(kind: inspect.Type) -> list[inspect.Type]:
    """The types of a union; any other type alone."""
    return list(kind.types) if isinstance(kind, inspect.UnionType) else [kind]


def _fields(kind: inspect.Type) -> dict[str, inspect.Type]:
    """A struct's keys with their types; nothing for any other type."""
    return {field.encode_name: field.type for field in kind.fields} if isinstance(kind, inspect.StructType) else {}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
