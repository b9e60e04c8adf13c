"""What exists, as tables: read from the entries' plain data, without torch."""

import json
from collections.abc import Mapping, Sequence

from attnbench.core.catalogue import range_text
from attnbench.core.grammar import OptionValue, Spec
from attnbench.core.protocol import settings as known_settings
from attnbench.core.units import MISSING
from attnbench.hosts import HOSTS, declared_places, describe_sites
from attnbench.modules import MODULES
from attnbench.profiles import PROFILES
from attnbench.report import FORMATS
from attnbench.report.table import Table
from attnbench.runtimes import RUNTIMES, runtime_version, told
from attnbench.study.file import packaged_studies, read_study
from attnbench.targets import read_target, target_names, target_path, usable
from attnbench.targets import without_table as untold


def modules() -> Table:
    """The attention modules with what they do, their options and defaults, and where they come from."""
    return Table.of(
        {
            "module": name,
            "what it does": entry.get("summary", ""),
            "options": _options(entry.get("options") or {}, entry.get("choices") or {}, entry.get("least") or {}),
            "paper": entry.get("paper", MISSING),
            "after": entry.get("source", entry.origin),
        }
        for name, entry in sorted(MODULES.describe().items())
    ).keyed("module", minor=("after", "paper"))


def hosts() -> Table:
    """The hosts with their options, choices and number of sites."""
    return Table.of(
        {
            "host": name,
            "what it is": entry.get("summary", ""),
            "options": _options(entry.get("options") or {}, entry.get("choices") or {}),
            "sites": len(declared_places(Spec(name)).sites) or MISSING,
            "sides": f"multiples of {entry.get('multiple', 1)}",
            "after": entry.get("source", entry.origin),
        }
        for name, entry in sorted(HOSTS.describe().items())
    ).keyed("host", minor=("after", "sides"))


def placements(host: str) -> Table:
    """A host's sites with channels and stride, and its named groups; of an ONNX file, the tensors it can stand at."""
    if host.endswith(".onnx"):
        return _tensors(host)
    return Table.of(
        {key: MISSING if value in (None, "") else value for key, value in row.items()} for row in describe_sites(host)
    )


def _tensors(path: str) -> Table:
    from attnbench.graph.load import parse, read_host_file  # noqa: PLC0415  onnx is only needed for a file
    from attnbench.graph.splice import tensors  # noqa: PLC0415

    return shapes(tensors(parse(read_host_file(path))))


def shapes(places: Mapping[str, Sequence[int]]) -> Table:
    """Places by name with the shape of the tensor there."""
    return Table.of({"place": name, "shape": "x".join(map(str, shape))} for name, shape in places.items())


def runtimes() -> Table:
    """What graphs can be run and profiled by, with the installed version, and what a row of the profile means."""
    return Table.of(
        {
            "runtime": name,
            "what it is": told(name, "summary"),
            "version": runtime_version(name),
            "options": _options(told(name, "options"), {}),
            "a row of its profile": told(name, "rows"),
            "memory": "measured" if told(name, "memory") else "not measured",
        }
        for name in RUNTIMES.names()
    ).keyed("runtime", minor=("memory", "a row of its profile"))


def targets() -> Table:
    """The NPU targets with version, date, number of rules, and what an op they do not list means."""
    return Table.of(
        {
            "target": target.name,
            "what it is": target.title,
            "version": target.version,
            "date": target.date,
            "rules": len(target.rules),
            "unlisted ops": target.unlisted,
            "from": target.document,
        }
        for target in usable(target_names(), lambda name: read_target(target_path(name)))
    ).keyed("target", minor=("from", "date", "rules"))


def without_table() -> Table:
    """The NPUs that have no target, because no table of what they take can be read in public."""
    return Table.of(
        {"no public table": one.chip, "vendor": one.vendor, "why": one.reason, "looked at": one.looked, "date": one.date}
        for one in untold()
    ).keyed("no public table", minor=("date", "looked at", "vendor"))


def ops(names: Sequence[str]) -> Table:
    """What targets say of each op: a row a rule, in the order in which they are tried."""
    from attnbench.npu.rules import limit_text  # noqa: PLC0415  needs onnx_ir; the other lists do not
    from attnbench.npu.targets import load_target  # noqa: PLC0415

    def asked(limits: Mapping[str, object]) -> str:
        return ", ".join(limit_text(name, limit) for name, limit in limits.items()) or MISSING

    return Table.of(
        {
            "target": target.name,
            "ops": ", ".join(rule.ops),
            "level": rule.level,
            "for nodes with": asked(rule.where),
            "limits": asked(rule.limits),
            "else": rule.beyond if rule.limits else MISSING,
            "should have": asked(rule.advice),
            "evidence": rule.evidence,
            "section": rule.section,
            "reason": rule.reason,
        }
        for target in usable(names, load_target)
        for rule in target.rules
    ).keyed("target", "ops", "level", minor=("section", "evidence"))


def predicates() -> Table:
    """What a target's rules can ask of a node, with the words a reader sees."""
    from attnbench.npu.rules import PREDICATES  # noqa: PLC0415  needs onnx_ir; the other lists do not

    return Table.of(
        {"predicate": name, "argument": "value" if "{limit}" in text else "true", "asks for": text.format(limit="...")}
        for name, text in sorted((name, predicate.__doc__ or "") for name, predicate in PREDICATES.items())
    )


def studies() -> Table:
    """The studies that come with it: what each measures, where, and in how many cases."""
    from attnbench.study.plan import plan  # noqa: PLC0415

    plans = [plan(read_study(path)) for path in packaged_studies()]
    return Table.of(
        {
            "study": one.name,
            "what it measures": one.document["title"],
            "hosts": ", ".join(dict.fromkeys(planned.case.host for planned in one.cases)),
            "sizes": ", ".join(dict.fromkeys(planned.case.size for planned in one.cases)),
            "cases": len(one.cases),
        }
        for one in plans
    ).keyed("study", minor=("sizes", "hosts"))


def settings() -> Table:
    """What a study may set: of the protocol, which is study-wide, or of the effort, which a case may have of its own."""
    return Table.of(
        {"setting": name, "default": json.dumps(one.default), "of": one.part, "what it means": one.meaning}
        for name, one in known_settings().items()
    ).keyed("setting")


def formats() -> Table:
    """What a stored run can be written as, and what the file is called."""
    return Table.of(
        {"format": name, "file": entry.get("file", MISSING), "what it is": entry.get("summary", "")}
        for name, entry in sorted(FORMATS.describe().items())
    ).keyed("format")


def profiles() -> Table:
    """The profiles of other tools that ``attribute`` reads, and how to take one."""
    return Table.of(
        {"profile": name, "what it is": entry.get("summary", ""), "how": entry.get("take", MISSING),
         "--layer-info": entry.get("info") or MISSING}
        for name, entry in sorted(PROFILES.describe().items())
    ).keyed("profile")  # fmt: skip


def _options(
    options: Mapping[str, OptionValue],
    choices: Mapping[str, tuple[OptionValue, ...]],
    least: Mapping[str, float] | None = None,
) -> str:
    """Each option with its default and what else it may be."""

    def may_be(key: str, value: OptionValue) -> str:
        if key in choices:
            return f" ({'|'.join(map(str, choices[key]))})"
        return "" if isinstance(value, bool | str) else f" ({range_text(key, value, least or {})})"

    return ", ".join(f"{key}={value}{may_be(key, value)}" for key, value in options.items()) or MISSING
