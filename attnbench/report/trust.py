"""The tables that say how far a run's figures are to be believed, and those of what was measured beside the overheads."""

from dataclasses import replace
from statistics import fmean

import pandas as pd

from attnbench.core.records import Run
from attnbench.core.units import MISSING, fixed, percent, scaled, significant
from attnbench.judge.verdicts import CROWDED
from attnbench.report.tables import interval_text, number, overhead_text, rows_of, where


def floors(run: Run) -> pd.DataFrame:
    """What a run resolves on its machine, by host and size: one variant measured twice, and the host beside its copy."""
    shown = []
    for record in run.records:
        repeat, paired = record.get("aa_repeat"), record.get("paired")
        if repeat is None or not repeat.samples:
            continue
        own = next((r.get("overhead") for r in run.records if r.case == replace(record.case, variant=repeat.note)), None)
        first = own.samples[: len(repeat.samples)] if own else ()
        shown.append(
            {
                "host": record.case.host,
                "size": record.case.size,
                "smallest overhead (points)": significant(percent(record.value("floor_overhead")), 2),
                "smallest difference (points)": significant(percent(record.value("floor_difference")), 2),
                "from, measured twice": repeat.note,
                "its figures (%)": f"{fixed(100 * fmean(first), 3) if first else MISSING} and "
                f"{fixed(100 * fmean(repeat.samples), 3)}",
                "on the clock (points)": significant(percent(paired.reach if paired else None), 2),
            }
        )
    return pd.DataFrame(shown)


def imprecise(frame: pd.DataFrame) -> pd.DataFrame:
    """Cases whose replicates ended before their interval was as narrow as was asked, or that could not be attributed."""
    return pd.DataFrame(
        {
            **where(frame, row),
            "variant": row["variant"],
            "overhead (%)": overhead_text(row),
            "on the clock (%)": interval_text(row, "paired_pct"),
            "": row["stopped"],
        }
        for row in rows_of(frame)
        if str(row["stopped"] or "").startswith(("budget", "not attributed"))
    )


def crowded(frame: pd.DataFrame) -> pd.DataFrame:
    """Cases that were measured while other processes took a part of their core."""
    return pd.DataFrame(
        {**where(frame, row), "variant": row["variant"], "share of its core (%)": fixed(number(row, "core_share_pct"), 0)}
        for row in rows_of(frame)
        if (number(row, "core_share_pct") or 100.0) < 100 * CROWDED
    )


def memory(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """Memory of one inference and of its session, for the study's own cases and wherever measured and static differ."""
    named = {case["variant"] for case in run.header.study.get("cases", [])}
    return pd.DataFrame(
        {
            **where(frame, row),
            "variant": row["variant"],
            "static peak (MB)": scaled(number(row, "activation_peak_bytes"), 1e6, 1),
            "on the runtime's graph (MB)": scaled(number(row, "activation_peak_runtime_bytes"), 1e6, 1),
            "measured peak (MB)": scaled(number(row, "memory_peak_bytes"), 1e6, 1),
            "beyond the baseline (MB)": scaled(number(row, "memory_peak_delta_bytes"), 1e6, 1, sign=True),
            "creating the session (MB)": scaled(number(row, "memory_session_peak_bytes"), 1e6, 1),
            "weights (MB)": scaled(number(row, "weight_bytes"), 1e6, 1),
            "measured is not static because of": row["memory_note"] or MISSING,
        }
        for row in rows_of(frame)
        if row["memory_note"] or (row["memory_peak_bytes"] is not None and (row["variant"] in named or not named))
    )


def threads(frame: pd.DataFrame) -> pd.DataFrame:
    """Absolute latencies at each number of threads, where more than one was asked for."""
    columns = {"1": "latency_median_ms"}
    columns |= {str(c).rpartition("_")[2]: str(c) for c in frame.columns if str(c).startswith("latency_median_ms_threads_")}
    if len(columns) == 1:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            **where(frame, row),
            "variant": row["variant"],
            **{f"{n} thread{'s' * (n != '1')} (ms)": fixed(number(row, column), 1) for n, column in columns.items()},
        }
        for row in rows_of(frame)
        if row["status"] == "ok"
    )


def disagreements(frame: pd.DataFrame) -> pd.DataFrame:
    """Cases whose two clocks contradict each other."""
    return pd.DataFrame(
        {
            **where(frame, row),
            "variant": row["variant"],
            "attributed (%)": overhead_text(row),
            "paired (%)": interval_text(row, "paired_pct"),
        }
        for row in rows_of(frame)
        if row["agreement"] == "disagree"
    )
