"""What the calibration experiments share: graphs of variants, the timing processes, and how a result is written down.

Every experiment is run as ``python benchmarks/calibration/NAME.py`` and writes ``results/calibration/NAME.md`` (a table to
read) and ``NAME.json`` (its raw figures). ``--quick`` is a small trial that writes nothing. Seeds are fixed.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from scipy.stats import binomtest

from attnbench.core.protocol import Effort, Protocol, split_settings
from attnbench.core.records import BASELINE, DEFAULT_RUNTIME, Case
from attnbench.core.statistics import Estimate
from attnbench.hosts import HostReference
from attnbench.measure import machine as environment
from attnbench.measure.attribution import Attribution, Profile, attribute
from attnbench.measure.bench import timing_job
from attnbench.measure.builder import Builder
from attnbench.measure.disturbance import Watch
from attnbench.measure.timing import time_in_process
from attnbench.report.table import Table
from attnbench.study.plan import PlannedCase

RESULTS = Path(__file__).resolve().parents[2] / "results" / "calibration"
HOST = HostReference("resnetsan01")
SMALL, LARGE = "96x160", "384x640"
AA_SIZES = {SMALL: 200, LARGE: 32}
"""How many comparisons of like with like are made at each size."""

TIMEOUT = 600.0


class Lab:
    """Builds variants of a host and times them as a sweep does."""

    def __init__(self, builder: Builder, effort: Effort, host: HostReference = HOST) -> None:
        self.builder = builder
        self.effort = effort
        self.host = host
        self.paths: dict[tuple[str, str], str] = {}

    def graph(self, variant: str, size: str) -> str:
        """The path of a variant's graph; ``baseline`` is the host alone."""
        key = variant, size
        if key not in self.paths:
            planned = PlannedCase(Case(self.host.spec, variant, size), self.host, self.effort)
            self.paths[key] = self.builder.write([planned])
        return self.paths[key]

    def profile(self, path: str, runtime: str = DEFAULT_RUNTIME) -> Profile:
        """A profile from a fresh process."""
        job = {"kind": "profile", "model": path, "repeat": self.effort.repeat, "chain": self.builder.chain()}
        job["runtime"] = runtime
        return Profile.from_result(self.job(job))

    def baseline(self, size: str) -> Profile:
        """A new profile of the host alone."""
        return self.profile(self.graph(BASELINE, size))

    def replicate(self, variant: str, size: str, baseline: Profile) -> Attribution:
        """One replicate of an attributed overhead, with a baseline's profile and a new one of the variant."""
        return attribute(baseline, self.profile(self.graph(variant, size)))

    def ratios(self, variant: str, size: str, rounds: int, number: int, clock: str = "cpu") -> list[float]:
        """Variant over baseline in interleaved rounds of one fresh process."""
        return [after / before for before, after in self.pairs(variant, size, rounds, number)[clock]]

    def pairs(self, variant: str, size: str, rounds: int, number: int) -> dict[str, Any]:
        """The times of interleaved rounds of baseline and variant in one fresh process, by clock."""
        models = [self.graph(BASELINE, size), self.graph(variant, size)]
        return self.job({"kind": "pairs", "models": models, "rounds": rounds, "number": number})

    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        """Any timing job, in a fresh process."""
        return time_in_process(timing_job(job, self.builder.protocol, self.effort), TIMEOUT)


@contextmanager
def open_lab(**settings: Any) -> Iterator[Lab]:
    """A lab with a builder of its own, and the default protocol and effort of a sweep but for the settings given."""
    protocol, effort = split_settings(settings)
    with (
        tempfile.TemporaryDirectory(prefix="attnbench-") as folder,
        Builder(Path(folder), (), Protocol(**protocol)) as builder,
    ):
        yield Lab(builder, Effort(timeout_seconds=TIMEOUT, **effort))


def experiment(title: str, run: Callable[[bool], dict[str, Any]], page: Callable[[dict[str, Any]], str]) -> None:
    """Run an experiment and write its page: what the raw figures say (Markdown), the machine, and its load meanwhile.

    ``run`` is told whether this is a quick trial; ``page`` needs nothing but the raw figures.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--quick", action="store_true", help="a small trial that writes no result")
    quick = parser.parse_args().quick
    name = Path(parser.prog).stem
    with Watch() as watch:
        raw = run(quick)
    if not quick:  # first of all: a mistake in a page must not cost the figures
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(raw, separators=(",", ":"), default=list) + "\n")
    machine, software = environment.machine(), environment.software()
    about = (
        f"Machine: {machine['cpu']}, {machine['cores']} cores granted (id {machine['id']}); onnxruntime "
        f"{software['onnxruntime']}, torch {software['torch']} (id {software['id']}), {datetime.now(UTC):%Y-%m-%d %H:%M} "
        f"UTC. While it ran: {watch.activity.text()}."
    )
    text = "\n\n".join((f"# {title}", page(raw), about))
    print(text)
    if not quick:
        (RESULTS / f"{name}.md").write_text(text + "\n")


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Rows of text as a Markdown table."""
    return Table.of(rows).markdown()


def percent(estimate: Estimate, decimals: int = 3) -> str:
    """A ratio with its interval, in percent."""
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.value:.{decimals}f}"
    return f"{100 * estimate.value:.{decimals}f} [{100 * estimate.low:.{decimals}f}, {100 * estimate.high:.{decimals}f}]"


def root_mean_square(values: Iterable[float]) -> float:
    """The root of the mean of the squares."""
    return math.sqrt(fmean(value**2 for value in values))


def miss_row(size: str, found: list[Estimate]) -> dict[str, str]:
    """How many intervals miss 0, where 0 is true, with the exact binomial interval of the rate."""
    misses = sum(not (one.low or 0) <= 0 <= (one.high or 0) for one in found)
    return {"size": size, "comparisons": str(len(found)), "misses": str(misses), "misses (%)": rate(misses, len(found))}


def rate(number: int, of: int) -> str:
    """A rate in percent, with its exact binomial interval."""
    interval = binomtest(number, of).proportion_ci(method="exact")
    return percent(Estimate(number / of, interval.low, interval.high), 1)
