"""TI's table of layers: TIDL run on the device with ``debug_level = 1`` (``TIDL_RT_DEBUG=1``), or its ``...perf.csv``.

Cells end in commas: ``Layer``, ``Layer Cycles``, then cycles that TI keeps for itself; a table an inference. Layers are
numbers: their names stand in ``artifacts/tempDir/*.layer_info.txt``, a line each: number, number of the data, and the tensor
that the layer gives. Times are cycles of the C7x, for no clock is told. Layers that run on the Arm cores are in no table.

Sources: docs/debugging.md of TexasInstruments/edgeai-tidl-tools (before: docs/tidl_osr_debug.md) and TI's
TIDLRT_LogMetaData, which prints the table.
"""

import re

from attnbench.profiles import ForeignProfile, ProfiledLayer, ProfileFormat, same_layers

LOG = re.compile(r"^\[C7x_\d+ *\] +[\d.]+ s: *")
HEAD = re.compile(r"Layer, +Layer Cycles,")
ROW = re.compile(r"(?P<layer>\d+), +(?P<cycles>\d+),")


def looks(text: str) -> bool:
    """Whether the head of the table is in it."""
    return bool(HEAD.search(text))


def read(text: str, info: str) -> ForeignProfile:
    """A run a table."""
    if not info:
        raise ValueError("its layers are numbers: give the *.layer_info.txt of both models with --layer-info")
    names = _names(info)
    tables: list[dict[str, tuple[ProfiledLayer, float]]] = []
    for line in (LOG.sub("", raw).strip() for raw in text.splitlines()):
        if HEAD.match(line):
            tables.append({})
        elif tables and (row := ROW.match(line)):
            number = row["layer"]
            if number not in names:
                raise ValueError(f"layer {number} is not in the layer information: it is of another model or subgraph")
            tables[-1][number] = ProfiledLayer(names[number], "", (names[number],)), float(row["cycles"])
    found = same_layers([table for table in tables if table])
    return ForeignProfile(found.layers, found.runs, unit="cycles")


def _names(info: str) -> dict[str, str]:
    rows = (line.split(None, 2) for line in info.splitlines())
    return {row[0]: row[2].strip() for row in rows if len(row) == 3 and row[0].isdigit()}


ENTRIES = (
    ProfileFormat(
        name="tidl",
        looks=looks,
        read=read,
        summary="TI's table of layer cycles",
        take="run the compiled model on the device with debug_level=1 and keep what it prints",
        info="artifacts/tempDir/*.layer_info.txt of the compiled model",
    ),
)
