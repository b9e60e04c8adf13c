"""What Netron shows beside an ONNX file that stays as it is: an attachment, opened after the model.

The document is ``{"signature": "netron:attachment", "metadata": [...], "metrics": [...]}``; each entry has ``kind`` (here
``node``, or ``model`` for the whole), the ``target``'s name, and a name with its value. Netron lists them at the node of
that name. Source: ``metadata.Attachment`` in lutzroeder/netron source/view.js (9.2.1).

A case's file is what ``attnbench export`` writes. The runtime renames nodes as it fuses them: it calls a node after the last
tensor that it gives, or after the node that it was, behind the same prefix, so the time of a fused node stands at the node
that makes that tensor. What is no node of the file (changes of layout, fusions that broke) stands at the model, by site.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attnbench.core.naming import plain_name
from attnbench.core.records import Finding, NodeShare, Record
from attnbench.core.units import percent, with_interval
from attnbench.judge.verdicts import npu_verdict
from attnbench.report.answer import json_text
from attnbench.report.tables import BY_KIND

if TYPE_CHECKING:
    from attnbench.npu.check import Checked

Entry = dict[str, Any]


def of_record(record: Record) -> str:
    """The overhead of each node that a case adds and what the targets say of it, for the file of the case."""
    ops = {finding.node: finding.op for finding in record.findings if finding.inserted}
    shares: defaultdict[str, float] = defaultdict(float)
    apart: defaultdict[str, float] = defaultdict(float)
    for node in record.nodes:
        home = _home(node, ops) if node.kind == "added" else ""
        if home:
            shares[home] += node.share
        else:
            where = f" at {node.site}" if node.site else ""
            apart[f"{BY_KIND.get(node.kind, node.op)}{where} (overhead, %)"] += node.share
    overhead = record.get("overhead")
    whole = (
        {}
        if overhead is None or overhead.value is None
        else {"overhead (%)": with_interval(percent(overhead.value), percent(overhead.low), percent(overhead.high))}
    )
    metrics = [
        *_entries("model", "", {**whole, **{name: _percent(share) for name, share in apart.items()}}),
        *(entry for node, share in shares.items() for entry in _entries("node", node, {"overhead (%)": _percent(share)})),
    ]
    return _document(metrics, _verdicts(record.findings))


def of_checks(checked: "Sequence[Checked]") -> str:
    """What targets say of each node of one model, and what the node costs."""
    metrics = [
        entry
        for node in checked[0].nodes
        for entry in _entries("node", node.finding.node, {"MACs": node.macs, "parameters": node.params})
    ]
    whole = {one.target.name: npu_verdict(one.findings) for one in checked}
    findings = (finding for one in checked for finding in one.findings)
    return _document(metrics, [*_entries("model", "", whole), *_verdicts(findings)])


def _percent(share: float) -> float:
    return round(100 * share, 4)


def _home(ran: NodeShare, ops: Mapping[str, str]) -> str:
    """The node of the file that one of the runtime's graph comes from; empty where that cannot be told.

    It is known by its name, or as the only one of its module with its op.
    """
    own = plain_name(ran.node)
    prefix = ran.node.removesuffix(own)
    kept = own.removesuffix("_nchwc").partition("/")[0]
    alike = [name for name, op in ops.items() if op == ran.op and name.startswith(prefix)]
    named = [name for name in (ran.node, prefix + kept, f"{prefix}node_{kept}") if name in ops]
    return next(iter(named), alike[0] if len(alike) == 1 else "")


def _verdicts(findings: Iterable[Finding]) -> Iterator[Entry]:
    for finding in findings:
        said = {finding.target: finding.level, f"{finding.target}: why": finding.reason}
        seen = {f"{finding.target}: measured": finding.measured, f"{finding.target}: limit": finding.limit}
        yield from _entries("node", finding.node, {**said, **seen})


def _entries(kind: str, target: str, values: Mapping[str, Any]) -> Iterator[Entry]:
    for name, value in values.items():
        if value not in (None, ""):
            yield {"kind": kind, "target": target, "name": name, "value": value}


def _document(metrics: Sequence[Entry], metadata: Iterable[Entry]) -> str:
    return json_text({"signature": "netron:attachment", "metadata": list(metadata), "metrics": metrics})
