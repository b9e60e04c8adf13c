"""A page a target, made from its file: ``python benchmarks/target_pages.py [FOLDER]``, by default ``docs/targets``.

Each says what the target takes, under which limits, on whose word, and what its document leaves open. ``README.md`` is the
index, with the NPUs that have none and why.
"""

import re
import sys
from collections import Counter
from pathlib import Path

from attnbench.core.units import MISSING
from attnbench.npu.rules import limit_text
from attnbench.npu.targets import load_target
from attnbench.report.listing import ops, without_table
from attnbench.report.table import Table
from attnbench.targets import Target, find_targets

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "targets"
MADE = "<!-- made by benchmarks/target_pages.py from the target's file: change that, and make it again -->"
ABOUT = (
    "What each target takes, by the file that `attnbench check` judges with. How a target is written, and what the words "
    "mean: [targets](../targets.md#write-one). Where a compiler or a checker can be asked, "
    "[its verdicts stand beside these](../../results/oracles.md)."
)
ASSUMED = (
    "An assumption, which the document neither makes nor denies: a batch normalisation or a sum by constants behind a "
    "convolution counts as part of it, because a tool chain can put it into weights and bias."
)
WORDS = {"unknown": "unknown", "error": "refused"}
EVIDENCE = {
    "vendor-doc": "the vendor's document",
    "vendor-source": "the vendor's source code",
    "third-party": "a third party's copy of the vendor's table",
    "report": "a report",
    "presumed": "presumed",
}


def main(folder: Path) -> None:
    """Write all pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The pages by file name, the index first."""
    own = sorted(name for name, place in find_targets().items() if isinstance(place, Path))
    targets = [load_target(name) for name in own]
    return {"README.md": index(targets), **{f"{target.name}.md": page(target) for target in targets}}


def index(targets: list[Target]) -> str:
    """What targets there are, and which NPUs have none and why."""
    listed = Table.of(
        {
            "target": f"[{target.name}]({target.name}.md)",
            "what it is": target.title,
            "version": target.version,
            "date": target.date,
            "rules": len(target.rules),
            "on whose word": _whose(target),
            "Conv with batch norm": "said" if target.folding else "assumed",
        }
        for target in targets
    )
    parts = ("# Targets", MADE, ABOUT, _markdown(listed), "## NPUs without a target", _markdown(without_table()))
    return "\n\n".join(parts) + "\n"


def page(target: Target) -> str:
    """What one target takes, its limits, its evidence, and what is open."""
    parts = [f"# {target.title}", MADE, _markdown(_head(target))]
    parts += ["## What it takes", _markdown(_told(ops([target.name]).without("target")))]
    if target.limits:
        limits = ", ".join(limit_text(name, limit) for name, limit in target.limits.items())
        parts.append(f"Every node on the NPU must have: {limits}.")
    parts += ["## Batch normalisation behind a convolution", _sentence(target.folding) if target.folding else ASSUMED]
    parts += ["## What is open", *([_list(target.open)] if target.open else [])]
    left = [f"{', '.join(rule.ops)}: {rule.reason} ({rule.section})" for rule in target.rules if rule.level == "unknown"]
    parts.append(_list(left) if left else "No op that the document names is left open.")
    return "\n\n".join(parts) + "\n"


def _told(table: Table) -> Table:
    """The table less the columns that say nothing in any row."""
    return table.without(*(column for column in table.columns if set(table.column(column)) == {MISSING}))


def _markdown(table: Table) -> str:
    """The table with no cell padded: a column of sentences would widen each of its rows."""
    rule = "|" + " --- |" * len(table.columns)
    head, _, *rows = (re.sub(r" {2,}", " ", line) for line in table.markdown().splitlines())
    return "\n".join((head, rule, *rows))


def _head(target: Target) -> Table:
    facts = {
        "name": f"`{target.name}`",
        "vendor": target.vendor,
        "chip": target.chip,
        "version": target.version,
        "date": target.date,
        "document": target.document,
        "where it can be read": target.source,
        "on whose word": _whose(target),
        "an op that it does not list": WORDS.get(target.unlisted, target.unlisted),
        "a limit that is broken": WORDS.get(target.beyond, target.beyond),
        "element types": ", ".join(target.types),
        "newest opset": target.opset or "not said",
    }
    return Table.of({"what": what, "fact": fact} for what, fact in facts.items())


def _whose(target: Target) -> str:
    """The evidence of its rules, the most frequent first."""
    counts = Counter(rule.evidence for rule in target.rules)
    return ", ".join(
        f"{EVIDENCE[kind]} ({count} rules)" if len(counts) > 1 else EVIDENCE[kind] for kind, count in counts.most_common()
    )


def _list(lines: "list[str] | tuple[str, ...]") -> str:
    return "\n".join(f"* {_sentence(line)}" for line in lines)


def _sentence(text: str) -> str:
    return f"{text[:1].upper() if text.split(maxsplit=1)[0].isalpha() else text[:1]}{text[1:]}."


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
