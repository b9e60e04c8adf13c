"""Rewrites a graph exactly for a target: where the target needs it, only if it helps, and never without a proof.

A rewrite finds *matches*, each with one or more ways to write it (see ``matching``). A match is replaced if the target does
not take all its nodes; a way is accepted if the target takes every new node, judged in the whole graph, and nothing else
comes off worse. Two kinds of new nodes may stay unsound if fewer remain than before: those that were there already and only
came along, and a view at the end of a vector. The result is a fixed point: rewriting it again changes nothing.

    matching, writing, values            matches by onnxscript's rewriter, and what is written in their place
    reductions, activations, arithmetic,
    resizing                             local rewrites: rules, at the foot of each file
    regions, lifters, linear             vectors of rank 2 and 3 brought back to rank 4, a region at a time
    candidates                           matches replaced in a copy that the target judges
    proof                                before and after, run and compared
"""

from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes import common

from attnbench.core.errors import InputError
from attnbench.core.records import Finding
from attnbench.graph.canonicalise import tidy
from attnbench.graph.integers import is_quantised_op
from attnbench.graph.load import first_line, serialise, static_shape
from attnbench.npu.rewriting.activations import CLIPS, HARD_SIGMOIDS, HARD_SWISHES, hard_activations
from attnbench.npu.rewriting.arithmetic import CONSTANTS, DIFFERENCES, QUOTIENTS, SUMS, expansions
from attnbench.npu.rewriting.candidates import JudgedGraph, Outcome, apply_where_it_helps, judge
from attnbench.npu.rewriting.linear import CHANNEL_CONVOLUTIONS, LINEAR_LAYERS, POOLED_VECTORS, SOFTMAXES_OF_VECTORS
from attnbench.npu.rewriting.matching import Rewrite
from attnbench.npu.rewriting.proof import Unproven, compare, compare_whole, excerpt
from attnbench.npu.rewriting.reductions import CHANNEL_MEANS, GLOBAL_POOLINGS, channel_maxima, limit_of
from attnbench.npu.rewriting.resizing import REPETITIONS
from attnbench.npu.rewriting.values import inputs_of
from attnbench.targets import Target

REWRITES: tuple[Rewrite, ...] = (
    GLOBAL_POOLINGS,
    hard_activations,
    HARD_SIGMOIDS,
    HARD_SWISHES,
    CHANNEL_CONVOLUTIONS,
    LINEAR_LAYERS,
    POOLED_VECTORS,
    SOFTMAXES_OF_VECTORS,
    CHANNEL_MEANS,
    expansions,
    SUMS,
    DIFFERENCES,
    QUOTIENTS,
    CLIPS,
    CONSTANTS,
    REPETITIONS,
)
"""Each finds its matches in a graph; ``channel_maxima`` joins them for a target that names a limit."""

SELF_CONTAINED = 4
"""The first IR version whose weights need not be listed as inputs."""


@dataclass(frozen=True)
class Change:
    """A rewrite that was made: where, the ops before and after, and the largest error as a share of the output's scale."""

    rewrite: str
    where: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    error: float
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Obstacle:
    """Nodes that the target does not take as they are, where a rewrite would not help, and why."""

    rewrite: str
    where: str
    why: str


@dataclass(frozen=True)
class Rewritten:
    """A model with what was changed in it, what would not have helped, and what the target says before and after.

    ``error`` is the largest difference of the whole graph's outputs, as a share of their scale; ``model`` is the given one
    where nothing changed.
    """

    model: ir.Model
    changes: tuple[Change, ...]
    obstacles: tuple[Obstacle, ...]
    before: tuple[Finding, ...]
    after: tuple[Finding, ...]
    error: float


def rewrite(model: ir.Model, target: Target, original: bytes | None = None) -> Rewritten:
    """The model for a target; the given one is left as it is. ``original`` is what the result is compared with, if not that.

    Raises ``InputError`` for a model that is not float32 or not static, and ``Unproven`` where the result is not shown to
    compute the same.
    """
    inputs = input_shapes(model)
    before = tuple(judge(model, target).findings.values())
    graph, changes, obstacles = _search(model, target, proven=True)
    if not changes:
        return Rewritten(model, (), obstacles, before, before, 0.0)
    result = graph.model
    _validate(result, model)
    error = compare_whole(original or _unnamed(model), serialise(result), inputs)
    return Rewritten(result, changes, obstacles, before, tuple(graph.findings.values()), error)


