"""What commands share: tables on the screen, text to files, and stored runs by name."""

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from attnbench.core.files import write_whole
from attnbench.core.naming import shown
from attnbench.core.records import Run
from attnbench.report import FORMATS
from attnbench.report.answer import NOTES, Answer, sections_text
from attnbench.report.table import Section, Table

WRITTEN = ("md", "csv", "html")
"""What a sweep writes beside its facts: formats by their names."""

Format = Literal["table", "md", "csv", "json", "html"]
"""How a command answers that tells of figures."""

FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to answer; a table is Markdown in a file.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="A file instead of the screen.", show_default="the screen")
]
AllOption = Annotated[bool, typer.Option("--all", help="On a terminal, every row and column, however many lines it takes.")]
RunArgument = Annotated[str, typer.Argument(help="A run: its folder or file, latest, or latest:STUDY.")]
ResultsOption = Annotated[Path, typer.Option(help="Where 'latest' looks.")]
NamesOption = Annotated[Path, typer.Option(help="Where 'latest' and 'baseline' look.")]

MOST_ROWS = 20
"""Rows of a table that a terminal shows without ``--all``."""


def answer(format_: Format, output: Path | None, found: Answer, *, everything: bool = False) -> None:
    """Answer in the format asked for; on the screen the answer, the tables, and the notes, a sentence a line."""
    if format_ == "table" and output is None:
        for sentence in found.headline:
            say(sentence)
        for title, table in found.sections:
            show_table(table, title, everything=everything)
        if found.rest:
            say(f"\n{NOTES}")
        for note in found.rest:
            say(f"- {note}")
    else:
        texts = {"csv": found.csv, "json": found.json, "html": found.html}
        give(texts.get(format_, found.markdown)(), output)


def say(text: str) -> None:
    """A sentence on the screen: folded between words on a terminal, one line elsewhere."""
    if sys.stdout.isatty():
        from attnbench.cli import screen  # noqa: PLC0415  rich is slow to import

        screen.say(text)
    else:
        typer.echo(shown(text))


def show_table(
    table: Table, title: str = "", *, most: int | None = MOST_ROWS, everything: bool = False, more: str = "--all shows all"
) -> None:
    """A table on the screen: fitted to a terminal, at most so many rows of it; whole, plain and unwrapped elsewhere."""
    if not table:
        return
    if not sys.stdout.isatty():
        typer.echo(shown(f"\n{title}\n") if title else "", nl=bool(title))
        typer.echo(shown(table.plain()))
        return
    from attnbench.cli import screen  # noqa: PLC0415

    screen.show(table, title, most=most, everything=everything, more=more)


def give(text: str, output: Path | None) -> None:
    """Text to a file, or to the screen without one."""
    if output is None:
        sys.stdout.write(shown(text))
    else:
        write_whole(output, text)


def give_sections(sections: Sequence[Section], output: Path | None, *, markdown: bool, everything: bool = False) -> None:
    """Headings, paragraphs and tables: on the screen, or as Markdown there or to a file."""
    if not markdown and output is None:
        for title, paragraph, table in sections:
            if paragraph:
                say(f"\n{paragraph}")
            show_table(table, "" if paragraph else title, everything=everything)
    else:
        give(sections_text(sections), output)


def write_reports(run: Run, folder: Path) -> None:
    """The report and the table of cases beside the run file that they are made from; the page where it can be drawn."""
    from attnbench.report.charts.drawing import installed  # noqa: PLC0415  not for --help

    for name in (name for name in WRITTEN if name != "html" or installed()):
        entry = FORMATS.load(name)
        write_whole(folder / entry.file, entry.render(run))


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for garbage meanwhile, nor later in what is there then: runs are very many small objects without cycles."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.freeze()
            gc.enable()


@uncollected()
def stored_run(where: str, results: Path) -> Run:
    """The run that a folder, a file or the word ``latest`` names."""
    from attnbench.runs.store import find_run, load_run  # noqa: PLC0415

    return load_run(find_run(where, results))


@uncollected()
def named_run(name: str, results: Path) -> tuple[Run, str]:
    """What is compared of the run of a name, and what it is called: with its place, where the name does not say it."""
    from attnbench.judge.compare import METRICS  # noqa: PLC0415
    from attnbench.runs.reference import pinned_run  # noqa: PLC0415
    from attnbench.runs.store import find_run, load_run  # noqa: PLC0415

    path = pinned_run(results) if name == "baseline" else find_run(name, results)
    return load_run(path, METRICS), name if path == Path(name) else f"{name} ({path.parent})"
