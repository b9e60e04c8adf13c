"""What a change may come from, as far as two runs can tell: the code that ran, the exporter, versions, machine, settings.

Every difference that could move the figure is named, the most direct first; which of several did it, the runs cannot say.
Where nothing that they record differs, the change is *unexplained*.
"""

from collections.abc import Iterator, Mapping

from attnbench.core.records import Record, RunHeader
from attnbench.core.units import fixed
from attnbench.judge.compare.exact import NPU, NPU_OPS
from attnbench.judge.compare.match import ALIKE, settings_that_differ
from attnbench.judge.compare.noisy import LATENCY, OVERHEAD
from attnbench.judge.compare.rows import BETTER, CASE, WORSE, Cause, Row
from attnbench.judge.verdicts import CROWDED

CODE, EXPORTER, TORCH, RUNTIME, COUNTER = "code", "exporter", "torch", "onnxruntime", "counter"
TOOL, RULES, MACHINE, SETTINGS, UNEXPLAINED = "attnbench", "rules", "machine", "settings", "unexplained"

SOFTWARE: Mapping[str, tuple[str, ...]] = {
    EXPORTER: ("exporter", "opset", "canonical_pass", "onnxscript", "onnx-ir", "onnx"),
    TORCH: ("torch",),
    RUNTIME: ("onnxruntime",),
    COUNTER: ("fvcore",),
    TOOL: ("attnbench",),
}
"""What a run's header says of its software, by the cause that a difference is. torch holds the exporter, and is its own."""

GRAPH = (CODE, EXPORTER, TORCH, SETTINGS, TOOL)
"""What can change a graph, and with it every exact figure."""

CLOCK = (CODE, EXPORTER, RUNTIME, TORCH, MACHINE, SETTINGS, TOOL)
"""What can change how long it takes."""

CAN_CHANGE: Mapping[str, tuple[str, ...]] = {
    "params": (CODE, TORCH, SETTINGS, TOOL),
    "macs_fvcore": (CODE, TORCH, COUNTER, SETTINGS, TOOL),
    OVERHEAD: CLOCK,
    LATENCY: CLOCK,
    CASE: CLOCK,
}
"""By metric the causes that apply; ``GRAPH`` for any other."""

NO_HASHES = "no hashes of the sources are kept"


class Causes:
    """The differences between two runs, ready to be asked for each changed row."""

    def __init__(self, base: RunHeader, new: RunHeader) -> None:
        self.general = tuple(_general(base, new))

    def of(self, row: Row, before: Record, after: Record) -> tuple[Cause, ...]:
        """What a row's change may come from; nothing for a row without one."""
        if row.verdict not in (BETTER, WORSE):
            return ()
        apply = CAN_CHANGE.get(row.family, GRAPH)
        found = [*_code(before, after), *(cause for cause in self.general if cause.kind in apply)]
        if row.family in (OVERHEAD, LATENCY):
            found += _crowded(before, after)
        if found:
            return tuple(found)
        if not _hashed(before, after):
            return (Cause(UNEXPLAINED, NO_HASHES),)
        if row.family in (NPU, NPU_OPS):  # the same graph by all that is known: the target's file is what is left
            return (Cause(RULES, row.metric.partition("@")[2]),)
        return (Cause(UNEXPLAINED),)


def _general(base: RunHeader, new: RunHeader) -> Iterator[Cause]:
    """Causes that hold for all cases: versions, machine, settings."""
    for kind, names in SOFTWARE.items():
        changed = [
            f"{name.replace('_', ' ')} {base.software[name]} → {new.software[name]}"
            for name in names
            if name in base.software and name in new.software and base.software[name] != new.software[name]
        ]
        if changed:
            yield Cause(kind, ", ".join(text.removeprefix(f"{kind} ") for text in changed))
    if base.machine.get("id") != new.machine.get("id"):
        yield Cause(MACHINE, f"id {base.machine.get('id', 'unknown')} → {new.machine.get('id', 'unknown')}")
    if differing := settings_that_differ(base, new, ALIKE):
        yield Cause(SETTINGS, ", ".join(f"{name} {one} → {two}" for name, one, two in differing))


def _code(before: Record, after: Record) -> Iterator[Cause]:
    """The host and the modules whose files changed between two records of one case."""
    changed = [
        name
        for name, hashed in after.sources.items()
        if hashed and before.sources.get(name) and hashed != before.sources[name]
    ]
    if changed:
        yield Cause(CODE, ", ".join(changed))


def _hashed(*records: Record) -> bool:
    """Whether each record says by a hash which code it ran."""
    return all(record.sources and all(record.sources.values()) for record in records)


def _crowded(before: Record, after: Record) -> Iterator[Cause]:
    for name, record in (("BASE", before), ("NEW", after)):
        share = record.value("core_share")
        if share is not None and share < CROWDED:
            yield Cause(MACHINE, f"{name} had {fixed(100 * share, 0)} % of its core")
