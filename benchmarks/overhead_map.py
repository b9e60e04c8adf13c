"""The README's picture, drawn from the report study's committed run: ``python benchmarks/overhead_map.py``.

A heat map of places by modules. Each cell holds the overhead in % with its 95 % interval, or says that the case did not fit
into memory. Writes ``docs/overhead.svg``: plain text, the same for the same run, for light and dark pages.

Rejected: a plotting library, whose output changes with its version and its fonts.
"""

from bisect import bisect
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from attnbench import StoredRun, load_run
from attnbench.core.grammar import parse_size
from attnbench.core.units import with_interval
from attnbench.hosts import declared_planes

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "overhead.svg"

EDGES = (0.1, 0.3, 1, 3, 10, 30)
"""Ends of the colour steps in %; each is about three times the one before, as overheads spread over four decades."""

LIGHT = ("#e6eef8", "#c6dbef", "#9cc3e4", "#6aa5d5", "#2f76b5", "#155a99", "#0a3768")
DARK = ("#16283d", "#1c3b5c", "#21507f", "#2868a3", "#5b98cf", "#94bfe6", "#cfe2f4")
TURN = 4
"""From this step on a light page's figures are white and a dark page's are black, so that they stay readable."""

LEFT, TOP, WIDTH, HEIGHT, GAP, MARGIN = 148, 104, 108, 40, 2, 20


def svg(stored: StoredRun) -> str:
    """The picture of a run's first matrix, as the text of an SVG file."""
    header = stored.run.header
    matrix, host, size = header.study["matrix"][0], header.cases[0].host, header.cases[0].size
    rows = {
        row["variant"]: row for row in stored.to_frame().to_dict("records") if (row["host"], row["size"]) == (host, size)
    }
    places, modules = matrix["places"], matrix["modules"]
    width, bottom = LEFT + len(modules) * WIDTH + MARGIN, TOP + len(places) * HEIGHT
    title = f"Overhead by place and module, in % of {host} at {size}"
    machine = f"One core, {header.machine['cpu']}; below each figure its 95 % interval"
    planes = {name: plane.at(*parse_size(size)) for name, plane in declared_planes(host).items()}
    body = [
        f'<rect class="page" width="{width}" height="{bottom + 60}" rx="10"/>',
        _text(MARGIN, 34, title, "title"),
        _text(MARGIN, 56, machine, "quiet"),
        *(_text(LEFT + (i + 0.5) * WIDTH, TOP - 12, name, "name middle") for i, name in enumerate(modules)),
    ]
    for j, place in enumerate(places):
        y = TOP + j * HEIGHT
        plane = planes[place]
        body.append(_text(MARGIN, y + 18, place, "name"))
        body.append(_text(MARGIN, y + 32, f"{plane.channels} ch, {plane.height}x{plane.width}", "quiet small"))
        for i, module in enumerate(modules):
            body += _cell(LEFT + i * WIDTH, y, rows[f"{place}={module}"])
    body += _legend(width, bottom + 22)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 60}" role="img" aria-labelledby="title">\n'
        f'<title id="title">{escape(title)}</title>\n<style>{_style()}</style>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _cell(x: float, y: float, row: dict[str, Any]) -> Iterator[str]:
    middle, value = x + WIDTH / 2, row["overhead_pct"]
    if row["status"] != "ok":
        yield _box(x, y, "none")
        yield _text(middle, y + 18, row["status"], "quiet middle")
        yield _text(middle, y + 32, row["reason"].partition(":")[0], "quiet small middle")
        return
    step = bisect(EDGES, value)
    figure, _, interval = with_interval(value, row["overhead_pct_low"], row["overhead_pct_high"]).partition(" ")
    yield _box(x, y, f"s{step}")
    yield _text(middle, y + 18, figure, f"figure middle t{step}")
    yield _text(middle, y + 32, interval, f"small middle t{step}")


def _legend(width: float, y: float) -> Iterator[str]:
    labels = [f"below {EDGES[0]} %", *(f"{low} to {high}" for low, high in pairwise(EDGES))]
    labels.append(f"{EDGES[-1]} and more")
    step = (width - LEFT - MARGIN) / len(labels)
    for i, label in enumerate(labels):
        yield f'<rect class="s{i}" x="{LEFT + i * step:g}" y="{y}" width="{step - GAP:g}" height="8"/>'
        yield _text(LEFT + (i + 0.5) * step, y + 23, label, "quiet small middle")


def _box(x: float, y: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{WIDTH - GAP}" height="{HEIGHT - GAP}" rx="3"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _style() -> str:
    shape = (
        "text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:13px}"
        ".title{font-size:17px;font-weight:600}.figure{font-size:14px;font-weight:600}.small{font-size:11px}"
        ".middle{text-anchor:middle}"
    )
    light = _colours("#ffffff", "#1f2328", "#59636e", "#f1f3f5", LIGHT, ("#1f2328", "#ffffff"))
    dark = _colours("#0d1117", "#f0f6fc", "#9198a1", "#1b2129", DARK, ("#f0f6fc", "#0d1117"))
    return f"{shape}{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _colours(page: str, ink: str, quiet: str, none: str, steps: tuple[str, ...], figures: tuple[str, str]) -> str:
    cells = "".join(f".s{i}{{fill:{fill}}}.t{i}{{fill:{figures[i >= TURN]}}}" for i, fill in enumerate(steps))
    return f".page{{fill:{page}}}text{{fill:{ink}}}.quiet{{fill:{quiet}}}.none{{fill:{none}}}{cells}"


if __name__ == "__main__":
    PICTURE.write_text(svg(load_run(ROOT / "results" / "report")), encoding="utf-8")
    print(PICTURE)
