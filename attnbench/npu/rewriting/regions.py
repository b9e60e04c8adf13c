"""Vectors that a graph squeezed out of maps, put back at rank 4: where they are, and how a whole region is written anew.

A gate or a classifier head takes the means ``[N, C, 1, 1]`` of a map, drops the two sides of 1, computes on ``[N, C]`` (or
``[N, 1, C]``, or ``[N, 1, 1, C]``) and brings the sides back. As long as all that is done to such a tensor keeps the order
of its elements, the same numbers stand in the same order in a tensor of rank 4, and no view is needed. A *region* is a
connected part of a graph all of whose tensors are such vectors; its *lift* is the same at rank 4. A map that is flattened
whole is a vector of ``C * H * W`` elements, whose rank-4 form is the map itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import onnx_ir as ir

from attnbench.npu.rewriting.matching import Way
from attnbench.npu.rewriting.values import Shape, float_shape, sole_output
from attnbench.npu.rewriting.writing import Writer, view

Made = Mapping[ir.Value, ir.Value]
VIEWS = ("Flatten", "Squeeze", "Reshape")
"""How a vector leaves a region where a view remains, tried in this order."""


@dataclass(frozen=True)
class Vector:
    """A tensor of a region: its shape at rank 4, and whether anything was computed since it left the map."""

    shape: Shape
    computed: bool = True

    @property
    def length(self) -> int:
        """The elements of one image."""
        return self.shape[1] * self.shape[2] * self.shape[3]


@dataclass(frozen=True)
class Lift:
    """How a node is written at rank 4: the vector it gives, and what writes it on a tape from its lifted inputs."""

    gives: Vector
    make: Callable[[Any, Made], ir.Value]


Known = Mapping[ir.Value, Vector]
Lifter = Callable[[ir.Node, Known], Lift | None]
"""How an op is lifted where it stands between known vectors; ``None`` where it cannot be."""


@dataclass(frozen=True)
class Region:
    """Connected nodes on vectors, in the graph's order, each with its lift."""

    nodes: tuple[ir.Node, ...]
    lifts: Mapping[ir.Node, Lift]

    @property
    def ops(self) -> set[str]:
        """What is computed in it."""
        return {node.op_type for node in self.nodes}

    def outputs(self) -> list[ir.Value]:
        """The tensors that something outside reads."""
        values = [node.outputs[0] for node in self.nodes]
        return [v for v in values if v.is_graph_output() or any(use.node not in self.lifts for use in v.uses())]

    def returns_a_map(self) -> bool:
        """Whether a tensor leaves it at rank 4 again, without a view."""
        return any(self.is_lifted(value) for value in self.outputs())

    def is_lifted(self, value: ir.Value) -> bool:
        """Whether a tensor has its rank-4 shape already."""
        node = value.producer()
        return node is not None and float_shape(value) == self.lifts[node].gives.shape

    def ways(self) -> tuple[Way, ...]:
        """The region at rank 4, once for each kind of view that could remain."""
        views = ("Reshape",) if all(self.is_lifted(value) for value in self.outputs()) else VIEWS
        return tuple(partial(self._write, how=how) for how in views)

    def _write(self, writer: Writer, how: str) -> dict[ir.Value, ir.Value]:
        made: dict[ir.Value, ir.Value] = {}
        outputs: dict[ir.Value, ir.Value] = {}
        wanted = self.outputs()
        for node in self.nodes:
            value, lift = node.outputs[0], self.lifts[node]
            lifted = made[value] = writer.write(node, lift.make, made)
            if value in wanted:
                own = self.is_lifted(value) and lifted not in outputs.values()
                outputs[value] = lifted if own else writer.write(node, view, node, lifted, lift.gives.shape, how)
        return outputs


def regions(model: ir.Model, lifters: Mapping[str, Lifter]) -> list[Region]:
    """The regions of a graph that these lifters can lift, in the graph's order."""
    known: dict[ir.Value, Vector] = {}
    lifts: dict[ir.Node, Lift] = {}
    for node in model.graph:
        lifter = lifters.get(node.op_type) if node.domain == "" else None
        value = sole_output(node)
        lift = lifter(node, known) if lifter is not None and float_shape(value) is not None else None
        if lift is None or value is None:
            continue
        lifts[node] = lift
        if float_shape(value) != lift.gives.shape:
            known[value] = lift.gives
    return [Region(nodes, {node: lifts[node] for node in nodes}) for nodes in _connected(lifts, known)]


def _connected(lifts: Mapping[ir.Node, Lift], known: Known) -> list[tuple[ir.Node, ...]]:
    """The nodes in groups that vectors join."""
    groups: dict[ir.Node, list[ir.Node]] = {}
    for node in lifts:
        joined = [node]
        for value in node.inputs:
            producer = value.producer() if value is not None and value in known else None
            if producer is not None and groups[producer] is not joined:
                joined = [*groups[producer], *joined]
                groups |= dict.fromkeys(joined, joined)
        groups |= dict.fromkeys(joined, joined)
    order = {node: index for index, node in enumerate(lifts)}
    unique = {id(group): group for group in groups.values()}
    return [tuple(sorted(group, key=order.__getitem__)) for group in unique.values()]
