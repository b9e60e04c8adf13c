"""A part of a graph that could be written otherwise, and the maker of what takes its place.

New nodes are named after the ones they replace, new weights after the old ones, and a tensor that others read keeps its
name, so that users find in the new graph what they know from their own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from attnbench.graph.load import static_shape


class Maker:
    """Makes nodes and weights in a graph, each node right before the old one it stands for, and remembers them."""

    def __init__(self, model: ir.Model) -> None:
        self.graph = model.graph
        self.opset = model.graph.opset_imports.get("", 0)
        self.made: list[ir.Node] = []
        self.carried: dict[ir.Node, ir.Node] = {}
        self.views: set[ir.Node] = set()
        self._nodes = {node.name for node in model.graph.all_nodes()}
        self._values = {value.name for node in model.graph.all_nodes() for value in (*node.outputs, *node.inputs) if value}
        self._values |= {value.name for value in model.graph.inputs} | set(model.graph.initializers)
        self._replaced: set[str] = set()

    def node(
        self, old: ir.Node, op: str, inputs: Sequence[ir.Value | None], shape: Sequence[int], suffix: str = "", **given: Any
    ) -> ir.Value:
        """The output of a new node that does work of an old one, and has its name, with a suffix if one is given."""
        name = f"{old.name}/{suffix}" if suffix else old.name or op
        if suffix or name in self._replaced:
            name = _fresh(name, self._nodes)
        self._replaced.add(name)
        made = ir.node(op, inputs, given, num_outputs=1, name=name)
        made.metadata_props.update(old.metadata_props)
        value = made.outputs[0]
        value.name = _fresh(f"{old.outputs[0].name}/{suffix or 'rewritten'}", self._values)
        value.shape, value.type = ir.Shape(shape), ir.TensorType(ir.DataType.FLOAT)
        self.graph.insert_before(old, made)
        self.made.append(made)
        return value

    def carry(self, old: ir.Node, inputs: Sequence[ir.Value | None], shape: Sequence[int], **changed: Any) -> ir.Value:
        """The same op as an old node, with its attributes, on other inputs."""
        attributes = {name: attribute.value for name, attribute in old.attributes.items()}
        value = self.node(old, old.op_type, inputs, shape, **(attributes | changed))
        self.carried[self.made[-1]] = old
        return value

    def conv(
        self, old: ir.Node, x: ir.Value, kernel: ir.Value, bias: ir.Value | None = None, suffix: str = "", group: int = 1
    ) -> ir.Value:
        """A convolution without padding at every position."""
        batch, _, height, width = static_shape(x)
        channels, _, *sides = static_shape(kernel)
        shape = [batch, channels, height - sides[0] + 1, width - sides[1] + 1]
        inputs = [x, kernel] if bias is None else [x, kernel, bias]
        window: dict[str, Any] = {
            "kernel_shape": sides,
            "strides": [1, 1],
            "pads": [0] * 4,
            "dilations": [1, 1],
            "group": group,
        }
        return self.node(old, "Conv", inputs, shape, suffix, **window)

    def view(self, old: ir.Node, x: ir.Value, shape: Sequence[int], how: str) -> ir.Value:
        """A tensor's elements in the same order in another shape: by Flatten or Squeeze where they can, else by Reshape."""
        inputs, attributes = [x], dict[str, Any]()
        if how == "Flatten" and tuple(shape) == (x.shape[0], prod(x.shape[1:])):  # type: ignore[index]
            attributes = {"axis": 1}
        elif how == "Squeeze" and [*shape, 1, 1] == list(x.shape or ()):
            if self.opset < 13:
                attributes = {"axes": [2, 3]}
            else:
                inputs.append(self.weight("axes_of_the_plane", np.array([2, 3], np.int64)))
        else:
            how = "Reshape"
            name = f"shape_{'x'.join(map(str, shape))}"
            inputs.append(self.weight(name, np.array(shape, np.int64)))
        value = self.node(old, how, inputs, shape, how.lower(), **attributes)
        self.views.add(self.made[-1])
        return value

    def weight(self, name: str, array: np.ndarray) -> ir.Value:
        """A new weight, or the one of that name which already holds the same."""
        array = np.ascontiguousarray(array)
        known = self.graph.initializers.get(name)
        held = array_of(known)
        if known is not None and held is not None and held.dtype == array.dtype and np.array_equal(held, array):
            return known
        name = _fresh(name, self._values)
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.from_numpy(array.dtype))
        self.graph.register_initializer(value)
        return value

    def number(self, number: float, rank: int) -> ir.Value:
        """One number of this rank: some targets take a constant only where it has all axes."""
        return self.weight(f"number_{number:.9g}_rank_{rank}", np.full([1] * rank, number, np.float32))


