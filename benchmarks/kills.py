"""Sweeps that are killed at random moments, and what else may befall one: ``python benchmarks/kills.py [COUNT] [--add]``.

Writes ``results/kills.md``. A sweep of a small host is begun, and its parent, its builder, a timing step or the whole group
gets ``kill -9`` at a random moment; after four of those, the same command runs to its end. Then every case must have its
figures, once; no fact that was stored may be gone or changed; no process, temporary file or shared memory may be left. The
other rows are a full disk, a folder that cannot be written, SIGTERM, Ctrl-C twice, too little memory, a clock set back, and
two sweeps at once.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tabulate import tabulate

from attnbench import load_run
from attnbench.runs.facts import ProfileFact
from attnbench.runs.ledger import MOST_TRIES
from attnbench.runs.store import RUN_FILE, read_run_file

ROOT = Path(__file__).resolve().parents[1]
TALLY, RESULT = ROOT / "results" / "kills.json", ROOT / "results" / "kills.md"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
VICTIMS = ("parent", "builder", "timing step", "group")
KILLS_A_RUN = 4
CASES = 2
END_SECONDS = 120.0
ENTRY = "from attnbench.cli import main; main()"
"""The command, for ``python -c``."""

NET = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 2, 1))

class Hungry(nn.Module):
    def __init__(self, channels):
        import torch
        super().__init__()
        self.kept = torch.ones(40_000_000_000 // 4)

    def forward(self, x):
        return x
"""


class Place:
    """A folder with all that a sweep may touch: its results, its temporary files, its lock, a cache that runs share."""

    def __init__(self, base: Path, cache: Path) -> None:
        self.base = Path(tempfile.mkdtemp(dir=base))
        self.out, self.tmp = self.base / "out", self.base / "tmp"
        self.tmp.mkdir()
        (self.base / "net.py").write_text(NET)
        self.environment = {
            **os.environ, "TMPDIR": str(self.tmp), "ATTNBENCH_LOCK": str(self.base / "lock"), "ATTNBENCH_CACHE": str(cache),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])), "KILLS": self.base.name,
        }  # fmt: skip

    def command(self, *more: str, own: bool = False, out: Path | None = None) -> list[str]:
        """A sweep of two cases, as short as one can be; of a registered host, or of a network of the user's own."""
        what = ["--host", f"{self.base}/net.py:build", "--site", "1=body"] if own else ["--host", "resnet_cifar"]
        place = "body" if own else "stage-ends"
        return [
            sys.executable, "-c", ENTRY, "sweep", *what, "--module", "se_npu",
            "--place", place, "--size", "32x32", "--processes", "1", "--max-processes", "1", "--repeat", "2",
            "--warmup", "1", "--crosscheck", "0", "--no-memory", "--alone", "--out", str(out or self.out), *more,
        ]  # fmt: skip

    def start(self, command: list[str], **more: object) -> subprocess.Popen[str]:
        """Start a sweep in a group of its own."""
        return subprocess.Popen(
            command, env=self.environment, cwd=self.base, text=True, start_new_session=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **more,  # noqa: PLW1509
        )  # type: ignore[call-overload,no-any-return]  # fmt: skip

    def processes(self) -> list[int]:
        """Every process that belongs to this place, whoever its parent is."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                mark = f"KILLS={self.base.name}".encode()
                if mark in (path / "environ").read_bytes().split(b"\0") and "zombie" not in (path / "status").read_text():
                    found.append(int(path.name))
        return found

    def left(self) -> list[str]:
        """What is left once nothing runs: processes after 10 s, and temporary files."""
        deadline = time.monotonic() + 10
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        found = [f"process {pid}" for pid in self.processes()]
        return found + [f"temporary {path.name}" for path in self.tmp.iterdir() if path.name != "attnbench.lock"]


def shared() -> set[str]:
    """Named shared memory and semaphores of the system."""
    return set(os.listdir("/dev/shm")) if Path("/dev/shm").is_dir() else set()  # noqa: S108, PTH208


def kind_of(pid: int, parent: int) -> str:
    """Which part of a sweep a process is."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
    if pid == parent:
        return "parent"
    return "builder" if "spawn_main" in line else "timing step" if "attnbench.measure" in line else ""


def kill_at_random(place: Place, child: subprocess.Popen[str], victim: str, dice: random.Random, longest: float) -> bool:
    """Kill the part of a running sweep that is named, at a random moment; false where it ended before."""
    time.sleep(dice.uniform(0, longest))
    deadline = time.monotonic() + 20
    while child.poll() is None and time.monotonic() < deadline:
        if victim == "group":
            os.killpg(child.pid, signal.SIGKILL)
            return True
        found = [pid for pid in place.processes() if kind_of(pid, child.pid) == victim]
        if found:
            with suppress(ProcessLookupError):
                os.kill(dice.choice(found), signal.SIGKILL)
                return True
        time.sleep(0.01)
    return False


