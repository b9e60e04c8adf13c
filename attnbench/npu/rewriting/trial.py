"""Whether a rewrite helps: its places are written in a copy of the graph, and the target judges the whole copy.

All places of a rewrite are tried together, because judging a graph takes longer than writing it; each that is not yet sound
moves on to its next way. Where the places that are accepted harm a node beside them, they are tried one by one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes import common

from attnbench.core.records import ON_NPU, Finding
from attnbench.npu.judge import judge_nodes
from attnbench.npu.rewriting.place import Maker, Place, replace
from attnbench.targets import Target

Rewrite = Callable[[ir.Model], list[Place]]
Key = tuple[str, ...]
Score = tuple[int, ...]
BAD = ("refused", "fallback", "unknown")
"""The levels of nodes that the target does not take for certain, the worst first."""


@dataclass(frozen=True)
class Judged:
    """A model with what the target says of each of its nodes."""

    model: ir.Model
    findings: Mapping[ir.Node, Finding]

    def badness(self, node: ir.Node | None) -> int:
        """How bad a node is: 0 where the target takes it, and most where it refuses."""
        finding = None if node is None else self.findings.get(node)
        return 0 if finding is None or finding.level in ON_NPU else len(BAD) - BAD.index(finding.level)

    def unsound(self, nodes: Iterable[ir.Node]) -> list[ir.Node]:
        """The nodes among some that the target does not take for certain."""
        return [node for node in nodes if self.badness(node)]

    def score(self, nodes: Iterable[ir.Node]) -> Score:
        """How many of some nodes are refused, run elsewhere, and are unknown: the smaller, the better."""
        levels: list[str] = [self.findings[node].level for node in self.unsound(nodes)]
        return tuple(levels.count(level) for level in BAD)


@dataclass(frozen=True)
class Written:
    """A place as it was written in a copy: its new nodes, the names of what comes out, and what speaks against it.

    ``against`` are findings on new nodes that the target takes less than what they stand for; ``left`` counts what stays
    unsound, as a score.
    """

    made: tuple[ir.Node, ...]
    outputs: tuple[str, ...]
    against: tuple[Finding, ...]
    unsound: tuple[str, ...]
    left: Score

    @property
    def order(self) -> tuple[int, Score]:
        """What ways are compared by: the smaller, the better."""
        return len(self.against), self.left

    def why_not(self) -> str:
        """Why the place is left as it is."""
        if not self.against:
            return f"it would leave {', '.join(self.unsound)}, which the target takes no more than what is there"
        return _harmful(self.against[0])


@dataclass(frozen=True)
class Trial:
    """A copy of a graph with places written in it, and findings on other nodes that are worse than before."""

    graph: Judged
    written: Mapping[Key, Written]
    beside: tuple[Finding, ...]

    def harm(self) -> tuple[Finding, ...]:
        """All that speaks against it."""
        return (*self.beside, *(finding for one in self.written.values() for finding in one.against))


@dataclass(frozen=True)
class Outcome:
    """What came of a rewrite: the graph after it, the places that were written, and why others were not."""

    graph: Judged
    taken: tuple[tuple[Place, Written], ...]
    left: tuple[tuple[Place, str], ...]


def judge(model: ir.Model, target: Target) -> Judged:
    """A model with the findings of a target."""
    return Judged(model, dict(judge_nodes(model, target)))


def attempt(find: Rewrite, graph: Judged, target: Target) -> Outcome:
    """A rewrite in every place where it is needed and helps."""
    places = {place.key: place for place in _apart(find(graph.model)) if graph.unsound(place.nodes) and place.provable()}
    if not places:
        return Outcome(graph, (), ())
    best, choice = _best(find, places, graph, target)
    helps = {key for key, one in best.items() if not one.against and one.left < graph.score(places[key].nodes)}
    left = [(places[key], best[key].why_not()) for key in places if key not in helps]
    taken: list[tuple[Place, Written]] = []
    together = _write(find, graph, target, {key: choice[key] for key in places if key in helps}) if helps else None
    if together is not None and not together.harm():
        return Outcome(together.graph, tuple((places[key], w) for key, w in together.written.items()), tuple(left))
    now = graph
    for key in (key for key in places if key in helps):
        trial = _write(find, now, target, {key: choice[key]})
        if trial.harm():
            left.append((places[key], _harmful(trial.harm()[0])))
        else:
            now = trial.graph
            taken.append((places[key], trial.written[key]))
    return Outcome(now, tuple(taken), tuple(left))


def _harmful(finding: Finding) -> str:
    seen = f": {finding.measured}" if finding.measured else ""
    return f"{finding.op} would be {finding.level}{seen} ({finding.reason})"


def _apart(places: Iterable[Place]) -> list[Place]:
    """The places that share no node with an earlier one."""
    taken: set[ir.Node] = set()
    kept = []
    for place in places:
        if not taken & set(place.nodes):
            taken |= set(place.nodes)
            kept.append(place)
    return kept


def _best(
    find: Rewrite, places: Mapping[Key, Place], graph: Judged, target: Target
) -> tuple[dict[Key, Written], dict[Key, int]]:
    """The first way of each place that leaves nothing unsound, or the one that leaves least, and its number."""
    tried: dict[Key, list[Written]] = {key: [] for key in places}
    choice = dict.fromkeys(places, 0)
    waiting = set(places)
    while waiting:
        trial = _write(find, graph, target, choice)
        for key in sorted(waiting):
            tried[key].append(trial.written[key])
            sound = not trial.written[key].unsound
            if not sound and len(tried[key]) < len(places[key].ways):
                choice[key] += 1
                continue
            waiting.remove(key)
            orders = [one.order for one in tried[key]]
            choice[key] = orders.index(min(orders))
    return {key: tried[key][choice[key]] for key in places}, choice


def _write(find: Rewrite, graph: Judged, target: Target, choice: Mapping[Key, int]) -> Trial:
    """Places written in a copy of the graph, each in the way of this number."""
    copy = graph.model.clone()
    twins = dict(zip(copy.graph.all_nodes(), graph.model.graph.all_nodes(), strict=True))
    places = {place.key: place for place in find(copy)}
    maker = Maker(copy)
    made, outputs = {}, {}
    for key, number in choice.items():
        before = len(maker.made)
        outputs[key] = tuple(replace(places[key], places[key].ways[number], maker))
        made[key] = maker.made[before:]
    common.RemoveUnusedNodesPass()(copy)
    after = judge(copy, target)

    def worse(nodes: Iterable[ir.Node]) -> tuple[Finding, ...]:
        known = ((node, twins.get(maker.carried.get(node, node))) for node in nodes if node not in maker.views)
        return tuple(after.findings[node] for node, twin in known if after.badness(node) > graph.badness(twin))

    written = {}
    for key, nodes in made.items():
        alive = tuple(node for node in nodes if node.graph is copy.graph)
        unsound = tuple(node.op_type for node in after.unsound(alive))
        written[key] = Written(alive, outputs[key], worse(alive), unsound, after.score(alive))
    new = set(maker.made)
    return Trial(after, written, worse(node for node in after.findings if node not in new))
