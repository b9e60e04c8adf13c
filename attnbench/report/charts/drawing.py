"""Specs drawn: as SVG, PNG and PDF, and the script that makes them live. Everything that needs ``vl-convert`` is here.

It is the extra ``html``: an optional 33 MB that holds Vega-Lite and what draws it, needs no browser and no network.
"""

import json
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from attnbench.core.errors import InputError
from attnbench.core.versions import version
from attnbench.measure.cache import kept
from attnbench.report.charts.theme import PAGE, Spec, dark_rules

LACKING = "needs the extra html: pip install 'attnbench[html]'"
SNIPPET: Final = 'import {{View, parse}} from "/npm/vega@{version}/+esm"; window.vega = {{View, parse}};'
"""What a page needs of Vega, by the name under which the converter carries it: a third less than with Vega-Lite."""
ELSEWHERE: Final = "https://vega.github.io/vega-datasets/"
"""What the drawer puts before links within a page."""
_ROLE = re.compile(r' role="graphics-[a-z]+"| aria-roledescription="[^"]*"')
"""What a group of marks calls itself; without names of their own that is a barrier rather than a help."""
_GEOMETRY = re.compile(r' (d|transform|width|height|viewBox|x2|y2)="([^"]*)"')
SCALE: Final = 3.0
"""Pixels of a PNG for each of the drawing: 216 a inch at its own size."""


def installed() -> bool:
    """Whether charts can be drawn here."""
    return all(find_spec(name) for name in ("vl_convert", "jinja2"))


def required(what: str) -> None:
    """Raise ``InputError`` where charts cannot be drawn here."""
    if not installed():
        raise InputError(f"{what} {LACKING}")


@dataclass(frozen=True)
class Picture:
    """A chart that can be looked at in a notebook, and saved."""

    spec: Spec

    def svg(self) -> str:
        """The picture as a file of its own, with a page behind it; dark where the reader's page is."""
        style = f"<style>@media(prefers-color-scheme:dark){{{dark_rules('.attnbench ')}}}</style>"
        title = f"<title>{_escaped(self.spec['title']['text'])}</title>"
        drawing = svg(self._paged()).replace('class="marks"', 'class="marks attnbench"', 1)
        return re.sub(r"(<svg\b[^>]*>)", lambda head: f"{head[1]}{title}{style}", drawing, count=1) + "\n"

    def save(self, path: str | Path) -> None:
        """Write it to a file as its name ends: ``.svg``, ``.png`` or ``.pdf``. Raises ``InputError`` for another end."""
        where = Path(path)
        drawn = {".svg": lambda: self.svg().encode(), ".png": self._png, ".pdf": self._pdf}
        if where.suffix.lower() not in drawn:
            raise InputError(f"{where}: a picture's name ends in {', '.join(drawn)}")
        data = drawn[where.suffix.lower()]()
        try:
            where.write_bytes(data)
        except OSError as error:
            raise InputError(f"cannot write {where}: {error.strerror}") from error

    def _repr_svg_(self) -> str:
        return self.svg()

    def _paged(self) -> Spec:
        return {**self.spec, "background": PAGE}

    def _png(self) -> bytes:
        return _converter().vegalite_to_png(self._paged(), scale=SCALE)

    def _pdf(self) -> bytes:
        return _converter().vegalite_to_pdf(self._paged())


def svg(spec: Spec) -> str:
    """The static picture of a spec, without a background; lengths to a hundredth of a pixel."""
    return drawn(compiled(spec))


def drawn(vega: Spec) -> str:
    """The same of a Vega spec."""
    found = str(_converter().vega_to_svg(vega))
    return _GEOMETRY.sub(_rounded, _ROLE.sub("", found.replace(f'"{ELSEWHERE}#', '"#')))


def compiled(spec: Spec) -> Spec:
    """The Vega spec that a Vega-Lite spec stands for: what is drawn live, without Vega-Lite in the page."""
    return dict(_converter().vegalite_to_vega({"background": None, **spec}))


def bundle() -> str:
    """Vega, which makes charts live, as a script for any page; kept once it was made, which takes seconds."""
    question = {"bundle": version("vl-convert-python"), "snippet": SNIPPET}
    return kept(question, str, _bundled)


def _bundled() -> str:
    converter = _converter()
    return str(converter.javascript_bundle(SNIPPET.format(version=converter.get_vega_version())))


def _rounded(attribute: re.Match[str]) -> str:
    digits = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), attribute[2])
    return f' {attribute[1]}="{digits}"'


def _converter() -> Any:
    required("drawing a chart")
    import vl_convert  # noqa: PLC0415  33 MB, and optional

    return vl_convert


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def embedded(value: Any) -> str:
    """JSON that may stand within a script element whatever its texts hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&\u2028\u2029]", lambda sign: f"\\u{ord(sign[0]):04x}", text)
