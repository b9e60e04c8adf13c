"""The tables that say how far a run's figures are to be believed, and those of what was measured beside the overheads."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from attnbench.core.records import Run
from attnbench.core.units import MISSING, fixed, percent, scaled, significant, with_interval
from attnbench.judge.rows import THREADS, Row, column_names, rows_of
from attnbench.judge.verdicts import CROWDED, agreement
from attnbench.report.table import VARIANT, Table, places
from attnbench.report.tables import interval_text, named_variants, overhead_text
from attnbench.runs.crosscheck import TOLD

LATENCY = "latency_median_ms"


def floors(run: Run) -> Table:
    """What a run resolves on its machine, by host and size: one variant measured twice, and the host beside its copy."""
    shown, records = [], {record.case: record for record in run.records}
    for record in run.records:
        repeat, paired = record.get("aa_repeat"), record.get("paired")
        if repeat is None or not repeat.samples:
            continue
        repeated = records.get(replace(record.case, variant=repeat.note))
        own = repeated.get("overhead") if repeated else None
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
                **({"on the clock (points)": significant(percent(paired.reach), 2)} if paired else {}),
            }
        )
    return Table.of(shown).keyed("host", "size", minor=("its figures (%)", "from, measured twice"))


def crosschecks(run: Run) -> Table:
    """The sum of what the cases of one graph add, against the clock, by host and size; and how small a difference it tells.

    *too blunt* stands where the pairs ended before they could see a difference of a tenth of the sum.
    """
    shown = []
    for record in run.records:
        total, paired = record.get("panel_sum"), record.get("panel_paired")
        if total is None or paired is None or total.value is None or paired.value is None:
            continue
        low, high = percent(paired.low), percent(paired.high)
        half = None if low is None or high is None else (high - low) / 2
        blunt = half is None or half > 100 * TOLD * abs(total.value)
        shown.append(
            {
                "host": record.case.host,
                "size": record.case.size,
                "cases in the graph": str(total.note.count(";") + 1),
                "sum of their overheads (%)": significant(percent(total.value), 3),
                "on the clock (%)": with_interval(percent(paired.value), low, high),
                "pairs": str(len(paired.samples)),
                "tells (points)": significant(half, 2),
                "": "too blunt" if blunt else agreement(percent(total.value), low, high),
            }
        )
    return Table.of(shown).keyed("host", "size", minor=("pairs", "tells (points)", "cases in the graph"))


def imprecise(rows: Sequence[Row]) -> Table:
    """Cases whose replicates ended before their interval was as narrow as was asked, or that could not be attributed."""
    clocked = any(row.number("paired_pct") is not None for row in rows)
    where = places((row.case for row in rows), VARIANT)
    return Table.of(
        {
            **where(row.case),
            "overhead (%)": overhead_text(row),
            **({"on the clock (%)": interval_text(row, "paired_pct")} if clocked else {}),
            "": row.text("stopped"),
        }
        for row in rows
        if row.text("stopped").startswith(("budget", "not attributed"))
    )


def crowded(rows: Sequence[Row]) -> Table:
    """Cases that were measured while other processes took a part of their core."""
    where = places((row.case for row in rows), VARIANT)
    return Table.of(
        {**where(row.case), "share of its core (%)": fixed(row.number("core_share_pct"), 0)}
        for row in rows
        if (row.number("core_share_pct") or 100.0) < 100 * CROWDED
    )


def memory(run: Run) -> Table:
    """Memory of one inference and of its session, for the study's own cases and wherever measured and static differ."""
    named, rows = named_variants(run), rows_of(run)
    where = places((row.case for row in rows), VARIANT)
    return Table.of(
        {
            **where(row.case),
            "static peak (MB)": scaled(row.number("activation_peak_bytes"), 1e6, 1),
            "on the runtime's graph (MB)": scaled(row.number("activation_peak_runtime_bytes"), 1e6, 1),
            "measured peak (MB)": scaled(row.number("memory_peak_bytes"), 1e6, 1),
            "beyond the baseline (MB)": scaled(row.number("memory_peak_delta_bytes"), 1e6, 1, sign=True),
            "creating the session (MB)": scaled(row.number("memory_session_peak_bytes"), 1e6, 1),
            "weights (MB)": scaled(row.number("weight_bytes"), 1e6, 1),
            "measured is not static because of": row.text("memory_note") or MISSING,
        }
        for row in rows
        if row.get("memory_note") or (row.get("memory_peak_bytes") is not None and (row.case.variant in named or not named))
    )


def threads(rows: Sequence[Row]) -> Table:
    """Absolute latencies at each number of threads, where more than one was asked for."""
    where = places((row.case for row in rows), VARIANT)
    columns = {"1": LATENCY}
    columns |= {name.rpartition("_")[2]: name for name in column_names(rows) if name.startswith(f"{LATENCY}{THREADS}")}
    if len(columns) == 1:
        return Table()
    return Table.of(
        {
            **where(row.case),
            **{f"{n} thread{'s' * (n != '1')} (ms)": fixed(row.number(column), 1) for n, column in columns.items()},
        }
        for row in rows
        if row.record.status == "ok"
    )


def disagreements(rows: Sequence[Row]) -> Table:
    """Cases whose two clocks contradict each other."""
    where = places((row.case for row in rows), VARIANT)
    return Table.of(
        {**where(row.case), "attributed (%)": overhead_text(row), "paired (%)": interval_text(row, "paired_pct")}
        for row in rows
        if row.agreement == "disagree"
    )
