"""A check as SARIF 2.1.0 (OASIS), which code hosts show beside the file: one result a cause, one rule a profile's rule.

A model is no text: each result stands at the first line of its file, which code hosts ask for, and names its nodes as
logical locations. Two causes differ in their fingerprints wherever they are two rows of a check; what a cause measures and
how many nodes it has may change without making it another one.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
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

HERE = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2}

OPS = "https://onnx.ai/onnx/operators/"
"""What the ops are: where a target's source has no address, as a report has none."""

MEANINGS = {
    "refused": "The target's tool chain does not take this, and does not say that anything else runs it.",
    "fallback": "The target runs this on another device than the NPU.",
    "unknown": "The target's documents leave this open.",
    "efficiency": "The target runs this on the NPU, but not at its full speed.",
    "constrained": "The target runs this on the NPU under a condition that its documents warn of.",
}


def as_sarif(version: str, all_checked: Sequence[Checked], found: Sequence[Sequence[CheckCause]]) -> str:
    """One run a target, in the order given."""
    runs = [_run(version, checked, causes) for checked, causes in zip(all_checked, found, strict=True)]
    return json_text({"$schema": SCHEMA, "version": "2.1.0", "runs": runs})


def _run(version: str, checked: Checked, causes: Sequence[CheckCause]) -> dict[str, Any]:
    reported = [cause for cause in causes if cause.finding.level in KINDS]
    ids = list(dict.fromkeys(_rule_id(checked, cause) for cause in reported))
    rules = {_rule_id(checked, cause): cause for cause in reversed(reported)}
    return {
        "tool": {
            "driver": {
                "name": "attnbench",
                "fullName": f"attnbench {version}",
                "informationUri": _link(checked.target.source) or OPS,
                "version": version,
                "semanticVersion": version,
                "rules": [_rule(checked, rule, rules[rule]) for rule in ids],
            }
        },
        "automationDetails": {"id": f"attnbench/{checked.target.name}/"},
        "columnKind": "unicodeCodePoints",
        "results": [_result(checked, cause, ids.index(_rule_id(checked, cause))) for cause in reported],
        "properties": {"target": checked.target.name, "targetVersion": checked.target.version},
    }


def _rule(checked: Checked, rule: str, cause: CheckCause) -> dict[str, Any]:
    target = checked.target
    told = f"{_sentence(cause.finding.reason)} {MEANINGS[cause.finding.level]}"
    where = f"Read in: {cause.finding.source} ({target.source})."
    link = _link(target.source) or f"{OPS}onnx__{cause.ops[0]}.html"
    return {
        "id": rule,
        "name": "".join(word.capitalize() for word in re.split(r"[^A-Za-z0-9]+", rule)),
        "shortDescription": {"text": _sentence(cause.finding.reason)},
        "fullDescription": {"text": told},
        "help": {
            "text": f"{told} Target: {target.title}, version {target.version}. {where}",
            "markdown": f"{told}\n\n**{target.title}**, version {target.version}. {where}",
        },
        "helpUri": link,
        "defaultConfiguration": {"level": KINDS[cause.finding.level]},
        "properties": {"evidence": cause.finding.evidence, "source": cause.finding.source, "tags": ["npu", target.name]},
    }


def _result(checked: Checked, cause: CheckCause, index: int) -> dict[str, Any]:
    said = cause.finding
    seen = f" Measured: {'; '.join(cause.measured[:3])}." if cause.measured else ""
    limit = f" Limit: {said.limit}." if said.limit else ""
    instead = f" Instead, computing the same and taken: {said.substitute}." if said.substitute else ""
    where = f" to {said.device}" if said.device else ""
    many = counted(len(cause.nodes), "node")
    dtype = f" in {said.dtype}" if said.dtype else ""
    text = f"{', '.join(cause.ops)}{dtype}: {said.level}{where} ({many}): {said.reason}.{seen}{limit}{instead}"
    print_ = hashlib.sha256("\0".join(_identity(checked, cause)).encode()).hexdigest()[:16]
    return {
        "ruleId": _rule_id(checked, cause),
        "ruleIndex": index,
        "level": KINDS[said.level],
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": _uri(checked.model)}, "region": HERE},
                "logicalLocations": [
                    {"name": display_name(node), "fullyQualifiedName": node, "kind": "element"}
                    for node in cause.nodes[:MOST_NODES]
                ],
            }
        ],
        "partialFingerprints": {"cause/v2": print_, "primaryLocationLineHash": f"{print_}:1"},
        "properties": {"nodes": len(cause.nodes), "macs": cause.macs, "params": cause.params},
    }


def _identity(checked: Checked, cause: CheckCause) -> tuple[str, ...]:
    """What makes a cause this one and no other."""
    what = (
        cause.finding.level,
        cause.finding.rule,
        cause.finding.reason,
        cause.finding.limit,
        cause.finding.composite,
        cause.finding.device,
        "+".join(cause.ops),
    )
    return checked.target.name, *what, cause.finding.substitute, *([cause.finding.dtype] if cause.finding.dtype else [])


def _rule_id(checked: Checked, cause: CheckCause) -> str:
    rule = f"unlisted/{cause.ops[0]}" if cause.finding.rule == "unlisted" else cause.finding.rule
    return f"{checked.target.name}/{rule}"


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."


def _link(source: str) -> str | None:
    """Where a source can be opened: the address that it names, or its repository at the commit that it names."""
    if address := re.search(r"https://[^\s,;)]+", source):
        return address[0]
    found = re.match(r"(?P<repository>[\w.-]+/[\w.-]+), ", source)
    commit = re.search(r"\b[0-9a-f]{12,40}\b", source)
    if found is None:
        return None
    return f"https://github.com/{found['repository']}" + (f"/tree/{commit[0]}" if commit else "")


def _uri(model: str) -> str:
    """The file relative to where the command runs, or by its name alone if it lies elsewhere."""
    path, here = Path(model).absolute(), Path.cwd()
    return quote((path.relative_to(here) if path.is_relative_to(here) else Path(path.name)).as_posix())
