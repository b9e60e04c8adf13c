"""The small language of the command line and of studies: specs, sizes and variants.

    spec       := name [ "[" option ("," option)* "]" ]        se[reduction=8]
    size       := height "x" width                             384x640
    variant    := assignment ("," assignment)*                 encoder.layer3=cbam, decoder.fusion=se
    assignment := place ("+" place)* "=" spec ("+" spec)*       several modules at one place stand in a row

A name or place that holds one of ``+ , = [ ] '``, begins or ends with a space, or is empty stands in single quotes; a quote
within is doubled. So does an option's text that would be read as something else without: ``'true'``, ``'3'``, ``'a,b'``.
Whatever is written is read back as it was. Parsing knows no module and no host: whether a name exists is for the catalogues
to say.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from attnbench.core.errors import InputError
from attnbench.core.records import BASELINE

OptionValue = int | float | bool | str

_SIZE = re.compile(r"([0-9]{1,6})x([0-9]{1,6})")
_QUOTED = r"'(?:[^']|'')*+'"
_SPEC = re.compile(rf"(?P<name>{_QUOTED}|[^\[\]]+)(?:\[(?P<options>(?:{_QUOTED}|[^\[\]'])*+)\])?")


@dataclass(frozen=True, eq=False)
class Spec:
    """A registered name, or ``path/to/file.py:name``, with options. Two are equal where they are written the same."""

    name: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        if not self.options:
            return quote(self.name)
        options = ",".join(f"{key}={_option_text(value)}" for key, value in sorted(self.options.items()))
        return f"{quote(self.name)}[{options}]"


@dataclass(frozen=True)
class Assignment:
    """Modules in a row at each of some places."""

    places: tuple[str, ...]
    modules: tuple[Spec, ...]

    def __str__(self) -> str:
        return f"{'+'.join(map(quote, self.places))}={'+'.join(map(str, self.modules))}"


@dataclass(frozen=True)
class Variant:
    """A host's modules, by place. No assignment at all is the baseline."""

    assignments: tuple[Assignment, ...] = ()

    def __str__(self) -> str:
        return ",".join(map(str, self.assignments)) or BASELINE


def parse_spec(text: str) -> Spec:
    """Read ``name[option=value,...]``. Values are integers, floats, true, false, or text."""
    match = _SPEC.fullmatch(text.strip())
    if not match or not match["name"].strip() or match["options"] == "":
        raise InputError(f"'{text}' is not a name with options: write it like se or se[reduction=8]")
    options: dict[str, OptionValue] = {}
    for part in split(match["options"] or "", ","):
        key, _, value = (side.strip() for side in part.partition("="))
        if not key.isidentifier() or not value or key in options:
            raise InputError(f"'{part}' in '{text}' is not an option, or is given twice: write it like reduction=8")
        options[key] = _option_value(value)
    return Spec(unquote(match["name"]), options)


def parse_size(text: str) -> tuple[int, int]:
    """Read ``HEIGHTxWIDTH`` in pixels. Both are at least 1."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise InputError(f"size '{text}' is not HEIGHTxWIDTH: write it like 384x640")
    height, width = int(match[1]), int(match[2])
    if height < 1 or width < 1:
        raise InputError(f"size '{text}' has no pixels: both sides must be at least 1")
    return height, width


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Read ``NAME=SIDES``, the shape of one input; every side is at least 1."""
    name, equals, sides = text.rpartition("=")
    numbers = sides.split("x")
    if (
        not equals
        or not name
        or not all(side.isascii() and side.isdigit() and len(side) < 10 and int(side) for side in numbers)
    ):
        raise InputError(f"--shape '{text}' is not NAME=SIDES: write it like --shape x=1x3x48x320")
    return name, tuple(map(int, numbers))


def normal_size(text: str) -> str:
    """A size as cases have it, without leading zeros."""
    return "x".join(map(str, parse_size(text)))


def parse_variant(text: str) -> Variant:
    """Read a variant; ``baseline`` is the empty one."""
    if text.strip() == BASELINE:
        return Variant()
    assignments = []
    parts = split(text, ",")
    if not parts:
        raise InputError(f"{text!r} is not a variant: write it like encoder.layer3=cbam, or baseline")
    for part in parts:
        sides = split(part, "=")
        if len(sides) != 2:
            raise InputError(f"'{part}' in variant '{text}' is not PLACE=MODULE: write it like encoder.layer3=cbam")
        places, modules = (tuple(split(side, "+")) for side in sides)
        if not all(places) or not all(modules) or not places or not modules:
            raise InputError(f"'{part}' in variant '{text}' names no place or no module")
        assignments.append(Assignment(tuple(map(unquote, places)), tuple(map(parse_spec, modules))))
    return Variant(tuple(assignments))


def split(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside brackets and single quotes; parts are stripped, nothing gives nothing."""
    parts, depth, quoted, start = [], 0, False, 0
    for index, char in enumerate(text):
        if char == "'":
            quoted = not quoted
        elif not quoted:
            depth += (char == "[") - (char == "]")
            if char == separator and depth == 0:
                parts.append(text[start:index].strip())
                start = index + 1
    if quoted or depth:
        unclosed = "quote: one within a name is doubled, and the name quoted: 'it''s'" if quoted else "bracket"
        raise InputError(f"'{text}' has an unclosed {unclosed}")
    parts.append(text[start:].strip())
    return parts if any(parts) else []


def quote(name: str, signs: str = "+,=[]'") -> str:
    """The name as the grammar takes it: in quotes where it is empty, holds a sign or has a space at an end."""
    plain = name and name == name.strip() and not any(sign in name for sign in signs)
    return name if plain else "'" + name.replace("'", "''") + "'"


def unquote(name: str) -> str:
    """The name without the quotes of the grammar."""
    name = name.strip()
    return name[1:-1].replace("''", "'") if re.fullmatch(_QUOTED, name) else name


def _option_value(text: str) -> OptionValue:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if value == value:  # noqa: PLR0124  what is not a number, not even equal to itself, is a word
            return value
    return unquote(text)


def _option_text(value: OptionValue) -> str:
    if not isinstance(value, str):
        return str(value).lower()
    written = quote(value, ",[]'")
    return written if _option_value(written) == value else f"'{value}'"
