"""A run in Go's benchmark format, one raw sample a line, for ``benchstat`` and all else that reads that format.

Source: https://go.googlesource.com/proposal/+/refs/heads/master/design/14313-benchmark-format.md; unit lines and how names
are split: https://pkg.go.dev/golang.org/x/perf/benchfmt. In a name, ``/key=value`` parts are what ``benchstat -row /size
-col /variant`` takes apart, and ``-N`` at the end is the number of threads; spaces, slashes and percent signs of a variant
are written as ``%20``, ``%2F`` and ``%25``. Runs that differ in a ``key: value`` line are not compared with each other by
default, so only the machine stands there; when and from which commit a run is stands in comments.
"""

from collections.abc import Iterator
from urllib.parse import quote

from attnbench.core.metrics import METRICS, SERIES, Metric
from attnbench.core.records import DEFAULT_RUNTIME, FP32, Case, Run
from attnbench.report import ReportFormat
from attnbench.report.series import SeriesFigure, figures, nano_scale

WRITTEN = tuple(METRICS[name] for name in SERIES if not METRICS[name].summary_of)
"""The metrics that have lines. A 90th percentile has no samples of its own and is left out."""

GOARCH = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}
"""What Go calls an architecture, where it is not the system's own word."""


def render(run: Run) -> str:
    """The run as text, header lines first; a case without a figure is left out."""
    return "\n".join([*_header(run), *_results(run)]) + "\n"


def benchmark(case: Case, threads: int) -> str:
    """The name of a case, with nothing in it that the format would take apart."""
    parts = {"host": case.host, "size": case.size, "variant": case.variant}
    if case.dtype != FP32:
        parts["dtype"] = case.dtype
    if case.batch != 1:
        parts["batch"] = str(case.batch)
    if case.runtime != DEFAULT_RUNTIME:
        parts["runtime"] = case.runtime
    return "BenchmarkCase" + "".join(f"/{key}={_safe(value)}" for key, value in parts.items()) + f"-{threads}"


def unit(metric: Metric) -> str:
    """The unit of a metric's lines: time by operation, as Go has it, or the metric with its unit."""
    if metric.unit == "s":
        return "ns/op"
    return metric.label.replace(" ", "-") + {"1": "", "B": "-B", "%": "-%"}[metric.shown_unit]


def _header(run: Run) -> Iterator[str]:
    header = run.header
    yield f"# attnbench {_line(header.attnbench)}, run of {_line(header.started)}"
    for key in ("commit", "torch", "onnxruntime"):
        if header.software.get(key):
            yield f"# {key} {_line(header.software[key])}"
    machine = {
        "goos": str(header.machine.get("system", "")).partition(" ")[0].lower(),
        "goarch": GOARCH.get(str(header.machine.get("architecture")), str(header.machine.get("architecture") or "")),
        "pkg": f"attnbench/{header.study.get('name', 'study')}",
        "cpu": header.machine.get("cpu", ""),
    }
    yield from (f"{key}: {_line(value)}" for key, value in machine.items() if value)
    for metric in WRITTEN:
        yield f"Unit {unit(metric)} better={metric.better}{' assume=exact' if metric.exact else ''}"


def _results(run: Run) -> Iterator[str]:
    for record in run.records:
        for figure in figures(record):
            if figure.metric in WRITTEN:
                yield from _samples(record.case, figure)


def _samples(case: Case, figure: SeriesFigure) -> Iterator[str]:
    scale = nano_scale(figure.metric)
    for sample in figure.samples or (figure.value,):
        yield f"{benchmark(case, figure.threads)} 1 {sample * scale if scale != 1 else sample!r} {unit(figure.metric)}"


def _safe(text: str) -> str:
    """Text without spaces, slashes, percent signs and control characters, each in its UTF-8 bytes as ``%XX``."""
    return "".join(
        quote(c, safe="", errors="backslashreplace") if c in "/%" or c.isspace() or not c.isprintable() else c for c in text
    )


def _line(value: object) -> str:
    return " ".join(str(value).split())


ENTRIES = (
    ReportFormat(name="benchstat", file="benchstat.txt", render=render, summary="Go benchmark text, every raw sample"),
)
