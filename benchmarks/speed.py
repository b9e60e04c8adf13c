"""How long sweeps take, and where the time goes: the report study, and studies of more and more cases.

``python benchmarks/speed.py`` writes ``results/speed.md`` and ``results/speed.json``; ``--quick`` is a small trial that
writes nothing. The report study is measured twice: with an empty cache, as after an installation, and again. It stands
beside the same study as it was measured before cases shared a graph, from the run file of then, whose records say where
their time went (``--before RUN``).
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from attnbench.core.records import Run
from attnbench.measure import machine as environment
from attnbench.measure.disturbance import Watch
from attnbench.report.table import Table
from attnbench.runs.store import load_run

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
COMMITTED = RESULTS / "report"
"""The same study, measured at another time: what a machine's state does to overheads."""

NUMBERS = (50, 100, 300, 1000)
"""Numbers of cases at 96x160."""

MODULES = (
    *("se", "eca", "cbam", "coord", "gc", "simam", "triplet", "ge", "scse", "ese", "bam", "sge", "nam", "gam", "ema", "lka"),
    *("parnet", "shuffle", "linear_attention", "axial_conv"),
)
REDUCTIONS = (2, 4, 8, 16, 32, 64)


def main() -> None:
    """Sweep, tell, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small trial that writes no result")
    parser.add_argument("--before", type=Path, help="a run of the report study by an earlier version")
    asked = parser.parse_args()
    quick = asked.quick
    with Watch() as watch, tempfile.TemporaryDirectory(prefix="attnbench-") as folder:
        raw = {"report study, before": before(load_run(asked.before))} if asked.before else {}
        raw |= measured(Path(folder), quick=quick)
    machine, software = environment.machine(), environment.software()
    about = (
        f"Machine: {machine['cpu']}, {machine['cores']} cores granted (id {machine['id']}); onnxruntime "
        f"{software['onnxruntime']}, torch {software['torch']} (id {software['id']}). While it ran: {watch.activity.text()}."
    )
    text = "\n\n".join(("# How long sweeps take", page(raw), about))
    print(text)
    if not quick:
        (RESULTS / "speed.md").write_text(text + "\n")
        (RESULTS / "speed.json").write_text(json.dumps(raw, indent=1) + "\n")


def measured(folder: Path, *, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The sweeps in turn, by name."""
    study = "quick" if quick else "report"
    yield f"{study} study, empty cache", sweep(folder, "first", study)
    yield f"{study} study, built before", sweep(folder, "again", study)
    for number in (20,) if quick else NUMBERS:
        yield f"{number} cases at 96x160", sweep(folder, f"n{number}", many(folder, number, "96x160"), "--screen")
    if not quick:
        yield "300 cases at 384x640, screened", sweep(folder, "large", many(folder, 300, "384x640"), "--screen")


def before(run: Run) -> dict[str, Any]:
    """A run of an earlier version: all of its steps' time, for its starts and ends were not kept."""
    found = parts(run)
    return {"seconds": found["total"], "cases": len(run.records), **found}


def many(folder: Path, number: int, size: str) -> str:
    """A study of so many cases: modules with several reductions, at every site of the host."""
    specs = [*MODULES, *(f"{name}[reduction={r}]" for name in ("se", "cbam", "coord") for r in REDUCTIONS)]
    sites = [f"encoder.layer{n}" for n in (1, 2, 3, 4)] + [f"decoder.upconv{n}" for n in range(5)]
    sites += [f"skip.{n}" for n in (1, 2, 3, 4)] + ["encoder.stem"]
    pairs = [f"{site}={spec}" for spec in specs for site in sites]
    pairs += [f"{site}={one}+{two}" for one, two in pairwise(specs) for site in sites]
    cases = "".join(f"[[case]]\nvariant = '{variant}'\n" for variant in pairs[:number])
    path = folder / f"n{number}-{size}.toml"
    path.write_text(f"sizes = ['{size}']\ntargets = []\n[settings]\nprocesses = 3\nmax_processes = 3\nrepeat = 5\n{cases}")
    return str(path)


