"""Judges every node of a graph against a target: what was measured, what the limit is, and on whose word.

The graph is the canonical one, with constants folded and shapes known. Composites are judged first: a node inside one that
the target takes as a whole is judged as that. A node the target does not list is what the target says unlisted ops are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import onnx_ir as ir

from attnbench.core.naming import inserted_site, is_inserted
from attnbench.core.records import ON_NPU, Finding
from attnbench.graph.composites import Composite, composites
from attnbench.graph.integers import FORM, merged
from attnbench.graph.lifting import lifted
from attnbench.npu.nodes import StandIn, Unmeasured, constants_kept, is_constant, types_of
from attnbench.npu.precision import with_precision
from attnbench.npu.rules import limit_text, measure
from attnbench.targets import Rule, Target, level_of

WHOLE = ON_NPU | {"unknown"}
"""The levels at which a composite is judged as one op and its parts are not judged."""


def judge(model: ir.Model, target: Target) -> list[Finding]:
    """One finding a node, in the graph's order; a quantised graph is judged as the network that it stands for."""
    return [finding for _, finding in judge_nodes(lifted(model), target)]


@constants_kept()
def judge_nodes(model: ir.Model, target: Target, found: Sequence[Composite] | None = None) -> list[tuple[ir.Node, Finding]]:
    """Each node with its finding, in the graph's order; the bodies of If and Loop are judged as well.

    What is known before the graph runs is left out: a tool chain never sees it. A composite that the target does not take
    as a whole is judged by its parts, which it may take. ``found`` are the graph's composites, where they are known.
    """
    whole: dict[ir.Node, Finding] = {}
    for composite in composites(model) if found is None else found:
        if _rules_for(target, composite.op):
            finding = _by_rules(composite.nodes[-1], _stand_in(composite), target, composite.op)
            if composite.fused or finding.level in WHOLE:
                whole |= {node: _of_node(finding, node) for node in composite.nodes}
    return [
        (node, with_precision(whole.get(node) or _judge(node, target), node, target))
        for node in model.graph.all_nodes()
        if not all(is_constant(value) for value in node.outputs)
    ]


def _of_node(finding: Finding, node: ir.Node) -> Finding:
    """The finding on a composite as it stands for one of its nodes."""
    name = node.name or ""
    return replace(finding, node=name, op=node.op_type, site=inserted_site(name), inserted=is_inserted(name))


def _judge(node: ir.Node, target: Target) -> Finding:
    if node.domain not in ("", "ai.onnx"):
        reason = f"{node.domain}::{node.op_type} is not an op of ONNX"
        return _finding(node, target, target.unlisted, None, reason=reason)
    return _by_rules(node, node, target, "")


def _by_rules(node: ir.Node, seen: ir.Node, target: Target, composite: str) -> Finding:
    """A node by the first rule for what it is seen as: itself, or the composite it is a part of."""
    rules = _rules_for(target, seen.op_type)
    if not rules:
        reason = f"{target.name} does not list {seen.op_type}"
        return _finding(node, target, target.unlisted, None, reason=reason)
    others: list[str] = []
    try:
        for rule in rules:
            readings = [measure(name, seen, limit) for name, limit in rule.where.items()]
            if all(reading.within for reading in readings):
                return _apply(node, seen, target, rule, ", ".join(reading.measured for reading in readings), composite)
            others += [reading.measured for reading in readings if not reading.within]
    except Unmeasured as unknown:
        reason = f"cannot be told: {unknown}"
        return _finding(node, target, "unknown", rules[0], str(unknown), reason=reason, composite=composite)
    wanted = " or ".join(dict.fromkeys(_limits_text(rule.where) for rule in rules))
    measured = ", ".join(dict.fromkeys(others))
    return _finding(node, target, rules[0].beyond, rules[0], measured, wanted, composite=composite)


def _apply(node: ir.Node, seen: ir.Node, target: Target, rule: Rule, form: str, composite: str) -> Finding:
    """What a rule says of a node that it is for; ``form`` is what was measured to find that out."""
    if rule.level not in ("supported", "constrained"):
        return _finding(node, target, rule.level, rule, form, composite=composite)
    beyond = "unknown" if rule.evidence == "presumed" else rule.beyond  # a presumption reaches no further than its limits
    seen_of_rule: list[str] = []
    for limits, broken in ((rule.limits, beyond), (target.limits, rule.beyond), (rule.advice, "efficiency")):
        for name, limit in limits.items():
            reading = measure(name, seen, limit)
            if not reading.within:
                return _finding(node, target, broken, rule, reading.measured, limit_text(name, limit), composite=composite)
            if limits is rule.limits:
                seen_of_rule.append(reading.measured)
    if (silent := sorted(types_of(seen) - set(target.types))) and "element_types" not in rule.limits:
        reason = f"{target.document} says nothing of tensors of {' and '.join(silent)}"
        limit = f"elements of {', '.join(target.types)}"
        return _finding(node, target, "unknown", rule, ", ".join(silent), limit, reason=reason, composite=composite)
    return _finding(node, target, rule.level, rule, ", ".join(seen_of_rule), _limits_of(rule), composite=composite)


@cache
def _rules_for(target: Target, op: str) -> list[Rule]:
    return target.rules_for(op)


@cache
def _limits_of(rule: Rule) -> str:
    """The limits of a rule in words, which are the same for each of its nodes."""
    return _limits_text(rule.limits)


def _limits_text(limits: Mapping[str, Any]) -> str:
    return ", ".join(limit_text(name, limit) for name, limit in limits.items())


def _stand_in(composite: Composite) -> ir.Node:
    """A composite as the one node that it is, apart from the graph, so that rules can measure it."""
    inputs = [StandIn(value) for value in composite.inputs]
    attributes = ir.convenience.convert_attributes(composite.attributes)
    node = ir.Node("", composite.op, inputs, attributes, outputs=[StandIn(composite.output)], name=composite.op)
    node.meta[FORM] = merged(composite.nodes)
    return node


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
    found, device = level_of(level)
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
        source=target.place_of(rule),
        site=inserted_site(name),
        inserted=is_inserted(name),
        composite=composite,
        device=device,
    )
