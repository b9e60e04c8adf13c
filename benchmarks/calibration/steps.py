"""How often ``track`` shows a step where there is none, and how often it finds one: simulated series, and real ones.

Every column of the tables is a detector: that of ``attnbench.judge.track.steps`` as it stands, with one constant set
otherwise, with one piece left out, and those that it was chosen before. All see the same series. Three replicates a run
scatter by 0.1 points; so a run does by 0.058. Seeds are fixed: the tables repeat themselves to the digit.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from lab import RESULTS, experiment, table

from attnbench.judge.track import steps
from attnbench.judge.track.steps import Array, Noise

SCATTER = 0.1
RUNS = (6, 10, 20, 30, 60)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "a fifth of the runs scatters 3 times as much": {"uneven": True},
    "tails of t3": {"tails": 3},
    "runs scatter twice what replicates show": {"between": 0.12},
    "scatter twice, tails of t3": {"between": 0.12, "tails": 3},
    "neighbours correlate by 0.6": {"between": 0.1, "lasting": 0.6},
}
STEPS = ((1.0, 3, 3), (1.0, 10, 3), (1.0, 57, 3), (1.0, 3, 30), (0.5, 10, 3), (0.3, 10, 10), (0.3, 57, 3), (0.3, 57, 10))
"""Size in points, runs before and after it."""


@dataclass(frozen=True)
class Detector:
    """What of the module ``steps`` is replaced, and whether cuts are looked at again, run by run as they were."""

    replaced: dict[str, Any] = field(default_factory=dict)
    again: bool = False

    def find(self, values: Array, errors: Array | None, family: int) -> list[list[int]]:
        """The first runs after steps of each series of one length."""
        with patch.multiple(steps, **{"REACH": steps.REACH, **self.replaced}):
            noise = steps.noise_by(values, errors)
            near = steps.near_neighbours(values, noise.deviations, steps.REACH)
            starts = steps.cut(near, noise.deviations, steps.penalty(values.shape[1], noise, family))
            cuts = [steps.edges(one) if one[-1] else [] for one in starts]
        return [(carried(one, found) if self.again else found)[1:-1] for one, found in zip(values, cuts, strict=True)]


class Question(NamedTuple):
    """Series of one length with the errors of their replicates, and which answer counts, in parts of ``of``."""

    text: str
    values: Array
    errors: Array | None
    family: int
    counts: Callable[[list[int]], bool]
    of: int = 100

    def ask(self, detector: Detector) -> float:
        """The share of the series whose answer counts."""
        return self.of * float(np.mean([self.counts(found) for found in detector.find(*self[1:4])]))


# --- what was here before, and what is plainer


def former_noise(lengths: tuple[int, ...] = (2, 4, 8), prior: float = 4) -> Callable[[Array, Array | None], Noise]:
    """Noise shrunk towards the replicates' promise, by differences of runs and, without steps, of stretches."""

    def noise(series: Array, errors: Array | None) -> Noise:
        unit = promise(series, errors)
        near = typical(series, unit, 1)
        own = 0.25 * (series.shape[1] - 1)
        if spans := [span for span in lengths if series.shape[1] >= 12 * span]:
            rest = levelled(series, np.maximum(near[:, None] * unit, steps.TINY))
            near = np.max([near, *(typical(rest, unit, span) for span in spans)], axis=0)
        if errors is None:
            return Noise(near[:, None] * unit, min(30, max(1, int(own))))
        shrunk = (prior + own * near**2) / (prior + own)
        return Noise(np.sqrt(np.maximum(1, shrunk))[:, None] * unit, min(30, int(4 + own)))

    return noise


def promise(series: Array, errors: Array | None) -> Array:
    """What the replicates' errors promise of each run, the median run's at least; 1 without errors."""
    return np.ones_like(series) if errors is None else np.maximum(errors, np.median(errors, axis=1, keepdims=True))


def typical(series: Array, unit: Array, span: int) -> Array:
    """The scatter by the median difference."""
    found: Array = np.median(steps.differences(series, unit, span), axis=1) / steps.NORMAL_MEDIAN
    return found


def levelled(series: Array, deviations: Array) -> Array:
    """The series without what surely are steps: those of ten deviations."""
    rest = np.array(steps.near_neighbours(series, deviations, 2.5))
    for one, deviation, starts in zip(rest, deviations, steps.cut(rest, deviations, 100.0), strict=True):
        for start, end in pairwise(steps.edges(starts)):
            one[start:end] -= np.average(one[start:end], weights=deviation[start:end] ** -2)
    return rest


