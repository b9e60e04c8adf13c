"""Sweeps over many machines, held to the worst: processes killed at random, and the same scheduling for 1,000 machines.

    python benchmarks/fleet.py chaos WORKERS KILLS SEED MODE   one local cluster: a line to results/fleet/lines.jsonl
    python benchmarks/fleet.py overhead WORKERS LEAST MOST     what the engine takes of a step of so many seconds, likewise
    python benchmarks/fleet.py simulate MACHINES MODE          an event simulation of so many machines, likewise
    python benchmarks/fleet.py report                          results/fleet.md from these lines

No clock is read for a figure: a timing step is a script, which writes down when it began and ended. Each worker has a lock,
a machine id and a cache of its own, and stands for a machine.
"""

import hashlib
import heapq
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Self

from attnbench.core.metrics import measurement
from attnbench.core.records import Case
from attnbench.fleet.bench import serve
from attnbench.fleet.pool import GRACE_SECONDS, Fleet
from attnbench.measure.header import about, hashes_of, make_header, sources_of
from attnbench.measure.schedule import TimingStep
from attnbench.runs.facts import AnyFact, BuiltFact, LatencyFact, MemoryFact, PairsFact, ProfileFact, encode
from attnbench.runs.fold import summarise
from attnbench.runs.store import read_run_file
from attnbench.study.plan import Plan, plan

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
LINES = RESULTS / "fleet" / "lines.jsonl"
MODULES = ("se_npu", "eca", "cbam_npu", "coord", "simam", "scse", "srm", "nam", "gam", "ema")
PLACES = ("encoder.stem", "encoder.layer1", "encoder.layer2", "encoder.layer3", "encoder.layer4", "decoder.upconv2")
EFFORT = {"processes": 3, "max_processes": 3, "crosscheck": 0, "memory": False, "timeout_seconds": 60}


