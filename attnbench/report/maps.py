"""What attention maps come to: a table of one network's, and of a teacher's beside a student's a table and a chart."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import sqrt
from typing import Any

from attnbench.core.statistics import Estimate, replicate_interval
from attnbench.core.units import counted, fixed, significant, with_interval
from attnbench.report.answer import Answer
from attnbench.report.table import Table

SCALES = ("l2", "cosine", "at_loss")
COLUMNS = ("image", "teacher", "student", "height", "width", *SCALES)

LOSS_UNIT = 1e-6

LETTER, WIDTH, TOP, ROW, MARGIN = 7.5, 420, 84, 26, 20


@dataclass(frozen=True)
class ComparedMaps:
    """A teacher's map beside a student's on one image, at the size that both were brought to."""

    image: str
    teacher: str
    student: str
    height: int
    width: int
    l2: float
    cosine: float
    at_loss: float


PartOfMaps = tuple[str, Sequence[bytes], Table]
"""A part of a page: its title, pictures as the bytes of PNG files, and a table."""


def network(maps: Mapping[str, Any]) -> Table:
    """The maps of a network on one image, ``[H, W]`` by place: sizes, where they peak, and how spread out they are."""
    return Table.of(
        {
            "place": place,
            "map": "x".join(map(str, one.shape)),
            "peak": significant(float(one.max())),
            "peak at (% down, % right)": _position(one),
            "mean": significant(float(one.mean())),
            "spread (%)": fixed(100 * float(one.mean()) ** 2 * one.size, 1),
        }
        for place, one in maps.items()
    )


def comparison(found: Sequence[ComparedMaps]) -> Answer:
    """The three distances of each pair of places, over all images."""
    images = len({one.image for one in found})
    rows = [
        {
            "teacher": teacher,
            "student": student,
            "compared at": f"{own[0].height}x{own[0].width}",
            "L2 distance": _text(own, "l2"),
            "cosine": _text(own, "cosine"),
            "AT loss (1e-6)": _text(own, "at_loss", 1 / LOSS_UNIT),
        }
        for (teacher, student), own in _by_pair(found).items()
    ]
    plain = [{name: getattr(one, name) for name in COLUMNS} for one in found]
    interval = "mean and its 95 % interval over them" if images > 1 else "no interval from a single one"
    note = f"{counted(images, 'image')}: {interval}; a larger map is average-pooled to the smaller one's size"
    return Answer((("Maps compared", Table.of(rows)),), COLUMNS, plain, {"maps": plain}, "Attention maps compared", (note,))


def chart(found: Sequence[ComparedMaps], title: str) -> str:
    """The L2 distance of each pair with its interval, as the text of an SVG file, for light and dark pages."""
    pairs, images = _by_pair(found), counted(len({one.image for one in found}), "image")
    names = [f"{teacher} = {student}" for teacher, student in pairs]
    left, bottom = 2 * MARGIN + LETTER * max(map(len, names)), TOP + ROW * len(pairs)
    width = left + WIDTH + MARGIN
    body = [
        f'<rect class="page" width="{width:g}" height="{bottom + 44}" rx="10"/>',
        _words(MARGIN, 34, title, "title"),
        _words(MARGIN, 56, f"L2 distance of maps of norm 1, over {images}", "quiet"),
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1, 1.25):
        body.append(f'<path class="grid" d="M{left + _x(tick):g} {TOP - 8}V{bottom}"/>')
        body.append(_words(left + _x(tick), bottom + 18, f"{tick:g}", "quiet middle"))
    for number, (name, own) in enumerate(zip(names, pairs.values(), strict=True)):
        body += _bar(left, TOP + number * ROW + ROW / 2, name, _estimate(own, "l2"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {bottom + 44}" role="img" '
        f'aria-labelledby="title">\n<title id="title">{escape(title)}</title>\n<style>{STYLE}</style>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def page(title: str, notes: Sequence[str], parts: Iterable[PartOfMaps]) -> str:
    """The pictures and tables as one page for a browser. Raises ``InputError`` where the extra for pages is missing."""
    from attnbench.report.page import Listing, Page, PagePart, Photo  # noqa: PLC0415

    made = [
        PagePart(
            name, photos=[Photo(f"{name}: the image and its maps", png) for png in pictures], listings=[Listing("", table)]
        )
        for name, pictures, table in parts
    ]
    return Page(title, notes, parts=made).html()


def _by_pair(found: Sequence[ComparedMaps]) -> dict[tuple[str, str], list[ComparedMaps]]:
    pairs: dict[tuple[str, str], list[ComparedMaps]] = {}
    for one in found:
        pairs.setdefault((one.teacher, one.student), []).append(one)
    return pairs


def _estimate(own: Sequence[ComparedMaps], scale: str, factor: float = 1.0) -> Estimate:
    return replicate_interval([getattr(one, scale) * factor for one in own])


def _text(own: Sequence[ComparedMaps], scale: str, factor: float = 1.0) -> str:
    found = _estimate(own, scale, factor)
    return significant(found.value) if found.low is None else with_interval(found.value, found.low, found.high)


def _position(one: Any) -> str:
    row, column = divmod(int(one.argmax()), one.shape[1])
    return f"{100 * (row + 0.5) / one.shape[0]:.0f}, {100 * (column + 0.5) / one.shape[1]:.0f}"


def _x(distance: float) -> float:
    return WIDTH * distance / sqrt(2)


def _bar(left: float, y: float, name: str, found: Estimate) -> Iterator[str]:
    yield _words(left - 12, y + 4, name, "end")
    if found.low is not None and found.high is not None:
        low, high = left + _x(max(0.0, found.low)), left + _x(min(sqrt(2), found.high))
        yield f'<path class="interval" d="M{low:g} {y:g}H{high:g}"/>'
    words = f"<title>{escape(name)}: {fixed(found.value, 3)}</title>"
    yield f'<circle class="dot" cx="{left + _x(found.value):g}" cy="{y:g}" r="4">{words}</circle>'


def _words(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}.title{font-size:17px;"
    "font-weight:600}.middle{text-anchor:middle}.end{text-anchor:end}.quiet{fill:#59636e}.page{fill:#fff}.grid{stroke:#d1d9e0}"
    ".interval{stroke:#2f76b5;stroke-width:3}.dot{fill:#155a99}@media(prefers-color-scheme:dark){text{fill:#f0f6fc}"
    ".quiet{fill:#9198a1}.page{fill:#0d1117}.grid{stroke:#3d444d}.interval{stroke:#5b98cf}.dot{fill:#94bfe6}}"
)
