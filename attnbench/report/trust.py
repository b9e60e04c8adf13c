"""The tables that say how far a run's figures are to be believed, and those of what was measured beside the overheads."""

import math
from collections.abc import Sequence
from statistics import fmean

from msgspec import structs

from attnbench.core.records import Case, Run
from attnbench.core.statistics import medians, signed_rank_chance, signed_rank_interval
from attnbench.core.units import MISSING, count, fixed, percent, scaled, significant, with_interval
from attnbench.judge.compare.noisy import holm
from attnbench.judge.rows import THREADS, Row, column_names, rows_of
from attnbench.judge.verdicts import CROWDED, agreement, systematic_error
from attnbench.report.table import VARIANT, Table, places
from attnbench.report.tables import interval_text, named_variants, overhead_text
from attnbench.runs.crosscheck import TOLD
from attnbench.runs.uncertainty import run_to_run_of

LATENCY = "latency_median_ms"

EVERY, FEWEST, MOST = "all cases", 6, 100

POOLED = (
    "The pairs of one case are often too blunt to contradict anything. By how much attribution reads more than the pairs "
    "over many cases is told more closely; where p is small, the two do not measure the same."
)


def floors(run: Run) -> Table:
    """One variant measured twice, by host and size: what its two figures could tell apart, and the host beside its copy."""
    shown, records = [], {record.case: record for record in run.records}
    runtime = places(records, keys=("runtime",))
    for record in run.records:
        repeat, paired = record.get("aa_repeat"), record.get("paired")
        if repeat is None or not repeat.samples:
            continue
        repeated = records.get(structs.replace(record.case, variant=repeat.note))
        own = repeated.get("overhead") if repeated else None
        first = own.samples[: len(repeat.samples)] if own else ()
        shown.append(
            {
                "host": record.case.host,
                "size": record.case.at,
                **runtime(record.case),
                "critical value (points)": significant(percent(record.value("floor_overhead")), 2),
                "critical difference (points)": significant(percent(record.value("floor_difference")), 2),
                "variant measured twice": repeat.note,
                "its two figures (%)": f"{fixed(100 * fmean(first), 3) if first else MISSING} and "
                f"{fixed(100 * fmean(repeat.samples), 3)}",
                **({"on the clock (points)": significant(percent(paired.reach), 2)} if paired else {}),
            }
        )
    return Table.of(shown).keyed("host", "size", "runtime", minor=("its two figures (%)", "variant measured twice"))


def crosschecks(run: Run) -> Table:
    """The sum of what the cases of one graph add, against interleaved pairs on the clock, by host and size.

    *too blunt* stands where the pairs ended before they could see a difference of a tenth of the sum.
    """
    shown, runtime = [], places((record.case for record in run.records), keys=("runtime",))
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
                "size": record.case.at,
                **runtime(record.case),
                "cases in one graph": str(total.note.count(";") + 1),
                "their overheads summed (%)": significant(percent(total.value), 3),
                "on the clock (%)": with_interval(percent(paired.value), low, high),
                "pairs": str(len(paired.samples)),
                "half-width, 95 % (points)": significant(half, 2),
                "agreement": "too blunt" if blunt else agreement(percent(total.value), low, high),
            }
        )
    return Table.of(shown).keyed(
        "host", "size", "runtime", minor=("pairs", "half-width, 95 % (points)", "cases in one graph")
    )


def limits_text(run: Run) -> str:
    """What the uncertainties of a run rest on."""
    between = run_to_run_of(run.header)
    runs = (
        f"between runs by {between.source}"
        if between.ratio
        else "nothing was known of what equal runs differ by when this one began (`attnbench doctor --learn`)"
    )
    return (
        f"Standard uncertainties, which add up by squares: of the processes of this run; {runs}; systematic, with that of "
        "the clock that bounded it. U is twice their sum. Above the critical value an overhead is told from 0; one of the "
        "detection limit is told in 95 % of measurements, one of the critical value in half."
    )


