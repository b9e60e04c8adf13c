"""The sum of a panel's parts against the clock: what all of its cases add, attributed, beside interleaved pairs.

A single case of 0.3 % against pairs that tell a point cannot disagree; a panel's sum of 10 to 60 % can. The pairs go on
until they could see a difference of a tenth of the sum, or until the budget of ``Effort.crosscheck`` ends.
"""

from dataclasses import dataclass
from itertools import chain

from msgspec import structs

from attnbench.core.metrics import measurement
from attnbench.core.records import Case, Measurement, RunHeader
from attnbench.core.statistics import Estimate
from attnbench.runs.figures import pair_ratios, paired_overhead
from attnbench.runs.ledger import Ledger
from attnbench.runtimes import CPU, device_of

TOLD = 0.1
"""The share of the sum that the pairs are to tell."""


@dataclass(frozen=True)
class Crosscheck:
    """A panel's cases, the sum of their overheads (a ratio), what the pairs say, and how many pairs are still wanted.

    ``numbers`` are the replicates that pairs were taken in.
    """

    cases: tuple[Case, ...]
    total: float | None
    paired: Estimate | None
    ratios: tuple[float, ...]
    numbers: frozenset[int]
    left: int

    def measurements(self) -> list[Measurement]:
        """Both figures, where they were had."""
        if self.paired is None:
            return []
        about = "; ".join(case.variant for case in self.cases)
        return [
            measurement("panel_sum", self.total, note=about),
            measurement("panel_paired", self.paired, self.ratios, "samples are panel over baseline, a pair each"),
        ]


def crosscheck(header: RunHeader, ledger: Ledger, baseline: Case) -> Crosscheck:
    """What a baseline's cross-check has come to so far."""
    budget, facts = header.effort_of(baseline).crosscheck, ledger.known(baseline)
    if not facts.together:
        return Crosscheck((), None, None, (), frozenset(), 0 if facts.crosscheck_failed or facts.ended else budget)
    cases = tuple(structs.replace(baseline, variant=variant) for variant in facts.together[0].together)
    overheads = [ledger.known(case).overheads for case in cases]
    total = sum(sum(one) / len(one) for one in overheads) if all(overheads) else None
    clock = "cpu" if device_of(baseline.runtime, header.protocol.get("provider", CPU)) == CPU else "wall"
    processes = pair_ratios(facts.together, clock)
    paired, ratios = paired_overhead(*processes), tuple(chain.from_iterable(processes))
    half = float("inf") if paired.low is None or paired.high is None else (paired.high - paired.low) / 2
    told = total is not None and half <= TOLD * abs(total)
    hopeless = any(one.ended or (one.replicates and not one.overheads) for one in map(ledger.known, cases))
    over = told or hopeless or bool(facts.crosscheck_failed)
    numbers = frozenset(fact.number for fact in facts.together)
    return Crosscheck(cases, total, paired, ratios, numbers, 0 if over else max(0, budget - len(ratios)))
