"""Thousands of wrong command lines and files, through every command: ``python benchmarks/fuzz.py [COUNT] [--seed N]``.

Writes ``results/fuzz.md``, a table by kind: how many of which exit code, how many tracebacks, hangs, wrong codes, control
characters and writes outside the output folder. With ``--add`` the counts of earlier runs in ``results/fuzz.json`` stay, so
that the whole may be taken in parts. The inputs are those of ``tests/fuzz``, where 300 of them are in the suite.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "fuzz"), str(ROOT / "benchmarks")]

from fuzz_harness import FuzzInput, Sandbox, mistakes, prepare  # noqa: E402
from fuzz_inputs import KINDS, sound_files  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from tabulate import tabulate  # noqa: E402

TALLY, RESULT = ROOT / "results" / "fuzz.json", ROOT / "results" / "fuzz.md"
SHARES = {
    "command lines": 30,
    "study files": 17,
    "target files": 13,
    "run files": 25,
    "baseline files": 3,
    "accuracy tables": 3,
    "ONNX files": 9,
}
"""How many of a hundred inputs are of a kind."""
WRONG = ("traceback", "hang", "wrong code", "lines", "control characters", "writes outside")
HEADS = ("inputs", "tracebacks", "hangs", "wrong codes", "more than a line", "control characters", "writes outside")


def fuzz(kind: str, count: int, number: int, until: float) -> tuple[Counter[str], list[str]]:
    """How many inputs of a kind came to what, and the wrong ones."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with Sandbox(sound_files()) as sandbox:

        @seed(number)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(KINDS[kind])
        def one(asked: FuzzInput) -> None:
            if time.monotonic() > until:
                return
            seen = sandbox.run(asked)
            found = mistakes(asked, seen)
            counts["inputs"] += 1
            counts[f"code {seen.code}"] += 1
            counts.update(dict.fromkeys((name for name in WRONG if any(f.startswith(name) for f in found)), 1))
            if found:
                wrong.append(f"{kind}: {found}: {asked!r:.1500}\n    {seen.err:.600}")

        one()
    return counts, wrong


def report(tally: dict[str, dict[str, int]], seeds: list[int]) -> str:
    """The table by kind, and what it is of."""
    rows = []
    for kind in KINDS:
        counts = Counter(tally.get(kind, {}))
        codes = ", ".join(
            f"{name.removeprefix('code ')}: {counts[name]}" for name in sorted(counts) if name.startswith("code")
        )
        rows.append([kind, *(counts[name] for name in ("inputs", *WRONG)), codes])
    rows.append(["all", *(sum(row[at] for row in rows) for at in range(1, 8)), ""])
    table = tabulate(rows, ("kind", *HEADS, "exit codes"), tablefmt="pipe")
    return (
        "# Wrong inputs\n\nWrong and odd inputs by rule, each through the command's own entry "
        f"(seeds {', '.join(map(str, seeds))}):\n\n{table}\n\n"
        "An input is wrong where its exit code is not one that the command documents, where standard error has more than "
        "one line, a traceback or a control character, where it takes more than 10 s or 2 GB, or where anything is written "
        "outside the output folder. Sweeps that are planned end where measuring would begin (code 0).\n"
    )


def main() -> None:
    """Fuzz, and write what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", nargs="?", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))  # noqa: S311
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--add", action="store_true", help="to the counts of earlier runs")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further input after so long")
    parser.add_argument("--dry", action="store_true", help="write no result")
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    prepare()
    found: dict[str, Counter[str]] = {}
    kinds = asked.kind or list(KINDS)
    shares, until = sum(SHARES[kind] for kind in kinds), time.monotonic() + asked.seconds
    wrong = []
    for kind in kinds:
        counts, bad = fuzz(kind, -(-asked.count * SHARES[kind] // shares), asked.seed, until)
        found[kind] = counts
        wrong += bad
        print(f"{kind}: {dict(counts)}", *bad, sep="\n")
    if not asked.dry:
        kept = json.loads(TALLY.read_text()) if asked.add and TALLY.exists() else {"seeds": [], "kinds": {}}
        kept["seeds"].append(asked.seed)
        kept["kinds"] = {kind: dict(Counter(kept["kinds"].get(kind, {})) + found.get(kind, Counter())) for kind in KINDS}
        TALLY.write_text(json.dumps(kept, indent=1) + "\n")
        RESULT.write_text(report(kept["kinds"], kept["seeds"]))
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
