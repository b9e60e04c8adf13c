"""Two profiles that were taken elsewhere, put to the same attribution as our own.

Both graphs come from one host, so that a node of the host has one name in both. A layer that holds the same nodes in both
profiles is shared. One that holds a node of the host in other company, a module's among them or without what used to be
fused into it, is changed: its difference counts. Layers of inserted nodes alone are added. ONNX Runtime tells shapes, and
its nodes are aligned by those, as in a sweep.

A layer that does not say what it holds is never shared, not even with one of its name: the module may be inside.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean

from attnbench.core.errors import InputError
from attnbench.core.naming import inserted_site, is_inserted, plain_name
from attnbench.core.statistics import Estimate, replicate_interval
from attnbench.core.units import counted
from attnbench.graph.align import ExecutedNode, align
from attnbench.measure.attribution import LAYOUT_OPS, Attribution, Profile, attribute_each
from attnbench.profiles import ForeignProfile, ProfiledLayer, TimeUnit

FOLDED = frozenset(("Constant", "Identity", "Shape"))
"""Ops that no runtime has a layer for."""


@dataclass(frozen=True)
class NamedGraph:
    """What an ONNX file says of the names in a profile: its nodes with their ops, which tensors each reads and gives."""

    ops: Mapping[str, str]
    reads: Mapping[str, Sequence[str]]
    gives: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, path: Path) -> "NamedGraph":
        """The graph of a file, without its weights. Raises ``InputError``."""
        from attnbench.graph.load import read_proto  # noqa: PLC0415  onnx is slow to import

        nodes = {node.name or f"{node.op_type}_{at}": node for at, node in enumerate(read_proto(path, "graph").graph.node)}
        return cls(
            {name: node.op_type for name, node in nodes.items()},
            {name: tuple(node.input) for name, node in nodes.items()},
            {name: tuple(node.output) for name, node in nodes.items()},
        )

    @cached_property
    def _by_any_name(self) -> dict[str, str]:
        """Nodes by what tools call them: their names and those of the tensors they give, as they are or without signs."""
        exact = {tensor: node for node, tensors in self.gives.items() for tensor in tensors} | {n: n for n in self.ops}
        loose: dict[str, set[str]] = {}
        for text, node in exact.items():
            loose.setdefault(_letters(text), set()).add(node)
        return {text: next(iter(nodes)) for text, nodes in loose.items() if len(nodes) == 1} | exact

    def node(self, text: str) -> str:
        """The node that a tool means; the text itself where there is none."""
        return self._by_any_name.get(text) or self._by_any_name.get(_letters(text)) or text


NOTHING = NamedGraph({}, {}, {})


@dataclass(frozen=True)
class _Side:
    """A profile's layers with the nodes that each holds: the host's, and inserted ones."""

    profile: Profile
    layers: tuple[ProfiledLayer, ...]
    host: tuple[tuple[str, ...], ...]
    own: tuple[tuple[str, ...], ...]

    def share(self, indices: Iterable[int]) -> float:
        """The share of the time that some layers take, over all runs."""
        whole = sum(map(sum, self.profile.runs))
        return sum(run[i] for i in indices for run in self.profile.runs) / whole if whole else 0.0


@dataclass(frozen=True)
class Elsewhere:
    """What profiles of a baseline and a variant come to.

    ``overheads`` has one of each pair, ``estimate`` their mean with its interval, where there are two or more; ``shown`` is
    the pair that lies next to it. ``seconds`` are the whole times of its baseline and variant, in ``unit``. ``untold``
    are sentences: what the figure leaves out or cannot say.
    """

    overheads: tuple[float, ...]
    estimate: Estimate
    shown: Attribution
    unit: TimeUnit
    seconds: tuple[float, float]
    untold: tuple[str, ...] = field(default=())


def attribute_elsewhere(
    pairs: Sequence[tuple[ForeignProfile, ForeignProfile]], graphs: tuple[NamedGraph, NamedGraph] = (NOTHING, NOTHING)
) -> Elsewhere:
    """The overhead of a variant over its baseline, from pairs of their profiles.

    ``shown.reason`` says why there is none. Raises ``InputError`` where profiles differ in their unit.
    """
    if len(units := {one.unit for pair in pairs for one in pair}) > 1:
        raise InputError("one of the profiles is in cycles and another in seconds: take them with the same tool")
    sides = [(_side(base, graphs[0], "baseline"), _side(variant, graphs[1], "variant")) for base, variant in pairs]
    found = [_attributed(*pair) for pair in sides]
    bad = next((at for at, one in enumerate(found) if one.reason), None)
    overheads = tuple(one.overhead for one in found)
    estimate = replicate_interval(overheads)
    at = min(range(len(found)), key=lambda i: abs(overheads[i] - estimate.value)) if bad is None else bad
    wholes = (fmean(map(sum, side.profile.runs)) for side in sides[at])
    untold = _untold(*sides[at], pairs[at], found[at], graphs[1])
    return Elsewhere(overheads, estimate, found[at], units.pop(), (next(wholes), next(wholes)), tuple(untold))


def executed_nodes(found: ForeignProfile, which: str) -> tuple[ExecutedNode, ...]:
    """The layers of a profile as nodes to align; ``which`` model it is of."""
    return _side(found, NOTHING, which).profile.nodes


def _attributed(baseline: _Side, variant: _Side) -> Attribution:
    shared = align(baseline.profile.nodes, variant.profile.nodes).shared
    if shared and not (baseline.share(i for i, _ in shared) and variant.share(j for _, j in shared)):
        return Attribution(0.0, (), 0.0, "the layers that both profiles share took no time")
    sites = {inserted_site(node) for nodes in variant.own for node in nodes} | {""}
    owners = dict.fromkeys(sites, "")
    return attribute_each(baseline.profile, variant.profile, owners, fused=any(variant.own))[""]


def _side(found: ForeignProfile, graph: NamedGraph, which: str) -> _Side:
    held = [tuple(dict.fromkeys(graph.node(part) for part in layer.parts)) for layer in found.layers]
    own = tuple(tuple(node for node in nodes if is_inserted(node)) for nodes in held)
    host = tuple(tuple(node for node in nodes if not is_inserted(node)) for nodes in held)
    nodes = tuple(
        layer.ran or _node(layer, theirs, ours, graph, which)
        for layer, theirs, ours in zip(found.layers, host, own, strict=True)
    )
    return _Side(Profile(nodes, found.runs, _edges(found.layers, held, graph)), found.layers, host, own)


def _node(layer: ProfiledLayer, host: tuple[str, ...], own: tuple[str, ...], graph: NamedGraph, which: str) -> ExecutedNode:
    """A layer as a node to align: by the nodes that it holds, and by the first one of the host where others joined it."""
    name, first = layer.name, (*host, *own, "")[0]
    if own and not host:
        prefix = own[0].removesuffix(plain_name(own[0]))
        name = prefix + " + ".join(plain_name(node) for node in own)
    elif host:
        name = " + ".join((*host, *own))
    op = layer.op if layer.op in LAYOUT_OPS else graph.ops.get(first) or layer.op or "layer"
    held = [node if node in graph.ops else _steady(node) for node in (*host, *own)] or [_steady(layer.name)]
    key = f"{which} {layer.name}" if layer.opaque else f"{layer.detail} {' + '.join(held)}"
    anchor = "" if layer.opaque or not host else held[0]
    return ExecutedNode(name, op, key, anchor, int(bool(anchor)), op)


def _edges(layers: Sequence[ProfiledLayer], held: Sequence[Sequence[str]], graph: NamedGraph) -> tuple[tuple[int, int], ...]:
    """Which layer hands a tensor to which, by the file; nodes that no layer names are passed through."""
    at = {node: index for index, nodes in enumerate(held) for node in nodes}
    names = {layer.name: index for index, layer in enumerate(layers)}
    edges = {(index, names[layer.beside]): None for index, layer in enumerate(layers) if layer.beside in names}
    made: dict[str, tuple[int, ...]] = {}
    for node, tensors in graph.reads.items():
        before = tuple(dict.fromkeys(index for tensor in tensors for index in made.get(tensor, ())))
        if node in at:
            edges |= {(index, at[node]): None for index in before if index != at[node]}
            before = (at[node],)
        made |= dict.fromkeys(graph.gives[node], before)
    return tuple(edges)


def _untold(
    baseline: _Side,
    variant: _Side,
    pair: tuple[ForeignProfile, ForeignProfile],
    found: Attribution,
    graph: NamedGraph,
) -> Iterable[str]:
    """What the profiles do not say, a sentence each."""
    mixed = {variant.profile.nodes[i].name for i, own in enumerate(variant.own) if own and variant.host[i]}
    if mixed:
        points = 100 * sum(node.share for node in found.nodes if node.node in mixed)
        yield (
            f"{counted(len(mixed), 'layer')} of the variant with nodes of the host and of the module: what is whose cannot "
            f"be told, and what changed of them counts ({points:.3f} points)"
        )
    for side, which in ((baseline, "baseline"), (variant, "variant")):
        if opaque := [i for i, layer in enumerate(side.layers) if layer.opaque]:
            yield (
                f"{counted(len(opaque), 'layer')} of the {which} without a word of what it holds "
                f"({side.share(opaque):.0%} of its time): {side.layers[opaque[0]].name}"
            )
    named = {node for nodes in variant.own for node in nodes}
    gone = {node for name in pair[1].gone if is_inserted(node := graph.node(name))}
    missing = [op for node, op in graph.ops.items() if is_inserted(node) and node not in named | gone and op not in FOLDED]
    if missing and not any(layer.ran for layer in variant.layers):
        yield (
            f"{counted(len(missing), 'inserted node')} named in no layer ({', '.join(dict.fromkeys(missing))}): "
            "folded into others, whose difference counts, or computed ahead"
        )
    if gone:
        yield f"{counted(len(gone), 'inserted node')} listed as not run: folded into others, or computed ahead"
    if statistic := pair[1].statistic:
        yield f"a layer's time is {statistic}{': one slow run weighs in it' * ('mean' in statistic)}"
    if any(layer.ran for layer in variant.layers):
        yield "what profiling itself takes of each node, about a microsecond, is not taken off"


def _letters(text: str) -> str:
    return re.sub(r"\W", "_", text)


def _steady(text: str) -> str:
    """A name without the numbers that runtimes give in turn: ``(Unnamed Layer* 112)``, ``Convert_398``."""
    return re.sub(r"^([A-Z][A-Za-z]+)_\d+", r"\1", re.sub(r"\(Unnamed Layer\* \d+\)", "(Unnamed Layer*)", text))
