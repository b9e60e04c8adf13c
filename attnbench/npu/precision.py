"""What a target says of how the nodes of a quantised network compute, beside what it says of their ops.

A node is held to the first rule under ``[[quantised]]`` that names its op and whose ``where`` holds, too, and gets the worse
of the two levels. What stayed float is ``unknown`` where no rule speaks of it: an NPU that takes a network of floats
quantises it, and what it does with floats in a network that was quantised before is another question. Q/DQ pairs are no
findings of their own; that the file is of this form is one finding on the model, where the target speaks of it.
"""

from dataclasses import replace

import onnx_ir as ir

from attnbench.core.records import LEVELS, Finding
from attnbench.graph.integers import computes, form_of
from attnbench.npu.rules import limit_text, measure
from attnbench.targets import EVERY, Rule, Target, level_of

OF_FORM = {"Q/DQ": "QuantizeLinear", "integer ops": "QLinearConv", "dynamic": "DynamicQuantizeLinear"}
"""The op by which a target's rule speaks of a file's form."""

WHOLE = "the model"
"""What stands for a node where a finding is of no single one."""


def with_precision(finding: Finding, node: ir.Node, target: Target) -> Finding:
    """A node's finding with what it computes in, and with what the target says of that where it is worse."""
    how = computes(node)
    if how is None:
        return finding
    finding = replace(finding, dtype=str(how))
    for rule in target.quantised:
        speaks = {finding.composite or finding.op, EVERY} & set(rule.ops)
        if not speaks or ("stayed_float" in rule.where) != bool(how.stayed_float):
            continue
        if all(measure(name, node, limit).within for name, limit in rule.where.items()):
            return _held(finding, node, target, rule)
    if not how.stayed_float:
        return finding
    reason = f"it stayed float in a quantised network, and {target.document} does not say what runs that"
    return _replaced(finding, "unknown", "stayed-float", "stayed float", "quantised", reason, "", target.document)


def of_the_form(model: ir.Model, target: Target) -> tuple[Finding, ...]:
    """What a target says of a file that is quantised in this form as such."""
    form = form_of(model)
    if not form:
        return ()
    op = OF_FORM[form]
    measured = f"quantised before ({form})"
    rule = next((one for one in (*target.quantised, *target.rules) if op in one.ops), None)
    if rule is not None:
        level, reason = rule.level, rule.reason
    elif target.unlisted != "unknown":
        level, reason = target.unlisted, f"{target.name} does not list {op}"
    elif form == "dynamic":
        level = "unknown"
        reason = f"{target.document} says nothing of ranges that are found while the network runs"
    else:
        return ()
    if level == "supported":
        return ()
    found, device = level_of(level)
    name, evidence = (rule.id, rule.evidence) if rule else ("unlisted", "")
    return (
        Finding(target.name, found, name, WHOLE, op, measured, "", reason, evidence, target.place_of(rule), device=device),
    )


def _held(finding: Finding, node: ir.Node, target: Target, rule: Rule) -> Finding:
    """A node's finding, or what breaking a rule on quantised networks makes of it."""
    source = target.place_of(rule)
    for limits, broken in ((rule.limits, rule.beyond), (rule.advice, "efficiency")):
        for name, limit in limits.items():
            reading = measure(name, node, limit)
            if not reading.within:
                text = limit_text(name, limit)
                return _replaced(finding, broken, rule.id, reading.measured, text, rule.reason, rule.evidence, source)
    measured = "stayed float" if "stayed_float" in rule.where else finding.dtype
    return _replaced(finding, rule.level, rule.id, measured, "", rule.reason, rule.evidence, source)


def _replaced(
    finding: Finding, level: str, rule: str, measured: str, limit: str, reason: str, evidence: str, source: str
) -> Finding:
    """The finding with another level, unless that is no worse."""
    found, device = level_of(level)
    if LEVELS.index(found) <= LEVELS.index(finding.level):
        return finding
    return replace(
        finding,
        level=found,
        rule=rule,
        measured=measured,
        limit=limit,
        reason=reason,
        evidence=evidence,
        source=source,
        device=device,
    )
