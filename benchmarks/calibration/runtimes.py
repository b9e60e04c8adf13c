"""Attribution in each runtime against its own clock, and what the clock sees beside the nodes.

The modules are a gate (SE), one of many small nodes that OpenVINO folds in part (CBAM) and one that is large (linear
attention). The pairs are of CPU time of the whole process's thread, in many fresh processes: a session's places in memory
are worth some percent of OpenVINO's time, and stay as long as the process. The attributed figure is that of some replicates.
Their profiles also tell the wall time of their runs: where that grows with the number of nodes by more than their own times
do, something between nodes is in no node's time.
"""

from collections.abc import Iterator
from statistics import fmean, linear_regression, median
from typing import Any

from lab import SMALL, Lab, experiment, open_lab, percent, table

from attnbench.core.records import BASELINE
from attnbench.core.statistics import Estimate, replicate_interval
from attnbench.judge.verdicts import agreement
from attnbench.measure.attribution import Profile, attribute
from attnbench.runs.figures import paired_overhead
from attnbench.runtimes import RUNTIMES, runtime_version

VARIANTS = (
    "decoder.fusion=se",
    "encoder.layer1+encoder.layer2+encoder.layer3+decoder.fusion=cbam",
    "decoder.upconv2=linear_attention",
)
PROCESSES, ROUNDS, REPLICATES = 20, 20, 8


def run(quick: bool) -> dict[str, Any]:
    """By runtime and variant: the overheads of replicates, what no node's time holds, and the ratios of pairs."""
    processes, rounds, replicates = (2, 10, 2) if quick else (PROCESSES, ROUNDS, REPLICATES)
    found: dict[str, Any] = {}
    with open_lab() as lab:
        for runtime in RUNTIMES.names():
            own = found[f"{runtime} {runtime_version(runtime)}"] = {}
            for variant in VARIANTS:
                ratios = [pairs_of(lab, runtime, variant, rounds, number) for number in range(processes)]
                taken = list(replicates_of(lab, runtime, variant, replicates))
                own[variant] = {
                    "overheads": [overhead for overhead, _ in taken],
                    "outside": [outside for _, outside in taken],
                    "ratios": ratios,
                }
    return found


def replicates_of(lab: Lab, runtime: str, variant: str, number: int) -> Iterator[tuple[float, list[tuple[int, float]]]]:
    """Attributed overheads, each from a fresh profile of the baseline and one of the variant.

    Of both profiles the number of nodes, and the seconds of a run that no node has.
    """
    for _ in range(number):
        models = [lab.graph(one, SMALL) for one in (BASELINE, variant)]
        job = {"kind": "profile", "repeat": lab.effort.repeat, "chain": lab.builder.chain(), "runtime": runtime}
        results = [lab.job({**job, "model": model}) for model in models]
        found = attribute(*map(Profile.from_result, results))
        if found.reason:
            raise RuntimeError(f"{runtime} {variant}: {found.reason}")
        yield found.overhead, [(len(one["nodes"]), one["wall"] - fmean(map(sum, one["runs"]))) for one in results]


def pairs_of(lab: Lab, runtime: str, variant: str, rounds: int, number: int) -> list[float]:
    """Variant over baseline in interleaved rounds of one fresh process."""
    models = [lab.graph(one, SMALL) for one in (BASELINE, variant)]
    job = {"kind": "pairs", "models": models, "rounds": rounds, "number": number, "runtime": runtime}
    return [after / before for before, after in lab.job(job)["cpu"]]


def page(raw: dict[str, Any]) -> str:
    """A row a runtime and module, both figures with their intervals; then what no node's time holds."""
    rows = (row(runtime, variant, found) for runtime, own in raw.items() for variant, found in own.items())
    outside = table(map(beside, raw, raw.values()))
    return "\n\n".join((table(rows), "What a profiled run takes outside of its nodes:", outside))


def row(runtime: str, variant: str, found: dict[str, Any]) -> dict[str, str]:
    """What attribution says beside what the pairs say."""
    paired, attributed = paired_overhead(*found["ratios"]), replicate_interval(found["overheads"])
    ends = (None if end is None else 100 * end for end in (paired.low, paired.high))
    by_process = [100 * (median(own) - 1) for own in found["ratios"]]
    return {
        "runtime": runtime,
        "variant": variant,
        "attributed (%)": percent(attributed),
        "pairs (%)": percent(paired),
        "replicates": str(len(found["overheads"])),
        "number of pairs": f"{sum(map(len, found['ratios']))} of {len(by_process)} processes",
        "a process's pairs, from and to (%)": f"{min(by_process):.2f} to {max(by_process):.2f}",
        "the two": agreement(100 * attributed.value, *ends),
    }


def beside(runtime: str, own: dict[str, Any]) -> dict[str, str]:
    """The time outside of nodes in microseconds: of the baseline's run, and what each further node adds to it."""
    outside = [pair for found in own.values() for pair in found["outside"]]
    return {
        "runtime": runtime,
        "baseline (us)": microseconds(replicate_interval([1e6 * before for (_, before), _ in outside])),
        "for each node more (us)": microseconds(further_node(own)),
        "nodes more": ", ".join(str(found["outside"][0][1][0] - found["outside"][0][0][0]) for found in own.values()),
    }


def further_node(own: dict[str, Any]) -> Estimate:
    """What a node more adds to the time outside of nodes, in microseconds: a slope a replicate, through its variants."""
    slopes = []
    for replicate in zip(*(found["outside"] for found in own.values()), strict=True):
        more = [(after[0] - before[0], 1e6 * (after[1] - before[1])) for before, after in replicate]
        slopes.append(linear_regression(*zip(*more, strict=True), proportional=True).slope)
    return replicate_interval(slopes)


def microseconds(estimate: Estimate) -> str:
    """A time with its interval."""
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


if __name__ == "__main__":
    experiment("Attribution in each runtime, against its clock", run, page)
