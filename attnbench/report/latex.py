r"""A run's main columns as LaTeX tables for a paper: one ``tabular`` with booktabs rules a host, size and target.

A fragment to ``\input`` into a document that has ``\usepackage{booktabs}``; captions and floats are the document's own.
Rules: https://ctan.org/pkg/booktabs. Every character that LaTeX gives a meaning is escaped; what pdfTeX cannot print at all
(a name in Chinese) stays as it is, for LuaLaTeX.
"""

import re
from collections.abc import Iterable, Iterator

from attnbench.core.records import Run
from attnbench.judge.rows import Row, rows_of
from attnbench.report import ReportFormat
from attnbench.report.table import Table
from attnbench.report.tables import cases_table

COLUMNS = ("variant", "overhead (%)", "(ms)", "params (+)", "MACs (+M)", "peak (+MB)", "latency (ms)", "NPU")
"""Of the terminal's table of cases, where "(ms)" follows "overhead (%)"; the first and the last are words and stand left."""

ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{c: f"{{{c}}}" for c in "[]*"},  # after a line's end, these would be its options
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "`": r"{\char96}",
    "-": "{-}",  # two in a row are no dash
    "–": "--",
    "—": "---",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    "…": r"\ldots{}",
}  # fmt: skip


def render(run: Run) -> str:
    """The run as LaTeX; a comment says which run it is and each table's heading."""
    return "\n".join(_lines(run)) + "\n"


def escape(text: str) -> str:
    """Text as LaTeX prints it; line breaks and control characters become spaces."""
    return "".join(ESCAPES.get(c, c) if c.isprintable() else " " for c in text)


def _lines(run: Run) -> Iterator[str]:
    header = run.header
    yield r"% needs \usepackage{booktabs}"
    yield _comment(f"attnbench {header.attnbench}, run of {header.started} on {header.machine.get('cpu', 'unknown CPU')}")
    parts: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows_of(run):
        parts.setdefault((row.case.host, row.case.at, row.target), []).append(row)
    if not parts:
        yield "% the run has no case yet"
    for (host, size, target), part in parts.items():
        judged = f", NPU target {target}" if target else ""
        yield ""
        yield _comment(f"{host} at {size}{judged}; overhead with its 95 % interval, the rest beyond the baseline")
        yield from _table(cases_table(part))


def _table(table: Table) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{l{'r' * (len(COLUMNS) - 2)}l}}"
    yield r"\toprule"
    yield _row(["overhead (ms)" if name == "(ms)" else name for name in COLUMNS])
    yield r"\midrule"
    yield from (_row(cells) for cells in zip(*map(table.column, COLUMNS), strict=True))
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _row(cells: Iterable[str]) -> str:
    return " & ".join(map(escape, cells)) + r" \\"


def _comment(text: str) -> str:
    return "% " + re.sub(r"\s+", " ", text)


ENTRIES = (ReportFormat(name="latex", file="cases.tex", render=render, summary="booktabs tables of the main columns"),)
