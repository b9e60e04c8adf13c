"""What a sweep would take, without measuring it: ``sweep --dry-run``."""

from collections.abc import Callable, Iterator
from statistics import median

from attnbench.core.records import Case, RunHeader
from attnbench.core.units import seconds_text
from attnbench.measure.bench import Bench
from attnbench.measure.executor import HERE, Executor
from attnbench.measure.header import about, hashes_of, make_header, runtimes_of
from attnbench.measure.observer import nobody
from attnbench.measure.panels import goes_alone
from attnbench.measure.schedule import TimingStep, work_of
from attnbench.measure.sweep import open_builders, preflight
from attnbench.runs.ledger import Ledger
from attnbench.study.plan import Plan


def estimate(plan: Plan, at: Callable[[str], None] = nobody, on: Executor = HERE) -> list[tuple[str, str]]:
    """Each case with how it would be measured, or why it would not be; the time that all take last.

    All cases are described, which the sweep itself then finds done, and each baseline is timed briefly. ``at`` is told the
    label of each case that is described.
    """
    header, ledger = make_header(plan, about(on, runtimes_of(plan))), Ledger()
    cases = tuple(planned.case for planned in plan.cases)
    hashes = {planned.case: hashes_of(planned) for planned in plan.cases}
    with open_builders(plan, len(cases)) as builders:
        preflight(builders, plan.cases)
        bench = Bench(builders, plan, dict.fromkeys(cases, ""), hashes, on)
        for fact in bench.take(TimingStep("build", cases)):
            at(fact.case.label)
            ledger.add(fact)
        whole = sum(_seconds(plan, bench, header, ledger, case) for case in cases if case.is_baseline)
    return [*_rows(plan, ledger), (f"all {len(cases)}", f"{seconds_text(whole)} at least")]


def _rows(plan: Plan, ledger: Ledger) -> Iterator[tuple[str, str]]:
    for planned in plan.cases:
        facts = ledger.known(planned.case)
        if facts.failed is not None:
            yield planned.case.label, f"{facts.failed.status}: {facts.failed.stage}: {facts.failed.message}"
        elif facts.built is not None and facts.built.skip:
            yield planned.case.label, f"skipped: {facts.built.skip}"
        elif planned.case.is_baseline or goes_alone(ledger, planned):
            yield planned.case.label, "in a graph of its own"
        else:
            yield planned.case.label, "in a graph with others"


def _seconds(plan: Plan, bench: Bench, header: RunHeader, ledger: Ledger, baseline: Case) -> float:
    """What the cases of a host and size take: their work, at what one run of the baseline takes now."""
    if ledger.known(baseline).ended:
        return 0.0
    wall = bench.timed({"kind": "latency", "model": bench.graph((baseline,)), "threads": 1}, (baseline,), repeat=3)["wall"]
    return work_of(plan, header, ledger, baseline) * median(wall)
