"""The cases table as CSV: one row a case and target, columns as ``frame.COLUMNS`` orders and explains them."""

from attnbench.core.records import Run
from attnbench.report import Format
from attnbench.report.frame import to_frame


def render(run: Run) -> str:
    """The run as CSV text, numbers unrounded."""
    return to_frame(run).to_csv(index=False)


ENTRIES = (Format(name="csv", file="cases.csv", render=render, summary="one row a case, units in the column names"),)
