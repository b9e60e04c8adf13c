"""ONNX Runtime, by any of its execution providers.

Settings follow what a calm, repeatable run needs: sequential execution, all optimisations, no spinning threads. Its profile
has an event a node and run, whose clock includes the time that it takes to write the node's shapes down as text: about a
microsecond, which ``measure.session`` measures and takes off.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from attnbench.core.ort_profile import kernels
from attnbench.runtimes import CPU, InputTensor, OptimisedNode, ProfiledRuns, Runtime, SessionSettings

OPTIMIZATION = {
    "all": "ORT_ENABLE_ALL",
    "layout": "ORT_ENABLE_LAYOUT",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "none": "ORT_DISABLE_ALL",
}
PROVIDER = "ExecutionProvider"
THREAD_OPTION = {"XnnpackExecutionProvider": "intra_op_num_threads", "OpenVINOExecutionProvider": "num_of_threads"}
"""How a provider with threads of its own is told their number."""

TYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}
"""What it calls types that numpy calls otherwise."""

WEIGHTS_FILE = "weights"


class OnnxRuntimeSession:
    """A graph, open in ONNX Runtime. Raises ``RuntimeError`` where the provider is missing or gave way to another."""

    def __init__(self, model: str, settings: SessionSettings) -> None:
        options = _options(settings)
        self._optimised: Path | None = None
        if settings.keep:
            self._folder = tempfile.TemporaryDirectory(dir=settings.scratch)
            options.profile_file_prefix = str(Path(self._folder.name, "profile"))
            options.enable_profiling = settings.keep == "profile"
            if settings.provider == CPU:  # other providers compile parts of a graph, which cannot be written down
                self._optimised = Path(self._folder.name, "optimised.onnx")
                _write_optimised(options, self._optimised)
        self._session = _opened(model, settings, options)
        self.inputs = [
            InputTensor(one.name, tuple(one.shape), TYPES.get(one.type, one.type.removeprefix("tensor(").removesuffix(")")))
            for one in self._session.get_inputs()
        ]
        self.outputs = [one.name for one in self._session.get_outputs()]
        self._runs = self._warm = 0

    def run(self, inputs: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """One run."""
        self._runs += 1
        found: list[np.ndarray] = self._session.run(None, inputs)
        return found

    @cached_property
    def _graph(self) -> list[OptimisedNode]:
        return _optimised_graph(self._optimised) if self._optimised else []

    def graph(self) -> list[OptimisedNode]:
        """The graph as it wrote it down after its optimisations."""
        return self._graph

    def warm(self) -> None:
        """The runs so far do not count."""
        self._warm = self._runs

    def profiled(self) -> ProfiledRuns:
        """What its own profile says; the session records no more after that."""
        nodes, runs = runs_of(json.loads(Path(self._session.end_profiling()).read_text()))
        return ProfiledRuns(nodes, runs[self._warm :])


def devices() -> list[str]:
    """The execution providers of the installed build, by their short names: ``cpu`` for ``CPUExecutionProvider``."""
    return [name.removesuffix(PROVIDER).lower() for name in ort.get_available_providers()]


def runs_of(events: list[dict[str, Any]]) -> ProfiledRuns:
    """Node events, in the order they ran, cut into runs: a run ends where its first node comes again."""
    ran = kernels(events)
    if not ran:
        raise RuntimeError("the profile holds no node")
    names = [node["name"] for node, _ in ran]
    length = names.index(names[0], 1) if names.count(names[0]) > 1 else len(names)
    rows = [ran[start : start + length] for start in range(0, len(ran), length)]
    if names != names[:length] * len(rows):
        raise RuntimeError("the profile's runs do not hold the same nodes")
    return ProfiledRuns([node for node, _ in rows[0]], [[seconds for _, seconds in row] for row in rows])


def _options(settings: SessionSettings) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, OPTIMIZATION[settings.optimization])
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = options.enable_mem_pattern = not settings.lean
    options.enable_mem_reuse = settings.reuse
    return options


def _opened(model: str, settings: SessionSettings, options: ort.SessionOptions) -> ort.InferenceSession:
    full = {name.removesuffix(PROVIDER).lower(): name for name in ort.get_available_providers()}
    if settings.provider not in full:
        raise RuntimeError(f"execution provider '{settings.provider}' is not installed")
    wanted = full[settings.provider]
    own = {THREAD_OPTION[wanted]: str(settings.threads)} if wanted in THREAD_OPTION else {}
    chosen: list[Any] = [(wanted, own)] if settings.provider == CPU else [(wanted, own), full[CPU]]
    session = ort.InferenceSession(model, options, providers=chosen)
    if session.get_providers()[0] != wanted:
        raise RuntimeError(f"{wanted} did not start and gave way to {session.get_providers()[0]}")
    return session


def _write_optimised(options: ort.SessionOptions, path: Path) -> None:
    """Have a session with these options write its graph there, weights in a file beside it.

    It is that very session's: each one numbers its own nodes anew.
    """
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS_FILE)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")


def _optimised_graph(path: Path) -> list[OptimisedNode]:
    """The nodes of the graph that a session wrote."""
    import onnx  # noqa: PLC0415  slow to import, and a process that times plain runs does without

    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {tensor.name: "x".join(map(str, tensor.dims)) for tensor in graph.initializer}
    return [
        OptimisedNode(
            node.name,
            " ".join([node.op_type, *(weights[name] for name in node.input if name in weights)]),
            tuple(name for name in node.input if name and name not in weights),
            tuple(name for name in node.output if name),
        )
        for node in graph.node
    ]


ENTRIES = (
    Runtime(
        name="onnxruntime",
        summary="ONNX Runtime, by any execution provider (--provider)",
        build=OnnxRuntimeSession,
        devices=devices,
        distributions=("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-qnn"),
        rows="a row is one kernel of one run, less what the runtime takes to describe it, which is measured in each process",
        memory=True,
    ),
)