def sweep(folder: Path, name: str, study: str, *more: str) -> dict[str, Any]:
    """A sweep as a user has it, and where its time went."""
    out = folder / name
    command = [
        sys.executable,
        "-c",
        "from attnbench.cli import main; main()",
        "sweep",
        study,
        "--out",
        str(out),
        "-q",
        *more,
    ]
    began = time.perf_counter()
    cache = {"ATTNBENCH_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=False, cwd=folder, env={**os.environ, **cache}, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    found = load_run(out)
    print(f"{name}: {len(found.records)} cases, {seconds:.0f} s", flush=True)
    apart = {"apart": beside(load_run(COMMITTED), found)} if study == "report" else {}
    return {"seconds": seconds, "cases": len(found.records), **parts(found), **apart}


def beside(committed: Run, run: Run) -> list[tuple[float, float]]:
    """Of each overhead of both runs, the later over the earlier, and by how many standard errors they differ."""
    found = []
    for record in committed.records:
        other = run.record(record.case)
        one, two = (side.get("overhead") if side else None for side in (record, other))
        if one and two and one.value and two.value and None not in (one.low, one.high, two.low, two.high):
            error = math.hypot(one.high - one.low, two.high - two.low) / (2 * 1.96)
            found.append((two.value / one.value, (two.value - one.value) / error))
    return found


def parts(run: Run) -> dict[str, float]:
    """Where a run's time went, in seconds, and the half widths of its intervals."""
    spent = {
        stage: sum(record.seconds.get(stage, 0.0) for record in run.records) for stage in ("build", "lint", "ort", "total")
    }
    figures = [found for record in run.records if (found := record.get("overhead")) and found.low is not None]
    widths = [
        100 * (figure.high - figure.low) / 2 for figure in figures if figure.high is not None and figure.low is not None
    ]
    alone = [found for record in run.records if record.case.is_baseline and (found := record.value("latency"))]
    return {
        **spent,
        "with figures": len(figures),
        "half width": median(widths) if widths else float("nan"),
        "network": median(alone) if alone else float("nan"),
    }


def page(raw: dict[str, Any]) -> str:
    """A row a sweep, and what a case more costs."""
    rows = (
        {
            "sweep": name,
            "cases": str(one["cases"]),
            "seconds": f"{one['seconds']:.0f}",
            "building and checking (s)": f"{one['build'] + one['lint']:.0f}",
            "in the runtime (s)": f"{one['ort']:.0f}",
            "in the runtime, of all steps (%)": f"{100 * one['ort'] / (one['total'] - one['build'] - one['lint']):.0f}",
            "seconds a case": f"{one['seconds'] / one['cases']:.2f}",
            "the network alone (ms)": f"{1e3 * one['network']:.0f}" if "network" in one else "-",
            "median half width (points)": f"{one['half width']:.3f}",
        }
        for name, one in raw.items()
    )
    small = [one for name, one in raw.items() if name.endswith("96x160")]
    slope = ""
    if len(small) > 1:
        first, last = small[0], small[-1]
        each = (last["seconds"] - first["seconds"]) / (last["cases"] - first["cases"])
        slope = f"\n\nOne case more at 96x160 costs {each:.3f} s, from {first['cases']} to {last['cases']} cases."
    return "\n\n".join((Table.of(rows).markdown() + slope, *filter(None, map(apart, raw, raw.values()))))


def apart(name: str, one: dict[str, Any]) -> str:
    """How far a run's overheads lie from those of the committed run, in a sentence or two."""
    if not one.get("apart"):
        return ""
    ratios, errors = zip(*one["apart"], strict=True)
    tenths = quantiles(ratios, n=10)
    return (
        f"{name}: its {len(ratios)} overheads are {median(ratios):.2f} times those of `results/report` (median; eight of "
        f"ten lie from {tenths[0]:.2f} to {tenths[-1]:.2f}), and {sum(abs(z) > 2 for z in errors)} differ by more than two "
        "standard errors."
    )


if __name__ == "__main__":
    main()
