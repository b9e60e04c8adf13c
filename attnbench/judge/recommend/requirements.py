"""What is asked of a run, and how it is written: shares like ``2%``, times like ``5ms``, metrics like ``mIoU:higher``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from attnbench.core.errors import InputError
from attnbench.core.quantities import Quantity, parse_quantity

HIGHER, LOWER = "higher", "lower"


@dataclass(frozen=True)
class Requirements:
    """What a variant must meet to be left, and what the rest are compared by.

    ``targets`` must all accept it; none named means all that the run was checked against. ``max_overhead`` is a share of the
    baseline's time, ``max_latency`` a time that may be added. ``metrics`` are columns of the file ``accuracy``, each with
    ``higher`` or ``lower`` for the better end. ``host`` and ``size`` narrow the run's cases.
    """

    targets: tuple[str, ...] = ()
    max_overhead: Quantity | None = None
    max_latency: Quantity | None = None
    allow_unknown: bool = False
    accuracy: Path | None = None
    published: bool = False
    metrics: Mapping[str, str] = field(default_factory=dict)
    host: str | None = None
    size: str | None = None


def read_overhead(text: str) -> Quantity:
    """A share of the baseline's time. Raises ``InputError`` for anything but a number and a percent sign."""
    wrong = f"--max-overhead '{text}' is not a share of the baseline's time: write it like 2% or 0.5%"
    return parse_quantity(text, "share", otherwise=wrong)


def read_latency(text: str) -> Quantity:
    """A time. Raises ``InputError`` for anything but a number and ``s``, ``ms`` or ``us``."""
    wrong = f"--max-latency '{text}' is not a time that a module may add: write it like 5ms, 0.5s or 300us"
    return parse_quantity(text, "time", otherwise=wrong)


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
