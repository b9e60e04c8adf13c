"""Quantities as a user writes them: plain numbers, shares like ``5%`` and times like ``2 ms``. The one parser of them all.

    quantity := number [unit]      number := digits ["." digits] | "." digits
    unit     := "%" | "s" | "ms" | "us"     micro may also be written with either of Unicode's two signs

A number has ASCII digits, a decimal point and nothing else: no sign, no exponent, no separator, no ``nan`` or ``inf``.
It must be finite as a float. Spaces around the number and the unit are passed over.

Rejected: ``float()``, which takes exponents, underscores, ``nan`` and the digits of every script. Each use would then have
to refuse some of that again.
"""

import math
import re
from functools import cache
from typing import Literal, NamedTuple

from attnbench.core.errors import InputError

Kind = Literal["number", "share", "time"]

_UNITS: dict[str, tuple[Kind, int]] = {
    "": ("number", 0), "%": ("share", -2), "s": ("time", 0), "ms": ("time", -3), "us": ("time", -6),
    "µs": ("time", -6), "μs": ("time", -6),
}  # fmt: skip
"""Each unit's kind, and its power of ten in base units: plain numbers, ratios, seconds."""

_QUANTITY = re.compile(
    rf"\s*(?P<digits>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(?P<unit>{'|'.join(sorted(_UNITS, reverse=True))})\s*"
)


class Quantity(NamedTuple):
    """A number with its unit, both as they were written (but for spaces). It is finite and at least 0."""

    digits: str
    unit: str = ""

    @property
    def kind(self) -> Kind:
        """What it is a quantity of."""
        return _UNITS[self.unit][0]

    @property
    def value(self) -> float:
        """The quantity in base units: a plain number, a ratio (``5%`` is 0.05), or seconds."""
        return float(f"{self.digits}e{_UNITS[self.unit][1]}")

    def to(self, unit: str) -> float:
        """The quantity in a unit of its own kind, rounded once: ``5ms`` in ``ms`` is 5.0."""
        return float(f"{self.digits}e{_UNITS[self.unit][1] - _UNITS[unit][1]}")

    def __str__(self) -> str:
        return f"{self.digits} {self.unit}".rstrip()


def parse_quantity(text: str, *kinds: Kind, otherwise: str) -> Quantity:
    """Read a quantity of one of these kinds. Raises ``InputError`` with the text ``otherwise`` for anything else."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InputError(otherwise)
    found = Quantity(match["digits"], match["unit"])
    if found.kind not in kinds or not math.isfinite(float(found.digits)):
        raise InputError(otherwise)
    return found


_DURATION_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds of a time to spend, like ``90s``, ``3min`` or ``1.5 h``. Raises ``InputError`` for anything else."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(s|min|h)\s*", text)
    if found is None or not 0 < float(found[1]) < 1e9:
        raise InputError(f"time '{text}' is not understood: write it like 90s, 3min or 1h")
    return float(found[1]) * _DURATION_UNITS[found[2]]


@cache
def parse_deadline(text: str) -> float:
    """Seconds of a latency that is allowed, like ``33ms``; infinite for nothing. Raises ``InputError`` for anything else."""
    message = f"deadline '{text}' is not understood: write it like 33ms or 0.1s"
    found = parse_quantity(text, "time", otherwise=message).value if text else math.inf
    if not found:
        raise InputError(message)
    return found


class Precision(NamedTuple):
    """How narrow an overhead's interval is wanted: half a width in percentage points, and as a share of the overhead."""

    points: float
    relative: float

    def half_width(self, overhead: float) -> float:
        """The wanted half width of an overhead, both as ratios: the larger of the two."""
        return max(self.points / 100, self.relative * abs(overhead))


@cache
def parse_precision(text: str) -> Precision:
    """Read ``0.05`` (percentage points), ``5%`` (of the overhead) or both, ``0.05,5%`` (the larger of them)."""
    message = f"precision '{text}' is not understood: write points like 0.05, a share like 5%, or both: 0.05,5%"
    found: dict[Kind, float] = {}
    for part in text.split(","):
        quantity = parse_quantity(part, "number", "share", otherwise=message)
        if not quantity.value or quantity.kind in found:
            raise InputError(message)
        found[quantity.kind] = quantity.value
    return Precision(found.get("number", 0.0), found.get("share", 0.0))


_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", re.IGNORECASE)


def is_number(value: float | str) -> bool:
    """Whether a claimed value is a finite number, which may be text so that its digits count."""
    return bool(_NUMBER.fullmatch(str(value))) and math.isfinite(float(value))
