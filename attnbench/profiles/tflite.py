"""TensorFlow Lite's (LiteRT's) ``benchmark_model --enable_op_profiling=true``, as CSV or as it is printed.

The table *Run Order* has a row an op: its type, start, first time, ``avg_ms``, shares, memory, times called, and a name:
the list of the tensors that it gives, and its number: ``[model/conv/Conv2D]:3``. The same table comes for the
initialisation, before, and by time, behind. A delegate's layer holds many ops in one; what it lists of them by
``DelegateOpInvoke`` has no tensors' names, and is in the delegate's time already.

Sources: tensorflow/core/util/stats_calculator.cc and tensorflow/lite/profiling/profile_summarizer.cc of
tensorflow/tensorflow.
"""

import re

from attnbench.profiles import ForeignProfile, ProfiledLayer, ProfileFormat, numbered, same_layers

REGULAR = "Profiling Info for Regular Benchmark Runs"
NAME = re.compile(r"\[(?P<tensors>.*)\]:\d+", re.DOTALL)
OF_A_DELEGATE = "DelegateOpInvoke"
LAYOUT = {"TRANSPOSE": "Transpose"}


def looks(text: str) -> bool:
    """Whether a table of ops is in it."""
    return bool(re.search(r"node type, start, first, avg|\[node type\]", text))


def read(text: str, _: str) -> ForeignProfile:
    """One row of times: the mean over the regular runs."""
    regular = text.rpartition(REGULAR)[2]
    _, title, table = regular.partition("= Run Order =")
    if not title:
        raise ValueError("it has no table 'Run Order'")
    lines = [line for line in table.splitlines()[1:] if line.strip()]
    columns = _head(lines[0])
    time = columns.index("avg_ms")
    layers: dict[str, tuple[ProfiledLayer, float]] = {}
    for line in lines[1:]:
        cells = _cells(line, len(columns) - 1)
        if line.startswith("=") or len(cells) != len(columns):
            break
        if cells[0] != OF_A_DELEGATE:
            name = numbered(re.sub(r":\d+$", "", cells[-1]), layers)
            layers[name] = _layer(name, cells[0], cells[-1]), float(cells[time]) * 1e-3
    found = same_layers([layers])
    return ForeignProfile(found.layers, found.runs, statistic="the mean over the runs")


def _layer(name: str, op: str, told: str) -> ProfiledLayer:
    tensors = NAME.fullmatch(told)
    parts = tuple(tensors["tensors"].split(", ")) if tensors else ()
    return ProfiledLayer(name, LAYOUT.get(op, op), parts, opaque="delegate" in op.lower())


def _head(line: str) -> list[str]:
    """The columns, by the words of the CSV."""
    return [cell.strip("[]").replace(" ", "_") for cell in _cells(line, -1)]


def _cells(line: str, most: int) -> list[str]:
    """The cells of a row, as CSV or as columns of text; a name may hold what is between cells."""
    cells = line.strip("\t").split("\t", most) if "\t" in line else line.split(", ", most)
    return [cell.strip() for cell in cells]


ENTRIES = (
    ProfileFormat(
        name="tflite",
        looks=looks,
        read=read,
        summary="benchmark_model's op profile",
        take="take it with benchmark_model --graph=MODEL --enable_op_profiling=true --use_xnnpack=false "
        "--profiling_output_csv_file=FILE",
    ),
)
