"""Profiles that other tools took: one file a format, text to layers with their times. No torch, no onnx, no runtime here.

A reader says what its tool prints and no more: the layer's name, which nodes of the ONNX file it holds where that is told,
and its time in each run. What two profiles come to is computed above (``measure.elsewhere``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from attnbench.core.catalogue import Catalogue
from attnbench.core.errors import InputError, UnknownName
from attnbench.graph.align import ExecutedNode

PROFILES = Catalogue("profile format", "attnbench.profiles", "attnbench.profiles")

TimeUnit = Literal["s", "cycles"]


@dataclass(frozen=True)
class ProfiledLayer:
    """A layer as its tool names it.

    ``op`` is the tool's word for its kind, ``detail`` what else tells it from others (shapes, fused activations).
    ``parts`` are the nodes or tensors of the ONNX file that it is said to hold, in order; ``opaque`` says that it holds
    others that are not told. ``beside`` names the layer that a change of layout serves. ``ran`` is the node of a runtime
    that tells shapes: it is aligned by those, not by its name.
    """

    name: str
    op: str
    parts: tuple[str, ...] = ()
    detail: str = ""
    opaque: bool = False
    beside: str = ""
    ran: ExecutedNode | None = None


@dataclass(frozen=True)
class ForeignProfile:
    """The layers of one model, and a row of times a run. ``statistic`` says what a time is where it is not of one run.

    ``gone`` are layers that the tool lists as not run: folded into others, or computed ahead.
    """

    layers: tuple[ProfiledLayer, ...]
    runs: tuple[tuple[float, ...], ...]
    unit: TimeUnit = "s"
    statistic: str = ""
    gone: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProfileFormat:
    """A format: whether a text looks like it, how to read one, and how to take one. The second text is the layers' names.

    ``read`` raises ``ValueError`` with what is wrong; ``info`` says what file has the layers' names, where there is one.
    """

    name: str
    looks: Callable[[str], bool]
    read: Callable[[str, str], ForeignProfile]
    summary: str
    take: str
    info: str = ""


def read_profile(path: Path, format_: str = "", info: Path | None = None) -> tuple[str, ForeignProfile]:
    """The profile in a file, and the name of its format: the one given, or the first that the text looks like.

    Raises ``InputError`` for a file that cannot be read, is of no known format, or holds no layer or no time.
    """
    text, names = _text(path), _text(info) if info else ""
    entry = PROFILES.load(format_ or _format_of(path, text))
    if info and not entry.info:
        raise InputError(f"profile '{path}': {entry.name} has no file of layer names: leave out --layer-info")
    try:
        found = entry.read(text, names)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"profile '{path}' is no {entry.name} profile that can be read: {_why(error)}") from error
    if not found.layers or not any(map(any, found.runs)):
        raise InputError(f"profile '{path}' holds no layer with a time: {entry.take}")
    return entry.name, found


def _format_of(path: Path, text: str) -> str:
    for name in PROFILES.names():
        if PROFILES.load(name).looks(text):
            return name
    raise UnknownName("format of the profile", path.name, PROFILES.names(), "name it with --profiler")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"profile '{path}': cannot be read: {error.strerror}") from error


def _why(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())


def same_layers(tables: Sequence[Mapping[str, tuple[ProfiledLayer, float]]]) -> ForeignProfile:
    """Tables of one model, a run each, by the layers' names. Raises ``ValueError`` where they are of unlike layers."""
    if not tables:
        raise ValueError("it holds no table of layers")
    first = tables[0]
    for table in tables[1:]:
        if table.keys() != first.keys():
            unlike = sorted(table.keys() ^ first.keys())
            raise ValueError(f"its {len(tables)} tables are not of the same layers ({', '.join(unlike[:3])})")
    runs = tuple(tuple(table[name][1] for name in first) for table in tables)
    return ForeignProfile(tuple(layer for layer, _ in first.values()), runs)


def numbered(name: str, taken: Mapping[str, object]) -> str:
    """The name, or with a number behind it where a table has it already."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
