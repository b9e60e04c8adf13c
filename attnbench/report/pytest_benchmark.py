"""A run's latencies as ``pytest-benchmark compare`` reads them: one benchmark a case and number of threads, in seconds.

Source: ``pytest_benchmark_generate_json`` and ``Stats`` of https://github.com/ionelmc/pytest-benchmark (files of
``--benchmark-json``); described at https://pytest-benchmark.readthedocs.io/en/stable/comparing.html. Groups are hosts and
sizes. Overheads and their intervals, which that tool does not know, stand in ``extra_info``. Means of latencies that lie
minutes apart drift with the machine: compare cases by overhead.
"""

from collections.abc import Sequence
from statistics import fmean, median, stdev
from typing import Any

from msgspec import structs

from attnbench.core.records import DEFAULT_RUNTIME, FP32, Record, Run
from attnbench.report import ReportFormat
from attnbench.report.answer import json_text
from attnbench.report.json import present
from attnbench.report.series import SeriesFigure, figures


def render(run: Run) -> str:
    """The run as one JSON document; a case without a latency is left out."""
    document = {
        "machine_info": present(_machine(run)),
        "commit_info": present(_commit(run)),
        "benchmarks": [
            _benchmark(record, figure)
            for record in run.records
            for figure in figures(record)
            if figure.metric.name == "latency"
        ],
        "datetime": run.header.started,
        "version": f"attnbench {run.header.attnbench}",
    }
    return json_text(document)


def stats(data: Sequence[float]) -> dict[str, Any]:
    """What pytest-benchmark computes of raw times, by its own definitions: quartiles by Tukey's hinges and their like."""
    ordered, mean = sorted(data), fmean(data)
    spread = stdev(data) if len(data) > 1 else 0.0
    q1, q3 = _quartile(ordered), -_quartile([-value for value in reversed(ordered)])
    iqr = q3 - q1
    inside = [value for value in ordered if q1 - 1.5 * iqr <= value <= q3 + 1.5 * iqr] or ordered
    far = sum(not mean - spread <= value <= mean + spread for value in data)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": spread,
        "rounds": len(data),
        "median": median(data),
        "iqr": iqr,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": len(data) - len(inside),
        "stddev_outliers": far,
        "outliers": f"{far};{len(data) - len(inside)}",
        "ld15iqr": inside[0],
        "hd15iqr": inside[-1],
        "ops": 1 / mean if mean else 0.0,
        "total": sum(data),
        "data": list(data),
        "iterations": 1,
    }


def _quartile(ordered: Sequence[float]) -> float:
    """The first quartile: the median of the lower half, and for an odd number the mean of the two ways to halve it."""
    whole, rest = divmod(len(ordered), 4)
    if len(ordered) == 1:
        return ordered[0]
    if rest == 1:
        return 0.25 * ordered[whole - 1] + 0.75 * ordered[whole]
    if rest == 3:
        return 0.75 * ordered[whole] + 0.25 * ordered[whole + 1]
    return median(ordered[: len(ordered) // 2])


def _benchmark(record: Record, figure: SeriesFigure) -> dict[str, Any]:
    case, threads = record.case, f" ({figure.threads} threads)" if figure.threads != 1 else ""
    params = {"host": case.host, "size": case.size, "batch": case.batch, "variant": case.variant, "threads": figure.threads}
    params |= {"runtime": case.runtime} if case.runtime != DEFAULT_RUNTIME else {}
    params |= {"dtype": case.dtype} if case.dtype != FP32 else {}
    return {
        "group": structs.replace(case, variant="").label.strip(),
        "name": f"{case.variant}{threads}",
        "fullname": f"{case.label}{threads}",
        "params": params,
        "param": case.variant,
        "extra_info": _extra(record),
        "options": {},
        "stats": stats(figure.samples or (figure.value,)),
    }


def _extra(record: Record) -> dict[str, float]:
    """The overhead in % with the ends of its interval, where the case has one."""
    names = ("overhead_pct", "overhead_pct_low", "overhead_pct_high")
    return next((figure.times(100, names) for figure in figures(record) if figure.metric.name == "overhead"), {})


def _machine(run: Run) -> dict[str, Any]:
    machine, software = run.header.machine, run.header.software
    system, _, release = str(machine.get("system", "")).partition(" ")
    return {
        "node": machine.get("id"),
        "processor": machine.get("cpu"),
        "machine": machine.get("architecture"),
        "python_version": software.get("python"),
        "system": system,
        "release": release,
        "cpu": present({"brand_raw": machine.get("cpu"), "count": machine.get("cores")}),
    }


def _commit(run: Run) -> dict[str, Any]:
    commit = str(run.header.software.get("commit") or "")
    return {
        "id": commit.removesuffix("-dirty"),
        "time": run.header.software.get("commit_time"),
        "dirty": commit.endswith("-dirty"),
        "project": run.header.study.get("name"),
    }


ENTRIES = (
    ReportFormat(
        name="pytest-benchmark",
        file="pytest-benchmark.json",
        render=render,
        summary="latencies for pytest-benchmark compare",
    ),
)
