"""A comparison as tables: regressions first, then what else changed, and what could not be compared, by its reason.

For a program, every row unrounded, as CSV or JSON: overheads in % (their changes in percentage points), latencies in ms,
bytes and counts as they are.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attnbench.core.grammar import parse_spec
from attnbench.core.records import DEFAULT_RUNTIME, Case, RunHeader
from attnbench.core.units import MISSING, bytes_text, count, fixed, significant, with_interval
from attnbench.judge.compare import Comparison, ComparisonRow
from attnbench.judge.compare.gaps import Gap
from attnbench.judge.compare.notes import outcome, summary
from attnbench.report.answer import Answer, Figure
from attnbench.report.table import VARIANT, WHERE, Table, places, some

SCHEMA = 1
"""Of the JSON; keys are only ever added."""

NAMED = 5
"""Cases that are named of those that have no answer for one and the same reason."""

REGRESSIONS = "Regressions"
WORSE = "Worse, and not failed on"
BETTER = "Better"
UNRESOLVED = "Not resolved: a change may be there, and may be noise"
MISSING_FIGURES = "Missing: what --fail-on asks for and could not be compared"
CASES = "Cases of one run alone"
INCOMPARABLE = "Incomparable, by reason"
EVERYTHING = "Every figure"
TITLES = (REGRESSIONS, MISSING_FIGURES, WORSE, BETTER, UNRESOLVED, CASES, INCOMPARABLE, EVERYTHING)
"""In the order of their weight."""

COLUMNS = {
    "host": "host with its options",
    "size": "input height x width in pixels",
    "batch": "batch size",
    "variant": "modules by place; baseline is the host alone",
    "metric": "the measurement's name, with its target or thread count after @; case is the case as a whole",
    "verdict": "same, better, worse, added, removed, incomparable or unresolved; empty where it is told and not judged",
    "why": "what the verdict rests on",
    "before": "the figure of BASE",
    "after": "the figure of NEW",
    "delta": "after less before; of overheads the difference of the replicates' means",
    "delta_low": "lower end of its 95 % interval, at least as wide as the runs' noise floors",
    "delta_high": "upper end",
    "unit": "of these: 1 (counts), B, ms, or % (of the baseline's time; of changes, percentage points)",
    "p": "chance of such a difference where nothing changed (Welch)",
    "p_holm": "the same after Holm's correction over all that was compared with it",
    "causes": "what the change may come from",
    "fails": "entries of --fail-on that it is a regression by",
    "threshold": "the change that counts, in the unit of the change",
    "more": "replicates more that would resolve it, where it is unresolved",
    "runtime": "what ran it",
    "dtype": "number type of the case: fp32 or int8",
}
"""Of the CSV and of the JSON's rows; new ones come at the end."""

SCALES = {"overhead": (100.0, "%"), "latency": (1e3, "ms")}
"""What the base units of a noisy metric are multiplied by for a reader, and the unit that makes."""


def answer(found: Comparison, *, everything: bool = False) -> Answer:
    """The tables; every row; and the runs, what was asked, the sum, the exit code and every row as a document."""
    document = {
        "schema": SCHEMA,
        "base": _header(found.base.header),
        "new": _header(found.new.header),
        "fail_on": found.fail_on.text,
        "threshold_points": 100 * found.threshold,
        "exit_code": found.exit_code,
        "regressions": len(found.regressions),
        "figures": Counter(row.verdict or "told" for row in found.rows),
        "not_compared": found.not_compared,
        "missing": [
            {
                "host": c.host,
                "size": c.size,
                "batch": c.batch,
                "runtime": c.runtime,
                "variant": c.variant,
                "metric": metric,
                "why": why,
            }
            for c, metric, why in found.missing
        ],
        "unresolved": len(found.unresolved),
        "allow_unresolved": found.allow_unresolved,
        "notes": found.notes,
        "rows": map(_row, found.rows),
    }
    tables = sections(found, everything=everything)
    return Answer(
        tables,
        tuple(COLUMNS),
        map(_row, found.rows),
        document,
        "Comparison",
        found.notes,
        _figures_of(found),
        (*outcome(found), summary(found)),
    )


def _figures_of(found: Comparison) -> Iterator[Figure]:
    from attnbench.report.charts.changes import changes  # noqa: PLC0415  it shows what this says

    if any(row.family == "overhead" and row.delta is not None for row in found.rows):
        yield Figure(changes(found))


