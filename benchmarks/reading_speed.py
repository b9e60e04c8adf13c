"""What the reading commands take of large runs, start-up included: ``python benchmarks/reading_speed.py``.

Runs are made up, with as much in each fact as a sweep writes. The command line is then called five times, each in a fresh
process; told are the best and the median time, and the most memory that one held. Writes ``results/reading_speed.md``;
``--quick`` is a small trial that writes nothing. A command is one more function in ``COMMANDS``: it makes its files in a
folder, with so many cases, and returns what to call.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from msgspec.structs import asdict

from attnbench.core.metrics import measurement
from attnbench.core.protocol import Effort, Protocol
from attnbench.core.records import BASELINE, Case, Check, Finding, RunHeader
from attnbench.core.units import bytes_text, fixed
from attnbench.core.versions import version
from attnbench.measure import machine as environment
from attnbench.measure.disturbance import Watch
from attnbench.report.table import Table
from attnbench.runs.facts import AnyFact, BuiltFact, MemoryFact, PairsFact, ProfileFact, encode
from attnbench.runs.headers import SCHEMA
from attnbench.runs.store import open_run

RESULTS = Path(__file__).resolve().parents[1] / "results"
TIMES, REPLICATES = 5, 10
VARIANTS = 50
"""Variants of each host, its baseline among them."""

START = """
import atexit, os, pathlib
atexit.register(lambda: pathlib.Path(os.environ["STATUS"]).write_bytes(pathlib.Path("/proc/self/status").read_bytes()))
from attnbench.cli import main
main()
"""
"""What the installed command does, in this interpreter, which says at its end what memory it held."""

EXACT = ("params", "macs", "flops", "elementwise_ops", "bytes_moved", "activation_peak", "largest_activation", "weights")


def compare(folder: Path, cases: int) -> list[str]:
    """Two runs of the same cases, measured apart."""
    paths = [write_run(folder / name, cases, seed) for seed, name in enumerate(("base", "new"))]
    return ["compare", *(str(path.parent) for path in paths)]


def track(folder: Path, cases: int) -> list[str]:
    """Half as many runs as cases, of a tenth of the cases each: a history of a year and more.

    Ten runs are made and written again and again, each with a commit of its own: no two in a row are the same.
    """
    made = [write_run(folder / f"made-{seed}", cases // 10, seed).read_text().partition("\n") for seed in range(10)]
    for number in range(cases // 2):
        head, _, lines = made[number % len(made)]
        header = json.loads(head)
        header["software"]["commit_time"] = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)).isoformat()
        where = folder / "history" / f"run-{number}"
        where.mkdir(parents=True)
        (where / "run.jsonl").write_text(f"{json.dumps(header, separators=(',', ':'))}\n{lines}")
    return ["track", str(folder / "history")]


def report(folder: Path, cases: int) -> list[str]:
    """One run, as Markdown."""
    return [
        "report",
        str(write_run(folder / "run", cases, 0).parent),
        "--format",
        "md",
        "--output",
        str(folder / "report.md"),
    ]


COMMANDS = {compare: 10_000, report: 4_000, track: 1_000}
"""With how many cases."""


def write_run(folder: Path, cases: int, seed: int) -> Path:
    """A made-up run; the seed changes its noise alone."""
    chance = random.Random(seed)  # noqa: S311  noise, not secrets
    planned = tuple(cases_of(cases))
    header = RunHeader(
        schema=SCHEMA,
        attnbench=version("attnbench"),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        study={"name": "made up", "targets": ["aimotive"], "matrix": [], "cases": [], "fingerprint": "0"},
        protocol=asdict(Protocol()),
        effort=asdict(Effort()),
        machine=environment.machine(),
        software=environment.software(),
        cases=planned,
    )
    with open_run(folder, header) as writer:
        lines = [encode(fact) for case in planned for fact in facts(case, chance)]
    with writer.path.open("ab") as file:
        file.writelines(line + b"\n" for line in lines)
    return writer.path


def cases_of(number: int) -> Iterator[Case]:
    """So many cases: host by host its baseline, and a module at one place after the other."""
    for index in range(number):
        host, place = divmod(index, VARIANTS)
        yield Case(f"host{host}", f"encoder.layer{place}=se_npu" if place else BASELINE, "384x640")


def facts(case: Case, chance: random.Random) -> Iterator[AnyFact]:
    """As many facts of a case as a sweep of ten replicates writes, each with as much in it."""
    seed = random.Random(case.label)  # noqa: S311  the same in every run
    overhead = seed.uniform(0.001, 0.05)
    node = f"@{case.variant.partition('=')[0]}@0.se_npu@/node_Conv_"
    of: dict[str, Any] = {"case": case, "sources": "0123456789ab", "at": "2026-01-01T00:00:00+00:00", "seconds": 1.0}
    yield BuiltFact(
        measurements=tuple(measurement(name, seed.randrange(10**6, 10**10)) for name in EXACT),
        findings=tuple(finding(node, number, inserted=not case.is_baseline) for number in range(15)),
        checks=tuple(Check(name, passed=True) for name in ("no Reshape", "static shapes", "no Einsum", "ranks", "opset")),
        stages={"build": 1.0, "lint": 0.1},
        hashes={case.host: "0123456789ab", "se_npu": "ba9876543210"},
        **of,
    )
    for number in range(REPLICATES):
        seen = None if case.is_baseline else chance.gauss(overhead, 0.0005)
        nodes = tuple((f"{node}{n}", "Conv", "site", "added", 1e-4, (seen or 0.0) / 18) for n in range(18))
        share = chance.uniform(0.99, 1.0)
        yield ProfileFact(number=number, core_share=share, cost=1e-6, overhead=seen, aligned=1.0, nodes=nodes, **of)
    pairs = tuple((chance.gauss(1.0, 0.02), chance.gauss(1.0 + overhead, 0.02)) for _ in range(20))
    yield PairsFact(number=0, wall=pairs, cpu=pairs, **of)
    yield MemoryFact(session_peak=2 * 10**8, run_peak=10**8, plain_peak=10**8, static_peak=10**8, in_place_peak=10**8, **of)


def finding(node: str, number: int, *, inserted: bool) -> Finding:
    """What a target says of one node, in as many words as it uses."""
    return Finding(
        target="aimotive",
        level="supported",
        rule="conv",
        node=f"{node}{number}",
        op="Conv",
        measured="rank 4, kernel 1x1",
        limit="a tensor of rank 4, kernel at most 17 in each direction",
        reason="two-dimensional convolution up to 17x17; output channels should be a multiple of 8",
        evidence="report",
        source="design report on attention modules for ResNetSAN01, section 2.3, 2.6, 6.2",
        site="encoder.layer3",
        inserted=inserted,
    )


def called(arguments: list[str]) -> tuple[float, int]:
    """Seconds and the most bytes of memory of one call of the command line in a process of its own."""
    with tempfile.NamedTemporaryFile("r") as status:
        began = time.perf_counter()
        told = {**os.environ, "STATUS": status.name}
        done = subprocess.run(
            [sys.executable, "-c", START, *arguments], capture_output=True, text=True, env=told, check=False
        )
        spent = time.perf_counter() - began
        if done.returncode not in (0, 1, 3, 4):
            raise SystemExit(f"attnbench {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        most = next(line for line in status.read().splitlines() if line.startswith("VmHWM:"))
    return spent, 1024 * int(most.split()[1])


def main() -> None:
    """Time every command and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small trial that writes no result")
    quick = parser.parse_args().quick
    times = 1 if quick else TIMES
    rows = []
    with Watch() as watch:
        for command, cases in COMMANDS.items():
            with tempfile.TemporaryDirectory(prefix="attnbench-") as folder:
                arguments = command(Path(folder), VARIANTS if quick else cases)
                read = [path for name in arguments[1:] for path in Path(name).rglob("run.jsonl")]
                size = sum(path.stat().st_size for path in read)
                planned = len(json.loads(read[0].read_text().partition("\n")[0])["cases"])
                seconds, held = zip(*(called(arguments) for _ in range(times)), strict=True)
            shown = {
                "best (s)": fixed(min(seconds), 2),
                "median (s)": fixed(median(seconds), 2),
                "memory": bytes_text(max(held)),
            }
            about = {"runs": str(len(read)), "cases a run": str(planned), "files": bytes_text(size)}
            rows.append({"command": command.__name__, **about, **shown})
    machine, software = environment.machine(), environment.software()
    about = (
        f"Start-up included, {times} calls. Machine: {machine['cpu']}, {machine['cores']} cores granted "
        f"(id {machine['id']}); Python {software['python']}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. "
        f"While it ran: {watch.activity.text()}."
    )
    page = "\n\n".join(("# What the reading commands take", Table.of(rows).markdown(), about))
    print(page)
    if not quick:
        (RESULTS / "reading_speed.md").write_text(page + "\n")


if __name__ == "__main__":
    main()
