"""A run in Go's benchmark format, one raw sample a line, for ``benchstat`` and all else that reads that format.

Source: https://go.googlesource.com/proposal/+/refs/heads/master/design/14313-benchmark-format.md; unit lines and how names
are split: https://pkg.go.dev/golang.org/x/perf/benchfmt. In a name, ``/key=value`` parts are what ``benchstat -row /size
-col /variant`` takes apart, and ``-N`` at the end is the number of threads; spaces, slashes and percent signs of a variant
are written as ``%20``, ``%2F`` and ``%25``. Runs that differ in a ``key: value`` line are not compared with each other by
default, so only the machine stands there; when and from which commit a run is stands in comments.
"""

from collections.abc import Iterator
from urllib.parse import quote

from attnbench.core.records import Case, Run
from attnbench.report import Format
from attnbench.report.series import Figure, figures

UNITS = {
    "overhead": ("overhead-%", 100.0),
    "latency": ("ns/op", 1e9),
    "params": ("params", 1.0),
    "macs": ("MACs", 1.0),
    "activation_peak": ("activation-peak-B", 1.0),
    "memory_peak": ("memory-peak-B", 1.0),
    "weights": ("weights-B", 1.0),
}
"""The unit of each quantity and its scale. A 90th percentile has no samples of its own and is left out."""

EXACT = ("params", "macs", "activation_peak", "weights")
"""Quantities that repetition does not change."""

GOARCH = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}
"""What Go calls an architecture, where it is not the system's own word."""


def render(run: Run) -> str:
    """The run as text, header lines first; a case without a figure is left out."""
    return "\n".join([*_header(run), *_results(run)]) + "\n"


def benchmark(case: Case, threads: int) -> str:
    """The name of a case, with nothing in it that the format would take apart."""
    parts = {"host": case.host, "size": case.size, "variant": case.variant}
    if case.batch != 1:
        parts["batch"] = str(case.batch)
    return "BenchmarkCase" + "".join(f"/{key}={_safe(value)}" for key, value in parts.items()) + f"-{threads}"


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
    for metric, (unit, _) in UNITS.items():
        yield f"Unit {unit} better=lower{' assume=exact' if metric in EXACT else ''}"


def _results(run: Run) -> Iterator[str]:
    for record in run.records:
        for figure in figures(record):
            if figure.metric in UNITS:
                yield from _samples(record.case, figure)


def _samples(case: Case, figure: Figure) -> Iterator[str]:
    unit, scale = UNITS[figure.metric]
    for sample in figure.samples or (figure.value,):
        yield f"{benchmark(case, figure.threads)} 1 {sample * scale if scale != 1 else sample!r} {unit}"


def _safe(text: str) -> str:
    """Text without spaces, slashes, percent signs and control characters, each in its UTF-8 bytes as ``%XX``."""
    return "".join(quote(c, safe="") if c in "/%" or c.isspace() or not c.isprintable() else c for c in text)


def _line(value: object) -> str:
    return " ".join(str(value).split())


ENTRIES = (Format(name="benchstat", file="benchstat.txt", render=render, summary="Go benchmark text, every raw sample"),)