def lines_of(folder: Path) -> list[bytes]:
    """The whole lines of a run file."""
    path = folder / RUN_FILE
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def wrong_with(folder: Path, kept: list[bytes]) -> list[str]:
    """What is wrong with a finished run, of which these lines were stored before."""
    found = []
    if lines_of(folder)[: len(kept)] != kept:
        found.append("a stored fact is gone or changed")
    run, file = load_run(folder).run, read_run_file(folder)
    if len(run.records) != CASES or len({record.case for record in run.records}) != CASES:
        found.append(f"{len(run.records)} records of {CASES} cases")
    found += [f"{r.case.variant} {r.status}: {r.failure}" for r in run.records if r.status != "ok" or r.pending]
    taken = Counter((f.case, f.number, f.repeat) for f in file.facts if isinstance(f, ProfileFact))
    found += [
        f"{case.variant}: replicate {number} taken {times} times" for (case, number, _), times in taken.items() if times > 1
    ]
    return found


def to_its_end(place: Place, command: list[str]) -> tuple[int, str]:
    """Run a sweep to its end; its exit code and what it said on standard error."""
    child = place.start(command)
    try:
        _, err = child.communicate(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        _, err = child.communicate()
        return 255, f"did not end within {END_SECONDS:.0f} s: {err[-300:]}"
    return child.returncode, err


def killed_run(base: Path, cache: Path, dice: random.Random, longest: float) -> tuple[Counter[str], list[str]]:
    """A sweep that is killed a few times and then goes on to its end: how many kills of what, and what was wrong."""
    place, before = Place(base, cache), shared()
    command = place.command(own=dice.random() < 0.2)
    kills: Counter[str] = Counter()
    wrong: list[str] = []
    kept: list[bytes] = []
    for number in range(KILLS_A_RUN):
        within = kills["builder"] + kills["timing step"]  # a case that is killed at work three times is not tried again
        victim = dice.choice(VICTIMS if within < MOST_TRIES - 1 else ("parent", "group"))
        child = place.start(command)
        hit = kill_at_random(place, child, victim, dice, longest if number == 0 else longest / 2)
        kills[victim] += hit
        try:
            _, err = child.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            wrong.append(f"{victim}: hung after the kill")
            continue
        if "Traceback" in err or "internal error" in err:
            wrong.append(f"{victim}: {err.strip().splitlines()[-1]}")
        deadline = time.monotonic() + 10  # what belongs to it ends with it
        while place.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        wrong += [f"{victim}: process {kind_of(pid, 0)} outlives it" for pid in place.processes()]
        if lines_of(place.out)[: len(kept)] != kept:
            wrong.append(f"{victim}: a stored fact is gone or changed")
        kept = lines_of(place.out)
    code, err = to_its_end(place, command)
    if code:
        wrong.append(f"the same command ended with {code}: {err.strip()[-300:]}")
    wrong += wrong_with(place.out, kept) if (place.out / RUN_FILE).exists() else ["no run"]
    wrong += place.left() + [
        f"shared memory {name}" for name in shared() - before if name.startswith(("sem.", "psm_", "torch"))
    ]
    shutil.rmtree(place.base, ignore_errors=True)
    return kills, wrong


# --- what else may befall a sweep ------------------------------------------------------------------------------------


def begun(place: Place, command: list[str]) -> subprocess.Popen[str]:
    """A sweep that has stored something."""
    child = place.start(command)
    deadline = time.monotonic() + 60
    while len(lines_of(place.out)) < 3 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return child


def full_disk(place: Place) -> list[str]:
    """The disk of the run's folder takes no more; once there is room, the same command goes on."""
    disk = place.base / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)], check=False, capture_output=True)  # noqa: S607
    if mounted.returncode:
        return ["not tried: no tmpfs can be mounted here"]
    try:
        command = place.command(out=disk / "out")
        code, err = to_its_end(place, command)
        wrong = [] if code == 2 and "takes no more" in err else [f"code {code}: {err[-300:]}"]
        kept = lines_of(disk / "out")
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)  # noqa: S607
        code, err = to_its_end(place, command)
        return wrong + ([] if code == 0 else [f"code {code}: {err[-300:]}"]) + wrong_with(disk / "out", kept)
    finally:
        subprocess.run(["umount", str(disk)], check=False)  # noqa: S607


