"""The graph that a session runs, as the runtime wrote it down after its optimisations: nodes, edges, kinds.

Read in processes that time, so it imports nothing but ``onnx``, and that once the clock has stopped or not yet started.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnxruntime as ort

WEIGHTS_FILE = "weights"


class OptimisedNode(NamedTuple):
    """A node: its name, its op with the shapes of its weights, and the tensors that it reads and writes."""

    name: str
    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def write_optimised(options: ort.SessionOptions, path: Path) -> None:
    """Have a session with these options write its graph there, weights in a file beside it."""
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS_FILE)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")


def optimised_graph(path: Path) -> list[OptimisedNode]:
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


def edges_of(nodes: Sequence[Mapping[str, Any]], graph: Sequence[OptimisedNode]) -> list[tuple[int, int]]:
    """Pairs of positions of executed nodes, the first of which hands a tensor to the second."""
    places = {node["name"]: index for index, node in enumerate(nodes)}
    made = {tensor: places[node.name] for node in graph if node.name in places for tensor in node.writes}
    return [
        (made[tensor], places[node.name]) for node in graph if node.name in places for tensor in node.reads if tensor in made
    ]


def with_kinds(nodes: Iterable[Mapping[str, Any]], graph: Sequence[OptimisedNode]) -> list[dict[str, Any]]:
    """The executed nodes, each with its kind; its op alone where the graph does not name it."""
    kinds = {node.name: node.kind for node in graph}
    return [{**node, "kind": kinds.get(node["name"], node["op"])} for node in nodes]


def kinds_added(baseline: Iterable[OptimisedNode], variant: Iterable[OptimisedNode]) -> dict[str, int]:
    """The kinds of nodes that a variant's graph has more of than its baseline's, or fewer."""
    difference = Counter(node.kind for node in variant)
    difference.subtract(node.kind for node in baseline)
    return {kind: number for kind, number in sorted(difference.items()) if number}
