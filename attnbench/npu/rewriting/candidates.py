"""Whether a rewrite helps: its matches are written in a copy of the graph, and the target judges the whole copy.

All matches of a rewrite are tried together, because judging a graph takes longer than writing it; each that is not yet sound
moves on to its next way. Where the matches that are accepted harm a node beside them, they are tried one by one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes import common

from attnbench.core.records import ON_NPU, Finding
from attnbench.npu.judge import judge_nodes
from attnbench.npu.rewriting.matching import Match, Rewrite
from attnbench.npu.rewriting.writing import CARRIED, VIEW, Writer
from attnbench.targets import Target

Key = tuple[str, ...]
Score = tuple[int, ...]
BAD = ("refused", "fallback", "unknown")
"""The levels of nodes that the target does not take for certain, the worst first."""


@dataclass(frozen=True)
class JudgedGraph:
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
class Replacement:
    """A match as it was written in a copy: its new nodes, the names of what comes out, and what speaks against it.

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
        """Why the match is left as it is."""
        if not self.against:
            return f"it would leave {', '.join(self.unsound)}, which the target takes no more than what is there"
        return _harmful(self.against[0])


@dataclass(frozen=True)
class CandidateGraph:
    """A copy of a graph with matches replaced in it, and all that speaks against it, beside them first."""

    graph: JudgedGraph
    replaced: Mapping[Key, Replacement]
    harm: tuple[Finding, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a rewrite: the graph after it, the matches that were replaced, and why others were not."""

    graph: JudgedGraph
    taken: tuple[tuple[Match, Replacement], ...]
    left: tuple[tuple[Match, str], ...]


def judge(model: ir.Model, target: Target) -> JudgedGraph:
    """A model with the findings of a target."""
    return JudgedGraph(model, dict(judge_nodes(model, target)))


def apply_where_it_helps(find: Rewrite, graph: JudgedGraph, target: Target) -> Outcome:
    """A rewrite of every match where it is needed and helps."""
    matches = {one.key: one for one in _apart(find(graph.model)) if graph.unsound(one.nodes) and one.provable()}
    if not matches:
        return Outcome(graph, (), ())
    best, choice = _best(find, matches, graph, target)
    helps = {key for key, one in best.items() if not one.against and one.left < graph.score(matches[key].nodes)}
    left = [(matches[key], best[key].why_not()) for key in matches if key not in helps]
    taken: list[tuple[Match, Replacement]] = []
    together = _replace(find, graph, target, {key: choice[key] for key in matches if key in helps}) if helps else None
    if together is not None and not together.harm:
        return Outcome(together.graph, tuple((matches[key], r) for key, r in together.replaced.items()), tuple(left))
    now = graph
    for key in (key for key in matches if key in helps):
        candidate = _replace(find, now, target, {key: choice[key]})
        if candidate.harm:
            left.append((matches[key], _harmful(candidate.harm[0])))
        else:
            now = candidate.graph
            taken.append((matches[key], candidate.replaced[key]))
    return Outcome(now, tuple(taken), tuple(left))


def _harmful(finding: Finding) -> str:
    seen = f": {finding.measured}" if finding.measured else ""
    return f"{finding.op} would be {finding.level}{seen} ({finding.reason})"


def _apart(matches: Iterable[Match]) -> list[Match]:
    """The matches that share no node with an earlier one."""
    taken: set[ir.Node] = set()
    kept = []
    for match in matches:
        if not taken & set(match.nodes):
            taken |= set(match.nodes)
            kept.append(match)
    return kept


def _best(
    find: Rewrite, matches: Mapping[Key, Match], graph: JudgedGraph, target: Target
) -> tuple[dict[Key, Replacement], dict[Key, int]]:
    """The first way of each match that leaves nothing unsound, or the one that leaves least, and its number."""
    tried: dict[Key, list[Replacement]] = {key: [] for key in matches}
    choice = dict.fromkeys(matches, 0)
    waiting = set(matches)
    while waiting:
        candidate = _replace(find, graph, target, choice)
        for key in sorted(waiting):
            tried[key].append(candidate.replaced[key])
            sound = not candidate.replaced[key].unsound
            if not sound and len(tried[key]) < len(matches[key].ways):
                choice[key] += 1
                continue
            waiting.remove(key)
            orders = [one.order for one in tried[key]]
            choice[key] = orders.index(min(orders))
    return {key: tried[key][choice[key]] for key in matches}, choice


def _replace(find: Rewrite, graph: JudgedGraph, target: Target, choice: Mapping[Key, int]) -> CandidateGraph:
    """Matches replaced in a copy of the graph, each in the way of this number."""
    copy = graph.model.clone()
    originals = dict(zip(copy.graph.all_nodes(), graph.model.graph.all_nodes(), strict=True))
    matches = {match.key: match for match in find(copy)}
    writer = Writer(copy)
    made, outputs = {}, {}
    for key, number in choice.items():
        before = len(writer.made)
        outputs[key] = tuple(matches[key].replace(matches[key].ways[number], writer))
        made[key] = writer.made[before:]
    common.RemoveUnusedNodesPass()(copy)
    common.ShapeInferencePass(check_type=False, strict_mode=False)(copy)
    after = judge(copy, target)

    def worse(nodes: Iterable[ir.Node]) -> tuple[Finding, ...]:
        known = ((node, originals.get(node.meta.get(CARRIED, node))) for node in nodes if VIEW not in node.meta)
        return tuple(after.findings[node] for node, original in known if after.badness(node) > graph.badness(original))

    replaced = {}
    for key, nodes in made.items():
        alive = tuple(node for node in nodes if node.graph is copy.graph)
        unsound = tuple(node.op_type for node in after.unsound(alive))
        replaced[key] = Replacement(alive, outputs[key], worse(alive), unsound, after.score(alive))
    new = set(writer.made)
    beside = worse(node for node in after.findings if node not in new)
    for node in new:
        node.meta.clear()  # a later copy is compared with this graph
    return CandidateGraph(after, replaced, (*beside, *(finding for one in replaced.values() for finding in one.against)))
