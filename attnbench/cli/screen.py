"""Tables on a terminal: as many columns as fit, names folded where they have joints, or else a few lines a row.

A verdict has a sign and a colour, and can be read without either. Elsewhere than on a terminal nothing of this happens
(``answer.show_table``): what a program reads does not depend on the width of a window.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table as Grid
from rich.text import Text

from attnbench.core.units import MISSING
from attnbench.report.table import Table

TALLEST, TALL = 12, (1.5, 2.0, 3.0)
"""Lines that a row may take: at most; and on average, the first of these for which columns can be left out. Where it would
be more, each row is a few lines of its own."""

GAP, INDENT, MANY = 2, 4, 3
"""Signs between columns and before lines below a row's first, and rows from which on what they share is said once."""

LONGEST = 24
"""Signs that a name without a joint may have before it is folded at ``_`` and ``-``, too."""

GOOD, DOUBTFUL, OPEN, BAD = "✓", "!", "?", "✗"
TIED = "\N{NO-BREAK SPACE}"
"""What holds a sign to its word until both are printed."""

COLOURS = {GOOD: "green", DOUBTFUL: "yellow", OPEN: "yellow", BAD: "red"}
SIGNS = {
    **dict.fromkeys(("ok", "supported", "confirmed", "better", "agree", "good"), GOOD),
    **dict.fromkeys(("ok with constraint", "with constraint", "constrained", "inefficient", "efficiency"), DOUBTFUL),
    **dict.fromkeys(("unknown", "not resolvable", "incomparable", "not attributed", "too blunt", "skipped"), OPEN),
    **dict.fromkeys(("refused", "fallback", "refuted", "worse", "failed", "bad", "disagree", "lost"), BAD),
}
"""The sign of each word that is a verdict."""

SENTENCE = 24
"""Letters from which on a cell is a sentence."""

PASSED = "passed"
"""The column whose words are yes and no."""

_WORDS = "|".join(sorted(SIGNS, key=len, reverse=True))
_VERDICT = re.compile(rf"({_WORDS})(?: to \S+)?(?: \d+(?:/\d+)?)?(?: \(.*\))?(?:: .*)?", re.DOTALL)
_NUMBER = re.compile(r"[+−]?\d[\d,.]*( \[.*\])?( %)?|" + MISSING)


