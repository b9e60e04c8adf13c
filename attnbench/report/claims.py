"""The tables that hold a study's claims against its figures."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from attnbench.core.records import Run
from attnbench.core.units import MISSING, bytes_text, fixed, scaled, significant, with_interval
from attnbench.judge.verdicts import Judged, judge
from attnbench.report.tables import Row, npu_text, number, overhead_text, rows_of, where

CLAIM_UNITS = {
    "params": "params",
    "params_delta": "params added",
    "macs": "MACs",
    "macs_delta": "MACs added",
    "flops": "FLOPs",
    "overhead_pct": "% time",
    "overhead_ms": "ms",
    "macs_delta_pct": "% MACs",
    "params_delta_pct": "% params",
    "activation_peak_bytes": "live activations",
    "largest_activation_bytes": "largest activation",
    "npu_verdict": "NPU",
}
"""How a claim's metric is named beside its figure."""


def priorities(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """The priority/cost matrix: the study's cases that have a priority, each claim beside what was measured."""
    shown = []
    for case, row in claimed(run, frame):
        if "priority" not in case:
            continue
        judged = [(claim, judge(claim, row)) for claim in case["claims"]]
        shown.append(
            {
                **where(frame, row),
                "priority": case["priority"],
                "place": case.get("place", case["variant"].partition("=")[0]),
                "module": case.get("module", case["variant"].partition("=")[2]),
                "claimed": "; ".join(claim_text(claim) for claim, _ in judged) or MISSING,
                "time overhead (%)": overhead_text(row),
                "params (+%)": significant(number(row, "params_delta_pct"), 2),
                "MACs (+%)": significant(number(row, "macs_delta_pct"), 2),
                "peak memory (+MB)": scaled(number(row, "activation_peak_delta_bytes"), 1e6, 1),
                "latency (+ms)": fixed(number(row, "overhead_ms"), 2),
                "NPU": npu_text(row),
                "claim": "; ".join(_verdict_text(claim, result, len(judged)) for claim, result in judged) or MISSING,
            }
        )
    return pd.DataFrame(shown)


def claims(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """Every claim of the study, with the interval it was held against and where it was made."""
    return pd.DataFrame(
        {
            **where(frame, row),
            "claim": claim_text(claim),
            "of": case["variant"],
            "measured": judged_text(claim, result),
            "verdict": result.verdict,
            "source": claim["source"],
        }
        for case, row in claimed(run, frame)
        for claim in case["claims"]
        for result in [judge(claim, row)]
    )


def stages(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """The experiment's stages, each on top of the one before, with what it adds in time and whether that was promised."""
    shown = []
    for case, row in claimed(run, frame):
        if "stage" not in case:
            continue
        promised = [(c, judge(c, row)) for c in case["claims"] if c["metric"] == "overhead_ms"]
        shown.append(
            {
                **where(frame, row),
                "stage": case["stage"],
                "variant": case["variant"],
                "latency median (ms)": fixed(number(row, "latency_median_ms"), 1),
                "overhead (%)": overhead_text(row),
                "overhead (ms)": fixed(number(row, "overhead_ms"), 2),
                "activation peak (MB)": scaled(number(row, "activation_peak_bytes"), 1e6, 1),
                "NPU": npu_text(row),
                "promised": "; ".join(claim_text(claim) for claim, _ in promised) or MISSING,
                "verdict": "; ".join(result.verdict for _, result in promised) or MISSING,
            }
        )
    return pd.DataFrame(shown)


def claimed(run: Run, frame: pd.DataFrame) -> Iterator[tuple[dict[str, Any], Row]]:
    """The study's cases with their rows in the table, one for each host and size they were run at."""
    rows = list(rows_of(frame))
    for case in run.header.study.get("cases", []):
        for row in rows:
            if row["variant"] == case["variant"] and case.get("host", row["host"]) == row["host"]:
                yield case, row


def claim_text(claim: Row) -> str:
    """A claim as a reader should see it."""
    if claim.get("text") and claim.get("relation") != "rounds to":
        return str(claim["text"])
    if claim["metric"] == "npu_verdict":
        return f"NPU {claim['value']}"
    relation = claim.get("relation", "about")
    if relation == "rounds to":
        return _count_text(claim, str(claim["value"]))
    return f"{relation} {_claim_value(claim['metric'], float(claim['value']))}"


def _count_text(claim: Row, value: str) -> str:
    unit = claim.get("unit", "1")
    return f"{value}{'' if unit == '1' else f' {unit}'} {CLAIM_UNITS[claim['metric']]}"


def _claim_value(metric: str, value: float) -> str:
    if metric.endswith("_bytes"):
        return f"{bytes_text(value)} {CLAIM_UNITS[metric]}"
    return f"{significant(value, 2)} {CLAIM_UNITS[metric]}"


def judged_text(claim: Row, judged: Judged) -> str:
    """What was measured of a claim, in the claim's own unit."""
    if judged.value is None:
        return MISSING
    if isinstance(judged.value, str):
        return judged.value
    if claim.get("relation") == "rounds to":
        return _count_text(claim, fixed(judged.value, len(str(claim["value"]).partition(".")[2]) + 1))
    if judged.low is None or judged.low == judged.high:
        return _claim_value(claim["metric"], judged.value)
    return f"{with_interval(judged.value, judged.low, judged.high)} {CLAIM_UNITS[claim['metric']]}"


def _verdict_text(claim: Row, judged: Judged, number: int) -> str:
    return judged.verdict if number == 1 else f"{judged.verdict} ({CLAIM_UNITS[claim['metric']]})"
