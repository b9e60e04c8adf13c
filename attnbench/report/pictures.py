"""The charts of a run or of a folder of runs one by one, for papers, READMEs and notebooks."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import normal_size, parse_variant
from attnbench.core.records import Case, Run
from attnbench.core.units import MISSING, counted
from attnbench.judge.recommend import Requirements, recommend
from attnbench.report.charts import bars, choices, heatmap
from attnbench.report.charts.drawing import Picture
from attnbench.report.charts.theme import Draw
from attnbench.report.parts import RunPart, parts_of, runtimes_of

DRAWN: dict[str, Draw] = {
    "heatmap": heatmap.heatmap,
    "overhead": bars.overheads,
    "decomposition": bars.decomposition,
    "pareto": lambda run, baseline: choices.pareto(recommend(run, Requirements()), baseline),
    "npu": choices.npu,
}
"""The charts of a run by their names."""

TREND = "trend"
KINDS = (*DRAWN, TREND)


def picture(
    run: Run,
    kind: str,
    *,
    host: str | None = None,
    size: str | None = None,
    runtime: str | None = None,
    place: Sequence[str] = (),
    module: Sequence[str] = (),
) -> Picture:
    """A chart of a run at one host and size, of all its cases or of those at some places and with some modules (globs).

    Raises ``InputError`` where the run has several hosts or sizes and none is named, or nothing that can be drawn.
    """
    if kind not in DRAWN:
        raise UnknownName("chart of a run", kind, DRAWN)
    part = _place(run, host, normal_size(size) if size else None, runtime)
    spec = DRAWN[kind](_narrowed(part.run, place, module), part.baseline)
    if not spec["data"]["values"]:
        raise InputError(
            f"{kind}: the run has no case to draw{' at these places, with these modules' if place or module else ''}"
        )
    return Picture(spec)


def trend_picture(
    folder: Path, metric: str, *, host: str | None = None, size: str | None = None, variant: str | None = None
) -> Picture:
    """How one figure went over the runs of a folder. Raises ``InputError`` where several series are meant."""
    from attnbench.judge.track import track  # noqa: PLC0415  charts of one run do without
    from attnbench.report.charts.changes import trend  # noqa: PLC0415

    found = track(folder, [metric], host=host, size=size, variant=variant)
    drawable = [one for one in found.trends if not isinstance(one.series.newest.value, str)]
    if len(drawable) != 1:
        names = ", ".join(dict.fromkeys(one.series.case.label for one in drawable))
        told = f"there are {len(drawable)} series: choose one by --variant, --host and --size ({names})"
        raise InputError(f"trend: {told if drawable else 'nothing here is a number over time'}")
    return Picture(trend(found, drawable[0]))


def _place(run: Run, host: str | None, size: str | None, runtime: str | None) -> RunPart:
    left = parts_of(run)
    for key, field, wanted in (("host", "host", host), ("size", "at", size), ("runtime", "runtime", runtime)):
        if wanted and wanted not in (names := [getattr(one.baseline, field) for one in left]):
            raise UnknownName(f"{key} of this run", wanted, names)
        left = [one for one in left if wanted in (None, getattr(one.baseline, field))]
    if len(left) != 1:
        more = ", --size and --runtime" if len(runtimes_of(run)) > 1 else " and --size"
        raise InputError(f"the run has {', '.join(one.baseline.where for one in left)}: choose one by --host{more}")
    return left[0]


def _narrowed(run: Run, places: Sequence[str], modules: Sequence[str]) -> Run:
    """The run with the baselines and those cases of one assignment that match; the whole run without a pattern."""

    def meant(case: Case) -> bool:
        assignments = parse_variant(case.variant).assignments
        if case.is_baseline or not (places or modules):
            return True
        names = ("+".join(assignments[0].places), "+".join(map(str, assignments[0].modules)))
        matched = (not patterns or any(fnmatchcase(name, one) for one in patterns)
                   for name, patterns in zip(names, (places, modules), strict=True))  # fmt: skip
        return len(assignments) == 1 and all(matched)

    kept = tuple(record for record in run.records if meant(record.case))
    header = replace(run.header, cases=tuple(filter(meant, run.header.cases)), efforts={})
    return replace(run, header=header, records=kept)


def glance(run: Run) -> str:
    """A run at a glance as HTML without a script: what it is in a line, then its heat maps, or its overheads without any."""
    from markupsafe import Markup  # noqa: PLC0415  of the extra

    header = run.header
    cases = f"{counted(len(run.records), 'case')} of {len(header.cases)}"
    told = f"{cases} on {header.machine.get('cpu', MISSING)}, {header.started}"
    head = Markup("<p><strong>{}</strong><br>{}</p>").format(header.title, told)
    shown = []
    for part in parts_of(run):
        specs = (draw(*part) for draw in (heatmap.heatmap, bars.overheads))
        shown += [Picture(spec).svg() for spec in specs if spec["data"]["values"]][:1]
    return f"{head}{''.join(shown)}"
