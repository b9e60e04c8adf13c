"""Run files: JSON lines, the header first, then a fact a line, each appended and flushed as soon as it is known.

A killed sweep loses at most the step at hand: a torn last line is dropped on reading and cut off on resuming.
Read one with pandas: ``pandas.read_json("run.jsonl", lines=True)``.

Schema history, newest first:
  2  header with protocol and effort apart, then facts: what each timing step saw, from which records are computed
  1  header with settings, then records with measurements, findings, nodes, checks, uncounted, failure, notes, seconds
"""

import fcntl
import glob
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO

from msgspec import structs

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.naming import slug
from attnbench.core.records import Case, Record, Run, RunHeader
from attnbench.runs.brief import brief_decoder
from attnbench.runs.facts import AnyFact, ProfileFact, decode, encode
from attnbench.runs.figures import NodeSums
from attnbench.runs.fold import fold
from attnbench.runs.headers import MISFITS, could_begin, json_value, read_header
from attnbench.runs.ledger import Ledger

RUN_FILE = "run.jsonl"
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class RunFile:
    """A run file as it is: its header, its facts, and the records of a file of schema 1, the last of each case."""

    header: RunHeader
    facts: tuple[AnyFact, ...] = ()
    records: Mapping[Case, Record] = field(default_factory=dict)

    @property
    def run(self) -> Run:
        """The run that the file comes to. Records come in the order of the header's cases."""
        return _run(self, fold(self.header, Ledger(self.facts)).records)

    def lines_of(self, case: Case) -> list[AnyFact | Record]:
        """All that the file holds of a case, ready to be appended to another one."""
        own: list[AnyFact | Record] = [self.records[case]] if case in self.records else []
        return [*own, *(fact for fact in self.facts if fact.case == case)]


def load_run(where: str | Path, metrics: Collection[str] | None = None) -> Run:
    """The run in a file or a folder: whole, or what some ``metrics`` need of it, by their names without ``@``.

    Then its records have these measurements and the exact ones, and for ``npu`` of findings what is compared; no nodes, no
    checks, no times. Records of a file of schema 1 are always whole.

    Raises ``InputError`` for a path that holds no run, a file of a newer schema, or a broken line that is not the last.
    """
    path = run_path(where)
    summed: dict[tuple[Case, str], NodeSums] = {}
    wanted = None if metrics is None else frozenset(metrics)
    file = _read(path, partial(_summing_nodes, summed) if wanted is None else brief_decoder(wanted))
    ledger = Ledger(file.facts)
    records = fold(file.header, ledger, wanted).records
    found = (summed.get((record.case, ledger.current(record.case))) for record in records)
    return _run(file, [replace(r, nodes=sums.averages) if sums else r for r, sums in zip(records, found, strict=True)])


def _summing_nodes(nodes: dict[tuple[Case, str], NodeSums], line: bytes) -> AnyFact:
    """The fact in a line, its nodes summed up by case and sources: they are most of a file, too many to keep."""
    fact = decode(line)
    if not isinstance(fact, ProfileFact):
        return fact
    if not fact.repeat:
        nodes.setdefault((fact.case, fact.sources), NodeSums()).add(fact.nodes)
    return structs.replace(fact, nodes=()) if fact.nodes else fact


def _run(file: RunFile, folded: Sequence[Record]) -> Run:
    """A file's run, from the records that its facts come to."""
    records = {**file.records, **{record.case: record for record in folded}}
    order = {case: index for index, case in enumerate(file.header.cases)}
    return Run(file.header, tuple(sorted(records.values(), key=lambda r: order.get(r.case, len(order)))))


def read_run_file(where: str | Path) -> RunFile:
    """All that stands in a run's file. Raises ``InputError`` as ``load_run``."""
    return _read(run_path(where), decode)


def _read(path: Path, decoded: Callable[[bytes], AnyFact]) -> RunFile:
    lines = enumerate(_complete_lines(path), start=1)
    _, first = next(lines, (0, None))
    if first is None:
        raise InputError(f"run {path}: the file is empty")
    header = read_header(first, path)
    facts, records = [], {}
    for number, line in lines:
        try:
            if line.startswith(FACT):
                facts.append(decoded(line))
            else:
                record = Record.from_json(json_value(line))
                records[record.case] = record
        except MISFITS as error:
            what = "fact" if line.startswith(FACT) else "record"
            raise InputError(f"run {path}: line {number} is not a {what}: {type(error).__name__}: {error}") from error
    return RunFile(header, tuple(facts), records)


FACT = b'{"fact":'


def run_path(where: str | Path) -> Path:
    """The run file itself, or the one in a folder."""
    path = Path(where)
    path = path / RUN_FILE if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"run: there is no run file {path}")
    return path


