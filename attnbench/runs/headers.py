"""The first line of a run file, read from outside: it becomes a header, or one line that says why not.

Files are edited by hand, merged by git and cut by full disks. What readers take for granted of a header is checked here,
once; keys that this version does not know are passed over, for a newer one may have written them.
"""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from attnbench.core.columns import CLAIMABLE
from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import parse_size
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.quantities import is_number
from attnbench.core.records import RunHeader
from attnbench.core.validation import validate
from attnbench.runs.facts import unicode_json

SCHEMA = 2
BEGINNING = b'{"schema":'
MISFITS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What lines of another shape end in."""

Text = str | None | UnsetType
Number = int | float | None | UnsetType


class _Claim(msgspec.Struct):
    metric: str
    value: int | float | str
    relation: str = "about"
    source: str = ""
    text: Text = UNSET
    tolerance: Number = UNSET
    unit: Text = UNSET

    def __post_init__(self) -> None:
        if self.metric not in CLAIMABLE:
            raise UnknownName("metric", self.metric, CLAIMABLE)
        if not (isinstance(self.value, str) if self.metric == "npu_verdict" else is_number(self.value)):
            raise InputError(f"value of {self.metric} must not be {self.value!r}")


class _PlannedCase(msgspec.Struct, kw_only=True):
    variant: str
    host: Text = UNSET
    sizes: list[str] | UnsetType | None = UNSET
    priority: int | UnsetType | None = UNSET
    place: Text = UNSET
    module: Text = UNSET
    stage: Text = UNSET
    claims: list[_Claim]


class _Matrix(msgspec.Struct):
    modules: list[str] | str | UnsetType = UNSET
    places: list[str] | str | UnsetType = UNSET


class _Cut(msgspec.Struct):
    part: str
    positions: list[int]
    total: int


class _Merged(msgspec.Struct):
    sha256: str
    part: str | UnsetType = UNSET
    started: str | UnsetType = UNSET
    commit: Text = UNSET
    cases: int | UnsetType = UNSET


class _StudyPart(msgspec.Struct):
    name: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    targets: list[str] | UnsetType = UNSET
    matrix: list[_Matrix] | UnsetType = UNSET
    cases: list[_PlannedCase] | UnsetType = UNSET
    fingerprint: Text = UNSET
    study_fingerprint: Text = UNSET
    shard: _Cut | UnsetType = UNSET
    shards: list[_Merged] | UnsetType = UNSET


class _RunToRunPart(msgspec.Struct, forbid_unknown_fields=True):
    ratio: int | float | UnsetType = UNSET
    degrees: int | float | UnsetType | None = UNSET
    source: str | UnsetType = UNSET


class _Limits(msgspec.Struct):
    cores: Number = UNSET
    memory_bytes: Number = UNSET


class _MachinePart(msgspec.Struct):
    id: Text = UNSET
    cpu: Text = UNSET
    cores: int | UnsetType | None = UNSET
    memory_bytes: Number = UNSET
    load: Number = UNSET
    system: Text = UNSET
    distribution: Text = UNSET
    architecture: Text = UNSET
    kernel_flags: list[str] | UnsetType = UNSET
    container: _Limits | UnsetType | None = UNSET
    run_to_run: _RunToRunPart | UnsetType = UNSET


def read_header(line: bytes, path: Path) -> RunHeader:
    """The header in a line. Raises ``InputError`` with the path for one that is none, or of a newer schema."""
    where = f"run {path}: line 1"
    try:
        header = RunHeader.from_json(json_value(line))
    except MISFITS as error:
        raise InputError(f"{where} is not the header of a run: {error}") from error
    if header.schema > SCHEMA:
        raise InputError(f"run {path}: written with schema {header.schema}; this attnbench reads up to {SCHEMA}: upgrade it")
    _check(header, where)
    return header


def _check(header: RunHeader, where: str) -> None:
    """Raise ``InputError`` for what a reader of the header would trip over."""
    if header.schema < 1:
        raise InputError(f"{where}: schema must be a whole number >= 1, not {header.schema}")
    validate(dict(header.study), _StudyPart, f"{where}: study")
    validate(dict(header.machine), _MachinePart, f"{where}: machine")
    validate(dict(header.software), dict[str, str | int | float | None], f"{where}: software")
    _check_settings(header.protocol, Protocol, f"{where}: protocol")
    _check_settings(header.effort, Effort, f"{where}: effort")
    for place, own in header.efforts.items():
        if not (place.isascii() and place.isdecimal() and int(place) < len(header.cases)):
            raise InputError(f"{where}: efforts: {place!r} is the place of no case")
        _check_settings({**header.effort, **own}, Effort, f"{where}: efforts: {place}")
    if (cut := header.study.get("shard")) and len(cut["positions"]) != len(header.cases):
        raise InputError(f"{where}: study: shard has {len(cut['positions'])} positions for {len(header.cases)} cases")
    for case in header.cases:
        try:
            parse_size(case.size)
        except InputError as error:
            raise InputError(f"{where}: cases: {error}") from error


def _check_settings(values: Any, kind: type[Protocol | Effort], where: str) -> None:
    known = {name: value for name, value in values.items() if name in kind.__struct_fields__}
    validate(known, kind, where)


def could_begin(content: bytes) -> bool:
    """Whether this may be the first part of a run's file, torn anywhere."""
    return content.startswith(BEGINNING) or BEGINNING.startswith(content)


def json_value(line: bytes) -> Any:
    """The JSON value of a line, all of it valid Unicode. Raises ``ValueError`` for NaN and infinity."""
    value = json.loads(line, parse_constant=_finite, parse_float=_finite, parse_int=_whole)
    return value if line.isascii() and b"\\u" not in line else json.loads(unicode_json(value))


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not a finite number")
    return number


def _whole(text: str) -> int:
    _finite(text)
    return int(text)
