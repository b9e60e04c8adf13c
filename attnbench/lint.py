"""Judges every node of a graph against a target: what was measured, what the limit is, and on whose word.

The graph is the canonical one, with constants folded and shapes known. A node the target does not list is ``unknown``.
"""

import onnx_ir as ir

from attnbench.naming import display_name, inserted_site, is_inserted
from attnbench.records import Check, Finding, Level
from attnbench.targets import Rule, Target
from attnbench.targets.rules import PREDICATES, limit_text

KERNEL_LIMIT = 17
CHANNEL_UNIT = 8
RESHAPES = ("Reshape",)


def lint(model: ir.Model, target: Target) -> list[Finding]:
    """One finding a node, in the graph's order."""
    return [_judge(node, target) for node in model.graph]


def deployment_checklist(model: ir.Model) -> list[Check]:
    """The design report's checklist before deployment (section 6.2), read off the graph; the last line is never run here."""
    convolutions = [node for node in model.graph if node.op_type == "Conv"]
    reshapes = [display_name(node.name or node.op_type) for node in model.graph if node.op_type in RESHAPES]
    wide = _beyond(convolutions, "kernel_at_most", KERNEL_LIMIT)
    odd = _beyond(convolutions, "output_channels_multiple_of", CHANNEL_UNIT)
    return [
        Check("exports to ONNX", True, f"{len(list(model.graph))} nodes"),
        Check("no Reshape", not reshapes, _shown(reshapes)),
        Check(f"every convolution kernel <= {KERNEL_LIMIT}", not wide, _shown(wide)),
        Check(f"output channels a multiple of {CHANNEL_UNIT}", not odd, _shown(odd)),
        Check("vendor compiler", None, "not run"),
    ]


def _beyond(nodes: list[ir.Node], predicate: str, limit: int) -> list[str]:
    """The nodes that break a limit, each with what was measured."""
    readings = [(node, PREDICATES[predicate](node, limit)) for node in nodes]
    return [f"{display_name(node.name or '')}: {reading.measured}" for node, reading in readings if not reading.within]


def _judge(node: ir.Node, target: Target) -> Finding:
    rules = target.rules_for(node.op_type) if node.domain in ("", "ai.onnx") else []
    if not rules:
        level: Level = "unknown" if target.unlisted == "unknown" else "refused"
        return _finding(node, target, level, None, reason=f"{target.name} does not list {node.op_type}")
    return max((_apply(node, target, rule) for rule in rules), key=lambda f: _SEVERITY.index(f.level))


def _apply(node: ir.Node, target: Target, rule: Rule) -> Finding:
    if rule.level == "refused":
        return _finding(node, target, "refused", rule)
    beyond = "unknown" if rule.evidence == "presumed" else "refused"  # a presumption reaches no further than its limits
    for limits, broken in ((rule.limits, beyond), (rule.advice, "efficiency")):
        for name, limit in limits.items():
            reading = PREDICATES[name](node, limit)
            if not reading.within:
                return _finding(node, target, broken, rule, reading.measured, limit_text(name, limit))
    seen = ", ".join(PREDICATES[name](node, limit).measured for name, limit in rule.limits.items())
    wanted = ", ".join(limit_text(name, limit) for name, limit in rule.limits.items())
    return _finding(node, target, rule.level, rule, seen, wanted)


def _finding(
    node: ir.Node, target: Target, level: str, rule: Rule | None, measured: str = "", limit: str = "", reason: str = ""
) -> Finding:
    name = node.name or ""
    return Finding(
        target=target.name,
        level=level,  # type: ignore[arg-type]
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
    )


_SEVERITY: tuple[str, ...] = ("supported", "constrained", "efficiency", "fallback", "unknown", "refused")


def _shown(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
