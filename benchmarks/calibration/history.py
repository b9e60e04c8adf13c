"""CI jobs in a row, 40 minutes of them: what ``attnbench compare`` says of runs of the quick study, with its defaults.

Most runs measure the same code; whatever ``compare`` calls a regression there is a false alarm. Every fourth runs from a
copy of the package in which one module has become slower by 0.6 to 1 % of the baseline's latency, by machine, in a
way that no parameter and no MAC shows. The module changes from one such run to the next.

How much slower is measured apart, on the clock: the module with ``TIMES`` times the addition against the module as it is,
in interleaved pairs, over ``TIMES``. One addition alone drowns in the clock's scatter; many do not, and each is the same
nodes again.

A run takes about half a minute. Finished ones stay in ``results/history``, and the script goes on from there.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from judged import page
from lab import Lab, experiment, open_lab

from attnbench.core.records import Record, Run
from attnbench.modules import MODULES
from attnbench.runs.figures import paired_overhead
from attnbench.runs.store import load_run

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
STUDY = ROOT / "benchmarks" / "quick.toml"
FOLDER = ROOT / "results" / "history"
SIZE = "192x320"

ALIKE, SLOWER = 60, 20
"""Runs of the same code, beside the first; and of code with a slower module."""

TIMES, PROCESSES, ROUNDS = 20, 10, 20

KEPT = ("overhead", "floor_difference", "core_share", "params", "macs")
"""The measurements that are written down."""

SLOWER_FORWARD = '''

_as_it_was = {built}.forward


def _slower(self, x):
    """The same, and {passes} sigmoids on {channels} channels for nothing, {times} times; not on a plane with fewer."""
    result, work = _as_it_was(self, x), x[:, :{channels}]
    for _ in range({times} * (x.shape[1] >= {channels})):
        for _ in range({passes}):
            work = torch.sigmoid(work)
        result = result + 1e-3 * work.mean(dim=(1, 2, 3), keepdim=True)
    return result


{built}.forward = _slower
'''
"""What is appended to a module's file: work that the result depends on, without parameters and MACs."""


@dataclass(frozen=True)
class Injection:
    """A variant of the study, the class of its module, and work that takes 0.6 to 1 % of the baseline's latency there."""

    variant: str
    built: str
    passes: int
    channels: int

    @property
    def module(self) -> str:
        """The module's name."""
        return self.variant.partition("=")[2]

    def package(self, folder: Path, times: int = 1) -> Path:
        """A copy of the package with the slower module, in a folder of its own below this one."""
        copy = folder / f"{self.module}-{times}"
        if not copy.exists():
            shutil.copytree(ROOT / "attnbench", copy / "attnbench", ignore=shutil.ignore_patterns("__pycache__"))
            with self.source(copy).open("a") as file:
                file.write(SLOWER_FORWARD.format(built=self.built, passes=self.passes, channels=self.channels, times=times))
        return copy

    def source(self, copy: Path) -> Path:
        """The module's file in a copy of the package."""
        origin = MODULES.describe()[self.module].origin
        return copy / Path(*origin.split(".")).with_suffix(".py")

    def many(self, folder: Path) -> str:
        """The variant with the module that does the work ``TIMES`` times, as a variant of its own."""
        entry = MODULES.load(self.module)
        options = ",".join(f"{name}={value}" for name, value in entry.options.items())
        place = self.variant.partition("=")[0]
        return f"{place}='{self.source(self.package(folder, TIMES))}:{entry.build.__name__}'[{options}]"


INJECTIONS = (
    Injection("encoder.layer3=cbam_npu", "NpuCBAM", 24, 256),
    Injection("decoder.fusion=se_npu", "SE", 9, 128),
    Injection("decoder.upconv2=axial_conv", "AxialConv", 5, 64),
    Injection("encoder.layer3=eca", "ECA", 24, 256),
    Injection("encoder.layer3=self_attention", "SelfAttention", 24, 256),
)


def run(quick: bool) -> dict[str, Any]:
    """The runs in turn, then how much the slower modules cost."""
    with tempfile.TemporaryDirectory(prefix="attnbench-") as name:
        scratch = Path(name)
        plan = list(schedule(3, 1) if quick else schedule(ALIKE, SLOWER))
        runs = [
            (slower, sweep((scratch if quick else FOLDER) / f"{number:03}", slower, scratch))
            for number, slower in enumerate(plan)
        ]
        with open_lab(warmup=2, repeat=5) as lab:
            truths = {one.variant: truth(lab, one, scratch, 2 if quick else PROCESSES) for one in INJECTIONS}
    return {"truth": truths, **stored([(slower.variant if slower else "", run) for slower, run in runs])}


def schedule(alike: int, slower: int) -> Iterator[Injection | None]:
    """The first run, and after every few more of the same code one with a slower module."""
    yield None
    for number in range(slower):
        yield from (None for _ in range(alike // slower))
        yield INJECTIONS[number % len(INJECTIONS)]


def sweep(out: Path, slower: Injection | None, scratch: Path) -> Run:
    """A run of the quick study as a user has it, by the package as it is or by the copy with a slower module."""
    if not (out / "report.md").exists():
        package = slower.package(scratch) if slower else ROOT
        command = [sys.executable, "-c", "from attnbench.cli import main; main()", "sweep", str(STUDY), "--out", str(out)]
        environment = {**os.environ, "PYTHONPATH": str(package)}
        subprocess.run(command, check=True, cwd=scratch, env=environment, stdout=subprocess.DEVNULL)
    found = load_run(out)
    print(out.name, slower.module if slower else "", found.header.started, flush=True)
    return found


def truth(lab: Lab, slower: Injection, folder: Path, processes: int) -> dict[str, Any]:
    """How much slower a module is, by process, as a share of the baseline: on the clock, and attributed."""
    baseline, before, after = (lab.graph(name, SIZE) for name in ("baseline", slower.variant, slower.many(folder)))
    found: dict[str, list[float]] = {"clock": [], "attributed": []}
    for number in range(processes):
        job = {"kind": "pairs", "rounds": ROUNDS, "number": number}
        added = paired_overhead([two / one for one, two in lab.job({**job, "models": [before, after]})["cpu"]]).value
        profile = lab.profile(baseline)
        shares = [lab.replicate(variant, SIZE, profile).overhead for variant in (slower.variant, slower.many(folder))]
        found["clock"].append(added * (1 + shares[0]) / TIMES)
        found["attributed"].append((shares[1] - shares[0]) / TIMES)
    return found


def stored(runs: Sequence[tuple[str, Run]]) -> dict[str, Any]:
    """Runs as JSON values, each with the variant that is slower in it; their headers differ in the time alone."""
    return {
        "header": replace(runs[0][1].header, started="").to_json(),
        "runs": [
            {"started": run.header.started, "slower": slower, "records": [thin(one).to_json() for one in run.records]}
            for slower, run in runs
        ],
    }


def thin(record: Record) -> Record:
    """What ``compare`` needs of a record to judge an overhead, some exact figures, and how alone it was on its core."""
    kept = tuple(m for m in record.measurements if m.metric in KEPT)
    return replace(record, measurements=kept, findings=(), nodes=(), checks=(), uncounted=(), notes=(), seconds={})


if __name__ == "__main__":
    experiment("CI jobs in a row: false alarms and detections of compare", run, page)
