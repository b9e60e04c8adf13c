"""What fails a comparison: the language of ``--fail-on``.

It is a list of entries, METRIC:THRESHOLD, joined by commas or given one by one; any of them fails the comparison.

    overhead:1%       an overhead is worse: told from noise (see ``noisy``), and it may have risen by 1 % of the baseline's
                      latency, which is 1 percentage point
    overhead:1%:10%   the same by 1 point, or by 10 % of what it was where that is more
    latency:5%        the same of an absolute latency, in % of what it was; left out by default, for it drifts
    params:0          an exact figure rose by more than that number; of bytes, in bytes
    memory:5%         an exact figure rose by more than that share of what it was
    npu:refused       a target's verdict on what a variant adds became worse than it was, and at least so bad as this:
                      unknown, fallback or refused, the last being the worst

Exact figures go by the names of their measurements; ``memory`` is ``activation_peak``. Entries of the same metric all count;
the smallest threshold of an overhead is the one that its verdict is by. ``none`` asks for nothing. Whatever is asked for, a
case that lost its figures is a regression.

A gate is passed where every planned case answers each entry. What could not be compared is missing (``gaps``), and what
noise does not tell is unresolved: neither is a pass.

Rejected: one threshold in points for all overheads. Of an overhead of 315 % no replicates answer for a point, and one of
0.4 % that doubles is within it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.metrics import ALIASES, GATEABLE
from attnbench.core.quantities import Kind, parse_quantity
from attnbench.judge.compare.exact import NODES, NPU
from attnbench.judge.compare.noisy import LATENCY, OVERHEAD
from attnbench.judge.compare.rows import CASE, COMPARED, ComparisonRow
from attnbench.judge.verdicts import VERDICTS

DEFAULT = "overhead:1%:10%,params:0,macs:0,memory:5%,npu:refused"
NONE = "none"
LOST = "a case without figures"
"""What a case that lost its figures fails by."""

METRICS: Final = (*GATEABLE, *ALIASES, NPU, NODES)
LEVELS: Final = VERDICTS[:3]
"""What an entry can name, and the NPU verdicts that can be failed on, the worst first."""

EXAMPLES = {OVERHEAD: "1%", LATENCY: "5%", NPU: "refused"}
"""Thresholds as they are written, for errors; of any other metric a number."""


@dataclass(frozen=True)
class RegressionGate:
    """One entry: a metric, and what it may rise by: ``limit`` in its unit, or ``share`` of what it was where that is more.

    Of an NPU verdict ``limit`` is the index.
    """

    metric: str
    limit: float
    text: str
    share: float = 0.0

    def allowed(self, before: float) -> float:
        """The rise from ``before`` that counts."""
        return max(self.limit, self.share * abs(before))

    def judges(self, row: ComparisonRow) -> bool:
        """Whether a row is one that the entry is about; latencies at other thread counts than 1 are told only."""
        return row.family == self.metric and (self.metric != LATENCY or row.metric == LATENCY)

    def fails(self, row: ComparisonRow) -> bool:
        """Whether a row is a regression by this entry."""
        if row.verdict != "worse" or not self.judges(row):
            return False
        if isinstance(row.before, str) or isinstance(row.after, str):
            return VERDICTS.index(str(row.after)) <= self.limit
        limit = self.allowed(row.before or 0.0)
        return abs(row.delta or 0.0) > limit if row.high is None else row.high >= limit


@dataclass(frozen=True)
class FailOn:
    """All entries; ``asked`` where the user named them, and each must then be answered."""

    gates: tuple[RegressionGate, ...]
    asked: bool = False

    @property
    def text(self) -> str:
        """The entries as they are written."""
        return ",".join(gate.text for gate in self.gates) or NONE

    def of(self, metric: str) -> tuple[RegressionGate, ...]:
        """The entries of a metric."""
        return tuple(gate for gate in self.gates if gate.metric == metric)

    def smallest(self, metric: str, before: float) -> float:
        """The smallest threshold asked of a figure that was ``before``. Raises ``ValueError`` where none is asked."""
        return min(gate.allowed(before) for gate in self.of(metric))

    def judges(self, row: ComparisonRow) -> bool:
        """Whether any entry is about a row."""
        return any(gate.judges(row) for gate in self.gates)

    def failed_by(self, row: ComparisonRow) -> tuple[str, ...]:
        """The entries that a row is a regression by."""
        if row.metric == CASE and row.verdict == "worse":
            return (LOST,)
        return tuple(gate.text for gate in self.gates if gate.fails(row))

    def not_compared(self, rows: Iterable[ComparisonRow]) -> tuple[str, ...]:
        """Metrics that could be compared in no case. One that was not asked for, and neither run has, is not missed."""
        told = sorted({(row.verdict in COMPARED, row.metric) for row in rows})
        seen = {metric.partition("@")[0]: compared for compared, metric in told}
        names = {gate.metric: gate.text.partition(":")[0] for gate in self.gates}
        return tuple(name for metric, name in names.items() if not seen.get(metric, not self.asked))


def parse(texts: Sequence[str]) -> FailOn:
    """What the user's words ask for, the default where there are none. Raises ``InputError`` for what cannot be read."""
    entries = [entry.strip() for text in texts for entry in text.split(",")]
    if entries == [NONE]:
        return FailOn((), asked=True)
    return FailOn(tuple(dict.fromkeys(map(_gate, entries if texts else DEFAULT.split(",")))), asked=bool(texts))


