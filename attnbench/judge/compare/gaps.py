"""What a gate asked for and was not told: figures that are missing, so that a pass would be one by silence.

Every case that either run planned must answer each entry of the gate, but for

* a case that NEW alone plans, for which there is nothing to be held against;
* a case that the module refuses, or that was left out on purpose, in both runs alike: of a skipped one the exact figures
  must answer;
* a metric that cases of its number type have none of (``core.metrics.NOT_OF``);
* the overhead of a baseline, and the latency of a variant that neither run timed: there is none to ask for.

A case that failed in BASE and has its figures now is better, and its figures are missing all the same: what they were
before nobody knows, and a baseline with a hole would let them rise unseen from then on.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from attnbench.core.metrics import NOT_OF
from attnbench.core.records import Case
from attnbench.judge.compare.gates import FailOn, RegressionGate
from attnbench.judge.compare.match import Pair
from attnbench.judge.compare.noisy import LATENCY, OVERHEAD
from attnbench.judge.compare.rows import CASE, ComparisonRow

NEITHER = "neither run has it"


class Gap(NamedTuple):
    """A figure of a case that a gate was not told, and why; the metric ``case`` stands for all of them."""

    case: Case
    metric: str
    why: str


def gaps(matched: Iterable[Pair | ComparisonRow], rows: Sequence[ComparisonRow], fail_on: FailOn) -> Iterator[Gap]:
    """What is missing, in the order of the cases, which is that of the rows; nothing is where nothing is asked for."""
    if not fail_on.gates:
        return
    gates = {gate.metric: gate for gate in fail_on.gates}
    known = {gate.metric for gate in fail_on.gates if any(map(gate.judges, rows))}
    of = {case: tuple(own) for case, own in groupby(rows, attrgetter("case"))}
    for one in matched:
        told: defaultdict[str, list[ComparisonRow]] = defaultdict(list)
        for row in of.get(one.case, ()):
            told[row.family].append(row)
        whole = next(iter(told[CASE]), None)
        if whole is not None and whole.verdict in ("removed", "incomparable", "better"):
            yield Gap(one.case, CASE, whole.why)
        elif isinstance(one, Pair) and one.built:
            for metric, gate in gates.items():
                needed = fail_on.asked or metric in known
                yield from _unanswered(one, gate, list(filter(gate.judges, told[metric])), needed=needed)


def _unanswered(pair: Pair, gate: RegressionGate, rows: Sequence[ComparisonRow], *, needed: bool) -> Iterator[Gap]:
    """The gaps of one entry in a case that both runs built."""
    if not rows and _asks(pair, gate.metric, needed=needed):
        yield Gap(pair.case, gate.text.partition(":")[0], NEITHER if gate.metric != LATENCY else _untimed(pair))
    for row in rows:
        if row.verdict == "incomparable":
            yield Gap(pair.case, row.metric, row.why)


def _asks(pair: Pair, metric: str, *, needed: bool) -> bool:
    """Whether there is a figure of that metric to ask for."""
    if metric in NOT_OF.get(pair.case.dtype, ()):
        return False
    measured = all(record.status == "ok" for record in pair)
    if metric == OVERHEAD:
        return measured and not pair.case.is_baseline
    if metric == LATENCY:
        return measured and (pair.case.is_baseline or any(record.value(LATENCY) is not None for record in pair))
    return needed


def _untimed(pair: Pair) -> str:
    lacking = [name for name, record in zip(("BASE", "NEW"), pair, strict=True) if record.value(LATENCY) is None]
    return NEITHER if len(lacking) > 1 else f"not measured in {lacking[0]}"
