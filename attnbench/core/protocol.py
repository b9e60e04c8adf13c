"""What a study asks of measuring: the protocol, which makes its figures comparable, and the effort, which makes them narrow.

Rejected: one table of settings that a case may change. A case measured by another protocol was compared with a baseline
measured by the study's, and nothing told.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta

from attnbench.core.validation import Strict

AtLeastOne = Annotated[int, Meta(ge=1, le=65_536)]
Times = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, Meta(ge=1, le=604_800)]
"""A week at most: more is a slip of the pen, and would be waited for."""


class Protocol(Strict, frozen=True):
    """What makes two overheads comparable. It is the same for all cases of a study, and stands in the run's header.

    ``warmup`` runs come before any that counts. ``provider`` is ONNX Runtime's execution provider and ``optimization`` its
    level of graph optimisation; ``canonical`` turns the canonicalising pass on; ``seed`` is that of weights, inputs and
    orders. ``inputs`` is a folder of the user's own inputs; a run's header has its name and a hash of what it holds.
    ``calibration`` is the folder of images or ``.npy`` files that int8's ranges are had from; seeded noise where it is
    empty. ``threads`` are the counts at which absolute latency is taken; overheads are those of one thread.
    """

    warmup: Times = 3
    threads: Annotated[tuple[AtLeastOne, ...], Meta(min_length=1)] = (1,)
    provider: str = "cpu"
    optimization: Literal["all", "layout", "extended", "basic", "none"] = "all"
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    canonical: bool = True
    inputs: str = ""
    calibration: str = ""


class Effort(Strict, frozen=True):
    """How much is measured of a case. It may differ from case to case: the interval knows.

    ``processes`` fresh timing processes, the replicates, are profiled for ``repeat`` runs; more follow, ``max_processes`` at
    most, until the overhead's interval is as narrow as ``precision`` asks. A case is profiled in one graph with others
    unless it is asked for ``alone``. ``crosscheck`` interleaved pairs at most, of a baseline and one such graph, are held
    against the sum of its cases' overheads. ``rounds`` pairs are taken of a case alone, spread over its first ``processes``
    replicates. With ``screen`` each case gets two replicates, and the others only where they may change a decision.
    ``memory`` has the peak of one inference measured, or only where the static one has changed from the baseline's. With a
    ``deadline`` each case has absolute latencies of its own. One timing step stops early after ``step_seconds`` once it has
    its smallest sample, and is killed after ``timeout_seconds``.
    """

    processes: AtLeastOne = 5
    max_processes: AtLeastOne = 10
    precision: str = "0.05,5%"
    repeat: Times = 10
    alone: bool = False
    screen: bool = False
    crosscheck: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    rounds: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    memory: bool | Literal["changed"] = "changed"
    deadline: str = ""
    step_seconds: Seconds = 60.0
    timeout_seconds: Seconds = 600.0


MEANINGS = {
    "warmup": "runs before any that counts",
    "threads": "thread counts of absolute latency; overheads are those of one thread",
    "provider": "ONNX Runtime's execution provider: cpu, xnnpack, openvino...",
    "optimization": "its level of graph optimisation: all, layout, extended, basic, none",
    "seed": "of weights, inputs and orders",
    "canonical": "the canonicalising pass over the exporter's graph",
    "inputs": "a folder of .npy files or images that the runs are fed in turn; normal noise without",
    "calibration": "folder of images or .npy files for the ranges of int8; without one seeded noise, for cost alone",
    "processes": "fresh timing processes a case (replicates), at least",
    "max_processes": "the same at most: the budget for the precision",
    "precision": "wanted half width of the interval: points, % of the figure, or the larger of both",
    "repeat": "profiled runs a process",
    "alone": "a graph of its own for each case, instead of one with others",
    "screen": "two replicates, and the others only where they may change a decision",
    "crosscheck": "pairs at most of the baseline and a graph with many cases, on the clock",
    "rounds": "interleaved pairs of the case itself and its baseline",
    "memory": "measure the peak of memory: always, never, or where the static peak changed",
    "deadline": "a latency like 33ms: the share of runs within it is told, of each case from runs of its own",
    "step_seconds": "a timing step stops early after this long, once it has its smallest sample",
    "timeout_seconds": "a timing step is killed after this long",
}
"""What each setting means, for lists and help."""


class Setting(NamedTuple):
    """A setting as a user needs it: whether it is of the protocol or the effort, its default, and what it means."""

    part: str
    default: Any
    meaning: str


def settings() -> dict[str, Setting]:
    """Every setting by its name."""
    return {
        name: Setting(kind.__name__.lower(), default, MEANINGS[name])
        for kind in (Protocol, Effort)
        for name, default in zip(kind.__struct_fields__, kind.__struct_defaults__, strict=True)
    }


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings that were asked for together, as those of the protocol and those of the effort."""
    names = Protocol.__struct_fields__
    return {k: v for k, v in settings.items() if k in names}, {k: v for k, v in settings.items() if k not in names}
