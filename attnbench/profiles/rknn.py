"""Rockchip's table of layers: ``rknn.eval_perf()`` of RKNN-Toolkit2 after ``init_runtime(perf_debug=True)``.

Columns stand in text, blanks between them: ``ID OpType DataType Target InputShape OutputShape``, then cycles (one triple
``DDR/NPU/Total``, or three columns before 2.0), ``Time(us)``, use of the MACs, the cores' load, memory, and ``FullName``:
``Conv:/model.0/conv/Conv``, the op and name of one node of the ONNX file. ``OpType`` says what was fused into it
(``ConvExSwish``), and not which nodes. Lines may begin with the runtime's own ``D RKNN: [time]``.

Sources: the performance evaluation of Rockchip's RKNN SDK user guide 2.3.2, section 3.3, and tables that users printed
(channyhuang/channyhuang.github.io 2024-07-18, airockchip/rknn-toolkit2 issues).
"""

import re

from attnbench.profiles import ForeignProfile, ProfiledLayer, ProfileFormat, numbered, same_layers

PREFIX = re.compile(r"^D RKNN: \[[\d:.]+\] ")
ROW = re.compile(
    r"(?P<id>\d+)\s+(?P<op>\S+)\s+(?P<type>\S+)\s+(?P<target>CPU|NPU|GPU)\s+(?P<reads>\S+)\s+(?P<writes>\S+)\s+"
    r"(?:\d+/\d+/\d+|\d+\s+\d+\s+\d+)\s+(?P<time>\d+)\s.*?(?P<name>\S+)\s*"
)
LAYOUT = {"exTranspose": "Transpose"}


def looks(text: str) -> bool:
    """Whether the head of the table is in it, with times."""
    return bool(re.search(r"\bID\s+OpType\b.*Time\(us\)", text))


def read(text: str, _: str) -> ForeignProfile:
    """A run a table."""
    tables: list[dict[str, tuple[ProfiledLayer, float]]] = []
    for line in (PREFIX.sub("", raw).strip() for raw in text.splitlines()):
        if re.match(r"ID\s+OpType\b", line):
            tables.append({})
        elif tables and (row := ROW.fullmatch(line)):
            op, node = _split(row["name"])
            name = numbered(node, tables[-1])
            detail = " ".join(row.group("op", "type", "target", "reads", "writes"))
            layer = ProfiledLayer(name, LAYOUT.get(row["op"], op or row["op"]), (node,), detail)
            tables[-1][name] = layer, int(row["time"]) * 1e-6
    return same_layers([table for table in tables if table])


def _split(name: str) -> tuple[str, str]:
    """The op before the first colon, and the node; a name without one is the node's."""
    found = re.fullmatch(r"(?P<op>(?:ex)?[A-Z]\w*):(?P<node>.+)", name)
    return (found["op"], found["node"]) if found else ("", name)


ENTRIES = (
    ProfileFormat(
        name="rknn",
        looks=looks,
        read=read,
        summary="Rockchip's table of layers, eval_perf()",
        take="take it with rknn.init_runtime(target=..., perf_debug=True) and print(rknn.eval_perf())",
    ),
)
