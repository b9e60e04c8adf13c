"""What a command answers that tells of figures: notes and tables for a reader, plain rows and a document for a program."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from attnbench.report.table import Table, markdown_text

NOTES = "What that rests on"


class Figure(NamedTuple):
    """A chart as a Vega-Lite spec, and the same in words where no other table of a page has it."""

    spec: Mapping[str, Any]
    table: Table = Table()


class Answer(NamedTuple):
    """One answer, in whichever form it is asked for; tables and rows may be generators, made for that one form alone.

    ``notes`` are what a reader must know, ``headline`` are those of them that are the answer, which come first.
    ``sections`` are tables under their titles, the empty ones left out. ``columns`` and ``rows`` are the CSV, numbers
    unrounded; ``document`` is the JSON, ``figures`` are the charts of a page.
    """

    sections: Iterable[tuple[str, Table]]
    columns: Sequence[str]
    rows: Iterable[Mapping[str, Any]]
    document: Mapping[str, Any]
    title: str = ""
    notes: Sequence[str] = ()
    figures: Iterable[Figure] = ()
    headline: Sequence[str] = ()

    @property
    def rest(self) -> list[str]:
        """The notes that are not the answer, but what it rests on."""
        return [note for note in self.notes if note not in self.headline]

    def markdown(self) -> str:
        """The answer, the tables, and the notes as a list."""
        tables = sections_text((title, "", table) for title, table in self.sections).strip()
        notes = "\n".join(f"- {note}" for note in self.rest)
        parts = (f"# {self.title}" if self.title else "", *self.headline, tables, f"## {NOTES}\n\n{notes}" if notes else "")
        return "\n\n".join(filter(None, parts)) + "\n"

    def html(self) -> str:
        """The answer, the charts, the tables and the notes as one page for a browser."""
        from attnbench.report.charts.drawing import required  # noqa: PLC0415  reading otherwise does without
        from attnbench.report.page import answer_page  # noqa: PLC0415

        required("--format html")
        return answer_page(self.title or "attnbench", " ".join(self.headline), self.rest, self.figures, self.sections).html()

    def csv(self) -> str:
        """The rows for a program: what is missing is empty, and the items of a list are joined."""
        cells = tuple(tuple(_cell(row.get(column)) for column in self.columns) for row in self.rows)
        return Table(tuple(self.columns), cells).csv()

    def json(self) -> str:
        """The document; what is missing is null."""
        return json_text(self.document)


def json_text(document: Mapping[str, Any]) -> str:
    """A document for programs as JSON, a line a value; anything that can be gone through is a list."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False, default=list) + "\n"


def sections_text(sections: Iterable[tuple[str, str, Table]]) -> str:
    """Headings, paragraphs and tables; a section without either of the latter is left out."""
    parts = ((f"## {markdown_text(title)}", paragraph, table.markdown()) for title, paragraph, table in sections)
    return "\n\n".join("\n\n".join(filter(None, part)) for part in parts if any(part[1:])) + "\n"


def _cell(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)
