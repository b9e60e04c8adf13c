"""Numbers as text. Nothing else in the package formats a number for a reader.

Values arrive in base units (seconds, bytes, plain ratios) and leave with the unit that the column header names.
Significant digits follow the interval: a figure known to ±0.04 is not printed to four decimals.
"""

import math

MISSING = "–"


def decimals_for(half_width: float | None) -> int:
    """How many decimals a value deserves whose interval has this half width: two significant digits of the half width."""
    if half_width is None or not math.isfinite(half_width) or half_width <= 0:
        return 2
    return max(0, min(3, 1 - math.floor(math.log10(half_width) + 1e-9)))


def percent(ratio: float | None) -> float | None:
    """A plain ratio in percent (a difference of ratios in percentage points)."""
    return None if ratio is None else 100 * ratio


def fixed(value: float | None, decimals: int = 2, sign: bool = False) -> str:
    """A number with so many decimals; the missing mark when there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) != 0 else text.lstrip("-")


def with_interval(value: float | None, low: float | None, high: float | None, sign: bool = False) -> str:
    """``1.27 [1.21, 1.33]``: a value and its interval, as many digits as the interval supports; ``0`` where it is exact."""
    if value is None:
        return MISSING
    if value == low == high == 0:
        return "0"
    if low is None or high is None:
        return fixed(value, 2, sign)
    decimals = decimals_for((high - low) / 2)
    return f"{fixed(value, decimals, sign)} [{fixed(low, decimals)}, {fixed(high, decimals)}]"


def count(value: float | None, sign: bool = False) -> str:
    """A whole number with thousands separators."""
    return fixed(value, 0, sign)


def counted(number: int, thing: str) -> str:
    """``1 case``, ``2 cases``: a whole number of things."""
    return f"{count(number)} {thing}{'s' * (number != 1 and not thing.endswith('s'))}"


def scaled(value: float | None, scale: float, decimals: int = 2, sign: bool = False) -> str:
    """A number divided by the scale its column header names (1e6 for M, 1e9 for G, 2**20 for MiB)."""
    return MISSING if value is None else fixed(value / scale, decimals, sign)


def significant(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number with so many significant digits, never in exponent form; 0 stays 0."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    return fixed(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))), sign)


def seconds_text(seconds: float | None) -> str:
    """A duration for a person: ``0.8 s``, ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def bytes_text(size: float | None) -> str:
    """A size for a person, in decimal units: ``15.1 GB``, ``45.8 MB``, ``512 B``."""
    if size is None:
        return MISSING
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(size) >= scale:
            return f"{significant(size / scale)} {unit}"
    return f"{size:.0f} B"
