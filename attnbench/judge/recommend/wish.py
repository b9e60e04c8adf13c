"""What is asked of a run, and how it is written: shares like ``2%``, times like ``5ms``, metrics like ``mIoU:higher``."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from attnbench.core.errors import InputError

HIGHER, LOWER = "higher", "lower"
MS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "μs": 1e-3}
"""Milliseconds in a unit of time; micro is written with either of Unicode's two signs, or u."""

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)\s*"


class Limit(NamedTuple):
    """The most that is allowed, as a number in the unit that its use names, and in the user's words."""

    value: float
    text: str


@dataclass(frozen=True)
class Wish:
    """What a variant must meet to be left, and what the rest are compared by.

    ``targets`` must all accept it; none named means all that the run was checked against. ``max_overhead`` is in % of the
    baseline's time, ``max_latency`` in added milliseconds. ``metrics`` are columns of the file ``accuracy``, each with
    ``higher`` or ``lower`` for the better end. ``host`` and ``size`` narrow the run's cases.
    """

    targets: tuple[str, ...] = ()
    max_overhead: Limit | None = None
    max_latency: Limit | None = None
    allow_unknown: bool = False
    accuracy: Path | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    host: str | None = None
    size: str | None = None


def read_overhead(text: str) -> Limit:
    """A share of the baseline's time, in %. Raises ``InputError`` for anything but a number and a percent sign."""
    match = re.fullmatch(_NUMBER + "%", text.strip())
    if not match:
        raise InputError(f"--max-overhead '{text}' is not a share of the baseline's time: write it like 2% or 0.5%")
    return Limit(float(match[1]), f"{match[1]} %")


def read_latency(text: str) -> Limit:
    """A time, in milliseconds. Raises ``InputError`` for anything but a number and ``s``, ``ms`` or ``us``."""
    match = re.fullmatch(_NUMBER + f"({'|'.join(MS)})", text.strip())
    if not match:
        raise InputError(f"--max-latency '{text}' is not a time that a module may add: write it like 5ms, 0.5s or 300us")
    return Limit(float(match[1]) * MS[match[2]], f"{match[1]} {match[2]}")


def read_metrics(texts: Iterable[str]) -> dict[str, str]:
    """Which metrics decide, and whether more of each is better. Raises ``InputError`` for one without a direction."""
    found: dict[str, str] = {}
    for text in texts:
        name, _, direction = (part.strip() for part in text.rpartition(":"))
        if not name or direction not in (HIGHER, LOWER):
            plain = name or text.strip() or "mIoU"
            raise InputError(f"--metric '{text}' does not say which way is better: write {plain}:higher or {plain}:lower")
        if name in found:
            raise InputError(f"--metric names '{name}' twice: give it once")
        found[name] = direction
    return found


def wish_from_flags(
    *,
    targets: list[str],
    max_overhead: str | None,
    max_latency: str | None,
    allow_unknown: bool,
    accuracy: Path | None,
    metrics: list[str],
    host: str | None,
    size: str | None,
) -> Wish:
    """What the command line asks for. Raises ``InputError`` for a word that cannot be read."""
    if metrics and accuracy is None:
        raise InputError("--metric needs --accuracy: name the CSV file that holds it")
    return Wish(
        targets=tuple(dict.fromkeys(targets)),
        max_overhead=None if max_overhead is None else read_overhead(max_overhead),
        max_latency=None if max_latency is None else read_latency(max_latency),
        allow_unknown=allow_unknown,
        accuracy=accuracy,
        metrics=read_metrics(metrics),
        host=host,
        size=size,
    )
