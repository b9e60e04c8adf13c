"""What can stand in for a refused module: one that computes exactly the same with ops that the target takes.

A substitute is never promised: it is exported for the very plane and judged by the same target before it is named.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import onnx_ir as ir

from attnbench.core.naming import inserted_module
from attnbench.core.records import ON_NPU, Finding
from attnbench.graph.load import parse
from attnbench.npu.check import Checked
from attnbench.npu.judge import judge
from attnbench.npu.rewriting import cures
from attnbench.npu.targets import load_target

Rewrites = Mapping[tuple[str, str], Callable[[], Iterator[tuple[str, bytes]]]]
"""For a site and a module's spec: the names and graphs of what computes the same."""


def with_substitutes(findings: Iterable[Finding], rewrites: Rewrites) -> tuple[Finding, ...]:
    """The findings, each that is not sound with the name of a rewrite of its module all of whose nodes are."""
    known: dict[tuple[str, str, str], str] = {}
    found = []
    for finding in findings:
        place = (finding.site, inserted_module(finding.node))
        if finding.level in ON_NPU or place not in rewrites:
            found.append(finding)
            continue
        key = (*place, finding.target)
        if key not in known:
            known[key] = next((name for name, graph in rewrites[place]() if _sound(graph, finding.target)), "")
        found.append(replace(finding, substitute=known[key]))
    return tuple(found)


def check_with_substitutes(checked: Checked, rewrites: Rewrites) -> Checked:
    """A check with substitutes on its findings, where it is of a module."""
    findings = with_substitutes((node.finding for node in checked.nodes), rewrites)
    nodes = tuple(replace(node, finding=finding) for node, finding in zip(checked.nodes, findings, strict=True))
    return replace(checked, nodes=nodes)


MOST_NODES = 2000
"""Nodes up to which a check looks for rewrites: each is tried on a copy of the graph, which is judged anew."""


def check_with_rewrites(checked: Checked, model: ir.Model) -> Checked:
    """A check that says of its findings which ones ``attnbench rewrite`` would cure, and by what; nothing is run for it."""
    if len(checked.nodes) > MOST_NODES or all(node.finding.level in ON_NPU for node in checked.nodes):
        return checked
    try:
        known = cures(model, checked.target)
    except Exception as error:  # noqa: BLE001  a search that fails must not take the verdict away, and must be told
        return replace(checked, unsearched=f"{type(error).__name__}: {error}")

    def named(finding: Finding) -> Finding:
        cured = finding.node in known and finding.level not in ON_NPU
        return replace(finding, substitute=f"rewrite: {known[finding.node]}") if cured else finding

    return replace(checked, nodes=tuple(replace(node, finding=named(node.finding)) for node in checked.nodes))


def _sound(graph: bytes, target: str) -> bool:
    return all(finding.level in ON_NPU for finding in judge(parse(graph), load_target(target)))
