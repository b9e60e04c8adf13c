"""The hosts: networks with named sites. One file a network, ending in ``ENTRIES``; the user's own come by reference.

This package's root imports no torch, so that hosts, sites and placements can be listed and checked without it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from attnbench.core.catalogue import Catalogue, check_ranges, is_reference, load_object, merge_options
from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import OptionValue, Spec, Variant, parse_spec
from attnbench.modules import Plane

if TYPE_CHECKING:
    from torch import nn

HOSTS = Catalogue("host", "attnbench.hosts", "attnbench.hosts")

REPLACED = ".conv3x3"
"""What the names of places end in where a module takes the place of a 3x3 convolution, its norm and its activation."""

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}.]+)\}")


@dataclass(frozen=True)
class Host:
    """A registered network.

    ``build(**options)`` makes an ``nn.Module`` that holds a ``Site`` for each name in ``sites``, whose value is
    (channels, stride) or, for a slot, (channels, stride, channels of the block's input). ``{0..3}`` in a name stands for
    four sites, ``{branch,end}`` for two. ``placements`` name groups of sites, and have the same names for the same kind of
    place on every host:

    - ``residual-branch``: behind the last norm of every residual branch, before the addition;
    - ``block-ends``: behind every block; ``stage-ends``: behind the last block of each resolution;
    - ``after-depthwise``: behind the depthwise convolution, its norm and activation, in blocks that expand (of a sandglass
      block: behind its first depthwise convolution);
    - ``projections``: behind the last norm of every block, before the addition where there is one;
    - ``slots``: where the network's own authors put an attention module, left empty;
    - ``skips``: on a feature on its way to a later concatenation;
    - ``conv3x3``: in place of the 3x3 convolution of every block, its norm and activation. Names of these sites end in
      ``.conv3x3``; ``each`` and globs that match other sites pass them over.

    Where sites depend on options, ``layout`` names the function that gives both, without torch: ``MODULE:FUNCTION`` and what
    it is called with before the options. Sides of the input must be multiples of ``multiple``. ``choices`` list what an
    option may be where it is not free.
    """

    name: str
    build: Callable[..., "nn.Module"]
    summary: str
    source: str
    sites: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    placements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    layout: tuple[Any, ...] = ()
    multiple: int = 1
    input_channels: int = 3
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    choices: Mapping[str, tuple[OptionValue, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class SitePlane:
    """What an entry says of a site: its channels, its stride, and in a slot the channels of the block's input, else 0.

    ``divides`` is the stride of the convolution that a module takes the place of.
    """

    channels: int
    stride: int
    block_input: int = 0
    divides: int = 1

    def at(self, height: int, width: int) -> Plane:
        """The tensor at this site for an image of this size; a stride rounds up."""
        sides = (-(-height // self.stride), -(-width // self.stride))
        return Plane(self.channels, *sides, self.block_input, self.divides)


class Places(NamedTuple):
    """The sites of a host by name, and its named groups of them."""

    sites: Mapping[str, SitePlane]
    placements: Mapping[str, tuple[str, ...]]


def declared_places(spec: Spec) -> Places:
    """Where modules can stand in a registered host with these options; imports no torch."""
    entry = HOSTS.fields(spec.name)
    if layout := entry.get("layout"):
        function, *arguments = layout
        return Places(*load_object(function, "layout")(*arguments, **host_options(spec)))
    return Places(site_table(entry.get("sites") or {}), entry.get("placements") or {})


def site_table(sites: Mapping[str, tuple[int, ...]]) -> dict[str, SitePlane]:
    """The sites of an entry one by one, each ``{first..last}`` and ``{one,other}`` in a name written out."""
    return {name: SitePlane(*value) for pattern, value in sites.items() for name in _written_out(pattern)}


def _written_out(pattern: str) -> list[str]:
    if found := _CHOICE.search(pattern):
        parts = found[1].split(",")
    elif found := _RANGE.search(pattern):
        parts = [str(i) for i in range(int(found[1]), int(found[2]) + 1)]
    else:
        return [pattern]
    head, tail = pattern[: found.start()], pattern[found.end() :]
    return [name for part in parts for name in _written_out(f"{head}{part}{tail}")]


@dataclass(frozen=True)
class HostReference:
    """A host as a study names it, complete enough to build it elsewhere.

    ``spec`` is a registered name with options, ``path/to/file.py:factory`` or ``path/to/model.onnx``. ``sites`` maps the
    user's site names to submodule paths (a factory's) and is empty for the other two kinds.
    """

    spec: str
    sites: Mapping[str, str] = field(default_factory=dict)
    input_channels: int = 3

    @property
    def kind(self) -> str:
        """``registered``, ``factory`` or ``onnx``."""
        if self.spec.endswith(".onnx"):
            return "onnx"
        return "factory" if is_reference(parse_spec(self.spec).name) else "registered"


def check_host(reference: HostReference) -> None:
    """Raise ``InputError`` where a registered host, an option or a choice does not exist; imports no torch."""
    if reference.sites and reference.kind != "factory":
        own = "has its own sites" if reference.kind == "registered" else "has its tensors for sites"
        raise InputError(f"host '{reference.spec}' {own}: --site is for a host from your own factory")
    if reference.kind == "registered":
        host_options(parse_spec(reference.spec))


def host_options(spec: Spec) -> dict[str, OptionValue]:
    """A registered host's options with the spec's own in place. Raises ``InputError`` for one that is no choice."""
    HOSTS.find(spec.name, "your own: path/to/file.py:factory or path/to/model.onnx")
    told = HOSTS.fields(spec.name)
    options = merge_options("host", spec, told.get("options") or {})
    check_ranges("host", spec, options, {}, told.get("choices") or {})
    return options


def check_size(reference: HostReference, height: int, width: int) -> None:
    """Raise ``InputError`` for a size that a registered host cannot take; imports no torch."""
    if reference.kind != "registered":
        return
    multiple = HOSTS.fields(parse_spec(reference.spec).name).get("multiple", 1)
    if height % multiple or width % multiple:
        near = f"{max(1, round(height / multiple)) * multiple}x{max(1, round(width / multiple)) * multiple}"
        raise InputError(
            f"host '{reference.spec}' takes sides that are multiples of {multiple}, not {height}x{width}: try {near}"
        )


def declared_sites(reference: HostReference) -> tuple[str, ...] | None:
    """The site names known without building the host; ``None`` for an ONNX file, whose tensors are its sites."""
    match reference.kind:
        case "registered":
            return tuple(declared_places(parse_spec(reference.spec)).sites)
        case "factory":
            return tuple(reference.sites)
    return None


def declared_placements(reference: HostReference) -> Mapping[str, tuple[str, ...]]:
    """The named groups of sites of a registered host."""
    if reference.kind != "registered":
        return {}
    return declared_places(parse_spec(reference.spec)).placements


def is_glob(place: str) -> bool:
    """Whether a place stands for the sites that match it."""
    return any(sign in place for sign in "*?[")


def resolve_place(place: str, sites: Iterable[str], placements: Mapping[str, tuple[str, ...]], host: str) -> list[str]:
    """The sites a place stands for: a site's own name, a placement's members, or all that a glob matches.

    Raises ``UnknownName`` with the nearest names, or ``InputError`` for a glob that matches nothing.
    """
    known = list(sites)
    if place in known:
        return [place]
    if place in placements:
        return [site for part in placements[place] for site in resolve_place(part, known, placements, host)]
    if is_glob(place):
        matched = [site for site in known if fnmatchcase(site, place)]
        if not matched:
            raise InputError(f"place '{place}' matches no site of host '{host}' (sites: {', '.join(known)})")
        return [site for site in matched if not site.endswith(REPLACED)] or matched
    raise UnknownName(f"place of host '{host}'", place, [*known, *placements])


def modules_by_site(
    variant: Variant, sites: Iterable[str], placements: Mapping[str, tuple[str, ...]], host: str
) -> dict[str, tuple[Spec, ...]]:
    """What stands at each site, in the row's order; a site assigned twice gets both, in the order written."""
    known = list(sites)
    found: dict[str, tuple[Spec, ...]] = {}
    for assignment in variant.assignments:
        for place in assignment.places:
            for site in resolve_place(place, known, placements, host):
                found[site] = (*found.get(site, ()), *assignment.modules)
    return found


def describe_sites(text: str) -> list[dict[str, Any]]:
    """One row a site or placement of a registered host: name, channels, stride and members."""
    sites, placements = declared_places(parse_spec(text))
    own = [(site, plane.channels, plane.stride, _replaced(site, plane)) for site, plane in sites.items()]
    groups = [(group, None, None, " ".join(resolve_place(group, sites, placements, text))) for group in placements]
    return [dict(zip(("place", "channels", "stride", "members"), row, strict=True)) for row in (*own, *groups)]


def _replaced(site: str, plane: SitePlane) -> str:
    return f"in place of a 3x3 convolution of stride {plane.divides}" if site.endswith(REPLACED) else ""
