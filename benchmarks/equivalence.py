"""Whether stored runs read as they did in an earlier revision: ``python benchmarks/equivalence.py --base REVISION``.

Every run file under ``results/`` and ``tests/data/``, and some that are made from them (figures changed, a year of commits),
goes through every reading command in every format: once with this tree's package, once with the revision's, taken from git.
JSON is held against JSON value by value, other texts line by line, and where lines differ, the numbers in them. What was
renamed on purpose is named in ``RENAMED``. Writes ``results/equivalence.md`` and ends with 1 where a figure differs.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from difflib import SequenceMatcher
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from attnbench.report.table import Table

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "equivalence.md"
START = "from attnbench.cli import main; main()"
REPORTS = ("md", "csv", "json", "latex", "junit", "benchstat", "bmf", "pytest-benchmark", "github-action-benchmark")
ANSWERS = ("table", "md", "csv", "json")
RUNS_A_YEAR = 24

RENAMED = {"twin": "aa_repeat", "cure": "substitute", "the front": "the Pareto front"}
"""Words of the earlier revision, and what they are now."""

ANEW = re.compile(r"^/series/\d+/(steps/|change|points/\d+/(level|apart))|^/(notes|failing)")
"""What ``track`` says of noisy figures by a rule that is another now (``results/calibration/steps.md``). The figures
themselves are held to what they were."""

RULE = re.compile(r"-{2,}")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


class Compared(NamedTuple):
    """What one command wrote before and after, line by line."""

    command: str
    lines: int
    other_words: list[tuple[str, str]]
    other_figures: list[tuple[str, str]]


def stored(folder: Path) -> Iterator[Path]:
    """The run files of the tree, each in a folder of its own."""
    for path in sorted([*ROOT.glob("results/**/*.jsonl"), *ROOT.glob("tests/data/*.jsonl")]):
        name = path.parent.name if path.stem == "run" else path.stem
        (folder / name).mkdir()
        (folder / name / "run.jsonl").write_bytes(path.read_bytes())
        yield folder / name


def changed(run: Path, folder: Path, *, days: int = 0, factor: float = 1.0) -> Path:
    """A copy of a run, some days younger, in which every third overhead and the parameters of one case are others."""
    head, *records = map(json.loads, (run / "run.jsonl").read_text().splitlines())
    began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)
    head["software"] |= {"commit": f"c{days}", "commit_time": began.isoformat()}
    for number, record in enumerate(records):
        for measured in record.get("measurements", ()):
            if measured["metric"] == "overhead" and number % 3 == 0:
                measured.update(_scaled(measured, factor))
            elif measured["metric"] == "params" and number == 1 and factor != 1:
                measured["value"] += 8
    folder.mkdir(parents=True)
    (folder / "run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (head, *records)))
    return folder


def _scaled(measured: dict[str, Any], factor: float) -> dict[str, Any]:
    ends = {name: measured[name] * factor for name in ("value", "low", "high") if measured.get(name) is not None}
    return ends | {"samples": [factor * sample for sample in measured.get("samples", ())]}


def commands(folder: Path) -> Iterator[Sequence[str]]:
    """Every question that can be asked of stored runs."""
    runs = list(stored(folder))
    largest = max(runs, key=lambda run: (run / "run.jsonl").stat().st_size)
    other = changed(largest, folder / "changed", factor=1.2)
    history = folder / "history"
    for number in range(RUNS_A_YEAR):
        factor = (1.0 + number % 5 / 100) * (1.25 if number >= RUNS_A_YEAR / 2 else 1.0)
        changed(largest, history / str(number), days=15 * number, factor=factor)
    for run in runs:
        yield from (("report", run.name, "--format", name) for name in REPORTS)
        yield from (("recommend", run.name, "--format", name) for name in ANSWERS)
        variants = [case["variant"] for case in json.loads((run / "run.jsonl").open().readline())["cases"]]
        yield from (("explain", variant, "--run", run.name) for variant in variants[1 :: max(1, len(variants) // 6)])
    for pair in ((largest, other), (other, largest), (runs[-1], runs[-1])):
        yield from (("compare", *(run.name for run in pair), "--all", "--format", name) for name in ANSWERS)
    for metric in ("params", "npu"):
        yield from (("track", history.name, "--metric", metric, "--format", name) for name in ANSWERS)
    yield from (("track", history.name, "--metric", metric, "--format", "json") for metric in ("overhead", "latency"))
    yield ("recommend", largest.name, "--max-overhead", "1%", "--target", "aimotive")
    for what in ("modules", "hosts", "targets"):
        yield ("list", what)


def answer(package: Path, folder: Path, command: Sequence[str]) -> list[str]:
    """What a command writes with a package, its exit code last."""
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONHASHSEED": "0", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", START, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return [*done.stdout.splitlines(), *done.stderr.splitlines(), f"exit code {done.returncode}"]


def compared(base: Path, folder: Path, command: Sequence[str]) -> Compared:
    """One command's answers with both packages."""
    before, after = answer(base, folder, command), answer(ROOT, folder, command)
    for pattern, now in RENAMED.items():
        before = [re.sub(rf"\b{pattern}\b", now, line) for line in before]
    apart = list((_values_apart if before[0] == "{" else _lines_apart)(before, after))
    figures = [pair for pair in apart if numbers(pair[0]) != numbers(pair[1])]
    return Compared(" ".join(command), len(after), [pair for pair in apart if pair not in figures], figures)


