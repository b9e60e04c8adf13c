"""The events of ONNX Runtime's profile: what a session of ours writes, and what users bring.

A node's event has ``cat`` *Node*, a name that ends in ``_kernel_time``, ``ts`` and ``dur`` in microseconds, and in ``args``
its op and the types and shapes of its tensors. Source: onnxruntime/core/framework/sequential_executor.cc and
core/common/profiler.cc of microsoft/onnxruntime.
"""

import json
from collections.abc import Iterable
from typing import Any

SUFFIX = "_kernel_time"


def kernels(events: Iterable[dict[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    """The nodes in the order they ran, those of all runs, each as ``graph.align.ExecutedNode`` takes it, and its seconds."""
    found = [event for event in events if event.get("cat") == "Node" and event["name"].endswith(SUFFIX)]
    return [(_node(event), event["dur"] * 1e-6) for event in sorted(found, key=lambda one: one["ts"])]


def _node(event: dict[str, Any]) -> dict[str, Any]:
    told = event["args"]
    return {
        "name": event["name"].removesuffix(SUFFIX),
        "op": told["op_name"],
        "inputs": json.dumps(told.get("input_type_shape"), sort_keys=True),
        "outputs": json.dumps(told.get("output_type_shape"), sort_keys=True),
        "parameter_bytes": int(told.get("parameter_size", 0)),
    }
