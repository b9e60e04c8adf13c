"""A study as it is asked for, as typed structs. Files, flags and mappings are all checked alike.

    name, title, hosts, sizes, batch, targets     what the study is about
    runtimes                                      what it is run by: onnxruntime, openvino, openvino[device=gpu]
    dtypes                                        number types: fp32, int8, or both
    [settings]                                    the fields of ``core.protocol.Protocol`` and ``Effort``
    [[matrix]]  modules, places, settings         every module at every place; "each" is every site, "all" every module
    [[case]]    variant, host, sizes, settings    one variant
                priority, place, module, stage    where it stands in the report's tables, and under which words
                claim                             a table, or a list of tables, {metric, value, unit, source,
                                                  relation, tolerance, text}: what is said of it and will be judged

Settings of a case or a matrix are of the effort alone. A mistake is one line that names the file, the table and the key.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field
from msgspec.structs import replace

from attnbench.core.columns import CLAIMABLE, COUNTS
from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import parse_size, parse_spec
from attnbench.core.protocol import AtLeastOne, Effort, Protocol, split_settings
from attnbench.core.quantities import is_number, parse_deadline, parse_precision
from attnbench.core.records import DEFAULT_RUNTIME, FP32, INT8
from attnbench.core.validation import Strict, validate
from attnbench.runtimes import check_runtime
from attnbench.targets import FOLDER, read_target, target_path

_PLAIN_NAME = r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]{1,100}\Z"

Names = tuple[str, ...]
Named = Annotated[Names, Meta(min_length=1)]
Word = Annotated[str, Meta(min_length=1)]


class StudyClaim(Strict, frozen=True, omit_defaults=True):
    """What is said of a case. Digits count for ``rounds to``, so a value may be text: ``"1.70"``."""

    metric: str
    value: int | float | str
    source: str
    relation: Literal["about", "below", "rounds to"] = "about"
    tolerance: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    text: str = ""
    unit: Literal["1", "M", "G", "Mi", "Gi"] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.metric not in CLAIMABLE:
            raise UnknownName("metric", self.metric, CLAIMABLE)
        if self.unit is not UNSET and self.metric not in COUNTS:
            raise InputError(f"a unit is of {', '.join(COUNTS)}; {self.metric} has its own")
        if self.metric == "npu_verdict":
            if not isinstance(self.value, str):
                raise InputError(f"value of npu_verdict must be a word like ok or refused, not {self.value!r}")
        elif not is_number(self.value):
            raise InputError(f"value of {self.metric} must be a number, not '{self.value}'")


class _WithSettings(Strict, frozen=True, kw_only=True):
    """What asks for cases, and how much is measured of them."""

    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in self.settings:
            if key in Protocol.__struct_fields__:
                raise InputError(
                    f"{key} is the same for all cases, or their figures would not compare: set it in [settings]"
                )
        read_settings(self.settings)


class Matrix(_WithSettings, frozen=True, kw_only=True):
    """Every module at every place."""

    modules: Named | Word | UnsetType = UNSET
    places: Named | Word | UnsetType = UNSET


class StudyCase(_WithSettings, frozen=True, kw_only=True):
    """One variant: of one host and at some sizes only where it names them; with its place in the report, and its claims."""

    variant: str
    host: str | UnsetType = UNSET
    sizes: Named | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    place: str | UnsetType = UNSET
    module: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    claim: StudyClaim | tuple[StudyClaim, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for size in self.sizes or ():
            parse_size(size)

    @property
    def claims(self) -> tuple[StudyClaim, ...]:
        """The claims, however many were written."""
        return (self.claim,) if isinstance(self.claim, StudyClaim) else self.claim


class StudyHost(Strict, frozen=True):
    """A host in more than a word; see ``hosts.HostReference``."""

    spec: str
    sites: dict[str, str] = field(default_factory=dict)
    input_channels: AtLeastOne = 3


class Study(Strict, frozen=True):
    """What is asked, in the words it was asked in: ``plan`` makes cases of it."""

    name: Annotated[str, Meta(pattern=_PLAIN_NAME)] = "study"
    title: str = ""
    hosts: Annotated[tuple[str | StudyHost, ...], Meta(min_length=1)] = ("resnetsan01",)
    sizes: Named = ()
    batch: AtLeastOne = 1
    runtimes: Annotated[Names, Meta(min_length=1)] = (DEFAULT_RUNTIME,)
    dtypes: Names = (FP32,)
    targets: Names = ("aimotive",)
    settings: dict[str, Any] = field(default_factory=dict)
    matrix: tuple[Matrix, ...] = ()
    case: tuple[StudyCase, ...] = ()

    def __post_init__(self) -> None:
        read_settings(self.settings)
        for size in self.sizes:
            parse_size(size)
        for runtime in self.runtimes:
            check_runtime(runtime)
        for dtype in self.dtypes:
            if dtype not in (FP32, INT8):
                raise UnknownName("number type", dtype, (FP32, INT8))
        if INT8 in self.dtypes and DEFAULT_RUNTIME not in (parse_spec(runtime).name for runtime in self.runtimes):
            raise InputError(f"{INT8} is measured in {DEFAULT_RUNTIME} alone: name it among the runtimes, too")
        if not self.dtypes:
            raise InputError(f"dtypes is empty: name {FP32}, {INT8} or both")


def packaged_study(name: str = "report") -> Path:
    """The path of a study that comes with the package: beside it once installed, in ``benchmarks/`` in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "studies" / f"{name}.toml"
    return installed if installed.exists() else package.parent / "benchmarks" / f"{name}.toml"


