"""Charts to choose by: what a variant costs against what it has, and what each NPU target says of each module."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from attnbench.core.grammar import parse_variant
from attnbench.core.records import LEVELS, Case, Run
from attnbench.core.units import MISSING, bytes_text, count, fixed, with_interval
from attnbench.judge.recommend import TARGET, Candidate, Recommendation
from attnbench.judge.rows import Row
from attnbench.judge.verdicts import VERDICTS
from attnbench.report.charts.heatmap import MARGIN, folded_heads
from attnbench.report.charts.theme import (
    BAD,
    BAD_FILL,
    BAR,
    FAIR_FILL,
    GOOD_FILL,
    INK,
    OPEN,
    OPEN_FILL,
    OTHER_OPS,
    PAGE,
    POOR_FILL,
    QUIET,
    Spec,
    chart,
    percent_axis,
)  # fmt: skip
from attnbench.report.tables import crossed, rows_at

FRONT, BEHIND, REFUSED, OVER = "on the Pareto front", "dominated", "not taken by the target", "over budget"
COLOURS = {FRONT: BAR, BEHIND: OPEN, OVER: QUIET, REFUSED: BAD}
SHAPES = {FRONT: "circle", BEHIND: "circle", OVER: "square", REFUSED: "cross"}

FILLS = {"ok": GOOD_FILL, "ok with constraint": FAIR_FILL, "unknown": OPEN_FILL, "fallback": POOR_FILL, "refused": BAD_FILL}

POINT = ("variant", "kind", "overhead", "ms", "params (+)", "MACs (+)", "memory (+)", "NPU")
"""What a live chart tells of a point."""

HALO = {"color": PAGE, "stroke": PAGE, "strokeWidth": 3, "strokeJoin": "round", "opacity": 0.7}
"""What keeps a text readable over points and lines."""

COUNTS = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
TILE = {"x": 78, "y": 26}


def pareto(found: Recommendation, baseline: Case) -> Spec:
    """Overhead against parameters added, or against the user's first metric: the front, what it dominates, what fell out."""
    metrics = found.asked.metrics
    metric = next(iter(metrics), "")
    points = [_point(one, metric) for one in costed(found, baseline) if _height(one, metric) is not None]
    points.sort(key=lambda point: -list(COLOURS).index(point["kind"]))
    x = overhead_axis(found, points)
    kinds = [kind for kind in COLOURS if any(point["kind"] == kind for point in points)]
    y = _metric_axis(metric, points) if metric else _count_axis(points)
    told: list[Spec] = [{"field": name, "type": "nominal"} for name in POINT]
    told += [{"field": "height", "type": "quantitative", "title": metric}] if metric else []
    front = _apart([point for point in points if point["kind"] == FRONT])
    layers: list[Spec] = [
        interval(x, y),
        {"mark": {"type": "point", "filled": True, "opacity": 1},
         "encoding": {
             "x": x, "y": y, "tooltip": told,
             "color": {"field": "kind", "type": "nominal", "legend": {"title": None},
                       "scale": {"domain": kinds, "range": [COLOURS[kind] for kind in kinds]}},
             "size": {"condition": {"test": f"datum.kind == '{FRONT}'", "value": 90}, "value": 34},
             "shape": {"field": "kind", "type": "nominal", "legend": {"title": None},
                       "scale": {"domain": kinds, "range": [SHAPES[kind] for kind in kinds]}}}},
        *({"data": {"values": [point for point in front if point["under"] == under]},
           "mark": {"type": "text", "dy": away, "fontSize": 10.5, **how},
           "encoding": {"x": x, "y": y, "text": {"field": "rank"}}}
          for under, away in ((False, -11), (True, 12)) for how in (HALO, {"color": INK})),
    ]  # fmt: skip
    against = metric or "parameters added"
    return chart(
        f"Overhead against {against}, {baseline.where}",
        "Numbers are ranks in the table of what is left. Lines are 95 % intervals",
        points,
        layer=layers,
        width=490,
        height=290,
    )