def full_temporary(place: Place) -> list[str]:
    """The temporary folder takes no more: cases fail by the machine, and the same command takes them once there is room."""
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place.tmp)]
    mounted = subprocess.run(words, check=False, capture_output=True)
    if mounted.returncode:
        return ["not tried: no tmpfs can be mounted here"]
    try:
        code, err = to_its_end(place, place.command())
        wrong = [] if code in (1, 2) and "Traceback" not in err else [f"code {code}: {err[-300:]}"]
        kept = lines_of(place.out)
        subprocess.run(["mount", "-o", "remount,size=512m", str(place.tmp)], check=True)  # noqa: S607
        code, err = to_its_end(place, place.command())
        return wrong + ([] if code == 0 else [f"code {code}: {err[-300:]}"]) + wrong_with(place.out, kept)
    finally:
        subprocess.run(["umount", str(place.tmp)], check=False)  # noqa: S607


def read_only(place: Place) -> list[str]:
    """The folder of the results cannot be written: one line, exit code 2, nothing measured."""
    disk = place.base / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)], check=False, capture_output=True).returncode:  # noqa: S607
        return ["not tried: nothing can be mounted here"]
    try:
        code, err = to_its_end(place, place.command(out=disk / "out"))
        return [] if code == 2 and err.count("\n") == 1 else [f"code {code}: {err[-300:]}"]
    finally:
        subprocess.run(["umount", str(disk)], check=False)  # noqa: S607


def interrupted(place: Place, *signals: int) -> list[str]:
    """Signals in a row: exit code 130 and one line, and the same command goes on."""
    child = begun(place, place.command())
    for number in signals:
        with suppress(ProcessLookupError):
            child.send_signal(number)
        time.sleep(0.05)
    _, err = child.communicate(timeout=END_SECONDS)
    wrong = [] if child.returncode == 130 and "Traceback" not in err else [f"code {child.returncode}: {err[-400:]}"]
    kept = lines_of(place.out)
    code, err = to_its_end(place, place.command())
    return wrong + ([] if code == 0 else [f"code {code}: {err[-300:]}"]) + wrong_with(place.out, kept)


def little_memory(place: Place) -> list[str]:
    """A module that asks for 40 GB is a row with a reason, and the others are measured."""
    command = place.command("--module", f"{place.base}/net.py:Hungry", own=True)
    code, err = to_its_end(place, command)
    run = load_run(place.out).run
    rows = {record.case.variant: record for record in run.records}
    failed = [record for name, record in rows.items() if "Hungry" in name]
    good = [record.status for name, record in rows.items() if "Hungry" not in name]
    fine = code == 1 and len(failed) == 1 and failed[0].failure and good == ["ok"] * CASES
    return [] if fine else [f"code {code}: {[(r.case.variant, r.status, str(r.failure)) for r in run.records]} {err[-200:]}"]