def cures(model: ir.Model, target: Target) -> dict[str, str]:
    """By node, the rewrite that would bring what it computes onto the NPU; none where the model cannot be rewritten."""
    try:
        input_shapes(model)
    except InputError:
        return {}
    _, changes, _ = _search(model, target, proven=False)
    return {node: change.rewrite for change in changes for node in change.nodes}


def _search(
    model: ir.Model, target: Target, *, proven: bool
) -> tuple[JudgedGraph, tuple[Change, ...], tuple[Obstacle, ...]]:
    """The model rewritten until nothing more helps, with what was changed and what would not have helped."""
    graph = judge(_prepared(model), target)
    limit = limit_of(target)
    rewrites: tuple[Rewrite, ...] = REWRITES if limit is None else (*REWRITES, channel_maxima(limit))
    changes: list[Change] = []
    obstacles: list[Obstacle] = []
    done = -1
    while done < len(changes):
        done, obstacles = len(changes), []
        for find in rewrites:
            outcome = apply_where_it_helps(find, graph, target)
            changes += _changes(graph, outcome, proven=proven)
            obstacles += [Obstacle(match.rewrite, match.where, why) for match, why in outcome.left]
            graph = outcome.graph
    return graph, tuple(changes), tuple(obstacles)


def input_shapes(model: ir.Model) -> dict[str, tuple[int, ...]]:
    """The shapes of a model's inputs. Raises ``InputError`` where they are not static or anything is not float32."""
    quantised = [node.op_type for node in model.graph.all_nodes() if is_quantised_op(node)]
    if quantised:
        raise InputError(f"the model is quantised ({quantised[0]}): rewrite it before quantising, in float32")
    shapes = {}
    for value in model.graph.inputs:
        if value.is_initializer():
            continue
        if value.dtype != ir.DataType.FLOAT:
            raise InputError(f"input '{value.name}' is {value.dtype}: only models that take float32 are rewritten")
        if value.shape is None or not all(isinstance(side, int) for side in value.shape):
            raise InputError(f"input '{value.name}' has no static shape ({value.shape}): give --size HEIGHTxWIDTH")
        shapes[str(value.name)] = static_shape(value)
    return shapes


def _prepared(model: ir.Model) -> ir.Model:
    """A copy whose weights are no inputs and whose nodes have names of their own."""
    copy = model.clone()
    common.RemoveInitializersFromInputsPass()(copy)
    copy.ir_version = max(copy.ir_version, SELF_CONTAINED)
    tidy(copy)
    seen: set[str] = set()
    for number, node in enumerate(copy.graph.all_nodes()):
        if not node.name or node.name in seen:
            node.name = f"{node.name or node.op_type}_{number}"
        seen.add(node.name)
    return copy


def _unnamed(model: ir.Model) -> bytes:
    """A model without its nodes' names: the runtime takes no name twice."""
    copy = model.clone()
    for node in copy.graph.all_nodes():
        node.name = None
    return serialise(copy)


def _changes(graph: JudgedGraph, outcome: Outcome, *, proven: bool) -> list[Change]:
    """What was rewritten; proven, each match was run before and after by itself, apart from the rest of the graph."""
    changes = []
    for match, new in outcome.taken:
        error = 0.0
        if proven:
            names = [str(value.name) for value in inputs_of(match.nodes)]
            before, inputs = excerpt(graph.model, names, new.outputs)
            after, _ = excerpt(outcome.graph.model, names, new.outputs)
            error = compare(before, after, inputs, f"{match.rewrite} at {match.where}")
        nodes = tuple(str(node.name) for node in match.nodes)
        changes.append(Change(match.rewrite, match.where, _ops(match.nodes), _ops(new.made), error, nodes))
    return changes


def _validate(result: ir.Model, given: ir.Model) -> None:
    """Raise ``Unproven`` where the checker refuses the rewritten model or its edges are not the given one's."""
    try:
        common.CheckerPass(full_check=True)(result)
    except Exception as error:  # the checker raises ValidationError, InferenceError, RuntimeError and ValueError
        raise Unproven(f"the ONNX checker refuses the rewritten graph: {first_line(error)}") from error
    for old, new in ((given.graph.inputs, result.graph.inputs), (given.graph.outputs, result.graph.outputs)):
        wanted = [(v.name, v.dtype, v.shape) for v in old if not v.is_initializer()]
        if wanted != [(v.name, v.dtype, v.shape) for v in new]:
            raise Unproven(f"the rewritten graph's inputs or outputs are not {', '.join(str(name) for name, *_ in wanted)}")


def _ops(nodes: Iterable[ir.Node]) -> tuple[str, ...]:
    return tuple(node.op_type for node in nodes)
