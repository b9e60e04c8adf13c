"""The tables that show a study's claims beside its figures."""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

from attnbench.core.columns import CLAIMABLE
from attnbench.core.records import Run
from attnbench.core.units import MISSING, bytes_text, decimals_for, fixed, scaled, significant, with_interval
from attnbench.judge.claims import Claim, JudgedClaim, judge_claim, last_digit
from attnbench.judge.rows import Row, asked_claims, asked_rows
from attnbench.report.table import WHERE, Table, places
from attnbench.report.tables import npu_text, overhead_text

ENDS = ("overhead_pct_low", "overhead_pct_high")
PRIORITIES_MINOR = ("peak memory (+MB)", "params (+%)", "MACs (+%)", "latency (+ms)", "claimed")


def priorities(run: Run) -> Table:
    """The priority/cost matrix: the study's cases that have a priority, each claim beside what was measured."""
    where = places(record.case for record in run.records)
    return Table.of(
        {
            **where(row.case),
            "priority": case["priority"],
            "place": case.get("place", case["variant"].partition("=")[0]),
            "module": case.get("module", case["variant"].partition("=")[2]),
            "claimed": "; ".join(map(claim_text, case["claims"])) or MISSING,
            "time overhead (%)": overhead_text(row),
            "params (+%)": significant(row.number("params_delta_pct"), 2),
            "MACs (+%)": significant(row.number("macs_delta_pct"), 2),
            "peak memory (+MB)": scaled(row.number("activation_peak_delta_bytes"), 1e6, 1),
            "latency (+ms)": fixed(row.number("overhead_ms"), 2),
            "NPU": npu,
            "claim": "; ".join(_verdict_text(claim, row, len(case["claims"])) for claim in case["claims"]) or MISSING,
        }
        for case, row, npu in _cases(run)
        if "priority" in case
    ).keyed(*WHERE, "priority", "place", "module", minor=PRIORITIES_MINOR)


def claims(run: Run) -> Table:
    """Every claim of the study, with the figure, what it is judged as beyond its interval, and where it was made."""
    where, told = places(record.case for record in run.records), _targets(run)
    return Table.of(
        {
            **where(row.case),
            "claim": claim_text(claim),
            "of": case["variant"],
            "measured": f"{told(row)}{judged_text(result, row)}"
            if claim["metric"] == "npu_verdict"
            else judged_text(result, row),
            "judged as": _judged_as(result),
            "verdict": result.verdict,
            "source": claim.get("source", ""),
        }
        for case, row, claim in asked_claims(run)
        for result in [judge_claim(claim, row)]
    ).keyed(*WHERE, "claim", "of", minor=("source", "judged as"))


def stages(run: Run) -> Table:
    """The experiment's stages, each on top of the one before, with what it adds in time and whether that was promised."""
    where = places(record.case for record in run.records)
    return Table.of(
        {
            **where(row.case),
            "stage": case["stage"],
            "variant": case["variant"],
            "latency median (ms)": fixed(row.number("latency_median_ms"), 1),
            "overhead (%)": overhead_text(row),
            "overhead (ms)": fixed(row.number("overhead_ms"), 2),
            "activation peak (MB)": scaled(row.number("activation_peak_bytes"), 1e6, 1),
            "NPU": npu,
            "promised": "; ".join(map(claim_text, promised)) or MISSING,
            "verdict": "; ".join(judge_claim(claim, row).verdict for claim in promised) or MISSING,
        }
        for case, row, npu in _cases(run)
        if "stage" in case
        for promised in [[claim for claim in case["claims"] if claim["metric"] == "overhead_ms"]]
    )


def _cases(run: Run) -> Iterator[tuple[Mapping[str, Any], Row, str]]:
    """The study's own cases, each once, with what all targets say of it."""
    told = _targets(run)
    for _, same in groupby(asked_rows(run), key=lambda one: (id(one[0]), one[1].case)):
        rows = list(same)
        yield *rows[0], "; ".join(told(row) + npu_text(row) for _, row in rows)


def _targets(run: Run) -> Callable[[Row], str]:
    """Gives the target that a row is of, before what it says, where there are several."""
    return (lambda row: f"{row.target}: ") if len(run.header.study.get("targets", ())) > 1 else (lambda _: "")


def claim_text(claim: Claim) -> str:
    """A claim as a reader should see it."""
    if claim.get("text") and claim.get("relation") != "rounds to":
        return str(claim["text"])
    if claim["metric"] == "npu_verdict":
        return f"NPU {claim['value']}"
    relation = claim.get("relation", "about")
    if relation == "rounds to":
        return _count_text(claim, str(claim["value"]))
    return f"{relation} {_claim_value(claim['metric'], float(claim['value']))}"


def _count_text(claim: Claim, value: str) -> str:
    unit = claim.get("unit", "1")
    return f"{value}{'' if unit == '1' else f' {unit}'} {CLAIMABLE[claim['metric']]}"


def _claim_value(metric: str, value: float) -> str:
    if metric.endswith("_bytes"):
        return f"{bytes_text(value)} {CLAIMABLE[metric]}"
    return f"{significant(value, 2)} {CLAIMABLE[metric]}"


def judged_text(judged: JudgedClaim, row: Row) -> str:
    """What was measured of a claim, in the claim's own unit, with the interval that the figure has everywhere."""
    claim, value = judged.claim, judged.value
    if value is None or isinstance(value, str):
        return MISSING if value is None else value
    if claim.get("relation") == "rounds to":
        return _count_text(claim, fixed(value, max(0, -last_digit(claim)) + 1))
    if judged.low is None or judged.low == judged.high:
        return _claim_value(claim["metric"], value)
    overhead = row.number("overhead_pct")
    scale = value / overhead if overhead else 1.0
    low, high = (None if end is None else scale * end for end in map(row.number, ENDS))
    return f"{with_interval(value, low, high)} {CLAIMABLE[claim['metric']]}"


def _judged_as(judged: JudgedClaim) -> str:
    """The range that a noisy figure was compared with its claim by: its interval and what repetition does not show."""
    if judged.low is None or judged.high is None or judged.low == judged.high:
        return MISSING
    decimals = decimals_for((judged.high - judged.low) / 2)
    return f"{fixed(judged.low, decimals)} to {fixed(judged.high, decimals)}"


def _verdict_text(claim: Claim, row: Row, number: int) -> str:
    verdict = judge_claim(claim, row).verdict
    return verdict if number == 1 else f"{verdict} ({CLAIMABLE[claim['metric']]})"
