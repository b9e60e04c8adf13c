"""How many runs a process is worth: the scatter between processes, and the time they take, by profiled runs a process.

A few panels of the first host are profiled in fresh processes for many runs. The overheads are then computed from the first
few of those runs alone, so that all numbers of runs are judged by the same processes. What one process says moves less with
more runs, but what processes differ by does not go away: the best number has the smallest scatter for the time it takes.
"""

import math
from dataclasses import replace
from itertools import islice
from statistics import fmean, median, stdev
from typing import Any

from lab import experiment, table

from attnbench.measure.attribution import attribute_each
from attnbench.measure.bench import Bench
from attnbench.measure.header import hashes_of
from attnbench.measure.panels import goes_alone, pack, takes
from attnbench.measure.schedule import START, TimingStep
from attnbench.measure.sweep import open_builders
from attnbench.runs.ledger import Ledger
from attnbench.study.plan import plan

STUDY = {
    "name": "repeats",
    "hosts": ["resnetsan01"],
    "sizes": ["384x640"],
    "matrix": [
        {
            "modules": ["se_npu", "cbam_npu", "eca", "axial_conv", "coord", "linear_attention"],
            "places": [
                *(f"encoder.layer{number}" for number in (1, 2, 3, 4)),
                *(f"decoder.upconv{number}" for number in (4, 3, 2, 1)),
            ],
        }
    ],
}
WARMUP = 1
NUMBERS = (2, 3, 4, 5, 6, 8, 12)
"""Profiled runs a process."""

PANELS, PROCESSES = 2, 12


def run(quick: bool) -> dict[str, Any]:
    """The overheads of each case in each process, by number of runs."""
    size = {"sizes": ["96x160"]} if quick else {}
    asked = plan({**STUDY, **size, "targets": [], "settings": {"warmup": WARMUP, "repeat": max(NUMBERS)}})
    baseline, *variants = (planned.case for planned in asked.cases)
    ledger, found = Ledger(), {str(number): {} for number in NUMBERS}
    with open_builders(asked, len(variants)) as builders:
        bench = Bench(builders, asked, dict.fromkeys([baseline, *variants], ""), {p.case: hashes_of(p) for p in asked.cases})
        for fact in bench.take(TimingStep("build", (baseline, *variants))):
            ledger.add(fact)
        light = [case for case in variants if not goes_alone(ledger, bench.planned[case])]
        panels = list(islice(pack(light, lambda case: takes(ledger, case), 0), PANELS))
        for process in range(2 if quick else PROCESSES):
            alone = bench._profiled((baseline,))  # noqa: SLF001
            for panel in panels:
                among = bench._profiled(tuple(panel))  # noqa: SLF001
                owners = {site: case.variant for case in panel for site in bench.built[case].sites}
                for number in NUMBERS:
                    first = (replace(profile, runs=profile.runs[:number]) for profile in (alone, among))
                    for variant, attributed in attribute_each(*first, owners).items():
                        found[str(number)].setdefault(variant, []).append(attributed.overhead)
            print(f"process {process + 1}", flush=True)
    return found


def page(raw: dict[str, Any]) -> str:
    """One row a number of runs."""
    most = raw[str(max(NUMBERS))]
    rows = []
    for number in NUMBERS:
        cases = raw[str(number)]
        scatter = [stdev(cases[case]) / stdev(most[case]) for case in most]
        taken = WARMUP + number + START
        rows.append(
            {
                "runs a process": str(number),
                f"overhead over that of {max(NUMBERS)} runs, median": f"{median(_ratios(cases, most)):.3f}",
                f"scatter between processes over that of {max(NUMBERS)} runs, median": f"{median(scatter):.2f}",
                "time a process (runs)": str(taken),
                "time to the same interval, over 6 runs": f"{_time(raw, number) / _time(raw, 6):.2f}",
            }
        )
    processes = len(next(iter(most.values())))
    return (
        f"{len(most)} cases in {PANELS} panels, {processes} processes each. A process's start counts as {START} runs, "
        f"and each warms up for {WARMUP}.\n\n{table(rows)}"
    )


def _ratios(cases: dict[str, list[float]], most: dict[str, list[float]]) -> list[float]:
    return [fmean(cases[case]) / fmean(most[case]) for case in most]


def _time(raw: dict[str, Any], number: int) -> float:
    """Runs of the network until an interval of one width, up to a factor: variance by time a process, over all cases."""
    most = raw[str(max(NUMBERS))]
    logs = [2 * math.log(stdev(raw[str(number)][case]) / stdev(most[case])) for case in most]
    return math.exp(fmean(logs)) * (WARMUP + number + START)


if __name__ == "__main__":
    experiment("Profiled runs a process", run, page)
