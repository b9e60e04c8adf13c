"""The runtimes, one file each: what opens a graph, runs it, and says how long each of its nodes took.

A file ends in ``ENTRIES``; to add a runtime, add a file, or an entry point in ``attnbench.runtimes``. What is made of the
rows (attribution, floors, cross-checks) is the same for all: ``measure`` knows a runtime by what stands here alone.

This package's root imports no runtime and no numpy, so that runtimes can be listed and told apart without them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from attnbench.core.catalogue import Catalogue, check_ranges, merge_options
from attnbench.core.grammar import OptionValue, Spec, parse_spec
from attnbench.core.records import DEFAULT_RUNTIME
from attnbench.core.versions import NOT_INSTALLED, version

if TYPE_CHECKING:
    import numpy as np

RUNTIMES = Catalogue("runtime", "attnbench.runtimes", "attnbench.runtimes")
CPU = "cpu"


class InputTensor(NamedTuple):
    """An input of a graph: its name, its shape, and its type as numpy calls it."""

    name: str
    shape: tuple[int, ...]
    type: str


class OptimisedNode(NamedTuple):
    """A node of the graph that a runtime runs: its name, its op with the shapes of its weights, and its tensors.

    ``reads`` and ``writes`` name the tensors; weights are left out.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class ProfiledRuns(NamedTuple):
    """The nodes of a graph as they ran, and their seconds: a row a run, or a row that is the mean of several.

    A node is ``name``, ``op``, ``inputs`` and ``outputs`` (JSON lists of ``{type: shape}``) and ``parameter_bytes``: what
    tells whether two nodes of different graphs are the same. See ``graph.align.ExecutedNode``.
    """

    nodes: list[dict[str, Any]]
    runs: list[list[float]]


@dataclass(frozen=True)
class SessionSettings:
    """How a graph is to be opened.

    ``threads`` it computes with; ``provider`` and ``optimization`` are those of the protocol, for ONNX Runtime; ``options``
    the runtime's own. ``keep`` asks for the *graph* that the runtime made of it, or for that and a *profile* of each run. A
    ``lean`` session gives memory back as soon as it can, for its peak to be measured, and without ``reuse`` it plans no
    buffers. ``scratch`` is a folder for files in between.
    """

    threads: int = 1
    provider: str = CPU
    optimization: str = "all"
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    keep: Literal["", "graph", "profile"] = ""
    lean: bool = False
    reuse: bool = True
    scratch: str | None = None


class RuntimeSession(Protocol):
    """A graph, open in a runtime."""

    @property
    def inputs(self) -> Sequence[InputTensor]:
        """The inputs that a run wants."""

    @property
    def outputs(self) -> Sequence[str]:
        """The names of what a run gives, in its order."""

    def run(self, inputs: "Mapping[str, np.ndarray]") -> "Sequence[np.ndarray]":
        """One run, from its start to its end: the outputs."""

    def graph(self) -> list[OptimisedNode]:
        """The graph that the runtime runs; nothing where it does not tell."""

    def warm(self) -> None:
        """The runs so far were warm-ups: a profile is of those that follow."""

    def profiled(self) -> ProfiledRuns:
        """What was seen of each node in the runs that count; asked for once, after the last. Raises ``RuntimeError``."""


@dataclass(frozen=True)
class Runtime:
    """A registered runtime. Fields without a call are literals, which are read without importing it.

    ``build(model, settings)`` opens a file and returns its ``RuntimeSession``; ``devices()`` are what it can compute on in
    this installation, ``cpu`` among them. ``distributions`` are the packages that it comes in, the first installed of which
    gives its version. ``rows`` says what a row of its profile means. ``memory`` says that the peak of one run can be
    measured from outside, since a lean session gives back what it took.
    """

    name: str
    summary: str
    build: Callable[[str, SessionSettings], RuntimeSession]
    devices: Callable[[], list[str]]
    distributions: tuple[str, ...]
    rows: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    memory: bool = False


def told(name: str, field_: str) -> Any:
    """A field of a runtime's entry; only that of another distribution is imported for it. Raises ``UnknownName``."""
    found = RUNTIMES.find(name)
    if field_ in found.fields:
        return found.fields[field_]
    if found.origin.startswith("entry point "):
        return getattr(RUNTIMES.load(name), field_)
    return {"options": {}, "memory": False}[field_]


def check_runtime(text: str) -> Spec:
    """A runtime with its options, those left out that are the default. Raises ``UnknownName``, ``InputError``."""
    spec = parse_spec(text)
    known = told(spec.name, "options")
    options = merge_options("runtime", spec, known)
    check_ranges("runtime", spec, options, {}, {})
    return Spec(spec.name, {key: value for key, value in options.items() if value != known[key]})


def runtime_version(name: str) -> str:
    """The version of a runtime's installed distribution, with its name where it is not the usual one."""
    names = told(name, "distributions")
    found = [(one, version(one)) for one in names]
    one, installed = next((pair for pair in found if pair[1] != NOT_INSTALLED), found[0])
    return installed if one == names[0] or installed == NOT_INSTALLED else f"{installed} ({one})"


def open_graph(runtime: str, model: str, settings: SessionSettings) -> RuntimeSession:
    """A model's file, open in the runtime that is named. What the runtime raises is of types of its own."""
    spec = parse_spec(runtime)
    entry: Runtime = RUNTIMES.load(spec.name)
    return entry.build(model, replace(settings, options=merge_options("runtime", spec, entry.options)))


@cache
def device_of(runtime: str, provider: str = CPU) -> str:
    """Where a runtime computes: ONNX Runtime by the execution provider, any other by its own option ``device``."""
    spec = parse_spec(runtime)
    return provider if spec.name == DEFAULT_RUNTIME else str(spec.options.get("device", CPU))
