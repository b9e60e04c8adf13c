"""Cases in panels beside the same cases alone: whether sharing a graph changes what a case is said to cost.

Every replicate takes one profile of the baseline, every case in panels that are drawn anew, and every case in a graph of its
own, all in one random order. A case's two means differ by z standard errors; where sharing changes nothing, |z| > 2 comes up
as often as Student's t says for so many replicates. A host whose figures are in the result file is not measured again.
"""

import json
import math
import random
from collections.abc import Iterable, Iterator
from statistics import fmean, median, variance
from typing import Any

from lab import RESULTS, experiment, rate, table
from scipy.stats import t as student

from attnbench.core.statistics import signed_rank_interval
from attnbench.judge.verdicts import systematic_points
from attnbench.measure import panels as packing
from attnbench.measure.bench import Bench
from attnbench.measure.header import hashes_of
from attnbench.measure.panels import goes_alone, pack, takes
from attnbench.measure.schedule import TimingStep
from attnbench.measure.sweep import open_builders
from attnbench.runs.facts import ApartFact, ProfileFact
from attnbench.runs.ledger import Ledger
from attnbench.study.plan import plan

STUDIES = (
    {
        "name": "resnetsan01",
        "hosts": ["resnetsan01"],
        "sizes": ["384x640"],
        "matrix": [
            {
                "modules": ["se_npu", "cbam_npu", "eca", "axial_conv", "coord", "linear_attention"],
                "places": [
                    *(f"encoder.layer{number}" for number in (1, 2, 3, 4)),
                    *(f"decoder.upconv{number}" for number in (4, 3, 2, 1)),
                    "skip.1",
                    "skip.2",
                ],
            }
        ],
    },
    {
        "name": "mobilenet_v2, inside blocks",
        "hosts": ["mobilenet_v2"],
        "sizes": ["224x224"],
        "matrix": [{"modules": ["se", "eca", "coord", "cbam"], "places": ["each"]}],
    },
    {
        "name": "resnet18, inside blocks",
        "hosts": ["resnet18"],
        "sizes": ["224x224"],
        "matrix": [{"modules": ["se", "eca", "simam"], "places": ["each"]}],
    },
)
AMOUNTS = {"resnetsan01": (60, 8, 4), "mobilenet_v2, inside blocks": (40, 8, 6), "resnet18, inside blocks": (40, 8, 6)}
"""Cases of a study, drawn with a fixed seed, replicates of each, and profiled runs of each of these."""
SMALL = 0.01
FIGURES = RESULTS / "panels.json"


def run(quick: bool) -> dict[str, Any]:
    """The overheads of each case, in panels and alone, by study."""
    if quick:
        return {"quick": measured(STUDIES[1], 6, 2, 6)}
    found = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    for study in STUDIES:
        if study["name"] not in found:
            found[study["name"]] = measured(study, *AMOUNTS[study["name"]])
            FIGURES.write_text(json.dumps(found, default=list))
    return found


def measured(study: dict[str, Any], number: int, replicates: int, runs: int) -> dict[str, Any]:
    """A study's cases, in panels and alone, interleaved."""
    packing.TINY = 0  # such networks are not measured in panels; this shows why
    asked = plan({**study, "targets": [], "settings": {"warmup": 1, "repeat": runs}})
    draw = random.Random(study["name"])  # noqa: S311  an order, not a secret
    baseline, *variants = (planned.case for planned in asked.cases)
    ledger = Ledger()
    found: dict[str, Any] = {"apart": 0, "replicates": 0, "cases": {}}
    with open_builders(asked, len(variants)) as builders:
        bench = Bench(builders, asked, dict.fromkeys([baseline, *variants], ""), {p.case: hashes_of(p) for p in asked.cases})
        chosen = draw.sample(variants, min(number, len(variants)))
        for fact in bench.take(TimingStep("build", (baseline, *chosen))):
            ledger.add(fact)
        heavy = {case for case in chosen if goes_alone(ledger, bench.planned[case])}
        chosen = [case for case in chosen if case not in heavy]
        for replicate in range(replicates):
            panels = pack(chosen, lambda case: takes(ledger, case), replicate)
            steps = [TimingStep("profile", tuple(panel), replicate) for panel in panels]
            steps += [TimingStep("profile", (case,), replicate) for case in chosen]
            for step in draw.sample(steps, len(steps)):
                for fact in bench.take(step):
                    note(found, fact, "panel" if len(step.cases) > 1 else "alone")
            print(study["name"], f"replicate {replicate + 1} of {replicates}: {len(panels)} panels", flush=True)
    return {**found, "heavy": len(heavy)}


