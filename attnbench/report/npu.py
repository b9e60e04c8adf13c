"""What targets say of modules: verdicts by target, ops that are refused, and where two profiles of a vendor differ."""

from collections import Counter
from operator import attrgetter

from attnbench.core.grammar import parse_variant
from attnbench.core.naming import inserted_module
from attnbench.core.records import ON_NPU, Finding, Run
from attnbench.core.units import MISSING
from attnbench.judge.rows import rows_of
from attnbench.judge.verdicts import VERDICTS
from attnbench.report.table import Table


def by_target(run: Run) -> Table:
    """Modules against targets: in how many of a module's cases its own nodes come to which verdict; the worst first."""
    targets = run.header.study.get("targets", [])
    if len(targets) < 2:
        return Table()
    verdicts: dict[str, dict[str, Counter[str]]] = {}
    for row in rows_of(run):
        assignments = parse_variant(row.case.variant).assignments
        if len(assignments) == 1 and row.npu_verdict:
            module = "+".join(map(str, assignments[0].modules))
            verdicts.setdefault(module, {}).setdefault(row.target, Counter())[row.npu_verdict] += 1
    return Table.of(
        {"module": module, **{target: _verdicts_text(found.get(target, Counter())) for target in targets}}
        for module, found in verdicts.items()
    )


def _verdicts_text(verdicts: Counter[str]) -> str:
    order = [verdict for verdict in VERDICTS if verdicts[verdict]]
    if len(order) == 1:
        return order[0]
    return ", ".join(f"{verdict} {verdicts[verdict]}" for verdict in order) or MISSING


_REFUSED = attrgetter("level", "op", "target", "measured", "limit", "reason", "substitute", "evidence", "source")


def refused_ops(run: Run) -> Table:
    """Which ops of which module a target refuses or does not know, in how many cases, with the reason and its source."""
    cases: Counter[tuple[str, ...]] = Counter()
    for record in run.records:
        refused = (f for f in record.findings if f.inserted and f.level in ("refused", "fallback", "unknown"))
        cases.update({(inserted_module(f.node), *_REFUSED(f)) for f in refused})
    return Table.of(
        {
            "module": module,
            "op": op,
            "level": level,
            "measured": f"{measured} (limit: {limit})" if limit else MISSING,
            "reason": reason,
            "substitute": substitute or MISSING,
            "evidence": evidence or MISSING,
            "source": source,
            "cases": number,
        }
        for (module, level, op, _, measured, limit, reason, substitute, evidence, source), number in sorted(cases.items())
    )


def disputed(run: Run) -> Table:
    """Ops of modules that one profile of a vendor takes and another does not, in how many cases.

    Profiles are of one vendor where their names begin with the same word.
    """
    cases: Counter[tuple[str, str, str, str]] = Counter()
    for record in run.records:
        nodes: dict[str, list[Finding]] = {}
        for finding in record.findings:
            if finding.inserted:
                nodes.setdefault(finding.node, []).append(finding)
        cases.update({one for findings in nodes.values() for one in _disputes(findings)})
    return Table.of(
        {"module": module, "op": op, "taken": taken, "not taken": refused, "cases": number}
        for (module, op, taken, refused), number in sorted(cases.items())
    )


def _disputes(findings: list[Finding]) -> set[tuple[str, str, str, str]]:
    return {
        (inserted_module(one.node), one.op, _word(one), _word(other))
        for one in findings
        for other in findings
        if one.level in ON_NPU
        and other.level in ("refused", "fallback")
        and one.target.partition("-")[0] == other.target.partition("-")[0]
    }


def _word(finding: Finding) -> str:
    seen = f": {finding.measured}" if finding.measured else ""
    limit = f" (limit: {finding.limit})" if finding.limit else ""
    return f"{finding.target}, {finding.level}{seen}{limit}"
