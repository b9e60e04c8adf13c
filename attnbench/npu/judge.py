"""Judges every node of a graph against a target: what was measured, what the limit is, and on whose word.

The graph is the canonical one, with constants folded and shapes known. Composites are judged first: a node inside one that
the target takes as a whole is judged as that. A node the target does not list is what the target says unlisted ops are.
"""

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from attnbench.core.naming import inserted_site, is_inserted
from attnbench.core.records import ON_NPU, Finding, Level
from attnbench.graph.composites import Composite, composites
from attnbench.npu.nodes import Unmeasured, constants_kept, is_constant
from attnbench.npu.rules import limit_text, measure
from attnbench.targets import Rule, Target

WHOLE = ON_NPU | {"unknown"}
"""The levels at which a composite is judged as one op and its parts are not judged."""


def judge(model: ir.Model, target: Target) -> list[Finding]:
    """One finding a node, in the graph's order."""
    return [finding for _, finding in judge_nodes(model, target)]


@constants_kept()
def judge_nodes(model: ir.Model, target: Target) -> list[tuple[ir.Node, Finding]]:
    """Each node with its finding, in the graph's order; the bodies of If and Loop are judged as well.

    What is known before the graph runs is left out: a tool chain never sees it. A composite that the target does not take
    as a whole is judged by its parts, which it may take.
    """
    whole: dict[ir.Node, Composite] = {}
    for composite in composites(model):
        listed = target.rules_for(composite.op)
        if listed and _by_rules(composite.nodes[-1], _stand_in(composite), target, "").level in WHOLE:
            whole |= dict.fromkeys(composite.nodes, composite)
    return [
        (node, _judge(node, target, whole.get(node)))
        for node in model.graph.all_nodes()
        if not all(is_constant(value) for value in node.outputs)
    ]


def _judge(node: ir.Node, target: Target, composite: Composite | None) -> Finding:
    if composite is not None:
        return _by_rules(node, _stand_in(composite), target, composite.op)
    if node.domain not in ("", "ai.onnx"):
        reason = f"{node.domain}::{node.op_type} is not an op of ONNX"
        return _finding(node, target, target.unlisted, None, reason=reason)
    return _by_rules(node, node, target, "")


def _by_rules(node: ir.Node, seen: ir.Node, target: Target, composite: str) -> Finding:
    """A node by the first rule for what it is seen as: itself, or the composite it is a part of."""
    rules = target.rules_for(seen.op_type)
    if not rules:
        reason = f"{target.name} does not list {seen.op_type}"
        return _finding(node, target, target.unlisted, None, reason=reason)
    try:
        rule = next((rule for rule in rules if all(measure(n, seen, x).within for n, x in rule.where.items())), None)
        if rule is None:
            wanted = " or ".join(_limits_text(rule.where) for rule in rules)
            return _finding(node, target, rules[0].beyond, rules[0], "another form", wanted, composite=composite)
        return _apply(node, seen, target, rule, composite)
    except Unmeasured as unknown:
        reason = f"cannot be told: {unknown}"
        return _finding(node, target, "unknown", rules[0], str(unknown), reason=reason, composite=composite)


def _apply(node: ir.Node, seen: ir.Node, target: Target, rule: Rule, composite: str) -> Finding:
    if rule.level not in ("supported", "constrained"):
        return _finding(node, target, rule.level, rule, composite=composite)
    beyond = "unknown" if rule.evidence == "presumed" else rule.beyond  # a presumption reaches no further than its limits
    for limits, broken in ((rule.limits, beyond), (rule.advice, "efficiency")):
        for name, limit in limits.items():
            reading = measure(name, seen, limit)
            if not reading.within:
                return _finding(node, target, broken, rule, reading.measured, limit_text(name, limit), composite=composite)
    measured = ", ".join(measure(name, seen, limit).measured for name, limit in rule.limits.items())
    return _finding(node, target, rule.level, rule, measured, _limits_text(rule.limits), composite=composite)


def _limits_text(limits: Mapping[str, Any]) -> str:
    return ", ".join(limit_text(name, limit) for name, limit in limits.items())


def _stand_in(composite: Composite) -> ir.Node:
    """A composite as the one node that it is, apart from the graph, so that rules can measure it."""
    inputs = [ir.Value(name=v.name, shape=v.shape, type=v.type, const_value=v.const_value) for v in composite.inputs]
    output = ir.Value(name=composite.output.name, shape=composite.output.shape, type=composite.output.type)
    attributes = ir.convenience.convert_attributes(composite.attributes)
    return ir.Node("", composite.op, inputs, attributes, outputs=[output], name=composite.op)


def _finding(
    node: ir.Node,
    target: Target,
    level: str,
    rule: Rule | None,
    measured: str = "",
    limit: str = "",
    *,
    reason: str = "",
    composite: str = "",
) -> Finding:
    name = node.name or ""
    word, _, device = level.partition(":")
    found: Level = "refused" if word == "error" else word  # type: ignore[assignment]
    return Finding(
        target=target.name,
        level=found,
        rule=rule.id if rule else "unlisted",
        node=name,
        op=node.op_type,
        measured=measured,
        limit=limit,
        reason=reason or (rule.reason if rule else ""),
        evidence=rule.evidence if rule else "",
        source=f"{target.document}, section {rule.section}" if rule else target.document,
        site=inserted_site(name),
        inserted=is_inserted(name),
        composite=composite,
        device=device,
    )
