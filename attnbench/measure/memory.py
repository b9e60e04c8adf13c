"""The child's side of memory: what a session and one inference take at their largest, beside what the graph must take.

The kernel's high-water mark of this process (``VmHWM``, reset through ``clear_refs``) less what was resident before. That
repeats to a tenth of a megabyte where blocks go back to the system as soon as they are freed: with the malloc settings of
``process`` in place before this process starts, and ONNX Runtime's arena and memory pattern off. With the arena on, the
same figure jumps by 8 MB and more from process to process and can change its sign.

Rejected: ``ru_maxrss``, which never goes down, so that a session's creation hides the inference; and ``tracemalloc``, which
does not see the runtime's allocations.
"""

import gc
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort

from attnbench.measure.session import feed, open_session, runs_of, session_options

ITEM_BYTES = {"bool": 1, "int8": 1, "uint8": 1, "float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2, "float": 4, "int32": 4,
              "uint32": 4, "double": 8, "int64": 8, "uint64": 8}  # fmt: skip


def memory(job: dict[str, Any]) -> dict[str, Any]:
    """Bytes: ``run_peak`` of one inference and ``session_peak`` of creating the session, each beyond what was there before.

    ``plain_peak`` is the inference's without the runtime's planned reuse of buffers. ``static_peak`` is the live activations
    of the runtime's own optimised graph, and ``in_place_peak`` the same where ops may write over an input; both are ``None``
    where that graph does not name its nodes.
    """
    session, created = _grown(lambda: _quiet_session(job))
    inputs = feed(session, job["seed"])
    session.run(None, inputs)
    _, ran = _grown(lambda: session.run(None, inputs))
    del session
    with tempfile.TemporaryDirectory() as folder:
        options = _quiet_options(job)
        options.enable_mem_reuse = False
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        options.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        session = open_session(job, job["model"], options)
        session.run(None, inputs)
        _, plain = _grown(lambda: session.run(None, inputs))
        events = json.loads(Path(session.end_profiling()).read_text())
        static, in_place = static_peaks(Path(folder, "optimised.onnx"), events)
    return {"session_peak": created, "run_peak": ran, "plain_peak": plain, "static_peak": static, "in_place_peak": in_place}


def static_peaks(optimised: Path, events: list[dict[str, Any]]) -> tuple[int, int] | tuple[None, None]:
    """The live activations of an optimised graph in the order it ran, without and with ops that work in place.

    The graph's file says which tensors its nodes read and write, a profile in which order, and how large they are.
    """
    import onnx_ir as ir  # noqa: PLC0415  the figures are had by now, and only this needs it

    from attnbench.graph.liveness import IN_PLACE, Step, peak  # noqa: PLC0415

    graph = ir.load(optimised).graph
    named = {node.name: node for node in graph}
    executed, _ = runs_of(events)
    if any(node["name"] not in named for node in executed):
        return None, None
    constant = {value.name for value in graph.initializers.values()}
    sizes = {value.name: _bytes_of(_io_shape(value)) for value in graph.inputs}
    steps = []
    for event in executed:
        node = named[event["name"]]
        reads = [value.name for value in node.inputs if value is not None and value.name not in constant]
        writes = [value.name for value in node.outputs if value.name]
        sizes |= dict(zip(writes, map(_bytes_of, json.loads(event["outputs"])), strict=False))
        steps.append(Step(node.op_type, reads, writes))
    ends = [value.name for value in graph.inputs], [value.name for value in graph.outputs]
    return peak(steps, *ends, sizes), peak(steps, *ends, sizes, IN_PLACE)


def _io_shape(value: Any) -> dict[str, list[int]]:
    return {value.dtype.name.lower(): list(value.shape)}


def _bytes_of(tensor: dict[str, list[int]]) -> int:
    """Bytes of a tensor as the profile describes it: its type's name and its shape."""
    ((kind, shape),) = tensor.items()
    size = ITEM_BYTES[kind]
    for length in shape:
        size *= length
    return size


def _quiet_options(job: dict[str, Any]) -> ort.SessionOptions:
    options = session_options(job)
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return options


def _quiet_session(job: dict[str, Any]) -> ort.InferenceSession:
    return open_session(job, job["model"], _quiet_options(job))


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
