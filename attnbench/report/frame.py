"""A run as a DataFrame for users: one row a case and target, with the columns of cases.csv. pandas is loaded here alone."""

import pandas as pd

from attnbench.core import columns
from attnbench.core.records import Run
from attnbench.judge.rows import column_names, rows_of

COLUMNS = {name: column.text for name, column in columns.COLUMNS.items()}
"""Every column and what it holds; those of latencies at N threads, ``latency_median_ms_threads_N``, follow."""


def to_frame(run: Run) -> pd.DataFrame:
    """The run's table; whole numbers as nullable integers, missing ones as ``NA`` or NaN."""
    rows = rows_of(run)
    frame = pd.DataFrame({name: [row.get(name) for row in rows] for name in column_names(rows)})
    kinds = dict.fromkeys(frame.columns, "float64")
    kinds |= {name: "Int64" if c.whole else "object" for name, c in columns.COLUMNS.items() if c.whole or c.is_text}
    return frame.astype(kinds)