class RunWriter:
    """Appends facts to a run file; each is on the disk when ``append`` returns."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self.path = path

    def append(self, *entries: AnyFact | Record | RunHeader) -> None:
        """Write a line each. Raises ``InputError`` where the disk takes no more; the file then ends as it did before."""
        end = self._file.seek(0, os.SEEK_END)
        try:
            left = memoryview(b"".join(map(_line, entries)))
            while left:
                left = left[self._file.write(left) :]  # a filling disk takes a part first and refuses the next
            os.fsync(self._file.fileno())
        except OSError as error:
            _cut(self._file, end)
            raise InputError(
                f"{self.path} takes no more: {error.strerror}. All that was recorded is kept; "
                f"make room and give the same command to go on"
            ) from error


@contextmanager
def open_run(folder: Path, header: RunHeader) -> Iterator[RunWriter]:
    """The run file of a folder, new with this header or continued after its last whole line; locked while open."""
    path = folder / RUN_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("r+b" if path.exists() else "w+b", buffering=0)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}: choose another folder with --out") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{path} is being written by another sweep") from error
        writer = RunWriter(file, path)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if not whole and not could_begin(content):
            raise InputError(f"{path} is no run: choose another folder")
        _cut(file, whole)
        if not whole:
            writer.append(header)
        yield writer


LATEST = "latest"


def find_run(where: str, results: Path) -> Path:
    """The run that a word names: ``latest`` and ``latest:STUDY`` below a folder; any other is a path."""
    word, colon, study = where.partition(":")
    return latest_run(results, study if colon else None) if word == LATEST else Path(where)


def latest_run(results: Path, study: str | None = None) -> Path:
    """The run below a folder that was written last: of all, or of one study by its name."""
    found = sorted(results.glob(f"*/{RUN_FILE}"), key=lambda path: path.stat().st_mtime, reverse=True)
    if not found:
        raise InputError(f"there is no run below {results}: run attnbench sweep first")
    if study is None:
        return found[0]
    names = {path: _study_of(path) for path in found}
    if study not in names.values():
        raise UnknownName(f"study of a run below {results}", study, filter(None, names.values()))
    return next(path for path, name in names.items() if name == study)


def _study_of(path: Path) -> str:
    """The name of a run's study, from the first line alone; empty for a file that is no run."""
    try:
        with path.open("rb") as file:
            return str(read_header(file.readline(), path).study.get("name", ""))
    except (InputError, OSError):
        return ""


def runs_of_study(results: Path, study: str) -> list[tuple[Path, Run]]:
    """The runs of a study below a folder with where they lie, the newest first; files that cannot be read are left out."""
    found = []
    for path in results.glob(f"*/{RUN_FILE}"):
        with suppress(InputError, OSError):
            if _study_of(path) == study:
                found.append((path.parent, load_run(path)))
    return sorted(found, key=lambda one: one[1].header.started, reverse=True)


def find_case(run: Run, text: str) -> Record:
    """The record whose variant or label this is, or the one whose label holds it."""
    exact = [r for r in run.records if text in (r.case.variant, r.case.label)]
    partial = exact or [r for r in run.records if text in r.case.label]
    if not partial:
        raise UnknownName("case", text, [r.case.variant for r in run.records])
    if len(partial) > 1:
        raise InputError(
            f"case '{text}' fits {len(partial)}: {'; '.join(r.case.label for r in partial[:5])}: say more of it"
        )
    return partial[0]


def _line(entry: AnyFact | Record | RunHeader) -> bytes:
    if isinstance(entry, Record | RunHeader):
        return json.dumps(entry.to_json(), separators=(",", ":"), allow_nan=False).encode() + b"\n"
    return encode(entry) + b"\n"


def finished(run: Run) -> bool:
    """Whether every case of the header has its record, with no replicate still to come."""
    return len(run.records) == len(run.header.cases) and not any(record.pending for record in run.records)


def folders_of(results: Path, study: str) -> list[Path]:
    """The run folders that are named after a study, the newest first."""
    return sorted(results.glob(f"{glob.escape(slug(study))}-*"), reverse=True)


def find_unfinished(results: Path, study: str, fingerprint: str) -> Path | None:
    """The newest run folder of the same study, settings, machine and software that is not finished."""
    for folder in folders_of(results, study):
        try:
            run = load_run(folder)
        except (InputError, OSError):
            continue
        if run.header.study.get("fingerprint") == fingerprint and not finished(run):
            return folder
    return None


def _complete_lines(path: Path) -> Iterator[bytes]:
    """The lines one by one, with their ends; a torn last one, which has none, is left out."""
    try:
        with path.open("rb", buffering=READ_BYTES) as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except OSError as error:
        raise InputError(f"run {path}: cannot be read: {error.strerror}") from error


def _cut(file: IO[bytes], size: int) -> None:
    file.truncate(size)
    file.seek(size)
