"""What travels to a machine: the plan, and the user's own files by the paths that they are named by here.

A file is named in cases, so that its path must be one that a machine can have: below the folder that the command is given
in. Code that a file imports from its folder goes with it; data that it reads does not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from attnbench.core.catalogue import is_reference
from attnbench.core.errors import InputError
from attnbench.core.grammar import parse_spec, parse_variant
from attnbench.core.sources import files_of
from attnbench.study.plan import Plan


@dataclass(frozen=True)
class Parcel:
    """A plan as JSON, and the contents of files by their paths."""

    plan: bytes
    files: dict[str, bytes]


def pack_parcel(plan: Plan) -> Parcel:
    """The parcel of a plan. Raises ``InputError`` for a file that is not below this folder."""
    files: dict[str, bytes] = {}
    for name in dict.fromkeys(_names(plan)):
        for path, relative in _files(name):
            if relative.is_absolute() or ".." in relative.parts:
                raise InputError(f"'{name}' cannot travel to other machines: give a path below this folder, as {path.name}")
            try:
                files[str(relative)] = path.read_bytes()
            except OSError as error:
                raise InputError(f"'{name}': cannot read {path}: {error.strerror}") from error
    return Parcel(msgspec.json.encode(plan), files)


def _names(plan: Plan) -> Iterator[str]:
    """What of a plan is the user's own: hosts, modules and targets."""
    for planned in plan.cases:
        kind = planned.host.kind
        if kind != "registered":
            yield planned.host.spec if kind == "onnx" else parse_spec(planned.host.spec).name
        for assignment in parse_variant(planned.case.variant).assignments:
            yield from (spec.name for spec in assignment.modules if is_reference(spec.name))
    yield from (target for target in plan.targets if target.endswith(".toml"))


def _files(name: str) -> Iterator[tuple[Path, Path]]:
    """The files that a name stands for, and where each lies on another machine."""
    if name.endswith((".onnx", ".toml")):
        path = Path(name)
        yield path, path
        if path.suffix == ".onnx":
            from attnbench.graph.load import external_weights, read_proto  # noqa: PLC0415  onnx is slow to import

            for location in dict.fromkeys(where for _, where in external_weights(read_proto(path, "host"))):
                yield path.parent / location, path.parent / location
        return
    yield from files_of(name)
