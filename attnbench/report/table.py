"""The one table: heads and rows of text, made of mappings, and its renderers. Every command and report uses it.

No pandas: that is for users, at the edge (``frame.to_frame``).
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from tabulate import tabulate

from attnbench.core.records import Case
from attnbench.core.units import MISSING


@dataclass(frozen=True)
class Table:
    """Rows of text under their heads. A table without rows is false, and shown nowhere.

    ``keys`` are the columns that say which row one is, by default the first. ``minor`` are those that a narrow screen does
    without, the least of them first.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    keys: tuple[str, ...] = ()
    minor: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """A table of mappings: its columns are their keys in the order they first come; what a row lacks is missing."""
        listed = list(rows)
        columns = tuple(dict.fromkeys(key for row in listed for key in row))
        return cls(columns, tuple(tuple(_text(row.get(column)) for column in columns) for row in listed))

    def keyed(self, *keys: str, minor: Sequence[str] = ()) -> Self:
        """The table with the columns that say which row one is, and those that a narrow screen does without."""
        return replace(self, keys=keys, minor=tuple(minor))

    def without(self, *columns: str) -> Self:
        """The table less some columns."""
        kept = [at for at, column in enumerate(self.columns) if column not in columns]
        rows = tuple(tuple(row[at] for at in kept) for row in self.rows)
        return replace(self, columns=tuple(self.columns[at] for at in kept), rows=rows)

    def __bool__(self) -> bool:
        return bool(self.rows)

    def column(self, name: str) -> list[str]:
        """The cells of one column."""
        at = self.columns.index(name)
        return [row[at] for row in self.rows]

    def records(self) -> list[dict[str, str]]:
        """The rows as mappings."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def plain(self) -> str:
        """Aligned text, unwrapped."""
        return tabulate(self.rows, headers=self.columns, disable_numparse=True)

    def markdown(self) -> str:
        """A Markdown table; nothing without rows."""
        if not self.rows:
            return ""
        safe = [[markdown_text(cell) for cell in row] for row in self.rows]
        return tabulate(
            safe, headers=[markdown_text(column) for column in self.columns], tablefmt="pipe", disable_numparse=True
        )

    def csv(self) -> str:
        """Comma-separated text, the heads first."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.columns, *self.rows])
        return out.getvalue()


class Section(NamedTuple):
    """A part of a page: heading, paragraph and table, of which the last two may be empty."""

    title: str
    paragraph: str = ""
    table: Table = Table()


VARIANT = ("variant",)
WHERE = ("host", "size", "batch", "runtime", "dtype", *VARIANT)
"""The columns that name a case."""


def places(
    cases: Iterable[Case], always: Sequence[str] = (), keys: Sequence[str] = ("host", "size", "runtime", "dtype")
) -> Callable[[Case], dict[str, str]]:
    """Gives of a case those of ``keys`` of which the cases have several, and then what is told ``always``."""
    seen = set(cases)
    several = [key for key in keys if len({getattr(case, key) for case in seen}) > 1]
    return lambda case: {key: str(getattr(case, key)) for key in (*several, *always)}


def markdown_text(text: str) -> str:
    """Text as Markdown shows it in a cell or a heading: on one line, no column's end and no tag in it."""
    line = _TAG.sub("&lt;", " ".join(text.splitlines()))
    return _PIPE.sub(lambda found: f"{2 * found[1]}\\|", line)


_TAG, _PIPE = re.compile(r"<(?=[a-zA-Z/!?])"), re.compile(r"(\\*)\|")


def some(texts: Sequence[str], most: int) -> str:
    """The first of some texts, and how many more there are."""
    return "; ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def _text(value: Any) -> str:
    return MISSING if value is None else str(value)
