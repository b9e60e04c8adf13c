"""How often ``track`` shows a step where there is none, and how often it finds one: simulated series, and real ones.

Every column of the tables is a detector: that of ``attnbench.judge.track.steps`` as it stands, with one constant set
otherwise, with one piece left out, and the one that was here before it. All see the same series. Three replicates a run
scatter by 0.1 points; so a run does by 0.058. Seeds are fixed: the tables repeat themselves to the digit.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from lab import RESULTS, experiment, table
from numpy.typing import NDArray

from attnbench.judge.track import steps
from attnbench.judge.track.steps import Array, Noise

SCATTER = 0.1
RUN_SCATTER = SCATTER / 3**0.5
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
    """What of the module ``steps`` is replaced, or that it is the one that was here before."""

    replaced: dict[str, Any] = field(default_factory=dict)
    former: bool = False

    def find(self, values: Array, errors: Array | None, family: int) -> list[list[int]]:
        """The first runs after steps of each series of one length."""
        with patch.multiple(steps, **{"FINE": steps.FINE, **self.replaced}):
            noise = steps.noise_by(values, errors)
            if self.former:
                starts = former_cut(
                    near_neighbours(values, noise.deviations),
                    noise.deviations,
                    steps.penalty(values.shape[1], noise, family),
                )
                return [former_edges(one)[1:-1] for one in starts]
            own = [Noise(one, noise.degrees) for one in noise.deviations]
            found = [steps.find_levels(one, known, family) for one, known in zip(values, own, strict=True)]
        return [[level.start for level in one.levels[1:]] for one in found]


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


def near_neighbours(series: Array, deviations: Array) -> Array:
    """The series with each run brought to within a deviation of the median of the five around it."""
    runs = series.shape[-1]
    starts = np.clip(np.arange(runs) - 2, 0, runs - 5)
    middle = np.median(series[..., starts[:, None] + np.arange(5)], axis=-1)
    return np.clip(series, middle - deviations, middle + deviations)


def former_cut(series: Array, deviations: Array, price: float) -> NDArray[np.intp]:
    """For each number of first runs where their last stretch starts, at the least sum of squares."""
    weights, centred = deviations**-2, series - np.median(series, axis=-1, keepdims=True)
    zero = np.zeros((*series.shape[:-1], 1))
    number, total, square = (np.concatenate((zero, np.cumsum(weights * centred**power, -1)), -1) for power in range(3))
    best, starts = np.full(number.shape, np.inf), np.zeros(number.shape, np.intp)
    best[..., 0] = -price
    for end in range(steps.SHORTEST, number.shape[-1]):
        first = slice(0, end - steps.SHORTEST + 1)
        size, sum_, squares = (sums[..., end, None] - sums[..., first] for sums in (number, total, square))
        costs = best[..., first] + squares - sum_**2 / size + price
        starts[..., end], best[..., end] = costs.argmin(-1), costs.min(-1)
    return starts


def former_edges(starts: NDArray[np.intp]) -> list[int]:
    """The edges of the stretches of one series."""
    found = [len(starts) - 1]
    while found[-1]:
        found.append(int(starts[found[-1]]))
    return found[::-1]


def promise(series: Array, errors: Array | None) -> Array:
    """What the replicates' errors promise of each run, the median run's at least; 1 without errors."""
    return np.ones_like(series) if errors is None else np.maximum(errors, np.median(errors, axis=-1, keepdims=True))


def plain_noise(series: Array, errors: Array | None) -> Noise:
    """The replicates' errors or the median difference of neighbours, whichever is larger."""
    unit = promise(series, errors)
    near = np.median(steps.differences(series, unit, 1), axis=-1) / steps.NORMAL_MEDIAN
    return Noise((near if errors is None else np.maximum(near, 1))[..., None] * unit, series.shape[-1] - 1)


NOW = "as it is"
DETECTORS = {
    NOW: Detector(),
    "before": Detector(former=True),
    "squares": Detector({"bound": lambda _, __: np.inf}),
    "three runs always": Detector({"explained": lambda _, __: steps.SHORTEST}),
    "without stretches": Detector({"LASTING": 1000}),
    "plain noise": Detector({"noise_by": plain_noise}),
    "FINE 3": Detector({"FINE": 3}),
    "APART 6": Detector({"APART": 6.0}),
    "PROMISED 4": Detector({"PROMISED": 4}),
    "PER_RUN 1/8": Detector({"PER_RUN": 1 / 8}),
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
    values += np.select([np.arange(60) >= at for at in (56, 50, 35, 20)], [0.5, 2.5, 0.5, 1.0])
    yield Question("four steps in 60 runs", values, errors, 100, [20, 35, 50, 56].__eq__)
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
    rng = np.random.default_rng(16)
    for share, runs in ((0.05, 60), (0.05, 500), (0.2, 20), (0.2, 60), (0.2, 500), (0.5, 60)):
        values, errors = simulated(16, max(20, size // 5) if runs == 500 else size, runs)
        values += 10 * RUN_SCATTER * (rng.random(values.shape) < share)
        text = f"{share:.0%} of {runs} runs 10 standard errors off, as of another machine: any step"
        yield Question(text, values, errors, 1, bool)
    values, errors = simulated(17, size, 60)
    values += 10 * RUN_SCATTER * (rng.random(values.shape) < 0.2)
    values[:, 40:] += 1
    yield Question(
        "20% of 60 runs off beside a step of 1 point, 40 before, 20 after: found", values, errors, 1, lambda at: 40 in at
    )
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
    size = 20 if quick else 200

    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for group, questions in GROUPS.items():
        rows = found.setdefault(group, {})
        for question in questions(size // 4 if questions is noise else size):
            row = rows.setdefault(question.text, {name: [] for name in DETECTORS})
            for name, detector in DETECTORS.items():
                row[name].append(question.ask(detector))
    return {
        group: {text: {name: round(float(np.mean(rates)), 2) for name, rates in row.items()} for text, row in rows.items()}
        for group, rows in found.items()
    }


def page(raw: dict[str, dict[str, dict[str, float]]]) -> str:
    """A table a group."""
    parts = []
    for group, rows in raw.items():
        parts += [
            f"{group}:",
            table({"": text, **{name: f"{rate:g}" for name, rate in row.items()}} for text, row in rows.items()),
        ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    experiment("Steps in noise, false and true", run, page)
