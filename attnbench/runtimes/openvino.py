"""OpenVINO by its own API, on the CPU or any device that its plugins find.

Float32 is asked for by name: left alone, it computes in bfloat16 where a CPU has that. Its runtime model names each node
that runs, and the nodes of the file that each stands for, so that what it folded into a neighbour is known.

The CPU's counters (``src/plugins/intel_cpu/src/perf_count.h``) keep a sum over all runs, each run's time of a node rounded
down to a microsecond, and tell its mean, rounded down again. So the profile of a process is one row, the mean of the runs
that count, and a microsecond is added to each node: the middle of what two roundings may have taken. A node that mostly
takes less than a microsecond reads 0 and stays 0. Other devices tell their times in their own way, taken as they are.

No time between nodes is added: that of a whole run less that of its nodes is the same in graphs of 43 and of 162 nodes
(``benchmarks/calibration/runtimes.py``).
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import openvino as ov

from attnbench.runtimes import InputTensor, OptimisedNode, ProfiledRuns, Runtime, SessionSettings

OUTSIDE = ("Input", "Output", "Const")
"""Nodes of the runtime model that do nothing."""

MICROSECOND = 1e-6
ROUNDED = MICROSECOND
"""What a mean lacks, by expectation: half a microsecond from each run's time, and half from the mean of all runs."""

_COMMA = re.compile(r",(?![^\[]*\])")
"""A comma between names; one in a module's options is none."""


_MADE_UP = re.compile(r"[A-Z][A-Za-z]*_\d+")
"""How it names nodes that it makes itself: anew in each process."""


class _RuntimeNode(NamedTuple):
    """A node of the runtime model with what tells it apart, and what the counters call it."""

    counted_as: str
    node: OptimisedNode
    row: dict[str, Any]


class OpenVinoSession:
    """A graph, compiled for a device. Raises ``RuntimeError`` for a device or a precision that is not to be had."""

    def __init__(self, model: str, settings: SessionSettings) -> None:
        device, precision = str(settings.options["device"]).upper(), str(settings.options["precision"])
        core = ov.Core()
        if not any(device in (one, one.partition(".")[0]) for one in core.available_devices):
            raise RuntimeError(f"OpenVINO finds no device {device.lower()} here, but {', '.join(devices())}")
        wanted = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": settings.threads,
            "NUM_STREAMS": "1",
            "PERF_COUNT": settings.keep == "profile",
        }
        known = core.get_property(device, "SUPPORTED_PROPERTIES")
        self._on_cpu = device == "CPU"
        self._compiled = core.compile_model(model, device, {key: value for key, value in wanted.items() if key in known})
        used = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if used != precision:
            raise RuntimeError(f"device {device.lower()} computes in {used}, not in {precision}: ask for precision={used}")
        self._request = self._compiled.create_infer_request()
        self.inputs = [
            InputTensor(one.get_any_name(), tuple(one.get_shape()), one.get_element_type().to_dtype().name)
            for one in self._compiled.inputs
        ]
        self.outputs = [one.get_any_name() for one in self._compiled.outputs]
        self._runs, self._before, self._warm = 0, dict[str, float](), 0

    def run(self, inputs: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """One run. Inputs and outputs are shared and not copied: those of one run hold until the next."""
        self._runs += 1
        return list(self._request.infer(inputs, share_inputs=True, share_outputs=True).values())

    def graph(self) -> list[OptimisedNode]:
        """The nodes of the runtime model that depend on an input."""
        return [one.node for one in self._nodes]

    def warm(self) -> None:
        """The runs so far do not count."""
        self._warm = self._runs
        self._before = self._counters() if self._on_cpu else {}

    def profiled(self) -> ProfiledRuns:
        """The mean of the runs that count; of a device other than the CPU, what it tells after the last one."""
        known = {one.counted_as: one.row for one in self._nodes}
        counters = {name: seconds for name, seconds in self._counters().items() if name in known}
        if not counters:
            raise RuntimeError("the profile holds no node")
        return ProfiledRuns([known[name] for name in counters], [[self._mean(name, counters[name]) for name in counters]])

    def _mean(self, name: str, seconds: float) -> float:
        if not self._on_cpu or not seconds:
            return seconds
        before = self._warm * self._before.get(name, 0.0)
        return max(0.0, (self._runs * seconds - before) / (self._runs - self._warm) + ROUNDED)

    def _counters(self) -> dict[str, float]:
        """Seconds of each node as the plugin tells them now, in the order in which they run."""
        return {one.node_name: one.real_time.total_seconds() for one in self._request.get_profiling_info()}

    @cached_property
    def _nodes(self) -> list[_RuntimeNode]:
        alive: set[str] = set()
        found: list[_RuntimeNode] = []
        for op in self._compiled.get_runtime_model().get_ordered_ops():
            name, facts = op.get_friendly_name(), _facts(op.get_rt_info())
            kind, sources = facts.get("layerType", ""), [one.get_source_output() for one in op.inputs()]
            if kind == "Input" or any(one.get_node().get_friendly_name() in alive for one in sources):
                alive.add(name)
                if kind not in OUTSIDE:
                    found.append(_described(op, kind, facts, sources, alive, len(found)))
        return found


def devices() -> list[str]:
    """The devices that the installed plugins find, in small letters."""
    return [name.lower() for name in ov.Core().available_devices]


def _described(
    op: Any, kind: str, facts: Mapping[str, str], sources: Sequence[Any], alive: set[str], number: int
) -> _RuntimeNode:
    """What is known of a node.

    One that stands for no other, a change of layout, is named after both of its neighbours: it gets a name of its own, in
    which neither is found.
    """
    weights = [one for one in sources if one.get_node().get_friendly_name() not in alive]
    tensors = [one for one in sources if one.get_node().get_friendly_name() in alive]
    originals = list(filter(None, map(str.strip, _COMMA.split(facts.get("originalLayersNames", "")))))
    told = op.get_friendly_name()
    name = told if originals else f"{kind}_{number}"
    row = {
        "name": name,
        "op": kind,
        "inputs": json.dumps([_tensor(one) for one in sources]),
        "outputs": json.dumps([_tensor(one) for one in op.outputs()]),
        "parameter_bytes": sum(one.get_element_type().size * int(np.prod(list(one.get_shape()))) for one in weights),
        "originals": [one for one in originals if not _MADE_UP.fullmatch(one)],
    }
    shapes = ["x".join(map(str, one.get_shape())) for one in weights]
    reads = tuple(f"{one.get_node().get_friendly_name()}:{one.get_index()}" for one in tensors)
    writes = tuple(f"{told}:{one.get_index()}" for one in op.outputs())
    return _RuntimeNode(told, OptimisedNode(name, " ".join([kind, *shapes]), reads, writes), row)


def _facts(info: Any) -> dict[str, str]:
    return {key: info[key].astype(str) for key in info}


def _tensor(one: Any) -> dict[str, list[int]]:
    return {one.get_element_type().get_type_name(): list(one.get_shape())}


ENTRIES = (
    Runtime(
        name="openvino",
        summary="OpenVINO on a CPU, GPU or NPU of Intel's, in float32 (extra: openvino)",
        build=OpenVinoSession,
        devices=devices,
        distributions=("openvino",),
        rows="a row is the mean of a process's runs, to a microsecond a node; what was folded into a node is in its row",
        options={"device": "cpu", "precision": "f32"},
    ),
)