def _gate(entry: str) -> RegressionGate:
    name, colon, threshold = (part.strip() for part in entry.partition(":"))
    if not name:
        raise InputError(f"--fail-on '{entry}' names no metric: write it like {DEFAULT}")
    if name not in METRICS:
        raise UnknownName("metric of --fail-on", name, METRICS)
    metric, text = ALIASES.get(name, name), f"{name}:{threshold}"
    example = f"{name}:{EXAMPLES.get(name, f'0 or {name}:5%')}"
    if not colon or not threshold:
        raise InputError(f"--fail-on '{entry}' has no threshold: write {example}")
    if name == NPU:
        if threshold not in LEVELS:
            raise UnknownName("NPU verdict of --fail-on", threshold, LEVELS)
        return RegressionGate(metric, VERDICTS.index(threshold), text)
    if name == OVERHEAD:
        limit, share = _points_and_share(entry, threshold)
        return RegressionGate(metric, limit, text, share)
    kinds: tuple[Kind, ...] = ("share",) if name == LATENCY else ("number", "share")
    asked = f"{'' if name == LATENCY else 'a number or '}a share of what it was"
    wrong = f"--fail-on '{entry}' has no threshold that is {asked}: write {example}"
    quantity = parse_quantity(threshold, *kinds, otherwise=wrong)
    if name == LATENCY and not quantity.value:
        raise InputError(_never(entry, example))
    of_it = quantity.kind == "share"
    return RegressionGate(metric, 0.0 if of_it else quantity.value, text, quantity.value if of_it else 0.0)


def _points_and_share(entry: str, threshold: str) -> tuple[float, float]:
    """The threshold of an overhead: a share of the baseline's latency, and after a colon one of the overhead itself."""
    points, colon, share = threshold.partition(":")
    example = f"{OVERHEAD}:{EXAMPLES[OVERHEAD]}"
    wrong = f"--fail-on '{entry}' has no threshold that is a share of the baseline's latency: write {example}"
    limit = parse_quantity(points, "share", otherwise=wrong).value
    if not limit:
        raise InputError(_never(entry, example))
    wrong = f"--fail-on '{entry}': after the second colon stands a share of the overhead itself: write {example}:10%"
    return limit, parse_quantity(share, "share", otherwise=wrong).value if colon else 0.0


def _never(entry: str, example: str) -> str:
    return f"--fail-on '{entry}' asks for what noise never grants: write it like {example}"
