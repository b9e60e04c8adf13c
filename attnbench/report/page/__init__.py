"""A page that people look at: one HTML file that asks nothing of any network, from parts that hold charts and tables.

Every chart stands there as SVG, so that it shows without JavaScript, and its spec beside it makes it live. Tables are HTML;
scripts only sort, filter and open. All texts are escaped by the template, JSON for the scripts by ``drawing.embedded``.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, NamedTuple

from attnbench.core.versions import version
from attnbench.report.answer import NOTES, Figure
from attnbench.report.charts import drawing
from attnbench.report.charts.theme import DARK, Spec, dark_rules
from attnbench.report.table import Table

ROLES = (
    "page ink quiet line empty strong_ink floor claim claim_line bar good fair open poor bad good_fill fair_fill open_fill "
    "poor_fill bad_fill s0 s1 s2 s3 s4 s5 s6"
).split()
"""What the style sheet calls the first colours of ``theme.DARK``, in their order."""


class Listing(NamedTuple):
    """A table under its heading. ``anchors`` make each row a place to link to; ``closed`` ones are folded away.

    ``tools`` allow to filter.
    """

    title: str
    table: Table
    note: str = ""
    anchors: Sequence[str] = ()
    closed: bool = False
    tools: bool = False


class Photo(NamedTuple):
    """A picture made of pixels, as the bytes of a PNG file, and what it shows."""

    title: str
    png: bytes

    @property
    def source(self) -> str:
        """The picture as the address of itself, so that the page needs no other file."""
        return f"data:image/png;base64,{b64encode(self.png).decode()}"


class Tile(NamedTuple):
    """One figure in large type: what it is, and what to know of it."""

    figure: str
    label: str
    note: str = ""


class SiteCost(NamedTuple):
    """What a variant costs at a site: as text, as a step of the heat map's colours (``None`` without one), as a number."""

    module: str
    text: str
    step: int | None
    link: str
    note: str = ""
    order: float = 0.0


class ChainSite(NamedTuple):
    """A site of a host in the order of the network, or several without a case, with what stands there."""

    name: str
    plane: str
    costs: Sequence[SiteCost] = ()


class Chain(NamedTuple):
    """A host drawn as its sites."""

    title: str
    sites: Sequence[ChainSite]


@dataclass(frozen=True)
class PagePart:
    """A part of a page; what it does not have is left out. ``lines`` are sentences before all else."""

    title: str
    lines: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    chains: Sequence[Chain] = ()
    listings: Sequence[Listing] = ()
    photos: Sequence[Photo] = ()

    @property
    def anchor(self) -> str:
        """Its name in links."""
        return "".join(sign if sign.isalnum() else "-" for sign in self.title.lower())

    def __bool__(self) -> bool:
        listed = any(listing.table for listing in self.listings)
        return bool(self.lines or self.figures or self.chains or self.photos or listed)


@dataclass(frozen=True)
class Page:
    """A whole page. ``headline`` is the answer in a sentence.

    ``details`` are tables for each case by its anchor, which a click opens.
    """

    title: str
    lines: Sequence[str] = ()
    tiles: Sequence[Tile] = ()
    parts: Sequence[PagePart] = ()
    details: Mapping[str, tuple[str, Sequence[tuple[str, Table]]]] = field(default_factory=dict)
    headline: str = ""

    def html(self) -> str:
        """The file. Raises ``InputError`` where the extra that draws is not installed."""
        drawing.required("--format html")
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  of the extra
        from markupsafe import Markup  # noqa: PLC0415

        from attnbench.report.page import cells  # noqa: PLC0415

        environment = Environment(
            autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
        )
        environment.filters |= {"cell": cells.cell, "numeric": cells.numeric, "prose": cells.prose, "kind": cells.kind}
        parts, specs = [part for part in self.parts if part], {}
        for at, figure in enumerate(figure for part in parts for figure in part.figures):
            specs[f"chart-{at}"] = drawing.compiled(_untitled(figure.spec))
        return environment.from_string(_file("page.html")).render(
            page=self,
            parts=parts,
            style=Markup(_style()),  # noqa: S704  our own style sheet
            script=Markup(_file("page.js")),  # noqa: S704  our own script
            bundle=Markup(drawing.bundle().replace("</script", "<\\/script")) if specs else "",  # noqa: S704
            specs=Markup(drawing.embedded(specs)),  # noqa: S704  escaped
            details=Markup(drawing.embedded(_interned(self.details))),  # noqa: S704  escaped
            drawn=lambda chart: Markup(drawing.drawn(specs[chart])),  # noqa: S704  escaped by Vega
            version=version("attnbench"),
        )


def answer_page(
    title: str, headline: str, notes: Sequence[str], figures: Iterable[Figure], sections: Iterable[tuple[str, Table]]
) -> Page:
    """The page of a command's answer: the answer in sentences, the charts, the tables, and what it rests on."""
    listings = [Listing(heading, table, tools=len(table.rows) > 12) for heading, table in sections]
    parts = [PagePart("In pictures", figures=list(figures)), PagePart("Tables", listings=listings), PagePart(NOTES, notes)]
    return Page(title, parts=parts, headline=headline)


def _untitled(spec: Mapping[str, Any]) -> Spec:
    """A page says a chart's title itself."""
    return {key: value for key, value in spec.items() if key != "title"}


def _interned(details: Mapping[str, tuple[str, Sequence[tuple[str, Table]]]]) -> dict[str, Any]:
    """Tables whose cells are places in one list of texts: most texts come many times. ``tones`` say which are verdicts."""
    from attnbench.report.page import cells  # noqa: PLC0415

    words: dict[str, int] = {}

    def place(text: str) -> int:
        return words.setdefault(text, len(words))

    def places(table: Table) -> list[Any]:
        return [list(map(place, table.columns)), [list(map(place, row)) for row in table.rows]]

    cases = {
        anchor: [place(label), *([place(title), *places(table)] for title, table in tables if table)]
        for anchor, (label, tables) in details.items()
    }
    tones = {at: cells.WORDS[word] for word, at in words.items() if word in cells.WORDS}
    return {"words": list(words), "cases": cases, "tones": tones}


def _style() -> str:
    light = zip(ROLES, DARK, strict=False)
    dark = zip(ROLES, DARK.values(), strict=False)
    roles = (";".join(f"--{role}:{colour}" for role, colour in colours) for colours in (light, dark))
    return ":root{{{}}}@media(prefers-color-scheme:dark){{:root{{{}}}{}}}".format(*roles, dark_rules(".plot ")) + _file(
        "page.css"
    )


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
