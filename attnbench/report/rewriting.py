"""What a rewriting did, as tables: what was changed, what would not have helped, and what remains."""

from collections import Counter
from collections.abc import Iterable, Sequence

import onnx_ir as ir

from attnbench.core.naming import display_name
from attnbench.core.records import ON_NPU
from attnbench.core.units import MISSING, bytes_text, count, scaled
from attnbench.graph.foreign import OPEN
from attnbench.judge.verdicts import npu_verdict
from attnbench.npu.check import Checked
from attnbench.npu.rewriting import Change, Obstacle, Rewritten
from attnbench.report.checks import level_text, ops_text
from attnbench.report.table import Section, Table, some


def sections(done: Rewritten, model: ir.Model, name: str, checked: Checked) -> list[Section]:
    """What the command prints of a model, by its name, and of what became of it, checked against the target."""
    return [
        Section("Rewritten", headline(done, model, name, checked.target.name), changes(done.changes)),
        Section("Does not help here", "", obstacles(done.obstacles)),
        Section("What remains", "", remaining(checked)),
    ]


def headline(done: Rewritten, model: ir.Model, name: str, target: str) -> str:
    """What became of a model, in one or two sentences."""
    before, after = npu_verdict(done.before), npu_verdict(done.after)
    if not done.changes:
        why = "nothing needs rewriting" if _sound(before) else "no rewrite helps"
        return f"{name} on {target}: {before}; {why}, nothing written."
    error = scaled(done.error, 1e-6)
    weights = f"weights {bytes_text(_weights(model))} -> {bytes_text(_weights(done.model))}"
    fixed = "".join(
        f" Its input {value.name} is now {_sides(value)}; it was {value.meta[OPEN]}." for value in _opened(model)
    )
    return f"{name} on {target}: {before} -> {after}; outputs within {error}e-6 of their scale; {weights}.{fixed}"


def _opened(model: ir.Model) -> list[ir.Value]:
    """The inputs that the file left open."""
    return [value for value in model.graph.inputs if OPEN in value.meta]


def _sides(value: ir.Value) -> str:
    return "x".join(map(str, value.shape or ()))


def changes(made: Iterable[Change]) -> Table:
    """One row for changes that were alike: the rewrite, where, the nodes before and after, and the largest error of any."""
    groups: dict[tuple[object, ...], list[Change]] = {}
    for change in made:
        groups.setdefault((change.rewrite, change.before, change.after), []).append(change)
    return Table.of(
        {
            "rewrite": group[0].rewrite,
            "where": some([change.where for change in group], 2),
            "before": _ops(group[0].before),
            "after": _ops(group[0].after),
            "max error (1e-6 of scale)": scaled(max(change.error for change in group), 1e-6, 3),
        }
        for group in groups.values()
    )


def obstacles(found: Iterable[Obstacle]) -> Table:
    """What was tried and does not help on this target, and why."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in found:
        groups.setdefault((one.rewrite, one.why), []).append(one.where)
    return Table.of({"rewrite": r, "where": some(where, 2), "does not help here": w} for (r, w), where in groups.items())


def remaining(checked: Checked) -> Table:
    """What the target still does not take for certain, by op and reason, the worst first."""
    found = [cause for cause in checked.causes if cause.finding.level not in ON_NPU]
    return Table.of(
        {
            "level": level_text(cause),
            "op": ops_text(cause),
            "nodes": count(len(cause.nodes)),
            "measured": some(cause.measured, 2) or MISSING,
            "why": cause.finding.reason,
            "first node": display_name(cause.nodes[0]),
        }
        for cause in found
    )


def improved(done: Rewritten) -> bool:
    """Whether something was rewritten, or nothing needed it."""
    return bool(done.changes) or _sound(npu_verdict(done.before))


def _sound(verdict: str) -> bool:
    return verdict.startswith("ok")


def _weights(model: ir.Model) -> int:
    return sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)


def _ops(ops: Sequence[str]) -> str:
    counted = Counter(ops)
    return ", ".join(op if number == 1 else f"{number} {op}" for op, number in counted.items())