def note(found: dict[str, Any], fact: Any, how: str) -> None:
    """Keep what a profile says of a case."""
    figures = found["cases"].setdefault(fact.case.variant, {"panel": [], "alone": []})
    found["replicates"] += how == "panel"
    if isinstance(fact, ApartFact):
        found["apart"] += 1
    elif isinstance(fact, ProfileFact):
        figures[how].append(fact.overhead)


def page(raw: dict[str, Any]) -> str:
    """By study the ratios and z; then the cases that differ most."""
    far = sorted((abs(z(one)), name, case, one) for name, study in raw.items() for case, one in compared(study))
    worst = (
        {
            "host": name,
            "case": case,
            "panel (%)": figure(one["panel"]),
            "alone (%)": figure(one["alone"]),
            "ratio": f"{fmean(one['panel']) / fmean(one['alone']):.3f}",
            "z": f"{z(one):+.2f}",
        }
        for _, name, case, one in reversed(far[-8:])
    )
    return "\n\n".join(
        (table(rows(raw)), "The cases whose two figures lie furthest apart (standard error in brackets):", table(worst))
    )


def rows(raw: dict[str, Any]) -> Iterator[dict[str, str]]:
    """One row a study."""
    for name, study in raw.items():
        figures = [one for _, one in compared(study)]
        if not figures:
            continue
        ratios = [
            math.log(fmean(one["panel"]) / fmean(one["alone"])) for one in figures if min(map(fmean, one.values())) > 0
        ]
        centre = signed_rank_interval(ratios).map(math.exp)
        beyond = sum(abs(z(one)) > 2 for one in figures)
        small = [one for one in figures if fmean(one["alone"]) < SMALL]
        degrees = 2 * (min(len(one["alone"]) for one in figures) - 1)
        yield {
            "host": name,
            "cases": str(len(figures)),
            "replicates each": str(len(figures[0]["alone"])),
            "sent apart, of those in panels": f"{study['apart']} of {study['replicates']}",
            "panel over alone, median": f"{math.exp(median(ratios)):.3f}",
            "centre and its 95 % interval": f"{centre.value:.3f} [{centre.low:.3f}, {centre.high:.3f}]",
            "|z| > 2 (%)": f"{beyond}: {rate(beyond, len(figures))}",
            "by chance (%)": f"{200 * student.sf(2, degrees):.1f}",
            "beyond scatter, of figures below 1 % (%)": beyond_scatter(
                one for one in figures if fmean(one["alone"]) < SMALL
            ),
            "of others (%)": beyond_scatter(one for one in figures if one not in small),
            "within the systematic part": f"{sum(map(is_within, figures))} of {len(figures)}",
        }


def beyond_scatter(cases: Iterable[dict[str, list[float]]]) -> str:
    """By how much of the figure the two means differ beyond what their scatter explains, as a root mean square."""
    excess = []
    for one in cases:
        panel, alone = fmean(one["panel"]), fmean(one["alone"])
        scatter = sum(variance(figures) / len(figures) for figures in one.values())
        excess.append(((panel - alone) ** 2 - scatter) / alone**2)
    return f"{100 * math.sqrt(max(0.0, fmean(excess))):.1f}" if excess else "-"


def is_within(one: dict[str, list[float]]) -> bool:
    """Whether the two means differ by no more than attribution may be off by as a whole."""
    panel, alone = 100 * fmean(one["panel"]), 100 * fmean(one["alone"])
    return abs(panel - alone) <= systematic_points(alone)


def compared(study: dict[str, Any]) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """The cases with figures of both kinds."""
    return ((case, one) for case, one in study["cases"].items() if min(len(one["panel"]), len(one["alone"])) > 1)


def z(one: dict[str, list[float]]) -> float:
    """How many standard errors the two means differ by."""
    error = math.sqrt(sum(variance(figures) / len(figures) for figures in one.values()))
    return (fmean(one["panel"]) - fmean(one["alone"])) / error if error else 0.0


def figure(figures: list[float]) -> str:
    """A mean in percent, with its standard error."""
    return f"{100 * fmean(figures):.3f} ({100 * math.sqrt(variance(figures) / len(figures)):.3f})"


if __name__ == "__main__":
    experiment("Cases in panels and alone", run, page)
