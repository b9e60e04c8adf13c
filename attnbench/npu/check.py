"""A whole model judged: what of it an NPU would run, in nodes, MACs and parameters, and how it would be cut up.

An *island* is a connected part of the graph that would run on the NPU; data *crosses* wherever a tensor is made on one side
and read on the other. Nodes whose verdict is unknown are counted apart: islands are given without them and with them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from attnbench.core.errors import CaseFailure
from attnbench.core.records import LEVELS, ON_NPU, Finding
from attnbench.graph.composites import Composite, composites
from attnbench.graph.cost import node_cost
from attnbench.graph.integers import computes, form_of
from attnbench.graph.lifting import lifted
from attnbench.graph.load import static_shape
from attnbench.npu.judge import judge_nodes
from attnbench.npu.nodes import constants_kept, is_constant
from attnbench.npu.precision import WHOLE, of_the_form
from attnbench.targets import Target

FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)


@dataclass(frozen=True)
class JudgedNode:
    """A node's finding with what it costs; ``macs`` is ``None`` where no counter knows."""

    finding: Finding
    macs: int | None
    params: int


@dataclass(frozen=True)
class Cut:
    """How a graph falls apart: islands on the NPU, and tensors that cross between the NPU and elsewhere."""

    islands: int
    crossings: int


@dataclass(frozen=True)
class IntegerPart:
    """How much of a quantised network computes in integers.

    In which form the file says so, how many nodes do, the ops of those that stayed float with how many they are, and how
    many tensors are converted between the two.
    """

    form: str
    quantised: int
    stayed_float: Mapping[str, int]
    conversions: int


@dataclass(frozen=True)
class Checked:
    """A model against a target. ``cut`` takes unknown nodes for elsewhere, ``cut_if_unknown_runs`` for the NPU's.

    ``whole`` are findings on the model as such; ``precision`` is of a quantised one. ``unsearched`` says why no rewrites
    were looked for, where that failed.
    """

    model: str
    target: Target
    nodes: tuple[JudgedNode, ...]
    cut: Cut
    cut_if_unknown_runs: Cut
    whole: tuple[Finding, ...] = ()
    unsearched: str = ""
    precision: IntegerPart | None = None

    @property
    def findings(self) -> list[Finding]:
        """The findings alone, in the graph's order, those on the whole model first."""
        return [*self.whole, *(node.finding for node in self.nodes)]

    @property
    def causes(self) -> "list[CheckCause]":
        """The findings grouped, the worst and then the costliest first."""
        return causes([*(JudgedNode(finding, None, 0) for finding in self.whole), *self.nodes])

    def share(self, level: str, of: str) -> float | None:
        """The part of all ``nodes``, ``macs`` or ``params`` that has a level; ``None`` where there are none at all."""
        weights = [1 if of == "nodes" else getattr(node, of) or 0 for node in self.nodes]
        part = sum(w for w, node in zip(weights, self.nodes, strict=True) if node.finding.level == level)
        return part / sum(weights) if any(weights) else None


@constants_kept()
def check_all(model: ir.Model, targets: Iterable[Target], name: str) -> list[Checked]:
    """A model against each of some targets; what is the same for all is worked out once."""
    model = lifted(model)
    found = composites(model)
    return [check(model, target, name, found) for target in targets]


@constants_kept()
def check(model: ir.Model, target: Target, name: str, found: Sequence[Composite] | None = None) -> Checked:
    """Judge every node of a model, whose shapes should be static and constants folded; ``found`` are its composites.

    A quantised model is judged as the network that it stands for.
    """
    model = lifted(model)
    judged = judge_nodes(model, target, found)
    weighed = tuple(JudgedNode(finding, _macs(node), _params(node)) for node, finding in judged)
    sure = {node for node, finding in judged if finding.level in ON_NPU}
    perhaps = sure | {node for node, finding in judged if finding.level == "unknown"}
    nodes = [node for node, _ in judged]
    whole = (*of_the_form(model, target), *_of_the_whole(model, target))
    return Checked(name, target, weighed, cut(nodes, sure), cut(nodes, perhaps), whole, precision=_precision(model, nodes))