def carried(series: Array, edges: list[int]) -> list[int]:
    """The edges with three runs on either side that lie, as they were, nearer to their own level than to the other."""
    for one, at, two in zip(edges, edges[1:], edges[2:], strict=False):
        before, after = series[one:at], series[at:two]
        low, high = np.median(before), np.median(after)
        own = (np.abs(before - low) < np.abs(before - high), np.abs(after - high) < np.abs(after - low))
        if min(map(np.count_nonzero, own)) < steps.SHORTEST:
            return carried(series, [edge for edge in edges if edge != at])
    return edges


def plain_noise(series: Array, errors: Array | None) -> Noise:
    """The replicates' errors or the median difference of neighbours, whichever is larger."""
    unit = promise(series, errors)
    near = typical(series, unit, 1)
    return Noise((near if errors is None else np.maximum(near, 1))[:, None] * unit, series.shape[1] - 1)


def as_they_are(series: Array, _: Array, __: float) -> Array:
    """No run is brought to its neighbours."""
    return series


def by_median(series: Array, unit: Array) -> Array:
    """The scatter of runs and stretches, both by the median."""
    return np.max([typical(series, unit, span) for span in (1, 3) if span == 1 or series.shape[1] >= steps.LASTING], axis=0)


BEFORE = {"noise_by": former_noise(), "REACH": 2.5}
NOW = "as it is"
DESIGNS = {
    NOW: Detector(),
    "without stretches": Detector({"LASTING": 1000}),
    "without neighbours": Detector({"near_neighbours": as_they_are}),
    "before": Detector(BEFORE, again=True),
    "before, without stretches": Detector({**BEFORE, "noise_by": former_noise(())}, again=True),
    "before, without shrinking": Detector({**BEFORE, "noise_by": former_noise(prior=0)}, again=True),
    "before, without neighbours": Detector({**BEFORE, "near_neighbours": as_they_are}, again=True),
    "before, without a second look": Detector(BEFORE),
    "plain": Detector({"noise_by": plain_noise, "near_neighbours": as_they_are}),
}
CONSTANTS = {
    NOW: Detector(),
    "REACH 0.5": Detector({"REACH": 0.5}),
    "REACH 2.5": Detector({"REACH": 2.5}),
    "NEIGHBOURS 3": Detector({"NEIGHBOURS": 3}),
    "LASTING 12": Detector({"LASTING": 12}),
    "LASTING 48": Detector({"LASTING": 48}),
    "median for quartile": Detector({"scatter": by_median}),
    "PROMISED 4": Detector({"PROMISED": 4}),
    "PROMISED 8": Detector({"PROMISED": 8}),
    "PER_RUN 1/8": Detector({"PER_RUN": 1 / 8}),
    "PER_RUN 1/2": Detector({"PER_RUN": 1 / 2}),
}


# --- what is asked


