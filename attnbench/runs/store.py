"""Run files: JSON lines, the header first, then a record a line, each appended and flushed as soon as it is known.

A killed sweep loses at most the case at hand: a torn last line is dropped on reading and cut off on resuming.
Read one with pandas: ``pandas.read_json("run.jsonl", lines=True)``.

Schema history, newest first:
  1  header, then records with measurements, findings, nodes, checks, uncounted, failure, notes, seconds
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.records import Record, Run, RunHeader

SCHEMA = 1
RUN_FILE = "run.jsonl"


def load_run(where: str | Path) -> Run:
    """The run in a file or a folder. Records come in the order of the header's cases.

    Raises ``InputError`` for a path that holds no run, a file of a newer schema, or a broken line that is not the last.
    """
    path = run_path(where)
    lines = _complete_lines(path)
    if not lines:
        raise InputError(f"run {path}: the file is empty")
    header = _header(lines[0], path)
    records = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            record = Record.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"run {path}: line {number} is not a record: {type(error).__name__}: {error}") from error
        records[record.case] = record
    order = {case: index for index, case in enumerate(header.cases)}
    return Run(header, tuple(sorted(records.values(), key=lambda r: order.get(r.case, len(order)))))


def run_path(where: str | Path) -> Path:
    """The run file itself, or the one in a folder."""
    path = Path(where)
    path = path / RUN_FILE if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"run: there is no run file {path}")
    return path


class RunWriter:
    """Appends records to a run file; each is on the disk when ``append`` returns."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self.path = path

    def append(self, values: Mapping[str, Any]) -> None:
        """Write one line. Raises ``InputError`` where the disk takes no more; the file then ends as it did before."""
        end = self._file.seek(0, os.SEEK_END)
        try:
            left = memoryview(_line(values))
            while left:
                left = left[self._file.write(left) :]  # a filling disk takes a part first and refuses the next
            os.fsync(self._file.fileno())
        except OSError as error:
            _cut(self._file, end)
            raise InputError(
                f"{self.path} takes no more: {error.strerror}. All earlier records are kept; "
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
        _cut(file, whole)
        if not whole:
            writer.append(header.to_json())
        yield writer


def latest_run(results: Path) -> Path:
    """The run below a folder that was written last."""
    found = sorted(results.glob(f"*/{RUN_FILE}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(f"there is no run below {results}: run attnbench sweep first")
    return found[-1]


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


def compact(folder: Path) -> Run:
    """Rewrite a finished run's file with one record a case, the last of each, in the header's order; return the run.

    A new file takes the old one's place in one step, so that there is a whole file at every moment.
    """
    run, path = load_run(folder), folder / RUN_FILE
    lines = [run.header.to_json(), *(record.to_json() for record in run.records)]
    beside = path.with_suffix(".new")
    try:
        beside.write_bytes(b"".join(_line(values) for values in lines))
        beside.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {beside}: {error.strerror}. The run in {path} is whole") from error
    return run


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def finished(run: Run) -> bool:
    """Whether every case of the header has its record, with no replicate still to come."""
    return len(run.records) == len(run.header.cases) and not any(record.pending for record in run.records)


def find_unfinished(results: Path, prefix: str, fingerprint: str) -> Path | None:
    """The newest run folder of the same study, settings, machine and software that is not finished."""
    for folder in sorted(results.glob(f"{prefix}-*"), reverse=True):
        try:
            run = load_run(folder)
        except InputError:
            continue
        if run.header.study.get("fingerprint") == fingerprint and not finished(run):
            return folder
    return None


def _header(line: str, path: Path) -> RunHeader:
    try:
        header = RunHeader.from_json(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"run {path}: the first line is not the header of a run") from error
    if header.schema > SCHEMA:
        raise InputError(f"run {path}: written with schema {header.schema}; this attnbench reads up to {SCHEMA}: upgrade it")
    return header


def _complete_lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"run {path}: cannot be read: {error.strerror}") from error
    return text[: text.rfind("\n") + 1].splitlines()


def _cut(file: IO[bytes], size: int) -> None:
    file.truncate(size)
    file.seek(size)
