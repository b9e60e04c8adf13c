"""What a change may come from, as far as two runs can say: the code that ran, the exporter, versions, machine, protocol.

Every difference that could move the figure is named, the most direct first; which of several did it, the runs cannot say.
Where nothing that they record differs, the change is *unexplained*.
"""

from collections.abc import Iterator, Mapping

from attnbench.core.records import Record, RunHeader
from attnbench.core.units import fixed
from attnbench.judge.compare.exact import NPU, NPU_OPS
from attnbench.judge.compare.match import protocol_differences
from attnbench.judge.compare.noisy import LATENCY, OVERHEAD
from attnbench.judge.compare.rows import CASE, ChangeCause
from attnbench.judge.verdicts import CROWDED

CODE, EXPORTER, TORCH, RUNTIME, COUNTER = "code", "exporter", "torch", "onnxruntime", "counter"
TOOL, RULES, MACHINE, PROTOCOL, UNEXPLAINED = "attnbench", "rules", "machine", "protocol", "unexplained"

SOFTWARE: Mapping[str, tuple[str, ...]] = {
    EXPORTER: ("exporter", "opset", "canonical_pass", "onnxscript", "onnx-ir", "onnx"),
    TORCH: ("torch",),
    RUNTIME: ("onnxruntime", "openvino"),
    COUNTER: ("fvcore",),
    TOOL: ("attnbench",),
}
"""What a run's header says of its software, by the cause that a difference is. torch holds the exporter, and is its own."""

GRAPH = (CODE, EXPORTER, TORCH, PROTOCOL, TOOL)
"""What can change a graph, and with it every exact figure."""

CLOCK = (CODE, EXPORTER, RUNTIME, TORCH, MACHINE, PROTOCOL, TOOL)
"""What can change how long it takes."""

CAN_CHANGE: Mapping[str, tuple[str, ...]] = {
    "params": (CODE, TORCH, PROTOCOL, TOOL),
    "macs_fvcore": (CODE, TORCH, COUNTER, PROTOCOL, TOOL),
    OVERHEAD: CLOCK,
    LATENCY: CLOCK,
    CASE: CLOCK,
}
"""By metric the causes that apply; ``GRAPH`` for any other."""

NO_HASHES = "no hashes of the sources are kept"


class Causes:
    """The differences between two runs, ready to be asked for each changed figure."""

    def __init__(self, base: RunHeader, new: RunHeader) -> None:
        self.general = tuple(_general(base, new))

    def of(self, metric: str, before: Record, after: Record) -> tuple[ChangeCause, ...]:
        """What a change of a metric may come from, between these two records."""
        family, _, target = metric.partition("@")
        found = [*_code(before, after), *(cause for cause in self.general if cause.kind in CAN_CHANGE.get(family, GRAPH))]
        if family in (OVERHEAD, LATENCY):
            found += _crowded(before, after)
        if found:
            return tuple(found)
        if not all(record.sources and all(record.sources.values()) for record in (before, after)):
            return (ChangeCause(UNEXPLAINED, NO_HASHES),)
        if family in (NPU, NPU_OPS):  # the same graph by all that is known: the target's file is what is left
            return (ChangeCause(RULES, target),)
        return (ChangeCause(UNEXPLAINED),)


def _general(base: RunHeader, new: RunHeader) -> Iterator[ChangeCause]:
    """Causes that hold for all cases: versions, machine, protocol."""
    one, two = base.software, new.software
    for kind, names in SOFTWARE.items():
        changed = [name for name in names if name in one and name in two and one[name] != two[name]]
        if changed:
            texts = (f"{name.replace('_', ' ')} {one[name]} → {two[name]}" for name in changed)
            yield ChangeCause(kind, ", ".join(text.removeprefix(f"{kind} ") for text in texts))
    if base.machine.get("id") != new.machine.get("id"):
        yield ChangeCause(MACHINE, f"id {base.machine.get('id', 'unknown')} → {new.machine.get('id', 'unknown')}")
    if differing := protocol_differences(base, new):
        yield ChangeCause(PROTOCOL, ", ".join(f"{name} {one} → {two}" for name, one, two in differing))


def _code(before: Record, after: Record) -> Iterator[ChangeCause]:
    """The host and the modules whose sources changed between two records of one case."""
    old = before.sources
    changed = [name for name, hashed in after.sources.items() if hashed and old.get(name) and hashed != old[name]]
    if changed:
        yield ChangeCause(CODE, ", ".join(changed))


def _crowded(before: Record, after: Record) -> Iterator[ChangeCause]:
    for name, record in (("BASE", before), ("NEW", after)):
        share = record.value("core_share")
        if share is not None and share < CROWDED:
            yield ChangeCause(MACHINE, f"{name} had {fixed(100 * share, 0)} % of its core")
