"""Whether separate invocations of one study agree: their attributed overheads side by side.

    python benchmarks/repeatability.py results/a results/b results/c

Two figures agree where their difference is no larger than the root of the sum of their squared interval half widths. With
95 % intervals about one pair in twenty may differ by chance alone.
"""

import sys
from itertools import combinations
from math import hypot
from pathlib import Path

import pandas as pd

from attnbench import load_run
from attnbench.report.markdown import table_text
from attnbench.report.tables import interval_text, number, rows_of

MEASURED = "overhead_pct"


def main(folders: list[str]) -> None:
    """Print one row a case, and how many pairs of figures agree."""
    frames = {Path(folder).name: load_run(folder).to_frame() for folder in folders}
    rows = {name: {row["variant"]: row for row in rows_of(frame)} for name, frame in frames.items()}
    shared = [v for v in next(iter(rows.values())) if all(number(r.get(v, {}), MEASURED) is not None for r in rows.values())]
    pairs = [(variant, *(rows[name][variant] for name in two)) for variant in shared for two in combinations(rows, 2)]
    apart = [variant for variant, one, two in pairs if not agree(one, two)]
    table = pd.DataFrame(
        {
            "variant": variant,
            **{name: interval_text(rows[name][variant], MEASURED) for name in rows},
            "pairs that agree": f"{len(rows) * (len(rows) - 1) // 2 - apart.count(variant)}",
        }
        for variant in shared
    )
    print("# Attributed overhead in % of separate invocations, with 95 % intervals\n")
    print(f"{len(pairs) - len(apart)} of {len(pairs)} pairs of figures agree, over {len(shared)} cases.\n")
    print(table_text(table))


def agree(one: dict[str, object], two: dict[str, object]) -> bool:
    """Whether two figures differ by no more than their intervals allow."""
    difference = abs((number(one, MEASURED) or 0) - (number(two, MEASURED) or 0))
    return difference <= hypot(half_width(one), half_width(two))


def half_width(row: dict[str, object]) -> float:
    """Half the width of a figure's interval."""
    return ((number(row, f"{MEASURED}_high") or 0) - (number(row, f"{MEASURED}_low") or 0)) / 2


if __name__ == "__main__":
    main(sys.argv[1:])
