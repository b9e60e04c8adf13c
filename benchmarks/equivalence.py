"""Whether stored runs read as they did in an earlier revision: ``python benchmarks/equivalence.py --base REVISION``.

Every run file under ``results/`` and ``tests/data/``, and some that are made from them (figures changed, a year of commits),
goes through every reading command in every format: once with this tree's package, once with the revision's, taken from git.
What is answered otherwise is shown, the earlier line first; it ends with 1 where anything is.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from difflib import unified_diff
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START = "from attnbench.cli import main; main()"
REPORTS = ("md", "csv", "json", "latex", "junit", "benchstat", "bmf", "pytest-benchmark", "github-action-benchmark")
ANSWERS = ("table", "md", "csv", "json")
RUNS_A_YEAR = 24


def stored(folder: Path) -> Iterator[Path]:
    """The run files of the tree, each in a folder of its own."""
    for path in sorted([*ROOT.glob("results/**/*.jsonl"), *ROOT.glob("tests/data/*.jsonl")]):
        name = path.parent.name if path.stem == "run" else path.stem
        (folder / name).mkdir()
        (folder / name / "run.jsonl").write_bytes(path.read_bytes())
        yield folder / name


def changed(run: Path, folder: Path, *, days: int = 0, factor: float = 1.0) -> Path:
    """A copy of a run of records, some days younger, in which every third overhead and one case's parameters are others."""
    head, *records = map(json.loads, (run / "run.jsonl").read_text().splitlines())
    began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)
    head["software"] |= {"commit": f"c{days}", "commit_time": began.isoformat()}
    for number, record in enumerate(records):
        for measured in record.get("measurements", ()):
            if measured["metric"] == "overhead" and number % 3 == 1:
                ends = {name: measured[name] * factor for name in ("value", "low", "high") if measured.get(name) is not None}
                measured.update(ends, samples=[factor * sample for sample in measured.get("samples", ())])
            elif measured["metric"] == "params" and number == 1 and factor != 1:
                measured["value"] += 8
    folder.mkdir(parents=True)
    (folder / "run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (head, *records)))
    return folder


def commands(folder: Path) -> Iterator[Sequence[str]]:
    """Every question that can be asked of stored runs."""
    runs = list(stored(folder))
    first = next(run for run in runs if run.name.endswith("first"))
    other, history = changed(first, folder / "changed", factor=1.2), folder / "history"
    for number in range(RUNS_A_YEAR):
        factor = (1.0 + number % 5 / 100) * (1.25 if number >= RUNS_A_YEAR / 2 else 1.0)
        changed(first, history / str(number), days=15 * number, factor=factor)
    for run in runs:
        yield from (("report", run.name, "--format", name) for name in REPORTS)
        yield from (("recommend", run.name, "--format", name) for name in ANSWERS)
        variants = [case["variant"] for case in json.loads((run / "run.jsonl").open().readline())["cases"]]
        yield from (("explain", run.name, variant) for variant in variants[1 :: max(1, len(variants) // 6)])
    for pair in ((first, other), (other, first), (runs[-1], runs[-1])):
        yield from (("compare", *(run.name for run in pair), "--all", "--format", name) for name in ANSWERS)
    for metric in ("overhead", "latency", "params", "npu"):
        yield from (("track", history.name, "--metric", metric, "--format", name) for name in ANSWERS)
    yield ("recommend", first.name, "--max-overhead", "1%", "--target", "aimotive")
    yield from (("list", what) for what in ("modules", "hosts", "targets"))


def answer(package: Path, folder: Path, command: Sequence[str]) -> list[str]:
    """What a command writes with a package, its exit code last."""
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONHASHSEED": "0", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", START, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return [*done.stdout.splitlines(), *done.stderr.splitlines(), f"exit code {done.returncode}"]


def extract(revision: str, folder: Path) -> Path:
    """The package as it was in a revision."""
    command = ["git", "archive", revision, "attnbench"]
    with tarfile.open(fileobj=BytesIO(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def main() -> None:
    """Ask everything twice and show what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="the git revision to read as")
    parser.add_argument("--only", default="", help="only commands that begin so")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="attnbench-") as old, tempfile.TemporaryDirectory(prefix="attnbench-") as runs:
        base, folder = extract(asked.base, Path(old)), Path(runs)
        wanted = [one for one in commands(folder) if " ".join(one).startswith(asked.only)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            answers = list(pool.map(lambda one: [answer(package, folder, one) for package in (base, ROOT)], wanted))
    apart = 0
    for command, (before, after) in zip(wanted, answers, strict=True):
        if before != after:
            apart += 1
            print(f"attnbench {' '.join(command)}:", *unified_diff(before, after, lineterm="", n=0), sep="\n")
    print(f"{len(wanted)} commands, {sum(len(after) for _, after in answers)} lines; {apart} commands answer otherwise")
    raise SystemExit(1 if apart else 0)


if __name__ == "__main__":
    main()
