"""A check as SARIF 2.1.0 (OASIS), which code hosts show beside the file: one result a cause, one rule a profile's rule."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from attnbench.core.naming import display_name
from attnbench.core.units import counted
from attnbench.npu.check import CheckCause, Checked
from attnbench.report.answer import json_text

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
KINDS = {"refused": "error", "fallback": "warning", "unknown": "note", "efficiency": "note", "constrained": "note"}
"""SARIF's level for each of ours; what is supported is no result."""

MOST_NODES = 20
"""Nodes that a result names; the message says how many there are."""


def as_sarif(version: str, all_checked: Sequence[Checked], found: Sequence[Sequence[CheckCause]]) -> str:
    """One run a target, in the order given."""
    runs = [_run(version, checked, causes) for checked, causes in zip(all_checked, found, strict=True)]
    return json_text({"$schema": SCHEMA, "version": "2.1.0", "runs": runs})


def _run(version: str, checked: Checked, causes: Sequence[CheckCause]) -> dict[str, Any]:
    reported = [cause for cause in causes if cause.level in KINDS]
    ids = list(dict.fromkeys(_rule_id(checked, cause) for cause in reported))
    rules = {_rule_id(checked, cause): cause for cause in reversed(reported)}
    return {
        "tool": {
            "driver": {
                "name": "attnbench",
                "version": version,
                "rules": [
                    {
                        "id": rule,
                        "shortDescription": {"text": rules[rule].reason},
                        "properties": {"evidence": rules[rule].evidence, "source": rules[rule].source},
                    }
                    for rule in ids
                ],
            }
        },
        "automationDetails": {"id": f"attnbench/{checked.target.name}/"},
        "artifacts": [{"location": {"uri": _uri(checked.model)}}],
        "results": [_result(checked, cause, ids.index(_rule_id(checked, cause))) for cause in reported],
        "properties": {"target": checked.target.name, "targetVersion": checked.target.version},
    }


def _result(checked: Checked, cause: CheckCause, index: int) -> dict[str, Any]:
    seen = f" Measured: {'; '.join(cause.measured[:3])}." if cause.measured else ""
    limit = f" Limit: {cause.limit}." if cause.limit else ""
    instead = f" {cause.substitute} computes the same and is taken." if cause.substitute else ""
    where = f" to {cause.device}" if cause.device else ""
    many = counted(len(cause.nodes), "node")
    text = f"{', '.join(cause.ops)}: {cause.level}{where} ({many}): {cause.reason}.{seen}{limit}{instead}"
    return {
        "ruleId": _rule_id(checked, cause),
        "ruleIndex": index,
        "level": KINDS[cause.level],
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": _uri(checked.model), "index": 0}},
                "logicalLocations": [{"name": display_name(node), "kind": "element"} for node in cause.nodes[:MOST_NODES]],
            }
        ],
        "partialFingerprints": {"cause/v1": f"{checked.target.name}/{cause.rule}/{cause.level}/{'+'.join(cause.ops)}"},
        "properties": {"nodes": len(cause.nodes), "macs": cause.macs, "params": cause.params},
    }


def _rule_id(checked: Checked, cause: CheckCause) -> str:
    rule = f"unlisted/{cause.ops[0]}" if cause.rule == "unlisted" else cause.rule
    return f"{checked.target.name}/{rule}"


def _uri(model: str) -> str:
    """The file as a relative reference where it is one."""
    path = PurePath(model)
    return quote(path.as_posix()) if not path.is_absolute() else path.as_uri()
