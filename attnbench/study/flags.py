"""The study that the command line's flags describe."""

from collections.abc import Iterable, Iterator

from msgspec import UNSET, to_builtins
from msgspec.structs import replace

from attnbench.core.catalogue import is_reference
from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import normal_size, parse_spec, split
from attnbench.core.validation import validate
from attnbench.modules import module_names
from attnbench.study.file import Matrix, Study, StudyCase, StudyHost, find_study, read_study
from attnbench.study.plan import ALL


def host_from_flags(spec: str, sites: list[str], input_channels: int) -> StudyHost:
    """The host that ``--host``, ``--site`` and ``--input-channels`` name."""
    named: dict[str, str] = {}
    for text in sites:
        path, equals, name = text.partition("=")
        if not equals or not path or not name:
            raise InputError(f"--site '{text}' is not SUBMODULE.PATH=NAME: write it like backbone.layer3=layer3")
        if name in named:
            raise InputError(f"--site names '{name}' twice")
        named[name] = path
    return StudyHost(spec=spec, sites=named, input_channels=input_channels)


def taps_from_flags(taps: list[str]) -> list[str]:
    """The taps that ``--tap`` names, ``all`` written out. Raises ``InputError`` for a module that is none."""
    known = module_names(taps=True)
    for tap in taps:
        name = parse_spec(tap).name
        if name in module_names():
            raise InputError(f"module '{name}' is no tap: give it by --module (taps: {', '.join(known)})")
        if name not in known and name != ALL and not is_reference(name):
            raise UnknownName("tap", name, known)
    return [name for tap in taps for name in (known if tap == ALL else [tap])]


def from_flags(
    study: str | None,
    hosts: list[StudyHost],
    modules: list[str],
    places: list[str],
    variants: list[str],
    sizes: list[str],
    targets: list[str],
    batch: int | None,
    runtimes: list[str] | None = None,
    dtypes: list[str] | None = None,
) -> Study:
    """The study of a file or name, with hosts, sizes, targets, batch and runtimes from flags; or what flags alone describe.

    No flag and no study is the packaged report study.
    """
    alone = bool(modules or places or variants)
    if alone and study is not None:
        raise InputError("give a study, or --module with --place or --variant, but not both")
    if modules and not places:
        raise InputError("--module needs --place: name where it stands, or --place each for every site")
    if places and not modules:
        raise InputError("--place needs --module: name what stands there, or --module all for every module")
    if alone:
        matrix = (Matrix(modules=tuple(modules), places=tuple(places)),) if modules else ()
        found = Study(name="sweep", matrix=matrix, case=tuple(StudyCase(variant=variant) for variant in variants))
    elif study is None and hosts:
        raise InputError("--host needs --module with --place, or --variant: name what to put where")
    else:
        found = read_study(find_study(study or "report"))
    if sizes:
        found = replace(found, case=tuple(_at(found.case, set(map(normal_size, sizes)))))
    given = {"hosts": tuple(hosts), "sizes": tuple(sizes), "targets": tuple(targets), "batch": batch}
    given["runtimes"] = tuple(name.strip() for text in runtimes or () for name in split(text, ","))
    given["dtypes"] = tuple(name.strip() for text in dtypes or () for name in text.split(","))
    chosen = replace(found, **{key: value for key, value in given.items() if value is not None and value != ()})
    plain = {key: value for key, value in to_builtins(chosen).items() if value != () or key == "targets"}
    return validate(plain, Study, f"study '{chosen.name}'")


def _at(cases: Iterable[StudyCase], sizes: set[str]) -> Iterator[StudyCase]:
    """The cases that are asked for at any of these sizes, at those alone."""
    for case in cases:
        if case.sizes is UNSET:
            yield case
        elif left := tuple(size for size in case.sizes if normal_size(size) in sizes):
            yield replace(case, sizes=left)
