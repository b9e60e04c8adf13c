"""ONNX Runtime's profile: ``SessionOptions.enable_profiling``, ``onnxruntime_perf_test -p``. A JSON list of trace events.

A node's event has ``cat`` *Node*, a name that ends in ``_kernel_time``, ``ts`` and ``dur`` in microseconds, and in ``args``
its op and the types and shapes of its tensors. All runs of a session stand in one list, the first ones before the machine
was warm. Source: onnxruntime/core/framework/sequential_executor.cc and core/common/profiler.cc of microsoft/onnxruntime.
"""

import json
from collections import defaultdict
from typing import Any

from attnbench.graph.align import ExecutedNode
from attnbench.profiles import ForeignProfile, ProfiledLayer, ProfileFormat

SUFFIX = "_kernel_time"


def looks(text: str) -> bool:
    """Whether it is a list of trace events with kernels in it."""
    return text.lstrip().startswith("[") and SUFFIX in text


def read(text: str, _: str) -> ForeignProfile:
    """Every run of the session, the first ones too: low quantiles leave them out where there are some ten runs."""
    events = [event for event in json.loads(text) if event.get("cat") == "Node" and event["name"].endswith(SUFFIX)]
    by_name: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in sorted(events, key=lambda one: one["ts"]):
        by_name[event["name"].removesuffix(SUFFIX)].append(event)
    runs = min(map(len, by_name.values()), default=0)
    odd = [name for name, seen in by_name.items() if len(seen) != runs]
    if odd:
        raise ValueError(f"node {odd[0]!r} ran {len(by_name[odd[0]])} times where others ran {runs} (a loop, or cut off?)")
    layers = tuple(_layer(name, seen[0]["args"]) for name, seen in by_name.items())
    return ForeignProfile(layers, tuple(tuple(seen[run]["dur"] * 1e-6 for seen in by_name.values()) for run in range(runs)))


def _layer(name: str, told: dict[str, Any]) -> ProfiledLayer:
    reads, writes = (json.dumps(told.get(f"{side}_type_shape"), sort_keys=True) for side in ("input", "output"))
    ran = ExecutedNode(name, told["op_name"], reads, writes, int(told.get("parameter_size", 0)))
    return ProfiledLayer(name, ran.op, (name,), ran=ran)


ENTRIES = (
    ProfileFormat(
        name="onnxruntime",
        looks=looks,
        read=read,
        summary="ONNX Runtime's JSON profile",
        take="take it with SessionOptions.enable_profiling, or onnxruntime_perf_test -p FILE, and some 20 runs",
    ),
)