def sections(found: Comparison, *, everything: bool = False) -> Iterator[tuple[str, Table]]:
    """The tables with their titles, in the order of their weight; empty ones are left out."""
    where = places((row.case for row in found.rows), VARIANT, ("host", "size", "batch", "runtime", "dtype"))
    rows: dict[str, list[dict[str, Any]]] = {title: [] for title in TITLES}
    unlike: list[ComparisonRow] = []
    for row in found.rows:
        if row.verdict in ("same", None) and not everything:
            continue
        place = where(row.case)
        change = {**place, **_figures(row), "why": row.why}
        if row.causes:
            change["may come from"] = "; ".join(cause.text for cause in row.causes)
        if row.fails:
            rows[REGRESSIONS].append({**change, "fails": ", ".join(row.fails)})
        elif row.verdict in ("worse", "better"):
            rows[WORSE if row.verdict == "worse" else BETTER].append(change)
        elif row.verdict in ("added", "removed"):
            status = row.after or row.before or MISSING
            rows[CASES].append({**place, "verdict": row.verdict, "why": row.why, "status": status})
        elif row.verdict == "unresolved":
            rows[UNRESOLVED].append({**change, "more replicates": row.more.text if row.more else None})
        elif row.verdict == "incomparable":
            unlike.append(row)
        if everything:
            rows[EVERYTHING].append({**place, **_figures(row), "verdict": row.verdict or MISSING, "why": row.why})
    rows[MISSING_FIGURES] = list(missing(found.missing, where, most=len(found.missing) if everything else NAMED))
    rows[INCOMPARABLE] = incomparable(unlike)
    return ((title, Table.of(listed).keyed(*WHERE, "metric")) for title, listed in rows.items() if listed)


def missing(gaps: Sequence[Gap], where: Callable[[Case], dict[str, str]], most: int) -> Iterator[dict[str, str]]:
    """What a gate was not told: a row a reason and metric, with the cases that it is of."""
    cases: dict[tuple[str, str], list[str]] = {}
    for gap in gaps:
        cases.setdefault((gap.metric, gap.why), []).append(" ".join(where(gap.case).values()))
    for (metric, why), named in cases.items():
        yield {"metric": metric, "figures": count(len(named)), "why": why, "cases": some(named, most)}


def incomparable(rows: Iterable[ComparisonRow]) -> list[dict[str, str]]:
    """Why figures could not be compared: a row a reason and metric, with the number of cases, the most frequent first."""
    reasons = Counter((row.why, row.family) for row in rows)
    return [{"metric": metric, "figures": count(number), "reason": why} for (why, metric), number in reasons.most_common()]


def _figures(row: ComparisonRow) -> dict[str, str]:
    return {
        "metric": row.metric,
        "before": _value_text(row, row.before),
        "after": _value_text(row, row.after),
        "change": change_text(row),
    }


def _value_text(row: ComparisonRow, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or MISSING
    if row.family in SCALES:
        scale, unit = SCALES[row.family]
        return f"{fixed(scale * value, 2)} {unit}"
    return bytes_text(value) if row.unit == "B" else count(value)


def change_text(row: ComparisonRow) -> str:
    """A change with its interval and unit."""
    if row.delta is None:
        return MISSING
    if row.family in SCALES:
        scale, unit = SCALES[row.family]
        low, high = (None if end is None else scale * end for end in (row.low, row.high))
        return f"{with_interval(scale * row.delta, low, high, sign=True)} {'points' if unit == '%' else unit}"
    if not row.delta:
        return "0"
    sign = "+" if row.delta > 0 else "−"
    text = f"{sign}{bytes_text(abs(row.delta)) if row.unit == 'B' else count(abs(row.delta))}"
    share = 100 * row.delta / row.before if isinstance(row.before, float | int) and row.before else None
    return text if share is None else f"{text} ({significant(share, 2, sign=True)} %)"


def _row(row: ComparisonRow) -> dict[str, Any]:
    scale, unit = SCALES.get(row.family, (1, row.unit))
    before, after, *change = (_scaled(value, scale) for value in (row.before, row.after, row.delta, row.low, row.high))
    case = row.case
    values = (
        case.host, case.size, case.batch, case.variant, row.metric, row.verdict, row.why, before, after, *change, unit,
        row.p, row.adjusted, [cause.text for cause in row.causes], list(row.fails), _scaled(row.threshold, scale),
        row.more.text if row.more and row.verdict == "unresolved" else None, case.runtime, case.dtype,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _scaled(value: float | str | None, scale: float) -> float | str | None:
    return value if value is None or isinstance(value, str) or scale == 1 else scale * value


def _header(header: RunHeader) -> Mapping[str, Any]:
    software = header.software
    runtimes = dict.fromkeys((DEFAULT_RUNTIME, *(parse_spec(case.runtime).name for case in header.cases)))
    return {
        "started": header.started,
        "study": header.study.get("name"),
        "attnbench": header.attnbench,
        "commit": software.get("commit"),
        "commit_time": software.get("commit_time"),
        "machine": {"id": header.machine.get("id"), "cpu": header.machine.get("cpu")},
        "software": {name: software.get(name) for name in ("torch", *runtimes, "opset", "canonical_pass", "protocol")},
    }