def clock_set_back(place: Place) -> list[str]:
    """The resumed sweep lives a day before the first."""
    if not Path(FAKETIME).exists():
        return ["not tried: there is no libfaketime here"]
    child = begun(place, place.command())
    child.kill()
    child.communicate()
    kept = lines_of(place.out)
    place.environment |= {"LD_PRELOAD": FAKETIME, "FAKETIME": "-1d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    code, err = to_its_end(place, place.command())
    return ([] if code == 0 else [f"code {code}: {err[-300:]}"]) + wrong_with(place.out, kept)


def two_at_once(place: Place, *, one_folder: bool) -> list[str]:
    """Two sweeps begun together, into one folder or two: the second waits, and both end well."""
    commands = [place.command(), place.command(out=None if one_folder else place.base / "other")]
    children = [place.start(command) for command in commands]
    wrong = []
    for child in children:
        _, err = child.communicate(timeout=END_SECONDS)
        wrong += [] if child.returncode == 0 else [f"code {child.returncode}: {err[-300:]}"]
    for folder in {place.out, place.out if one_folder else place.base / "other"}:
        wrong += wrong_with(folder, [])
    return wrong


OTHERS: dict[str, Callable[[Place], list[str]]] = {
    "the disk of the results is full": full_disk,
    "the temporary folder is full": full_temporary,
    "the results cannot be written": read_only,
    "SIGTERM": lambda place: interrupted(place, signal.SIGTERM),
    "Ctrl-C twice": lambda place: interrupted(place, signal.SIGINT, signal.SIGINT),
    "a module asks for 40 GB": little_memory,
    "the clock is set back a day": clock_set_back,
    "two sweeps at once, one folder": lambda place: two_at_once(place, one_folder=True),
    "two sweeps at once, two folders": lambda place: two_at_once(place, one_folder=False),
}


def report(tally: dict[str, dict[str, int]], others: dict[str, str], seeds: list[int]) -> str:
    """The two tables."""
    rows = [[name, *(tally.get(name, {}).get(key, 0) for key in ("kills", "runs", "wrong"))] for name in (*VICTIMS, "all")]
    kills = tabulate(rows, ("killed with -9", "kills", "runs", "runs with something wrong"), tablefmt="pipe")
    others_table = tabulate(list(others.items()), ("what befalls a sweep", "what came of it"), tablefmt="pipe")
    return (
        f"# Kills\n\nSweeps of {CASES} cases, killed at random moments (seeds {', '.join(map(str, seeds))}), up to "
        f"{KILLS_A_RUN} times each, and then taken to their end by the same command:\n\n{kills}\n\n"
        "Wrong is a case without its figures or with a replicate taken twice, a stored fact that is gone or changed, a "
        "process that outlives its sweep by 10 s, a temporary file or shared memory that is left, or a traceback.\n\n"
        f"{others_table}\n"
    )


def together(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """The counts of two runs of this script."""
    kills = {
        name: dict(Counter(one["kills"].get(name, {})) + Counter(two["kills"].get(name, {})))
        for name in {**one["kills"], **two["kills"]}
    }
    return {"seeds": one["seeds"] + two["seeds"], "kills": kills, "others": one["others"] | two["others"]}


def with_shared_memory_of_its_own() -> None:
    """Begin anew with shared memory that nobody else on this machine uses, where that can be had."""
    if os.geteuid() == 0 and shutil.which("unshare") and "KILLS_ALONE" not in os.environ:
        mount = 'mount -t tmpfs tmpfs /dev/shm && exec "$@"'
        words = ["unshare", "--mount", "bash", "-c", mount, "-", sys.executable, *sys.argv]
        os.execvpe(words[0], words, {**os.environ, "KILLS_ALONE": "1"})  # noqa: S606


def main() -> None:
    """Kill sweeps, and write what came of it."""
    with_shared_memory_of_its_own()
    parser = argparse.ArgumentParser()
    parser.add_argument("count", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))  # noqa: S311
    parser.add_argument("--add", action="store_true", help="to the counts of earlier runs")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further sweep after so long")
    parser.add_argument("--others", action="store_true", help="the other rows alone")
    parser.add_argument("--dry", action="store_true", help="write no result")
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    dice, until = random.Random(asked.seed), time.monotonic() + asked.seconds  # noqa: S311
    kept: dict[str, Any] = {"seeds": [asked.seed], "kills": {}, "others": {}}
    bad = 0
    with tempfile.TemporaryDirectory(prefix="attnbench-kills-") as folder:
        base, cache = Path(folder), Path(folder, "cache")
        place = Place(base, cache)
        began = time.monotonic()
        code, err = to_its_end(place, place.command())
        if code:
            raise SystemExit(f"a sweep that nobody kills ends with {code}: {err}")
        began = time.monotonic()
        place = Place(base, cache)
        to_its_end(place, place.command())
        longest = time.monotonic() - began
        print(f"a sweep takes {longest:.1f} s")
        done = 0
        while not asked.others and done < asked.count and time.monotonic() < until:
            kills, wrong = killed_run(base, cache, dice, longest)
            done += kills.total()
            bad += bool(wrong)
            for name in (*kills, "all"):
                counts = kept["kills"].setdefault(name, {"kills": 0, "runs": 0, "wrong": 0})
                counts["kills"] += kills.total() if name == "all" else kills[name]
                counts["runs"] += 1 if name == "all" or kills[name] else 0
                counts["wrong"] += bool(wrong) and (name == "all" or kills[name] > 0)
            if wrong:
                print(f"{dict(kills)}: {wrong}")
        for name, befall in OTHERS.items() if asked.others or asked.seconds == float("inf") else ():
            wrong = befall(place := Place(base, cache)) + place.left()
            kept["others"][name] = "; ".join(wrong).replace("\n", " ")[:300] or "as it should be"
            bad += bool(wrong) and not wrong[0].startswith("not tried")
            print(f"{name}: {kept['others'][name]}")
    print(kept["kills"])
    if not asked.dry:
        if asked.add and TALLY.exists():
            kept = together(json.loads(TALLY.read_text()), kept)
        TALLY.write_text(json.dumps(kept, indent=1) + "\n")
        RESULT.write_text(report(kept["kills"], kept["others"], kept["seeds"]))
    if bad:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
