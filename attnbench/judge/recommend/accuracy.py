"""Accuracies that the user measured, from a CSV file: a row a variant, named as the run names it.

    variant,mIoU,abs_rel              host and size may be columns, too, and must be where the run has several
    baseline,71.3,0.101               a row for the baseline is allowed
    encoder.layer3=se_npu,71.9,0.099

Every complaint is one line that names the file, the line and the column.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.records import FP32, Case
from attnbench.judge.published import GainBar, gains_by_pair, published_gains
from attnbench.judge.recommend.requirements import HIGHER

KEYS = ("host", "size")
"""Columns beside ``variant`` that tell cases apart and are no metrics."""


@dataclass(frozen=True)
class Accuracy:
    """Metrics by case, each mapped to ``higher`` or ``lower``, whichever is better; or gains that were published of it."""

    metrics: Mapping[str, str] = field(default_factory=dict)
    by_case: Mapping[Case, Mapping[str, float]] = field(default_factory=dict)
    bars: Mapping[Case, GainBar] = field(default_factory=dict)

    def knows(self, case: Case) -> bool:
        """Whether anything is given of a case. Of published gains the host alone is the zero."""
        return case in self.by_case or case in self.bars or (bool(self.bars) and case.is_baseline)

    def costs(self, case: Case) -> tuple[float, ...]:
        """A case's metrics, turned so that less is better."""
        return tuple((-1 if better == HIGHER else 1) * self.by_case[case][name] for name, better in self.metrics.items())

    def ranges(self, case: Case) -> tuple[tuple[float, float], ...]:
        """The best and the worst of a case's published gains, turned so that less is better."""
        bar = self.bars.get(case)
        return ((-bar.high, -bar.low),) if bar else ((0.0, 0.0),) if self.bars else ()


class _Cells(NamedTuple):
    """A line of the file, with where it stands."""

    where: str
    cells: Mapping[str, str]

    def at(self, column: str) -> str:
        return f"{self.where}, column '{column}'"


def read_accuracy(path: Path, metrics: Mapping[str, str], known: Sequence[Case], asked: Sequence[Case]) -> Accuracy:
    """The accuracies of the ``asked`` cases. A row for another of the ``known`` ones is validated and passed over.

    Raises ``InputError`` for a file that cannot be read, a missing column, a metric without a direction, a variant that the
    run lacks or that stands for several cases, a case given twice, and a cell that is no finite number.
    """
    columns, rows = _read(path)
    chosen = _metrics(path, columns, metrics)
    values: dict[Case, dict[str, float]] = {}
    first: dict[Case, str] = {}
    for row in rows:
        numbers = {name: _number(row, name) for name in chosen}
        if case := _case(row, known, asked):
            if case in first:
                raise InputError(f"{row.at('variant')}: '{row.cells['variant']}' stands in {first[case]} already: keep one")
            first[case], values[case] = row.where.rpartition(": ")[2], numbers
    return Accuracy(chosen, values)


def published_accuracy(cases: Iterable[Case]) -> Accuracy:
    """What is published of fp32 cases, by host and variant. Raises ``InputError`` where that is nothing of any of them."""
    pairs = gains_by_pair(published_gains())
    plain = [case for case in cases if case.dtype == FP32]
    found = {case: pairs[case.host, case.variant] for case in plain if (case.host, case.variant) in pairs}
    if not found:
        raise InputError("nothing is published of this run's hosts and variants: attnbench sweep imagenet measures those")
    return Accuracy(bars=found)


def _read(path: Path) -> tuple[list[str], list[_Cells]]:
    """The names of the columns, and each further line that is not blank."""
    try:
        reader = csv.reader(path.read_text(encoding="utf-8-sig").splitlines(keepends=True), strict=True)
        lines = [(f"{path}: line {reader.line_num}", [cell.strip() for cell in cells]) for cells in reader]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text in UTF-8: save it as CSV UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path}: is not CSV: {error}") from error
    (first, header), *rest = [line for line in lines if any(line[1])] or [("", [])]
    if not header:
        raise InputError(f"{path}: is empty: it needs a line of column names, variant and a metric at least")
    if "variant" not in header:
        raise InputError(f"{first} names no column 'variant', but {', '.join(header)}: it must, with commas between")
    if twice := [name for name in header if header.count(name) > 1]:
        raise InputError(f"{first}, column '{twice[0]}' stands there twice: give each column its own name")
    for where, cells in rest:
        if len(cells) != len(header):
            raise InputError(f"{where} has {len(cells)} cells, and line 1 names {len(header)} columns")
    return header, [_Cells(where, dict(zip(header, cells, strict=True))) for where, cells in rest]


def _metrics(path: Path, columns: list[str], asked: Mapping[str, str]) -> Mapping[str, str]:
    """The metrics that decide; without a word on which way is better, the complaint that says how."""
    there = [name for name in columns if name not in ("variant", *KEYS)]
    if not there:
        raise InputError(f"{path}: line 1 names no metric: it needs a column like mIoU beside {', '.join(columns)}")
    for name in asked:
        if name not in there:
            raise InputError(f"{path}: line 1: {UnknownName('metric column', name, there)}")
    if asked:
        return asked
    if len(there) == 1:
        raise InputError(f"{path}: say which way is better: --metric {there[0]}:higher or --metric {there[0]}:lower")
    raise InputError(
        f"{path}: say which of {', '.join(there)} decide and which way is better, each like "
        f"--metric {there[0]}:higher or --metric {there[1]}:lower"
    )


def _number(row: _Cells, name: str) -> float:
    cell = row.cells[name]
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        said = f"'{cell}' is no number" if cell else "is empty"
        raise InputError(f"{row.at(name)}: {said}: write one like 71.9, or leave the variant's line out")
    return value


def _case(row: _Cells, known: Sequence[Case], asked: Sequence[Case]) -> Case | None:
    """The case that a line is about; ``None`` for one of the run's that was not asked for."""
    fitting = list(known)
    for column in ("variant", *(key for key in KEYS if key in row.cells)):
        named = [case for case in fitting if getattr(case, column) == row.cells[column]]
        if not named:
            there = [getattr(case, column) for case in fitting]
            raise InputError(f"{row.at(column)}: {UnknownName(f'{column} in the run', row.cells[column], there)}")
        fitting = named
    meant = [case for case in fitting if case in asked]
    if len(meant) > 1:
        lacking = " and ".join(key for key in KEYS if len({getattr(case, key) for case in meant}) > 1)
        raise InputError(
            f"{row.at('variant')}: '{row.cells['variant']}' stands for {len(meant)} cases of the run: "
            f"add a column {lacking}, or narrow the run with --{lacking.replace(' and ', ' and --')}"
        )
    return meant[0] if meant else None
