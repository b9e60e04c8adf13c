"""Published gains in accuracy: what sources print of networks with and without a module, on ImageNet.

The figures are facts in ``accuracy/published.toml``. A table there is one source, one network and one recipe: a gain is the
difference to the same table's network alone, and never crosses tables. Where a host and a variant of ours have that
network and that placement, the row names them; else it says what is missing.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from attnbench.core.errors import InputError
from attnbench.core.grammar import parse_variant
from attnbench.core.validation import Strict, validate
from attnbench.study.file import read_toml

PUBLISHED = Path(__file__).parents[1] / "accuracy" / "published.toml"

Percent = Annotated[float, Meta(gt=0, lt=100)]


class PublishedRow(Strict, frozen=True):
    """A network with a module: its top-1 accuracy in %, and the variant of ours that is it, or what ours lacks."""

    module: str
    top1: Percent
    variant: str = ""
    lacks: str = ""


class PublishedTable(Strict, frozen=True):
    """One source, one network and one recipe; ``baseline`` is the accuracy of the network alone."""

    source: str
    where: str
    commit: str
    recipe: str
    network: str
    baseline: Percent
    row: Annotated[tuple[PublishedRow, ...], Meta(min_length=1)]
    host: str = ""
    lacks: str = ""

    def __post_init__(self) -> None:
        if bool(self.host) == bool(self.lacks):
            raise InputError("a table names its host, or what is lacking")
        for row in self.row:
            if bool(row.variant) == bool(row.lacks or self.lacks):
                raise InputError(f"{row.module}: a row names its variant, or it or its table what is lacking")


class PublishedFile(Strict, frozen=True):
    """All tables."""

    table: tuple[PublishedTable, ...]


class PublishedGain(NamedTuple):
    """What a module gained in one table, in points of top-1 accuracy."""

    table: PublishedTable
    row: PublishedRow

    @property
    def points(self) -> float:
        """The gain, without the rounding of a difference of decimals."""
        return round(self.row.top1 - self.table.baseline, 6)

    @property
    def lacks(self) -> str:
        """What keeps it from being measured here; empty where it can be."""
        return self.row.lacks or self.table.lacks

    @property
    def pair(self) -> tuple[str, str] | None:
        """The host and the variant that have its network and placement."""
        return None if self.lacks else (self.table.host, str(parse_variant(self.row.variant)))

    def told(self) -> dict[str, Any]:
        """All of it in plain values."""
        table, row = self.table, self.row
        return {
            **{name: getattr(table, name) for name in ("source", "where", "commit", "recipe", "network", "baseline")},
            "module": row.module,
            "top1": row.top1,
            "gain": self.points,
            "lacks": self.lacks,
        }


class GainBar(NamedTuple):
    """Several published gains of one thing: their mean and range in points, from at least one source."""

    gains: tuple[PublishedGain, ...]

    @property
    def points(self) -> tuple[float, ...]:
        """Each gain."""
        return tuple(gain.points for gain in self.gains)

    @property
    def mean(self) -> float:
        """Their mean."""
        return fmean(self.points)

    @property
    def low(self) -> float:
        """The least."""
        return min(self.points)

    @property
    def high(self) -> float:
        """The most."""
        return max(self.points)

    @property
    def sources(self) -> tuple[str, ...]:
        """Who printed them."""
        return tuple(dict.fromkeys(gain.table.source for gain in self.gains))


@cache
def published_gains(path: Path = PUBLISHED) -> tuple[PublishedGain, ...]:
    """Every gain of a file, in its order. Raises ``InputError``."""
    found = validate(read_toml(path, "published figures"), PublishedFile, f"published figures {path}")
    return tuple(PublishedGain(table, row) for table in found.table for row in table.row)


def gains_by_pair(gains: Iterable[PublishedGain]) -> Mapping[tuple[str, str], GainBar]:
    """By host and variant of ours, what is published of them."""
    found: dict[tuple[str, str], list[PublishedGain]] = {}
    for gain in gains:
        if gain.pair:
            found.setdefault(gain.pair, []).append(gain)
    return {pair: GainBar(tuple(some)) for pair, some in found.items()}


def gains_of_module(gains: Iterable[PublishedGain], module: str) -> GainBar:
    """What is published of a module, by the sources' name of it. Raises ``InputError`` where nothing is."""
    listed = tuple(gains)
    found = tuple(gain for gain in listed if gain.row.module == module)
    if not found:
        known = ", ".join(dict.fromkeys(gain.row.module for gain in listed))
        raise InputError(f"nothing is published of the module '{module}': there are {known}")
    return GainBar(found)
