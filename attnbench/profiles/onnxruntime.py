"""ONNX Runtime's profile: ``SessionOptions.enable_profiling``, ``onnxruntime_perf_test -p``. A JSON list of trace events.

All runs of a session stand in one list (``core.ort_profile``), the first ones before the machine was warm.
"""

import json
from collections import defaultdict
from typing import Any

from attnbench.core.ort_profile import SUFFIX, kernels
from attnbench.graph.align import ExecutedNode
from attnbench.profiles import ForeignProfile, ProfiledLayer, ProfileFormat


def looks(text: str) -> bool:
    """Whether it is a list of trace events with kernels in it."""
    return text.lstrip().startswith("[") and SUFFIX in text


def read(text: str, _: str) -> ForeignProfile:
    """Every run of the session, the first ones too: low quantiles leave them out where there are some ten runs."""
    by_name: defaultdict[str, list[tuple[dict[str, Any], float]]] = defaultdict(list)
    for node, seconds in kernels(json.loads(text)):
        by_name[node["name"]].append((node, seconds))
    runs = min(map(len, by_name.values()), default=0)
    odd = [name for name, seen in by_name.items() if len(seen) != runs]
    if odd:
        raise ValueError(f"node {odd[0]!r} ran {len(by_name[odd[0]])} times where others ran {runs} (a loop, or cut off?)")
    nodes = [ExecutedNode(**seen[0][0]) for seen in by_name.values()]
    layers = tuple(ProfiledLayer(node.name, node.op, (node.name,), ran=node) for node in nodes)
    return ForeignProfile(layers, tuple(tuple(seen[run][1] for seen in by_name.values()) for run in range(runs)))


ENTRIES = (
    ProfileFormat(
        name="onnxruntime",
        looks=looks,
        read=read,
        summary="ONNX Runtime's JSON profile",
        take="take it with SessionOptions.enable_profiling, or onnxruntime_perf_test -p FILE, and some 20 runs",
    ),
)