def _precision(model: ir.Model, nodes: Sequence[ir.Node]) -> IntegerPart | None:
    """What of a quantised model computes in integers, and what does not."""
    if not form_of(model):
        return None
    known = [(node, how) for node in nodes if (how := computes(node)) is not None]
    quantised = {node for node, how in known if not how.stayed_float}
    floats = Counter(node.op_type for node, how in known if how.stayed_float)
    return IntegerPart(
        form_of(model), len(quantised), dict(floats.most_common()), cut([n for n, _ in known], quantised).crossings
    )


def _of_the_whole(model: ir.Model, target: Target) -> tuple[Finding, ...]:
    """That a model is of a newer opset than the target's document speaks of."""
    opset = model.opset_imports.get("", 0)
    if target.opset is None or opset <= target.opset:
        return ()
    reason = "the model is of a newer opset than the document speaks of: export it for an older one, or see that it is taken"
    limit, measured = f"opset {target.opset} at most", f"opset {opset}"
    found = Finding(
        target.name, "constrained", "opset", WHOLE, "opset", measured, limit, reason, "vendor-doc", target.document
    )
    return (found,)


def cut(nodes: Sequence[ir.Node], inside: set[ir.Node]) -> Cut:
    """The connected parts of a graph's nodes inside a set, and the tensors between inside and outside."""
    parent = {node: node for node in inside}

    def root(node: ir.Node) -> ir.Node:
        while parent[node] is not node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    known, crossings = set(nodes), 0
    for node in nodes:
        for value in node.outputs:
            readers = {use.node for use in value.uses() if use.node in known}
            for reader in readers & inside if node in inside else ():
                parent[root(reader)] = root(node)
            crossings += any((reader in inside) != (node in inside) for reader in readers)
    return Cut(len({root(node) for node in inside}), crossings)


@dataclass(frozen=True)
class CheckCause:
    """Why some nodes are what they are: all that share rule, level and reason, which ``finding``, the first of them, says.

    ``measured`` are what was seen, each once; ``nodes`` all the nodes by name, ``macs`` and ``params`` what they come to.
    """

    finding: Finding
    ops: tuple[str, ...]
    measured: tuple[str, ...]
    nodes: tuple[str, ...]
    macs: int
    params: int


def causes(nodes: Iterable[JudgedNode]) -> list[CheckCause]:
    """The findings grouped, the worst and then the costliest first. A shape that is not static is one cause for all ops."""
    groups: dict[tuple[str, ...], list[JudgedNode]] = {}
    for node in nodes:
        f = node.finding
        dynamic = f.level == "unknown" and f.measured.startswith("a shape that is not static")
        key = (f.level, "shape") if dynamic else (f.level, f.rule, f.reason, f.limit, f.composite, f.substitute, f.dtype)
        key = key if dynamic or f.rule != "unlisted" else (*key, f.op)
        groups.setdefault(key, []).append(node)
    made = [_cause(group) for group in groups.values()]
    return sorted(made, key=lambda c: (-LEVELS.index(c.finding.level), -c.macs, -len(c.nodes)))


def _cause(group: list[JudgedNode]) -> CheckCause:
    findings = [node.finding for node in group]
    return CheckCause(
        finding=findings[0],
        ops=tuple(dict.fromkeys(f.op for f in findings)),
        measured=tuple(dict.fromkeys(f.measured for f in findings if f.measured)),
        nodes=tuple(f.node for f in findings),
        macs=sum(node.macs or 0 for node in group),
        params=sum(node.params for node in group),
    )


def _macs(node: ir.Node) -> int | None:
    try:
        return node_cost(node).macs
    except (CaseFailure, LookupError, TypeError, ValueError):  # an open shape, or a form that no counter knows
        return None


def _params(node: ir.Node) -> int:
    """The floats among a node's constants whose number is known."""
    weights = [value for value in node.inputs if value is not None and is_constant(value) and value.dtype in FLOATS]
    return sum(prod(static_shape(value)) for value in weights if value.shape is not None and value.shape.is_static())
