"""Nodes that a rewrite could replace, and the ways to write them.

Local patterns are rewrite rules of onnxscript: a pattern, a rewrite, and a check. They stand at the foot
of their file; to add one, add a rule there. Matching, binding and writing are the rewriter's.

Rejected: ``RewriteRuleSet`` to apply them. It takes every match at once, in place, by one rule a node; here a target
decides, in a copy, between the ways to write a node, and each match is run before and after. It also inserts what it wrote
behind the match's last node and calls it ``val_7``; users should find their own names again.

Rejected: rules for what no pattern can say. A pattern has as many nodes and outputs as it is written with. Lifting a region
has any number of both (``regions``); an Expand goes only with all of its readers (``arithmetic``), since a rule for one
reader at a time would leave it there; the spellings of hard swish are matched in ``graph.composites`` already.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import onnx_ir as ir
from onnxscript.rewriter.pattern import RewriteRule

from attnbench.npu.rewriting.values import float_shape, inputs_of
from attnbench.npu.rewriting.writing import Writer

Way = Callable[[Writer], Mapping[ir.Value, ir.Value]]
"""Writes what could stand there instead, and says which old tensor each new one takes the place of. It reads what comes in
from the old nodes only when it is called: another match may have been rewritten since this one was found."""


@dataclass(frozen=True)
class Match:
    """Nodes that a rewrite could replace, in the graph's order, and the ways to write them, the best first."""

    rewrite: str
    nodes: tuple[ir.Node, ...]
    ways: tuple[Way, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """What tells this match from others, in any copy of the graph."""
        return self.rewrite, *(node.name or "" for node in self.nodes)

    @property
    def where(self) -> str:
        """The nodes in a few words: the first and the last."""
        names = [node.name or node.op_type for node in self.nodes]
        return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"

    def provable(self) -> bool:
        """Whether the nodes can be run by themselves: all that comes in is float32 and of static shape."""
        return all(float_shape(value) is not None for value in inputs_of(self.nodes))

    def replace(self, way: Way, writer: Writer) -> list[str]:
        """Write the nodes in one of the ways, in the graph; the names of the tensors that come out."""
        outputs = way(writer)
        for old, new in outputs.items():
            new.metadata_props.update(old.metadata_props)
            new.doc_string = old.doc_string
        graph, values = writer.model.graph, list(outputs)
        ir.convenience.replace_nodes_and_values(graph, self.nodes[-1], self.nodes, (), values, list(outputs.values()))
        return [str(value.name) for value in values]


Rewrite = Callable[[ir.Model], list[Match]]


class LocalRewrite:
    """A rewrite by rules. Those that match the same node are the ways to write it, the best first."""

    def __init__(self, name: str, *rules: RewriteRule) -> None:
        self.name, self.rules = name, rules

    def __call__(self, model: ir.Model) -> list[Match]:
        """What the rules match in a graph and what comes out of it is float32 and of static shape."""
        found = []
        for node in model.graph:
            matched = [(rule, match) for rule in self.rules if (match := rule.match(model, model.graph, node))]
            if matched and float_shape(node.outputs[0]) is not None:
                nodes = tuple(one for one in model.graph if one in matched[0][1].nodes)
                found.append(Match(self.name, nodes, tuple(partial(_by_rule, rule, node) for rule, _ in matched)))
        return found


def _by_rule(rule: RewriteRule, node: ir.Node, writer: Writer) -> dict[ir.Value, ir.Value]:
    written = rule.try_rewrite(writer.model, writer.model.graph, node)
    assert written is not None  # noqa: S101  it matched when it was found
    writer.insert(node, written.new_nodes, written.new_initializers)
    return dict(zip(written.match.outputs, written.new_outputs, strict=True))
