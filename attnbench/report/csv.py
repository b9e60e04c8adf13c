"""The cases table as CSV: one row a case and target, columns as ``core.columns`` orders and explains them."""

from attnbench.core.records import Run
from attnbench.judge.rows import column_names, rows_of
from attnbench.report import ReportFormat
from attnbench.report.answer import Answer


def render(run: Run) -> str:
    """The run as CSV text, numbers unrounded."""
    rows = rows_of(run)
    names = column_names(rows)
    return Answer((), names, ({name: row.get(name) for name in names} for row in rows), {}).csv()


ENTRIES = (ReportFormat(name="csv", file="cases.csv", render=render, summary="one row a case, units in the column names"),)