def simulated(
    seed: int, series: int, runs: int, *, tails: int = 0, uneven: bool = False, between: float = 0.0, lasting: float = 0.0
) -> tuple[Array, Array]:
    """Series of noise and their standard errors; ``between`` scatters runs beyond their replicates."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Array:
        return rng.standard_t(tails, shape) / np.sqrt(tails / (tails - 2)) if tails else rng.standard_normal(shape)

    scatter = np.where(rng.random((series, runs)) < (0.2 if uneven else 0), 3 * SCATTER, SCATTER)
    replicates = draw(series, runs, 3) * scatter[:, :, None]
    beyond = between * draw(series, runs)
    for at in range(1, runs):
        beyond[:, at] = lasting * beyond[:, at - 1] + np.sqrt(1 - lasting**2) * beyond[:, at]
    return replicates.mean(2) + beyond, replicates.std(2, ddof=1) / np.sqrt(3)


def noise(size: int) -> Iterator[Question]:
    """Series without a step; any that is found is false."""
    for family in (100, 10, 1):
        for kind, how in KINDS.items():
            for runs in RUNS:
                values, errors = simulated(1, (5 if family == 100 else 2) * size, runs, **how)
                yield Question(f"{kind}, family of {family}", values, errors, family, bool, 10_000)
        values, _ = simulated(1, 2 * size, 60)
        yield Question(f"plain, without replicates, family of {family}", values, None, family, bool, 10_000)
    yield Question(
        "neighbours correlate by 0.6, 60 runs, family of 100",
        *simulated(1, 5 * size, 60, **KINDS["neighbours correlate by 0.6"]), 100, bool, 10_000,
    )  # fmt: skip


def true_steps(size: int) -> Iterator[Question]:
    """Series with steps: those that are found where they are, and none beside."""
    for points, before, after in STEPS:
        values, errors = simulated(2, size, before + after)
        values[:, before:] += points
        yield Question(f"step of {points} points, {before} runs before, {after} after", values, errors, 100, [before].__eq__)
    values, errors = simulated(9, size, 34, between=0.1)
    values[:, 30:] += 1
    yield Question("step of 1.0 points, 30 and 4 runs that scatter twice", values, errors, 100, lambda found: 30 in found)
    values, errors = simulated(13, size, 60)
    values += np.select([np.arange(60) >= at for at in (53, 50, 35, 20)], [0.5, 2.5, 0.5, 1.0])
    yield Question("four steps in 60 runs", values, errors, 100, [20, 35, 50, 53].__eq__)
    values, errors = simulated(14, size, 120)
    values += (np.arange(120) // 8) % 2
    yield Question("a step of 1 point every 8 runs", values, errors, 100, list(range(8, 120, 8)).__eq__)


def bad_runs(size: int) -> Iterator[Question]:
    """Single runs that are wrong; at the end they are no step, and elsewhere they hide none."""
    for family in (100, 1):
        for number in (1, 2):
            for runs in RUNS:
                values, errors = simulated(12, size, runs)
                values[:, -number:] += 5
                yield Question(f"{number} bad at the end called a step, family of {family}", values, errors, family, bool)
    values, errors = simulated(13, size, 60)
    values[:, 40:] += 1
    values[:, [5, 20, 50]] += 3
    yield Question("three bad runs beside a step of 1 point: found", values, errors, 100, [40].__eq__)
    values, errors = simulated(15, size, 60)
    yield Question("drift by 1 point over 60 runs called steps", values + np.linspace(0, 1, 60), errors, 100, bool)


def real() -> Iterator[Question]:
    """Measured figures in points: nothing changed in these."""
    for size, variants in json.loads((RESULTS / "aa_attributed.json").read_text()).items():
        values, errors = measured([[one for pair in pairs for one in pair] for pairs in variants.values()])
        yield Question(f"`aa_attributed`, {size}: series with a step", values, errors, len(values), bool)
    runs = json.loads((RESULTS / "history.json").read_text())["runs"]
    found = [
        [m["samples"] for record in run["records"] for m in record["measurements"] if m["metric"] == "overhead"]
        for run in runs
        if not run["slower"]
    ]
    values, errors = measured(list(zip(*found, strict=True)))
    yield Question("`history`: series with a step", values, errors, len(values), bool)
    for points in (0.3, 1.0):
        later = values + points * (np.arange(values.shape[1]) >= values.shape[1] - 3)
        text = f"`history` with {points} points on its last 3 runs: found"
        yield Question(text, later, errors, len(values), [values.shape[1] - 3].__eq__)


def measured(series: Sequence[Sequence[Sequence[float]]]) -> tuple[Array, Array]:
    """Figures in points and their standard errors, of the replicates of each run of each series."""
    values = [[100 * fmean(run) for run in runs] for runs in series]
    return np.array(values), np.array([[100 * stdev(run) / len(run) ** 0.5 for run in runs] for runs in series])


GROUPS: dict[str, Callable[[int], Iterator[Question]]] = {
    "False steps in 10,000 series of 6, 10, 20, 30 and 60 runs; 100, 10 or 1 in a report may have 1, 10 or 100": noise,
    "Steps found, %": true_steps,
    "Bad runs and drift, % of series": bad_runs,
    "Measured series, %": lambda _: real(),
}


def run(quick: bool) -> dict[str, dict[str, dict[str, float]]]:
    """By group and question the answer of each detector, over all lengths of the question's series."""
    size = 50 if quick else 1000
    detectors = {**DESIGNS, **CONSTANTS}
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for group, questions in GROUPS.items():
        rows = found.setdefault(group, {})
        for question in questions(size):
            row = rows.setdefault(question.text, {name: [] for name in detectors})
            for name, detector in detectors.items():
                row[name].append(question.ask(detector))
    return {
        group: {text: {name: round(float(np.mean(rates)), 2) for name, rates in row.items()} for text, row in rows.items()}
        for group, rows in found.items()
    }


def page(raw: dict[str, dict[str, dict[str, float]]]) -> str:
    """The tables: designs first, then the one that stands with each constant set otherwise."""
    parts = []
    for title, columns in (("Designs", DESIGNS), ("Each constant set otherwise", CONSTANTS)):
        parts.append(f"## {title}")
        for group, rows in raw.items():
            shown = [{"": text, **{name: f"{row[name]:g}" for name in columns}} for text, row in rows.items()]
            parts += [f"{group}:", table(shown)]
    return "\n\n".join(parts)


if __name__ == "__main__":
    experiment("Steps in noise, false and true", run, page)
