"""A run as a DataFrame for users: one row a case and target, with the columns of cases.csv. pandas is loaded here alone."""

import pandas as pd

from attnbench.core.columns import COLUMNS
from attnbench.core.records import Run
from attnbench.judge.rows import column_names, rows_of


def to_frame(run: Run) -> pd.DataFrame:
    """The run's table; whole numbers as nullable integers, missing ones as ``NA`` or NaN."""
    rows = rows_of(run)
    frame = pd.DataFrame({name: [row.get(name) for row in rows] for name in column_names(rows)})
    whole = {name: "Int64" for name, column in COLUMNS.items() if column.whole}
    numbers = [name for name in frame.columns if name not in COLUMNS or not (COLUMNS[name].whole or COLUMNS[name].is_text)]
    return frame.astype(whole | dict.fromkeys(numbers, "float64"))
