"""Which code a name stands for: a hash over the file it is written in and, transitively, over what that file imports.

Imports are read from the syntax tree; nothing is run, so torch is not loaded. An import is followed where it is a part of
the same work: of a module its own top-level package (of this project: ``modules`` and ``hosts``), of a user's lone file the
files and packages beside it. Libraries belong to the run's software facts. An import that cannot be found is passed over:
it may be one of several that the code tries.

Rejected: ``sys.modules`` after an import, which needs torch and does not see what is imported later; a whole folder, whose
hash changes with files that the code never looks at.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from attnbench.core.catalogue import Catalogue, is_reference

PACKAGE = Path(__file__).parents[1]
FOLLOWED = (PACKAGE / "modules", PACKAGE / "hosts")
"""What is followed of this project: the code of modules and hosts, not that of the measuring around them."""


class _Import(NamedTuple):
    """An import statement's module: how many folders up it starts (0 where it is absolute), and its names."""

    level: int
    names: tuple[str, ...]


def source_hash(catalogue: Catalogue, name: str) -> str:
    """A short hash of all that an entry or the user's own reference is written in; empty where there is no file.

    Two runs whose hashes differ ran different code under the same name.
    """
    if name.endswith((".onnx", ".py")):
        return hash_of_files(name)
    if ".py:" in name:
        return hash_of_files(name.rpartition(":")[0])
    if is_reference(name):
        return _hash_of_module(name.partition(":")[0])
    found = catalogue.describe().get(name)
    return _hash_of_module(found.origin.removeprefix("entry point ").partition(":")[0]) if found else ""


def hash_of_files(path: str | Path) -> str:
    """A short hash of a lone file and of what it imports from its folder; empty where it cannot be read."""
    start = Path(path).resolve()
    return _hash([start], {"": start.parent}) if start.is_file() else ""


def files_of(reference: str) -> list[tuple[Path, Path]]:
    """The files of the user's own reference that its hash is over, and where each lies from the folder it is found in.

    That folder is the current one for ``path/to/file.py:name``, and for ``package.module:name`` the one with the package.
    """
    location = reference.rpartition(":")[0] or reference
    if location.endswith(".py"):
        start = Path(location).resolve()
        found = _walk([start], {"": start.parent}) if start.is_file() else {}
        return [
            (path, Path(location).parent / path.relative_to(start.parent)) for path in found if _within(path, start.parent)
        ]
    files, packages = _module_files(location)
    root = next((folder.parent for folder in packages.values()), files[0].parent if files else Path())
    return [(path, path.relative_to(root)) for path in _walk(files, packages) if _within(path, root)]


def _within(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) and not path.is_relative_to(PACKAGE)


def _hash_of_module(module: str) -> str:
    return _hash(*_module_files(module))


def _module_files(module: str) -> tuple[list[Path], dict[str, Path]]:
    """The files that are run when a module is imported, and its package's folder by name; nothing where there is none."""
    top, *names = module.split(".")
    try:
        spec = importlib.util.find_spec(top)  # of the top alone: that imports nothing
    except (ImportError, ValueError):
        return [], {}
    if spec is None or not spec.submodule_search_locations:
        return ([Path(spec.origin)] if spec and spec.origin and not names else []), {}
    for folder in map(Path, spec.submodule_search_locations):
        files, whole = list(_files(folder.parent, [folder.name, *names])), folder.joinpath(*names)
        if files and files[-1] in (whole / "__init__.py", whole.with_name(f"{whole.name}.py")):
            return files, {top: folder}
    return [], {}


def _hash(start: Iterable[Path], packages: Mapping[str, Path]) -> str:
    """The hash of these files and of all that they import; wherever they lie, it is the same."""
    found = _walk(start, packages)
    digests = [found[path] for path in sorted(found, key=lambda path: (path.is_relative_to(PACKAGE), path))]
    whole = digests[0] if len(digests) == 1 else hashlib.sha256(b"".join(digests)).digest()
    return whole.hex()[:12] if found else ""


def _walk(start: Iterable[Path], packages: Mapping[str, Path]) -> dict[Path, bytes]:
    """The hashes of these files and of all that they import from the packages, whose folders go by name (``""``: beside)."""
    todo, found = list(start), dict[Path, bytes]()
    while todo:
        path = todo.pop()
        if path in found or (path.is_relative_to(PACKAGE) and not any(map(path.is_relative_to, FOLLOWED))):
            continue
        try:
            about = path.stat()
            digest, imports = _read(path, about.st_mtime_ns, about.st_size)
        except OSError:
            continue
        found[path] = digest
        todo += [file for one in imports for file in _imported(path, one, {PACKAGE.name: PACKAGE, **packages})]
    return found


def _imported(path: Path, one: _Import, packages: Mapping[str, Path]) -> Iterator[Path]:
    if one.level:
        return _files(path.parents[min(one.level, len(path.parents)) - 1], one.names)
    if folder := packages.get(one.names[0]):
        return _files(folder.parent, [folder.name, *one.names[1:]])
    return _files(packages[""], one.names) if "" in packages else iter(())


def _files(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """The files that are run when ``names`` are imported below a folder: each package's root, then the module."""
    for name in names:
        module, folder = folder / f"{name}.py", folder / name
        if (folder / "__init__.py").is_file():
            yield folder / "__init__.py"
        elif module.is_file():
            yield module
            return


@cache
def _read(path: Path, _modified: int, _size: int) -> tuple[bytes, tuple[_Import, ...]]:
    """A file's hash and its imports, read once a process for each state of the file. Raises ``OSError``."""
    content = path.read_bytes()
    imports: dict[_Import, None] = {}
    try:
        nodes = list(ast.walk(ast.parse(content))) if path.suffix == ".py" else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        nodes = []  # it cannot be imported, and building says so
    for node in nodes:
        match node:
            case ast.Import(names=names):
                imports |= {_Import(0, tuple(alias.name.split("."))): None for alias in names}
            case ast.ImportFrom(module=module, names=names, level=level):
                stem = tuple(module.split(".")) if module else ()
                imports |= {_Import(level, (*stem, alias.name)): None for alias in names}
    return hashlib.sha256(content).digest(), tuple(imports)
