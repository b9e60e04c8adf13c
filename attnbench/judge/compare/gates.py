"""What fails a comparison: the language of ``--fail-on``.

It is a list of entries, METRIC:THRESHOLD, joined by commas or given one by one; any of them fails the comparison.

    overhead:1%     an overhead is worse: told from noise (see ``noisy``), and it may have risen by 1 % of the baseline's
                    latency, which is 1 percentage point
    latency:5%      the same of an absolute latency, in % of what it was; left out by default, for it drifts
    params:0        an exact figure rose by more than that number; of bytes, in bytes
    memory:5%       an exact figure rose by more than that share of what it was
    npu:refused     a target's verdict on what a variant adds became worse than it was, and at least so bad as this:
                    unknown, fallback or refused, the last being the worst

Exact figures go by the names of their measurements; ``memory`` is ``activation_peak``. Entries of the same metric all hold.
The smallest threshold of an overhead is the one that its verdict is by. ``none`` alone asks for nothing. Whatever is asked
for, a case that had figures and has none now is a regression: nothing of it could be held against anything.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from attnbench.core.errors import InputError, UnknownName
from attnbench.judge.compare.exact import NPU
from attnbench.judge.compare.noisy import LATENCY, OVERHEAD
from attnbench.judge.compare.rows import CASE, JUDGED, WORSE, Row
from attnbench.judge.verdicts import VERDICTS

DEFAULT = "overhead:1%,params:0,macs:0,memory:5%,npu:refused"
NONE = "none"
LOST = "a case without figures"
"""What a case that lost its figures trips."""

ALIASES = {"memory": "activation_peak"}

COUNTS = (
    "params", "macs", "flops", "elementwise_ops", "bytes_moved", "activation_peak", "largest_activation", "weights",
    "npu_islands", "npu_crossings", "macs_fvcore", "nodes",
)  # fmt: skip
"""The exact figures that can be named."""

METRICS: Final = (OVERHEAD, LATENCY, NPU, *ALIASES, *COUNTS)
LEVELS: Final = VERDICTS[:3]
"""NPU verdicts that can be failed on, the worst first."""

_NUMBER = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<percent>%?)")


@dataclass(frozen=True)
class Gate:
    """One entry: its metric, and a threshold that is a plain number, a share (a ratio), or the index of an NPU verdict."""

    metric: str
    kind: Literal["number", "share", "level"]
    limit: float
    text: str

    def trips(self, row: Row) -> bool:
        """Whether a row is a regression by this entry."""
        if row.verdict != WORSE or row.family != self.metric:
            return False
        if self.kind == "level":
            return VERDICTS.index(str(row.after)) <= self.limit
        if row.family == OVERHEAD:
            return (row.high or 0.0) >= self.limit
        before = row.before if isinstance(row.before, float | int) else 0.0
        if row.family == LATENCY:
            return (row.high or 0.0) >= self.limit * before
        return abs(row.delta or 0.0) > (self.limit * abs(before) if self.kind == "share" else self.limit)


@dataclass(frozen=True)
class FailOn:
    """All entries; ``asked`` where the user named them, and each must then be answered."""

    gates: tuple[Gate, ...]
    asked: bool = False

    @property
    def text(self) -> str:
        """The entries as they are written."""
        return ",".join(gate.text for gate in self.gates) or NONE

    def threshold(self, metric: str) -> float | None:
        """The smallest threshold asked of a metric, or ``None`` where it is not named."""
        return min((gate.limit for gate in self.gates if gate.metric == metric), default=None)

    def tripped_by(self, row: Row) -> tuple[str, ...]:
        """The entries that a row is a regression by."""
        if row.metric == CASE and row.verdict == WORSE:
            return (LOST,)
        return tuple(gate.text for gate in self.gates if gate.trips(row))

    def unanswered(self, rows: Iterable[Row]) -> tuple[str, ...]:
        """Metrics that could be compared in no case. One that was not asked for, and neither run holds, is not missed."""
        held: dict[str, bool] = {}
        for row in rows:
            held[row.family] = held.get(row.family, False) or row.verdict in JUDGED
        names = {gate.metric: gate.text.partition(":")[0] for gate in self.gates}
        return tuple(name for metric, name in names.items() if not held.get(metric, not self.asked))


def parse(texts: Sequence[str]) -> FailOn:
    """What the user's words ask for, the default where there are none. Raises ``InputError`` for what cannot be read."""
    entries = [entry.strip() for text in texts for entry in text.split(",")]
    if not texts:
        return FailOn(tuple(map(_gate, DEFAULT.split(","))))
    if entries == [NONE]:
        return FailOn((), asked=True)
    return FailOn(tuple(dict.fromkeys(map(_gate, entries))), asked=True)


def _gate(entry: str) -> Gate:
    name, colon, threshold = (part.strip() for part in entry.partition(":"))
    if not name:
        raise InputError(f"--fail-on '{entry}' names no metric: write it like {DEFAULT}")
    if name not in METRICS:
        raise UnknownName("metric of --fail-on", name, METRICS)
    metric, text = ALIASES.get(name, name), f"{name}:{threshold}"
    if not colon or not threshold:
        raise InputError(f"--fail-on '{entry}' has no threshold: write {name}:{_example(name)}")
    if name == NPU:
        if threshold not in LEVELS:
            raise UnknownName("NPU verdict of --fail-on", threshold, LEVELS)
        return Gate(metric, "level", VERDICTS.index(threshold), text)
    match = _NUMBER.fullmatch(threshold)
    if not match or (metric in (OVERHEAD, LATENCY) and not match["percent"]):
        asked = "a share of the baseline's latency" if name == OVERHEAD else "a share of what it was"
        kind = asked if metric in (OVERHEAD, LATENCY) else "a number or a share of what it was"
        raise InputError(f"--fail-on '{entry}' has no threshold that is {kind}: write {name}:{_example(name)}")
    number = float(match["number"])
    if not number and metric in (OVERHEAD, LATENCY):
        raise InputError(f"--fail-on '{entry}' asks for what noise never grants: write it like {name}:{_example(name)}")
    return Gate(metric, "share", number / 100, text) if match["percent"] else Gate(metric, "number", number, text)


def _example(name: str) -> str:
    examples = {OVERHEAD: "1%", LATENCY: "5%", NPU: "refused"}
    return examples.get(name, f"0 or {name}:5%")
