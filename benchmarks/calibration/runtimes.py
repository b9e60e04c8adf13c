"""Attribution in each runtime against its own clock: 400 interleaved pairs of three modules.

The modules are a gate (SE), one that OpenVINO folds much of (CBAM) and one that is large (linear attention). The pairs are
of CPU time of the whole process's thread, in fresh processes of 50; the attributed figure is that of ten replicates.
"""

from collections.abc import Iterator
from typing import Any

from lab import SMALL, Lab, experiment, open_lab, percent, table

from attnbench.core.records import BASELINE
from attnbench.core.statistics import replicate_interval
from attnbench.judge.verdicts import agreement
from attnbench.measure.attribution import attribute
from attnbench.runs.figures import paired_overhead
from attnbench.runtimes import RUNTIMES, runtime_version

VARIANTS = ("decoder.fusion=se", "encoder.layer3=cbam", "decoder.upconv2=linear_attention")
PAIRS, ROUNDS, REPLICATES = 400, 50, 10


def run(quick: bool) -> dict[str, Any]:
    """By runtime and variant: the overheads of replicates, and the ratios of pairs."""
    pairs, rounds, replicates = (20, 10, 2) if quick else (PAIRS, ROUNDS, REPLICATES)
    found: dict[str, Any] = {}
    with open_lab() as lab:
        for runtime in RUNTIMES.names():
            own = found[f"{runtime} {runtime_version(runtime)}"] = {}
            for variant in VARIANTS:
                ratios = [
                    ratio for number in range(pairs // rounds) for ratio in pairs_of(lab, runtime, variant, rounds, number)
                ]
                own[variant] = {"overheads": list(overheads(lab, runtime, variant, replicates)), "ratios": ratios}
    return found


def overheads(lab: Lab, runtime: str, variant: str, replicates: int) -> Iterator[float]:
    """Attributed overheads, each from a fresh profile of the baseline and one of the variant."""
    for _ in range(replicates):
        baseline, other = (lab.profile(lab.graph(one, SMALL), runtime) for one in (BASELINE, variant))
        found = attribute(baseline, other)
        if found.reason:
            raise RuntimeError(f"{runtime} {variant}: {found.reason}")
        yield found.overhead


def pairs_of(lab: Lab, runtime: str, variant: str, rounds: int, number: int) -> list[float]:
    """Variant over baseline in interleaved rounds of one fresh process."""
    models = [lab.graph(one, SMALL) for one in (BASELINE, variant)]
    job = {"kind": "pairs", "models": models, "rounds": rounds, "number": number, "runtime": runtime}
    return [after / before for before, after in lab.job(job)["cpu"]]


def page(raw: dict[str, Any]) -> str:
    """A row a runtime and module, both figures with their intervals."""
    rows = (row(runtime, variant, found) for runtime, own in raw.items() for variant, found in own.items())
    return table(rows)


def row(runtime: str, variant: str, found: dict[str, list[float]]) -> dict[str, str]:
    """What attribution says beside what the pairs say."""
    paired, attributed = paired_overhead(found["ratios"]), replicate_interval(found["overheads"])
    ends = (None if end is None else 100 * end for end in (paired.low, paired.high))
    return {
        "runtime": runtime,
        "variant": variant,
        "attributed (%)": percent(attributed),
        "pairs (%)": percent(paired),
        "replicates": str(len(found["overheads"])),
        "number of pairs": str(len(found["ratios"])),
        "the two": agreement(100 * attributed.value, *ends),
    }


if __name__ == "__main__":
    experiment("Attribution in each runtime, against its clock", run, page)