def uncertainties(rows: Sequence[Row]) -> Table:
    """What each overhead's uncertainty is made of, and from where on such an overhead is told from 0; in points.

    The parts are standard uncertainties: of processes in this run, between runs of this machine, and the systematic part
    with the clock that bounded it.
    """
    shown = {row.case: row for row in rows if row.mean and row.get("overhead_pct") is not None}
    where = places(shown, VARIANT)
    return Table.of(
        {
            **where(row.case),
            "overhead (%)": overhead_text(row),
            "processes": significant(100 * math.sqrt(row.mean.within.variance), 2),
            "between runs": significant(100 * math.sqrt(row.mean.whole.variance - row.mean.within.variance), 2)
            if row.mean.between.ratio
            else MISSING,
            "systematic": significant(systematic_error(row.number("overhead_pct") or 0.0, row.number("core_share_pct")), 2),
            "U (k = 2)": significant(row.number("overhead_expanded_pct"), 2),
            "degrees of freedom": fixed(row.number("overhead_degrees"), 0),
            "critical value": significant(row.number("critical_value_pct"), 2),
            "detection limit (95 %)": significant(row.number("detection_limit_pct"), 2),
        }
        for row in shown.values()
        if row.mean
    )


def pooled(rows: Sequence[Row]) -> Table:
    """Attribution less the pairs of each case, over all of them and by place: together they tell what none does alone.

    The centre is Hodges and Lehmann's, with the exact interval that inverts the signed-rank test; places of ``FEWEST`` cases
    or more have one. ``p`` is the chance of differences so one-sided where there is none; of places, after Holm's
    correction. Of more than ``MOST`` cases, medians of neighbours stand for them.
    """
    apart: dict[tuple[Case, str], list[float]] = {}
    for row in {row.case: row for row in rows}.values():
        overhead, paired = row.number("overhead_pct"), row.number("paired_pct")
        if overhead is not None and paired is not None and not row.case.is_baseline:
            for place in (EVERY, row.case.variant.partition("=")[0]):
                apart.setdefault((row.case.baseline, place), []).append(overhead - paired)
    asked = {place: medians(found, MOST) for place, found in apart.items() if len(found) >= FEWEST}
    chances = {place: signed_rank_chance(found) for place, found in asked.items()}
    runtime = places((case for case, _ in apart), keys=("runtime",))
    places_ = [place for place in chances if place[-1] != EVERY]
    chances |= dict(zip(places_, holm([chances[place] for place in places_]), strict=True))
    return Table.of(
        {
            "host": case.host,
            "size": case.at,
            **runtime(case),
            "place": place,
            "cases": count(len(apart[case, place])),
            "attributed less paired (points)": with_interval(centre.value, centre.low, centre.high, sign=True),
            "p": significant(chances[case, place], 2),
        }
        for (case, place), found in asked.items()
        for centre in [signed_rank_interval(found)]
    )


def imprecise(rows: Sequence[Row]) -> Table:
    """Cases whose replicates ended before their interval was as narrow as was asked, or that could not be attributed."""
    clocked = any(row.number("paired_pct") is not None for row in rows)
    where = places((row.case for row in rows), VARIANT)
    return Table.of(
        {
            **where(row.case),
            "overhead (%)": overhead_text(row),
            **({"on the clock (%)": interval_text(row, "paired_pct")} if clocked else {}),
            "why": row.text("stopped"),
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


def deadline(rows: Sequence[Row]) -> Table:
    """Absolute latencies and their tail beside the deadline that the study names; nothing without one."""
    where = places((row.case for row in rows), VARIANT)
    return Table.of(
        {
            **where(row.case),
            **{f"{name} (ms)": fixed(row.number(f"latency_{name}_ms"), 2) for name in ("median", "p90", "p99")},
            "within the deadline (%)": fixed(row.number("within_deadline_pct"), 1),
            "": within.note,
        }
        for row in rows
        if (within := row.record.get("within_deadline"))
    )


def disagreements(rows: Sequence[Row]) -> Table:
    """Cases whose two clocks contradict each other."""
    where = places((row.case for row in rows), VARIANT)
    return Table.of(
        {**where(row.case), "attributed (%)": overhead_text(row), "paired (%)": interval_text(row, "paired_pct")}
        for row in rows
        if row.agreement == "disagree"
    )
