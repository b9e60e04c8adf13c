"""OpenVINO's performance counters: ``benchmark_app -pc -report_type detailed_counters`` (or ``average_counters``).

A CSV with ``;`` between cells, a table for each inference request, with the columns ``layerName``, ``execStatus``,
``layerType``, ``execType``, ``realTime (ms)`` and ``cpuTime (ms)``; a row *Total* ends a table. Times are in whole
microseconds. A layer that was not run (``NOT_RUN``, ``OPTIMIZED_OUT``) was folded into a neighbour or computed ahead. The
tool in Python says ``Status.EXECUTED``. The CPU plugin calls a convolution that takes its bias in ``NAME/WithoutBiases``,
a reorder ``FROM_LAYOUT_LAYOUT_TO``, and what it makes itself ``Convert_398``, where the number is another in each model.

Sources: samples/cpp/benchmark_app/statistics_report.cpp and tools/benchmark_tool of openvinotoolkit/openvino, and a run of
2026.4.
"""

import csv
from collections.abc import Iterable

from attnbench.profiles import ForeignProfile, ProfiledLayer, ProfileFormat, numbered, same_layers

HEAD, TIME, SUFFIX = "layerName", "realTime (ms)", "/WithoutBiases"


def looks(text: str) -> bool:
    """Whether a table of counters is in it."""
    return f"{HEAD};execStatus" in text


def read(text: str, _: str) -> ForeignProfile:
    """A run a table; where a table has several rows of one name, each is a layer."""
    tables: list[dict[str, tuple[ProfiledLayer, float]]] = []
    gone: dict[str, None] = {}
    columns: list[str] = []
    for row in csv.reader(text.splitlines(), delimiter=";"):
        if row[:1] == [HEAD]:
            columns = row
            tables.append({})
        elif columns and row and row[0] != "Total" and len(row) > columns.index(TIME):
            cells = dict(zip(columns, row, strict=False))
            if cells["execStatus"].removeprefix("Status.") != "EXECUTED":
                gone[cells[HEAD]] = None
                continue
            name = numbered(cells[HEAD], tables[-1])
            tables[-1][name] = _layer(name, cells, tables[-1]), float(cells[TIME]) * 1e-3
    found = same_layers(tables)
    statistic = "a request's mean over its inferences"
    return ForeignProfile(found.layers, found.runs, gone=tuple(gone), statistic=statistic)


def _layer(name: str, cells: dict[str, str], before: Iterable[str]) -> ProfiledLayer:
    """A layer; a reorder serves the one whose tensor it turns, for the one that reads it comes later."""
    if cells["layerType"] == "Reorder":
        served = [one for one in before if name.startswith(f"{one.removesuffix(SUFFIX)}_")]
        return ProfiledLayer(name, "Reorder", (), beside=max(served, key=len, default=""))
    return ProfiledLayer(name, cells["layerType"], (cells[HEAD].removesuffix(SUFFIX),))


ENTRIES = (
    ProfileFormat(
        name="openvino",
        looks=looks,
        read=read,
        summary="benchmark_app's performance counters",
        take="take it with benchmark_app -m MODEL -pc -report_type detailed_counters -hint none -nstreams 1 -nireq 1",
    ),
)