Way = Callable[[Maker], Mapping[ir.Value, ir.Value]]
"""Makes what could stand there instead, and says which old tensor each new one takes the place of. It reads what comes in
from the old nodes only when it is called: another place may have been rewritten since this one was found."""


@dataclass(frozen=True)
class Place:
    """Nodes that a rewrite could replace, in the graph's order, and the ways to write them, the best first."""

    rewrite: str
    nodes: tuple[ir.Node, ...]
    ways: tuple[Way, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """What tells this place from others, in any copy of the graph."""
        return self.rewrite, *(node.name or "" for node in self.nodes)

    @property
    def where(self) -> str:
        """The place in a few words: its first and last node."""
        names = [node.name or node.op_type for node in self.nodes]
        return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"

    def inputs(self) -> list[ir.Value]:
        """The tensors that come in, weights apart."""
        own = set(self.nodes)
        read = (value for node in self.nodes for value in node.inputs if value is not None)
        return list(dict.fromkeys(v for v in read if v.producer() not in own and array_of(v) is None))

    def provable(self) -> bool:
        """Whether the place can be run by itself: all that comes in is float32 and of static shape."""
        return all(sides(value) is not None for value in self.inputs())


def replace(place: Place, way: Way, maker: Maker) -> list[str]:
    """Write a place in one of its ways, in the graph; the names of the tensors that come out."""
    outputs = way(maker)
    names = []
    for old, new in outputs.items():
        names.append(str(old.name))
        old.name, new.name = f"{old.name}/before", old.name
        new.metadata_props.update(old.metadata_props)
        new.doc_string = old.doc_string
        old.replace_all_uses_with(new, replace_graph_outputs=True)
    maker.graph.remove(place.nodes, safe=True)
    return names


def array_of(value: ir.Value | None) -> np.ndarray | None:
    """A constant's elements: a weight's, or what a ConstantOfShape of constant shape fills; ``None`` for all else."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if value is None or tensor is not None:
        return None if tensor is None else tensor.numpy()
    producer = value.producer()
    if producer is None or producer.op_type != "ConstantOfShape":
        return None
    shape = array_of(producer.inputs[0])
    fill = producer.attributes["value"].as_tensor().numpy() if "value" in producer.attributes else np.zeros(1, np.float32)
    return None if shape is None else np.full(shape.tolist(), fill.reshape(-1)[0], fill.dtype)


def floats_of(value: ir.Value | None) -> np.ndarray | None:
    """A constant's elements where they are float32."""
    array = array_of(value)
    return array if array is not None and array.dtype == np.float32 else None


def sides(value: ir.Value | None) -> tuple[int, ...] | None:
    """The static shape of a float32 tensor; ``None`` for any other."""
    if value is None or value.dtype != ir.DataType.FLOAT or value.shape is None:
        return None
    return tuple(int(d) for d in value.shape) if all(isinstance(d, int) for d in value.shape) else None  # type: ignore[arg-type]


def sole_output(node: ir.Node) -> ir.Value | None:
    """A node's first output, where nothing reads another one."""
    return node.outputs[0] if all(not v.uses() and not v.is_graph_output() for v in node.outputs[1:]) else None


def standard(nodes: Iterable[ir.Node], *ops: str) -> list[ir.Node]:
    """The nodes that are one of these ops of ONNX."""
    return [node for node in nodes if node.op_type in ops and node.domain in ("", "ai.onnx")]


def _fresh(name: str, taken: set[str | None]) -> str:
    found = name if name not in taken else next(f"{name}_{n}" for n in count(2) if f"{name}_{n}" not in taken)
    taken.add(found)
    return found
