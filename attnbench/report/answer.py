"""What a command answers that tells of figures: notes and tables for a reader, plain rows and a document for a program."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from attnbench.report.table import Table, markdown_text


class Figure(NamedTuple):
    """A chart as a Vega-Lite spec, and the same in words where no other table of a page has it."""

    spec: Mapping[str, Any]
    table: Table = Table()


class Answer(NamedTuple):
    """One answer, in whichever form it is asked for; tables and rows may be generators, made for that one form alone.

    ``notes`` are what a reader must know first. ``sections`` are tables under their titles, the empty ones left out.
    ``columns`` and ``rows`` are the CSV, numbers unrounded; ``document`` is the JSON, ``figures`` are the charts of a
    page, ``headline`` is that of the notes which is the answer.
    """

    sections: Iterable[tuple[str, Table]]
    columns: Sequence[str]
    rows: Iterable[Mapping[str, Any]]
    document: Mapping[str, Any]
    title: str = ""
    notes: Sequence[str] = ()
    figures: Iterable[Figure] = ()
    headline: str = ""

    def markdown(self) -> str:
        """The notes as a list, and the tables."""
        head = f"# {self.title}\n\n" + "".join(f"- {note}\n" for note in self.notes) + "\n" if self.title else ""
        return f"{head}{sections_text((title, '', table) for title, table in self.sections)}".rstrip() + "\n"

    def html(self) -> str:
        """The notes, the charts and the tables as one page for a browser."""
        from attnbench.report.charts.drawing import required  # noqa: PLC0415  reading otherwise does without
        from attnbench.report.page import answer_page  # noqa: PLC0415

        required("--format html")
        return answer_page(self.title or "attnbench", self.headline, self.notes, self.figures, self.sections).html()

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
