"""The child's side of memory: what a session and one inference take at their largest, beside what the graph must take.

The kernel's high-water mark of this process (``VmHWM``, reset through ``clear_refs``) less what was resident before. That
repeats to a tenth of a megabyte where blocks go back to the system as soon as they are freed: with the malloc settings of
``timing`` in place before this process starts, and a lean session: ONNX Runtime's arena and memory pattern off. With the
arena on, the same figure jumps by 8 MB and more from process to process and can change its sign.

Rejected: ``ru_maxrss``, which never goes down, so that a session's creation hides the inference; and ``tracemalloc``, which
does not see the runtime's allocations.
"""

import gc
import json
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

from attnbench.measure.session import feed, opened
from attnbench.runtimes import OptimisedNode, RuntimeSession

ITEM_BYTES = {"bool": 1, "int8": 1, "uint8": 1, "float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2, "float": 4, "int32": 4,
              "float32": 4, "uint32": 4, "double": 8, "float64": 8, "int64": 8, "uint64": 8}  # fmt: skip


def memory(job: dict[str, Any]) -> dict[str, Any]:
    """Bytes: ``run_peak`` of one inference and ``session_peak`` of creating the session, each beyond what was there before.

    ``plain_peak`` is the inference's without the runtime's planned reuse of buffers. ``static_peak`` is the live activations
    of the runtime's own optimised graph, and ``in_place_peak`` the same where ops may write over an input; both are ``None``
    where that graph does not name its nodes.
    """
    session, created = _grown(lambda: opened(job, job["model"], lean=True))
    inputs = feed(session, job["seed"])
    session.run(inputs)
    _, ran = _grown(lambda: session.run(inputs))
    del session
    session = opened(job, job["model"], lean=True, reuse=False, keep="profile")
    session.run(inputs)
    _, plain = _grown(lambda: session.run(inputs))
    static, in_place = static_peaks(session, session.graph(), session.profiled().nodes)
    return {"session_peak": created, "run_peak": ran, "plain_peak": plain, "static_peak": static, "in_place_peak": in_place}


def static_peaks(
    session: RuntimeSession, graph: Sequence[OptimisedNode], executed: Sequence[dict[str, Any]]
) -> tuple[int, int] | tuple[None, None]:
    """The live activations of a runtime's graph in the order it ran, without and with ops that work in place.

    The graph says which tensors its nodes read and write, a profile in which order, and how large they are.
    """
    from attnbench.graph.liveness import IN_PLACE, Step, peak  # noqa: PLC0415  the figures are had by now

    named = {node.name: node for node in graph}
    if any(node["name"] not in named for node in executed):
        return None, None
    sizes = {one.name: ITEM_BYTES[one.type] * prod(one.shape) for one in session.inputs}
    steps = []
    for row in executed:
        node = named[row["name"]]
        sizes |= dict(zip(node.writes, map(_bytes_of, json.loads(row["outputs"])), strict=False))
        steps.append(Step(node.kind.partition(" ")[0], node.reads, node.writes))
    ends = [one.name for one in session.inputs], list(session.outputs)
    return peak(steps, *ends, sizes), peak(steps, *ends, sizes, IN_PLACE)


def _bytes_of(tensor: dict[str, list[int]]) -> int:
    """Bytes of a tensor as the profile describes it: its type's name and its shape."""
    ((kind, shape),) = tensor.items()
    return ITEM_BYTES[kind] * prod(shape)


def _grown(action: Callable[[], Any]) -> tuple[Any, int]:
    """Do it, and say by how many bytes the process grew at its largest."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    result = action()
    return result, _status("VmHWM") - before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")