def packaged_studies() -> list[Path]:
    """The files of all studies that come with the package."""
    return sorted(path for path in packaged_study().parent.glob("*.toml") if path.stem != "claims")


def find_study(name: str) -> Path:
    """The file of a study: a path, or the name of a packaged one."""
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        return path
    packaged = packaged_study(name)
    if not packaged.exists():
        known = [file.stem for file in packaged_studies()]
        raise UnknownName("study", name, known, "your own: path/to/study.toml")
    return packaged


def read_study(path: Path) -> Study:
    """A study file. Its name is the file's, unless it has one of its own."""
    return validate_study({"name": path.stem, **read_toml(path, "study")}, f"study {path}")


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file. Raises ``InputError`` with one line that begins with ``what`` it is."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{what}: there is no file {path}") from error
    except IsADirectoryError as error:
        raise InputError(f"{what}: {path} is a folder, not a TOML file") from error
    except OSError as error:
        raise InputError(f"{what}: cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{what} {path}: not valid TOML: {error}") from error


def validate_study(data: Mapping[str, Any], where: str = "") -> Study:
    """The study that a mapping describes. Raises ``InputError`` with one line that begins with ``where``."""
    where = where or f"study '{data.get('name', 'study')}'"
    study = validate(dict(data), Study, where)
    hosts = {normal_host(host if isinstance(host, str) else host.spec) for host in study.hosts}
    sizes = {parse_size(size): size for size in study.sizes}
    for index, case in enumerate(study.case, 1):
        if case.host is not UNSET and normal_host(case.host) not in hosts:
            raise UnknownName(f"host in {where}: case {index}", case.host, hosts, "a case's host is one of the study's")
        for size in case.sizes or ():
            if sizes and parse_size(size) not in sizes:
                raise UnknownName(
                    f"size in {where}: case {index}", size, study.sizes, "a case's sizes are among the study's"
                )
    return study


def normal_host(spec: str) -> str:
    """A host's name as cases have it: its options in order; a file's path as it is."""
    return spec if spec.endswith(".onnx") else str(parse_spec(spec))


def target_name(text: str) -> str:
    """A target's own name. One that does not come with the package is held to what rules may ask. Raises ``InputError``."""
    path = target_path(text)
    if path.parent == FOLDER:  # the tests have done that
        return read_target(path).name
    from attnbench.npu.targets import load_target  # noqa: PLC0415  onnx is not needed for those

    return load_target(text).name


def read_settings(values: Mapping[str, Any], where: str = "settings") -> tuple[Protocol, Effort]:
    """Protocol and effort from plain values; an unknown name, a wrong type or a number out of range is an ``InputError``.

    ``threads`` may be one number, ``precision`` a number of points, ``provider`` the runtime's own word. The budget is no
    less than the replicates where these are named, and else the replicates are no more than the budget.
    """
    known = (*Protocol.__struct_fields__, *Effort.__struct_fields__)
    chosen = dict(values)
    for key, value in values.items():
        if key not in known:
            raise UnknownName(f"key in {where}", str(key), known)
        if key == "threads" and isinstance(value, int):
            chosen[key] = (value,)
        elif key == "precision" and isinstance(value, int | float):
            chosen[key] = f"{value:.15f}".rstrip("0") if isinstance(value, float) else str(value)
        elif key in ("provider", "optimization") and isinstance(value, str):
            chosen[key] = value.lower().removesuffix("executionprovider")
    shared, own = split_settings(chosen)
    protocol, effort = validate(shared, Protocol, where), validate(own, Effort, where)
    parse_precision(effort.precision)
    parse_deadline(effort.deadline)
    if "processes" in values:
        return protocol, replace(effort, max_processes=max(effort.processes, effort.max_processes))
    return protocol, replace(effort, processes=min(effort.processes, effort.max_processes))