def scripted_plan(cases: int, **effort: object) -> Plan:
    """A plan of so many variants at one or more sizes."""
    sizes = [f"{96 + 32 * index}x160" for index in range(-(-cases // (len(MODULES) * len(PLACES))))]
    matrix = [{"places": list(PLACES), "modules": list(MODULES)}]
    asked = {"name": "fleet", "hosts": ["resnetsan01"], "sizes": sizes, "matrix": matrix}
    whole = plan(asked, overrides={**EFFORT, **effort})
    kept, variants = [], 0
    for planned in whole.cases:
        variants += not planned.case.is_baseline
        if planned.case.is_baseline or variants <= cases:
            kept.append(planned)
    from dataclasses import replace  # noqa: PLC0415

    return replace(whole, cases=tuple(kept))


def scripted(step: TimingStep, sources: dict[Case, str], seed: str) -> Iterator[AnyFact]:
    """The facts of a step, drawn by its name: as a machine gives them, and nothing measured."""
    for case in step.cases[:1] if step.kind in ("repeat", "crosscheck") else step.cases:
        draw = random.Random(f"{seed} {step.kind} {step.number} {case.label}")  # noqa: S311  no secret
        about = {"case": case, "sources": sources[case], "at": f"{draw.random()}"}
        true = random.Random(case.variant).uniform(0.001, 0.03)  # noqa: S311
        if step.kind == "build":
            place = case.variant.partition("=")[0]
            known = [
                measurement("macs", 8_000_000_000),
                measurement("bytes_moved", 1000),
                measurement("activation_peak", 10),
            ]
            yield BuiltFact(**about, measurements=tuple(known), regions=() if case.is_baseline else (place,))
        elif step.kind in ("profile", "repeat"):
            overhead = None if case.is_baseline else draw.gauss(true, true / 20)
            aligned = None if case.is_baseline else 1.0
            panel = f"{step.number} {len(step.cases)}" if len(step.cases) > 1 else ""
            yield ProfileFact(
                **about, number=step.number, core_share=1.0, cost=1e-7, overhead=overhead, aligned=aligned, panel=panel,
                repeat=step.kind == "repeat",
            )  # fmt: skip
        elif step.kind == "latency":
            yield LatencyFact(**about, number=step.number, threads=step.threads, wall=(0.01,) * 5)
        elif step.kind == "memory":
            yield MemoryFact(**about, session_peak=1, run_peak=1, plain_peak=1, static_peak=1, in_place_peak=1)
        else:
            pairs = ((0.01, 0.011),) * 5
            together = tuple(one.variant for one in step.cases) if step.kind == "crosscheck" else ()
            yield PairsFact(**about, number=step.number, together=together, wall=pairs, cpu=pairs)


# on a worker: dask worker --preload benchmarks/fleet.py


def dask_setup(_worker: object) -> None:
    """Make this worker a machine of its own, with a script for a measuring process."""
    from attnbench.fleet import worker  # noqa: PLC0415

    name = os.environ["FLEET_MACHINE"]

    def elsewhere(runtimes: Sequence[str] = ()) -> tuple[dict, dict]:
        here, software = about(runtimes=runtimes)
        alike = os.environ.get("FLEET_ALIKE")
        return {**here, "id": "alike" if alike else f"fake-{name}", "cpu": "fake" if alike else f"fake {name}"}, software

    worker.about = elsewhere
    worker.BENCH = [sys.executable, str(Path(__file__).resolve()), "bench"]


class Script:
    """Takes steps by the script, and writes down when."""

    def __init__(self, sources: dict[Case, str]) -> None:
        self.sources = sources
        self.log = os.open(os.environ["FLEET_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def take(self, step: TimingStep) -> Iterator[AnyFact]:
        """One step: it sleeps a little, and gives its facts."""
        asked = json.dumps([step.kind, step.number, step.threads, [case.label for case in step.cases]])
        self._say("began", asked, [])
        time.sleep(random.SystemRandom().uniform(*map(float, os.environ["FLEET_SLEEP"].split())))
        facts = list(scripted(step, self.sources, os.environ["FLEET_MACHINE"]))
        self._say("ended", asked, [mark(fact) for fact in facts])
        yield from facts

    def _say(self, what: str, step: str, facts: list[str]) -> None:
        line = {"what": what, "step": step, "at": time.monotonic_ns(), "pid": os.getpid(), "facts": facts}
        os.write(self.log, json.dumps(line).encode() + b"\n")


def mark(fact: AnyFact) -> str:
    """A name for a fact."""
    return hashlib.sha256(encode(fact)).hexdigest()[:16]


def bench(folder: Path) -> None:
    """The measuring process, with the script in the place of the bench."""
    from contextlib import nullcontext  # noqa: PLC0415

    serve(folder, lambda _plan, _hashes, sources: nullcontext(Script(dict(sources))))


# the cluster


class Cluster:
    """A scheduler, workers and a client as processes; who dies is started again, as a service manager does."""

    def __init__(self, folder: Path, workers: int, mode: str, cases: int, *, sleep: tuple[float, float]) -> None:
        self.folder, self.workers, self.mode, self.cases, self.sleep = folder, workers, mode, cases, sleep
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.processes: dict[str, subprocess.Popen] = {}
        self.started = 0

    def __enter__(self) -> Self:
        for name in ("scheduler", *(f"m{index}" for index in range(self.workers))):
            self.start(name)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def start(self, name: str) -> None:
        """Start one of the processes."""
        self.started += 1
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "60s",
        }
        tool = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
        if name == "scheduler":
            command = [*tool, "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-jupyter"]
        elif name == "client":
            command = [
                sys.executable,
                __file__,
                "client",
                str(self.port),
                str(self.folder / "out"),
                self.mode,
                str(self.cases),
            ]
        else:
            env |= {
                "FLEET_MACHINE": name, "FLEET_LOG": str(self.folder / f"{name}.log"),
                "FLEET_SLEEP": " ".join(map(str, self.sleep)),
                "ATTNBENCH_LOCK": str(self.folder / f"{name}.lock"), "ATTNBENCH_CACHE": str(self.folder / f"{name}.cache"),
                "FLEET_ALIKE": "1" if self.mode == "split" else "",
            }  # fmt: skip
            command = [
                sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://127.0.0.1:{self.port}", "--nthreads", "1",
                "--name", name, "--no-nanny", "--no-dashboard", "--preload", __file__, "--death-timeout", "30",
                "--local-directory", str(self.folder / f"{name}.scratch"),
            ]  # fmt: skip
        log = (self.folder / f"{name}.out").open("ab")
        self.processes[name] = subprocess.Popen(
            command, env=env, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
        )

    def tend(self) -> bool:
        """Start again what died; whether the client came to its end."""
        for name, process in list(self.processes.items()):
            code = process.poll()
            if name == "client" and code == 0:
                return True
            if code is not None:
                self.start(name)
        return False

    def kill(self, name: str) -> None:
        """``kill -9`` of one process; what it started lives on."""
        with suppress(OSError):
            os.kill(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()


def client(port: str, out: str, mode: str, cases: str) -> None:
    """The command that is killed and given again."""
    from attnbench.cli.progress import Lines  # noqa: PLC0415
    from attnbench.fleet.run import run_fleet  # noqa: PLC0415

    found = run_fleet(scripted_plan(int(cases)), Path(out), Path(out), Lines(), f"127.0.0.1:{port}", mode=mode)
    raise SystemExit(0 if found.finished else 1)


def chaos(
    workers: int, kills: int, seed: int, mode: str, cases: int = 60, *, sleep: float = 0.8, most_seconds: float = 165.0
) -> dict:
    """A fleet's sweep while so many processes are killed, in a row with some time between; what it came to."""
    draw, began, killed = random.Random(seed), time.monotonic(), Counter()  # noqa: S311
    with tempfile.TemporaryDirectory() as where, Cluster(Path(where), workers, mode, cases, sleep=(0.0, sleep)) as cluster:
        folder = Path(where)
        cluster.start("client")
        following, over = float("inf"), False  # the first kill comes soon after the first step
        while not over and time.monotonic() - began < most_seconds:
            over = cluster.tend()
            if following == float("inf") and any(folder.glob("m*.log")):
                following = time.monotonic() + draw.uniform(0.2, 2.5)
            if not over and sum(killed.values()) < kills and time.monotonic() > following:
                names = list(cluster.processes)
                name = draw.choices(names, [1.0 if n.startswith("m") else workers / 6 for n in names])[0]
                cluster.kill(name)
                killed["worker" if name.startswith("m") else name] += 1
                following = time.monotonic() + draw.uniform(0.2, 2.5 if name != "scheduler" else 6)
            time.sleep(0.02)
        found = judged(folder, folder / "out", mode)
    seconds = round(time.monotonic() - began, 1)
    return {"kind": "chaos", "workers": workers, "mode": mode, "seed": seed, "killed": dict(killed), "finished": over,
            "seconds": seconds, **found}  # fmt: skip


def judged(folder: Path, out: Path, mode: str) -> dict:
    """Facts lost, facts doubled, steps measured twice, timings that overlap, and cases that lack something."""
    lost = doubled = twice = overlapping = steps = facts = lacking = failed = 0
    for log in sorted(folder.glob("m*.log")):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        ended = [line for line in lines if line["what"] == "ended"]
        steps += len(ended)
        twice += sum(times - 1 for times in Counter(line["step"] for line in ended).values())
        within: set[int] = set()
        for line in sorted(lines, key=lambda line: line["at"]):
            if line["what"] == "began":
                overlapping += bool(within - {line["pid"]})
                within.add(line["pid"])
            else:
                within.discard(line["pid"])
        path = out / log.stem
        stored = read_run_file(path) if path.exists() else None
        had = Counter(mark(fact) for fact in stored.facts) if stored else Counter()
        facts += sum(had.values())
        seen = {one for line in ended for one in line["facts"]}
        lost += len(seen - had.keys())
        doubled += sum(times - 1 for times in had.values())
        if stored:
            failed += sum(fact.__struct_config__.tag == "failed" for fact in stored.facts)
            if mode == "each":
                lacking += sum(record.pending > 0 for record in stored.run.records)
    if mode == "split" and (out / "run.jsonl").exists():
        run = read_run_file(out).run
        lacking = sum(record.pending > 0 for record in run.records) + len(run.header.cases) - len(run.records)
    return {"steps": steps, "facts": facts, "lost": lost, "doubled": doubled, "twice": twice, "overlapping": overlapping,
            "failed": failed, "lacking": lacking}  # fmt: skip


def overhead(workers: int, least: float, most: float, cases: int = 60) -> dict:
    """What the engine takes of a step of so many seconds: the time between two steps of a machine, and of the CPU."""
    sleep = (least, most)
    with tempfile.TemporaryDirectory() as where, Cluster(Path(where), workers, "each", cases, sleep=sleep) as cluster:
        folder, deadline = Path(where), time.monotonic() + 200
        time.sleep(10)
        cluster.start("client")
        spent: list[dict[str, float]] = []
        while not cluster.tend() and time.monotonic() < deadline:
            lines = [json.loads(line) for log in folder.glob("m*.log") for line in log.read_text().splitlines()]
            if len({line["pid"] for line in lines}) == workers:
                spent.append(cpu_seconds(cluster) | {"steps": len(lines) / 2})
            time.sleep(0.25)
        between = []
        for log in folder.glob("m*.log"):
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            between += [b["at"] - a["at"] for a, b in pairwise(lines) if b["what"] == "began"]
    between.sort()
    at = [round(between[int(len(between) * share)] / 1e6, 1) for share in (0.5, 0.9)]
    first, last = spent[0], spent[-1]
    steps = last["steps"] - first["steps"]
    cpu = {c: round(1e3 * (last[name] - first[name]) / steps, 1) for c, name in zip(CPU_COLUMNS, PARTS, strict=True)}
    return {"kind": "overhead", "workers": workers, "step_seconds": f"{least:g} to {most:g}", "steps": len(between),
            "median_ms": at[0], "p90_ms": at[1], **cpu}  # fmt: skip


PARTS = ("client", "scheduler", "worker")
CPU_COLUMNS = [f"{name}_cpu_ms" for name in PARTS]


def cpu_seconds(cluster: Cluster) -> dict[str, float]:
    """The CPU time of the parts of a cluster since they were started."""
    found = dict.fromkeys(PARTS, 0.0)
    for name, process in cluster.processes.items():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        found["worker" if name.startswith("m") else name] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def simulate(machines: int, mode: str, cases: int = 300) -> dict:
    """The fleet's own scheduling for so many machines, event by event: steps take a drawn time, machines come and go."""
    asked = scripted_plan(cases)
    sources = sources_of({planned.case: hashes_of(planned) for planned in asked.cases})
    here, software = about()
    fleet, draw, written = Fleet(asked, mode, sources), random.Random(machines), Counter()  # noqa: S311
    header = make_header(asked, (here, software))
    began, steps, losses = time.process_time(), 0, 0
    events = [(draw.expovariate(1 / 60), f"m{index}", "come") for index in range(machines)]
    heapq.heapify(events)
    busy: dict[str, TimingStep] = {}

    def hand_out(name: str, now: float) -> None:
        if step := fleet.next(name):
            busy[name] = step
            heapq.heappush(events, (now + draw.uniform(2, 6), name, "took"))

    now = 0.0
    while events and not (steps and fleet.finished):
        now, name, what = heapq.heappop(events)
        if what == "come":
            fleet.join(name, header, (), lambda *facts: written.update({"facts": len(facts)}))
            hand_out(name, now)
        elif draw.random() < 0.002:
            losses += 1
            del busy[name]
            fleet.lost(name, now)
            heapq.heappush(events, (now + draw.choice((20.0, 300.0)), name, "come"))
        else:
            steps += 1
            fleet.took(name, scripted(busy.pop(name), sources, name))
            hand_out(name, now)
        if steps % 500 == 0 or not events:
            now += 0 if events else GRACE_SECONDS + 1
            fleet.tick(now)
            for idle in [one for one in fleet.members if one not in busy]:
                hand_out(idle, now)
    records = [summarise(header, m.ledger, c).pending for m in list(fleet.members.values())[:3] for c in m.hand]
    spent = time.process_time() - began
    return {"kind": "simulate", "machines": machines, "mode": mode, "cases": cases, "steps": steps, "losses": losses,
            "facts": written["facts"], "finished": fleet.finished, "lacking": sum(map(bool, records)),
            "fleet_hours": round(now / 3600, 2), "cpu_seconds": round(spent, 1), "ms_a_step": round(1e3 * spent / steps, 2),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}  # fmt: skip


def report() -> str:
    """The lines as tables."""
    lines = [json.loads(line) for line in LINES.read_text().splitlines()]
    kinds = {kind: [line for line in lines if line["kind"] == kind] for kind in ("chaos", "overhead", "simulate")}
    ways = [json.loads(line) for line in LINES.with_name("ways.jsonl").read_text().splitlines()]
    killed: Counter = Counter()
    for line in kinds["chaos"]:
        killed.update(line["killed"])
    told = ", ".join(f"{sum(line[name] for line in kinds['chaos'])} {text}" for name, text in COUNTED.items())
    by = ", ".join(f"{name} {times}" for name, times in killed.items())
    chaos_columns = ["workers", "mode", "seed", "killed", "finished", "seconds", "steps", "facts", *COUNTED]
    return "\n".join(
        [
            "# Sweeps over many machines, held to the worst",
            "",
            "By `benchmarks/fleet.py`, on 2 cores and among other work. A timing step is a script that writes down when it",
            "began and ended; each worker has a lock, a machine id and a cache of its own, and stands for a machine.",
            "",
            "## Killed at random",
            "",
            f"{killed.total()} processes ended by `kill -9` ({by}) and started again: {told}.",
            "",
            table(kinds["chaos"], chaos_columns),
            "",
            "## What the engine takes of a step",
            "",
            "From the end of a step to the beginning of the next one on its machine, and the CPU time a step of each part,",
            "with what it takes while a step lasts. All processes shared 2 cores. Real steps last seconds; those of 0.5 to",
            "1 s end one here, one there. Where steps take no time, all machines ask at once, and the time between two is",
            "what 2 cores get through of 8 machines, their scheduler and their client.",
            "",
            table(kinds["overhead"], ["workers", "step_seconds", "steps", "median_ms", "p90_ms", *CPU_COLUMNS]),
            "",
            "## The same scheduling for many machines",
            "",
            "An event simulation of `attnbench/fleet/pool.py`: 2 to 6 s a step, machines that come late, one step of 500",
            "lost with its machine.",
            "",
            table(kinds["simulate"], list(kinds["simulate"][0]) if kinds["simulate"] else []),
            "",
            "## The documented ways to start it",
            "",
            "By `benchmarks/fleet_ways.py`: the commands of `docs/fleet.md` against daemons on one machine, which stood for",
            "all. The manifest for Kubernetes was held to its client's models, and not applied to a cluster.",
            "",
            table(ways, ["way", "with", "machines", "cases", "measured"]),
            "",
        ]
    )


COUNTED = {
    "lost": "facts lost", "doubled": "facts doubled", "twice": "steps measured twice", "overlapping": "timings overlapping",
    "failed": "failures", "lacking": "cases lacking something",
}  # fmt: skip


def table(rows: list[dict], columns: list[str]) -> str:
    """Rows as Markdown."""
    from attnbench.report.table import Table  # noqa: PLC0415

    return Table.of([{c: str(row.get(c, "")) for c in columns if c != "kind"} for row in rows]).markdown()


def main(word: str, *rest: str) -> None:
    """One of the words above."""
    if word == "bench":
        bench(Path(rest[0]))
    elif word == "client":
        client(*rest)
    elif word == "report":
        (RESULTS / "fleet.md").write_text(report())
    else:
        found = {"chaos": lambda w, k, s, m: chaos(int(w), int(k), int(s), m),
                 "overhead": lambda w, *seconds: overhead(int(w), *map(float, seconds)),
                 "simulate": lambda n, m: simulate(int(n), m)}[word](*rest)  # fmt: skip
        print(json.dumps(found))
        LINES.parent.mkdir(parents=True, exist_ok=True)
        with LINES.open("a") as file:
            file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
