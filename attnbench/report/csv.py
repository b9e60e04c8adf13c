"""The cases table as CSV: one row a case and target, columns as ``core.columns`` orders and explains them."""

import csv
import io

from attnbench.core.records import Run
from attnbench.judge.rows import column_names, rows_of
from attnbench.report import ReportFormat


def render(run: Run) -> str:
    """The run as CSV text, numbers unrounded."""
    rows, text = rows_of(run), io.StringIO()
    names = column_names(rows)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([names, *([row.get(name) for name in names] for row in rows)])
    return text.getvalue()


ENTRIES = (ReportFormat(name="csv", file="cases.csv", render=render, summary="one row a case, units in the column names"),)