def _apart(front: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points by their ranks, and whether a rank stands under its point because the one before is too near."""
    told: list[dict[str, Any]] = []
    for point in sorted(front, key=lambda point: point["overhead_pct"]):
        before = told[-1] if told else None
        near = before and point["overhead_pct"] < 1.3 * before["overhead_pct"] and not before["under"]
        told.append({**point, "under": bool(near)})
    return told


def costed(found: Recommendation, baseline: Case) -> list[Candidate]:
    """The candidates at a host and size whose overhead is known."""
    here = (one for one in (*found.left, *found.fallen) if one.case.baseline == baseline)
    return [one for one in here if one.overhead is not None]


def overhead_of(one: Candidate) -> dict[str, Any]:
    """A candidate's overhead with its interval, for a point's place and for its text."""
    return {
        "overhead_pct": one.overhead,
        "overhead_pct_low": one.low if one.low is not None else one.overhead,
        "overhead_pct_high": one.high if one.high is not None else one.overhead,
        "overhead": f"{with_interval(one.overhead, one.low, one.high)} %",
    }


def overhead_axis(found: Recommendation, points: Sequence[dict[str, Any]]) -> Spec:
    """The axis of the points' overheads."""
    floor, most = max((one.floor for one in found.left), default=0.0), max((p["overhead_pct"] for p in points), default=1.0)
    return percent_axis("overhead_pct", "overhead, % of the baseline's time", floor, most)


def interval(x: Spec, y: Spec) -> Spec:
    """A thin line along each overhead's interval."""
    ends = {"x": {**x, "field": "overhead_pct_low"}, "x2": {"field": "overhead_pct_high"}, "y": y}
    return {"mark": {"type": "rule", "strokeWidth": 1, "color": OTHER_OPS}, "encoding": ends}


def _point(one: Candidate, metric: str) -> dict[str, Any]:
    decided = one.reasons[0].kind if one.reasons else ""
    return {
        "variant": one.case.variant,
        "kind": {"": FRONT if one.on_front else BEHIND, TARGET: REFUSED}.get(decided, OVER),
        **overhead_of(one),
        "height": _height(one, metric),
        "rank": "" if one.rank is None else str(one.rank),
        "ms": fixed(one.added_ms, 2),
        "params (+)": count(one.params),
        "MACs (+)": count(one.macs),
        "memory (+)": bytes_text(one.memory),
        "NPU": "; ".join(f"{verdict.target}: {verdict.word or MISSING}" for verdict in one.verdicts) or MISSING,
    }


def _height(one: Candidate, metric: str) -> float | None:
    return one.metrics.get(metric) if metric else one.params


def _metric_axis(metric: str, points: Sequence[dict[str, Any]]) -> Spec:
    return {"field": "height", "type": "quantitative", "scale": {"zero": False, "nice": True},
            "axis": {"title": metric, "grid": True, "tickCount": 5 if points else 0}}  # fmt: skip


def _count_axis(points: Sequence[dict[str, Any]]) -> Spec:
    """Whole numbers over the decades that they lie in; with a place for 0 where one is."""
    heights = [point["height"] for point in points] or [0]
    top = max(1, next((n for n in COUNTS if n >= max(heights)), max(heights)))
    bottom = max((n for n in COUNTS if n < min(heights)), default=0)
    scale: Spec = {"domain": [bottom, top], "nice": False}
    scale |= {"type": "log"} if bottom else {"type": "symlog", "constant": 1}
    axis = {"title": "parameters added", "grid": True, "values": [n for n in COUNTS if bottom <= n <= top],
            "labelExpr": "datum.value < 1000 ? datum.value : format(datum.value, '~s')"}  # fmt: skip
    return {"field": "height", "type": "quantitative", "scale": scale, "axis": axis}


def npu(run: Run, baseline: Case) -> Spec:
    """What each target says of the nodes that each module adds; of a single target, by place."""
    targets = run.header.study.get("targets", [])
    tiles = list(_by_target(run, baseline) if len(targets) > 1 else _by_place(run, baseline))
    table = crossed(run, rows_at(run, baseline))
    across, down = (targets, table.modules) if len(targets) > 1 else (table.modules, table.places)
    heads: Spec = {"orient": "top", "title": None, "labelFontWeight": 600, "labelLimit": 190}
    heads |= {"labelAngle": -32, "labelAlign": "left"} if len(targets) > 1 else folded_heads(across)
    x = {"field": "column", "type": "nominal", "scale": {"domain": across}, "axis": heads}
    seen = [verdict for verdict in FILLS if any(tile["verdict"] == verdict for tile in tiles)]
    colour = {"field": "verdict", "type": "nominal", "scale": {"domain": seen, "range": [FILLS[word] for word in seen]},
              "legend": {"title": None, "symbolType": "square", "symbolSize": 150}}  # fmt: skip
    told = [{"field": name, "type": "nominal"} for name in ("row", "column", "verdict", "cases", "ops")]
    width = TILE["x"]
    whose = targets[0] if len(targets) == 1 else f"{len(targets)} targets"
    return chart(
        f"NPU verdicts on what modules add, {baseline.where}",
        f"By {whose}. Unknown is not supported" if targets else "The run was checked against no NPU target",
        tiles,
        encoding={"x": x, "y": {"field": "row", "type": "nominal", "scale": {"domain": down}, "axis": {"title": None}}},
        layer=[
            {"mark": {"type": "rect", "cornerRadius": 3, "tooltip": True}, "encoding": {"color": colour, "tooltip": told}},
            {"mark": {"type": "text", "fontSize": 10.5, "color": INK}, "encoding": {"text": {"field": "text"}}},
        ],
        width={"step": width},
        height={"step": TILE["y"]},
        padding=MARGIN,
        config={**chart("", "", ())["config"], "scale": {"bandPaddingInner": 0.05, "bandPaddingOuter": 0}},
    )  # fmt: skip


def _by_target(run: Run, baseline: Case) -> Iterator[dict[str, Any]]:
    """A tile a module and target: the worst verdict of the module's cases, and in how many of them."""
    verdicts: dict[tuple[str, str], Counter[str]] = {}
    ops: dict[tuple[str, str], set[str]] = {}
    for row in rows_at(run, baseline):
        assignments = parse_variant(row.case.variant).assignments
        if len(assignments) == 1 and row.npu_verdict:
            key = "+".join(map(str, assignments[0].modules)), row.target
            verdicts.setdefault(key, Counter())[row.npu_verdict] += 1
            ops.setdefault(key, set()).update(_decisive(row))
    for (module, target), found in verdicts.items():
        worst = next(word for word in VERDICTS if found[word])
        whole = found.total()
        some = "" if found[worst] == whole else f" {found[worst]}/{whole}"
        yield _tile(module, target, worst, f"{_short(worst)}{some}", f"{found[worst]} of {whole}",
                    sorted(ops[module, target]))  # fmt: skip


def _by_place(run: Run, baseline: Case) -> Iterator[dict[str, Any]]:
    table = crossed(run, rows_at(run, baseline))
    for (place, module), row in table.cells.items():
        if word := row.npu_verdict:
            yield _tile(place, module, word, _short(word), "1 of 1", sorted(_decisive(row)))


def _tile(row: str, column: str, verdict: str, text: str, cases: str, ops: Sequence[str]) -> dict[str, str]:
    return {"row": row, "column": column, "verdict": verdict, "text": text, "cases": cases, "ops": ", ".join(ops) or MISSING}


def _decisive(row: Row) -> set[str]:
    """The ops that a verdict rests on: those at the worst level that the target gives."""
    worst = max((finding.level for finding in row.added), key=LEVELS.index, default="supported")
    return {f.composite or f.op for f in row.added if f.level == worst and worst != "supported"}


def _short(verdict: str) -> str:
    return "constraint" if verdict == "ok with constraint" else verdict