def numbers(text: str) -> Counter[float]:
    """The numbers in a text; ``12`` and ``12.0`` are one."""
    return Counter(float(found) for found in NUMBER.findall(text))


def _lines_apart(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Stretches of lines that differ in more than spaces, rules and their order; what is added is no difference."""
    one, two = ([" ".join(RULE.sub("", line).split()) for line in lines] for lines in (before, after))
    moved = Counter(one) & Counter(two)
    for kind, a, b, c, d in SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        old, new = (["" if line in moved else line for line in lines] for lines in (one[a:b], two[c:d]))
        if kind in ("replace", "delete") and any((*old, *new)):
            yield "\n".join(filter(None, old)), "\n".join(filter(None, new))


def _values_apart(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What a JSON document said that another does not say in the same place; keys may be added."""
    found = dict(_flat(json.loads("\n".join(after[:-1]))))
    for place, value in _flat(json.loads("\n".join(before[:-1]))):
        if not ANEW.search(place) and (place not in found or found[place] != value):
            yield f"{place}: {value}", f"{place}: {found.get(place, 'nothing')}"
    if before[-1] != after[-1]:
        yield before[-1], after[-1]


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not isinstance(value, dict | list):
        yield place, value
    for key, inner in items:
        yield from _flat(inner, f"{place}/{key}")


def extract(revision: str, folder: Path) -> Path:
    """The package as it was in a revision."""
    with tarfile.open(fileobj=BytesIO(git("archive", revision, "attnbench"))) as archive:
        archive.extractall(folder, filter="data")
    return folder


def git(*command: str) -> bytes:
    """What git answers."""
    return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, check=True).stdout  # noqa: S607


def main() -> None:
    """Ask everything twice and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="the git revision to read as")
    parser.add_argument("--only", default="", help="only commands that begin so; writes no result")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="attnbench-") as old, tempfile.TemporaryDirectory(prefix="attnbench-") as runs:
        base, folder = extract(asked.base, Path(old)), Path(runs)
        wanted = [one for one in commands(folder) if " ".join(one).startswith(asked.only)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(lambda command: compared(base, folder, command), wanted))
    rows = [
        {
            "command": f"`{one.command}`",
            "lines": str(one.lines),
            "other words": str(len(one.other_words)),
            "other figures": str(len(one.other_figures)),
        }
        for one in found
    ]
    revision = git("rev-parse", "--short", asked.base).decode().strip()
    total = sum(one.lines for one in found)
    words, figures = (sum(len(getattr(one, kind)) for one in found) for kind in ("other_words", "other_figures"))
    renamed = ", ".join(f"{old} as {new}" for old, new in RENAMED.items())
    page = "\n\n".join(
        (
            "# Whether stored runs read as before",
            (
                f"Against revision {revision}: {len(found)} commands, {total} lines; {words} differ in words alone, "
                f"{figures} in a figure. Counted as the same: {renamed}; lines in another order, and new ones; of the steps "
                "that `track` finds in noisy figures, the figures alone."
            ),
            Table.of(rows).markdown(),
        )
    )
    for one in found:
        for kind, pairs in (("words", one.other_words), ("FIGURES", one.other_figures)):
            for before, after in pairs[:6]:
                print(f"{kind}: {one.command}\n  - {before[:400]}\n  + {after[:400]}")
    print(f"{len(found)} commands, {total} lines, {words} differ in words, {figures} in figures")
    if not asked.only:
        RESULT.write_text(page + "\n")
    raise SystemExit(1 if figures else 0)


if __name__ == "__main__":
    main()