def show(table: Table, title: str = "", *, most: int | None = None, everything: bool = False, more: str = "--all") -> None:
    """A table on the terminal, at most so many rows of it, or half as many that take several lines each.

    ``more`` is what shows the rest, which is said below.
    """
    console = Console(highlight=False, markup=False)
    most = None if everything else most
    minor = [] if everything else [name for name in table.minor if name in table.columns]
    kept = _first(table, most)
    signed = _without_empty(replace(kept, rows=tuple(_signed_row(table.columns, row) for row in kept.rows)))
    same = _same(signed, table)
    signed = signed.without(*same)
    grid, left_out = _grid_of(signed, minor, console.width)
    shown: Grid | Group = grid or Group()
    if grid is None:
        kept = _first(table, None if most is None else most // 2)
        shown, left_out = Group(*_stacked(_first(signed, len(kept.rows)).without(*minor), console.width)), minor
    if title:
        console.print(Text(f"\n{title}", style="bold"))
    if same:
        console.print(Text(" · ".join(f"{name} {cell}" for name, cell in same.items()), style="dim"))
    console.print(shown)
    said = [f"{len(table.rows) - len(kept.rows)} more rows"] if len(kept.rows) < len(table.rows) else []
    said += [f"left out: {', '.join(name for name in left_out if name in signed.columns)}"] if left_out else []
    if said:
        console.print(Text(f"{'; '.join(said)} ({more})", style="dim"))


def say(text: str) -> None:
    """A sentence on the terminal, folded between words."""
    Console(highlight=False, markup=False).print(text)


def _first(table: Table, most: int | None) -> Table:
    """So many rows of a table; a few more where the cut would save next to nothing."""
    return table if most is None or len(table.rows) <= most + 2 else replace(table, rows=table.rows[:most])


def _grid_of(table: Table, minor: Sequence[str], width: int) -> tuple[Grid | None, Sequence[str]]:
    """The table as a grid, and the columns that are left out for it: as few as it takes, the least first."""
    for tall in TALL:
        for left_out in (minor[:number] for number in range(len(minor) + 1)):
            kept = table.without(*left_out)
            if (found := widths(list(zip(kept.columns, *kept.rows, strict=True)), width, tall)) is not None:
                return _grid(kept, found), left_out
    return None, minor


def widths(columns: Sequence[Sequence[str]], room: int, tall: float) -> list[int] | None:
    """How wide each column of cells is to be; ``None`` where words would split, or rows take more lines than that."""
    given = [max(map(cell_len, column)) for column in columns]
    parts = [[*pieces(column[0], 0), *(piece for cell in column[1:] for piece in pieces(cell))] for column in columns]
    least = [max((cell_len(piece.rstrip()) for piece in found), default=0) for found in parts]
    room -= GAP * (len(columns) - 1)
    if sum(least) > room:
        return None
    while sum(given) > room:
        widest = max((at for at in range(len(given)) if given[at] > least[at]), key=given.__getitem__)
        given[widest] -= 1
    rows = zip(*columns, strict=True)
    lines = [max(len(fold(cell, wide)) for cell, wide in zip(row, given, strict=True)) for row in rows]
    return given if max(lines) <= TALLEST and sum(lines) <= tall * len(lines) else None


def pieces(text: str, longest: int = LONGEST) -> list[str]:
    """A text in parts that stay whole: it may be folded after a space and after the joints of names and variants.

    Numbers and what stands in brackets are not taken apart, nor names at ``_`` and ``-`` before they are so long.
    """
    found, start, depth = [], 0, 0
    for at, sign in enumerate(text):
        following = text[at + 1 : at + 2]
        depth += (sign == "[") - (sign == "]")
        joint = sign == " " or (sign in ".=+,/|" and following not in ("", " ") and not following.isdigit())
        long = sign in "_-" and at - start >= longest
        if sign == "\n" or (depth <= 0 and (joint or long)):
            found.append(text[start : at + 1])
            start = at + 1
    return [*found, text[start:]] if text[start:] else found


def fold(text: str, width: int, longest: int = LONGEST) -> list[str]:
    """A text in lines of that width: between words where it can be, else at joints; only a wider part is split."""
    lines = [""]
    for word in _words(text):
        room = width - cell_len(lines[-1])
        if cell_len(word.rstrip()) > room and lines[-1]:
            lines.append("")
        for piece in [word] if cell_len(word.rstrip()) <= width else pieces(word, longest):
            if lines[-1] and cell_len((lines[-1] + piece).rstrip()) > width:
                lines.append("")
            lines[-1:] = _hard(lines[-1] + piece.rstrip("\n"), width)
        if word.endswith("\n"):
            lines.append("")
    return [line.rstrip() for line in lines]


def _words(text: str) -> Iterator[str]:
    """A text in words, each with the space behind it; what stands in brackets is one word."""
    word = ""
    for piece in pieces(text):
        word += piece
        if piece[-1] in " \n":
            yield word
            word = ""
    if word:
        yield word


def _hard(line: str, width: int) -> Iterator[str]:
    """A line as it is, or cut wherever its width is reached."""
    while cell_len(line.rstrip()) > width:
        cut = next(at for at in range(len(line), 0, -1) if cell_len(line[:at]) <= width or at == 1)
        yield line[:cut]
        line = line[cut:]
    yield line


def _grid(table: Table, wide: Sequence[int]) -> Grid:
    """The table as rows and columns of these widths."""
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold")
    for at, (column, width) in enumerate(zip(table.columns, wide, strict=True)):
        numbers = all(_NUMBER.fullmatch(row[at]) for row in table.rows)
        heading = Text("\n".join(fold(column, width, 0)))
        grid.add_column(heading, width=width, no_wrap=True, justify="right" if numbers else "left", vertical="top")
    for row in table.rows:
        grid.add_row(
            *(Text(_printed("\n".join(fold(cell, w))), style=_colour(cell)) for cell, w in zip(row, wide, strict=True))
        )
    return grid


def _stacked(table: Table, width: int) -> Iterator[Text]:
    """Each row as its keys in a line and what else it holds, with names, in lines below."""
    keys = [name for name in table.keys if name in table.columns] or list(table.columns[:1])
    for record in table.records():
        head = "  ".join(record[key] for key in keys if record[key] not in ("", MISSING))
        colour = next(filter(None, (_colour(record[key]) for key in keys)), "")
        for line in fold(head, width):
            yield Text(_printed(line), style=f"bold {colour}")
        rest = {name: cell for name, cell in record.items() if name not in keys and cell not in ("", MISSING)}
        yield from _flow([_labelled(name, cell) for name, cell in rest.items()], width - INDENT)


def _labelled(name: str, cell: str) -> Text:
    return Text.assemble((f"{name} " if name else "", "dim"), (_printed(cell), _colour(cell)))


def _flow(items: Iterable[Text], width: int) -> Iterator[Text]:
    """Items one after the other in indented lines; one that is longer than a line has lines of its own."""
    line = Text()
    for item in items:
        if line and cell_len(line.plain) + 3 + cell_len(item.plain) > width:
            yield Text(" " * INDENT) + line
            line = Text()
        if cell_len(item.plain) > width:
            for number, part in enumerate(fold(item.plain, width)):
                folded = Text(_printed(part))
                if not number and item.spans:
                    folded.stylize(item.spans[0].style, 0, item.spans[0].end)
                yield Text(" " * INDENT) + folded
            continue
        line = line + " · " + item if line else item
    if line:
        yield Text(" " * INDENT) + line


def _signed_row(columns: Sequence[str], row: Sequence[str]) -> tuple[str, ...]:
    return tuple(_signed(cell, column) for column, cell in zip(columns, row, strict=True))


def _signed(cell: str, column: str = "") -> str:
    """A cell's verdicts, each behind its sign; any other as it is, but for what a terminal would take for a command."""
    safe = "".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in cell)
    if column == PASSED and (safe == "yes" or safe.startswith("no:")):
        return f"{GOOD if safe == 'yes' else BAD}{TIED}{safe}"
    own = r"^[\w.-]+: " if column.startswith("NPU") else "^"  # each target's word behind its name
    parts = [(part, _VERDICT.fullmatch(re.sub(own, "", part))) for part in safe.split("; ")]
    return (
        "; ".join(f"{SIGNS[found[1]]}{TIED}{part}" for part, found in parts if found)
        if all(found for _, found in parts)
        else safe
    )


def _colour(cell: str) -> str:
    """The colour of a cell of verdicts: that of the worst."""
    signs = [part[0] for part in cell.split("; ") if part[:1] in COLOURS and part[1:2] == TIED]
    return COLOURS[max(signs, key=list(COLOURS).index)] if signs else ""


def _printed(text: str) -> str:
    return text.replace(TIED, " ")


def _without_empty(table: Table) -> Table:
    empty = [name for name in table.columns if not set(table.column(name)) - {"", MISSING}]
    return table.without(*empty)


def _same(shown: Table, whole: Table) -> dict[str, str]:
    """What is one and the same in all rows and is said once: keys, where others tell the rows apart, and sentences."""
    keys = [name for name in shown.keys if name in shown.columns]
    first = dict(zip(shown.columns, shown.rows[0], strict=True)) if len(shown.rows) > MANY else {}
    found = {name: cell for name, cell in first.items() if len(set(whole.column(name))) == 1}
    own = {name: cell for name, cell in found.items() if name in keys}
    own = own if len(own) < len(keys) else {}
    spoken = (name for name in found if name not in (*keys, *shown.minor) and len(found[name]) > SENTENCE)
    return own | {name: found[name] for name in spoken}
