"""What else goes on on this machine, and what makes its clock unsteady: read from ``/proc`` and ``/sys``, never changed.

Two parts: how the machine is set (``standing``), and what happened between two moments (``Watch``).
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

from attnbench.measure import container
from attnbench.measure.container import read_text

BUSY_OTHERS = 0.05
"""Cores' worth of other processes' time from which on they are named as a disturbance."""

STOLEN = 0.01
"""Share of the machine's time that the hypervisor kept for others from which on it is named."""

State = Literal["good", "bad", "unknown"]


class Disturbance(NamedTuple):
    """One thing that may disturb a measurement: whether it does, what was seen, and what would help."""

    name: str
    state: State
    seen: str
    advice: str = ""


def standing(root: Path = Path("/")) -> list[Disturbance]:
    """How the machine is set: governor, turbo, hyper-threads, the container's quota."""
    cpu = root / "sys/devices/system/cpu"
    return [_governor(cpu), _turbo(cpu), _siblings(cpu), _quota(root)]


def _governor(cpu: Path) -> Disturbance:
    found = sorted({read_text(path) for path in cpu.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""})
    if not found:
        return Disturbance("governor", "unknown", "not visible, as in most virtual machines")
    advice = (
        "" if found == ["performance"] else "set it to performance while measuring: cpupower frequency-set -g performance"
    )
    return Disturbance("governor", "bad" if advice else "good", ", ".join(found), advice)


def _turbo(cpu: Path) -> Disturbance:
    no_turbo, boost = read_text(cpu / "intel_pstate/no_turbo"), read_text(cpu / "cpufreq/boost")
    if not no_turbo and not boost:
        return Disturbance("turbo", "unknown", "not visible, as in most virtual machines")
    if no_turbo == "0" or (not no_turbo and boost == "1"):
        return Disturbance(
            "turbo", "bad", "on: the clock follows load and heat", "switch it off in the BIOS or through sysfs"
        )
    return Disturbance("turbo", "good", "off")


def _siblings(cpu: Path) -> Disturbance:
    """Whether the core that the timing process takes shares its units with another one that is granted to us."""
    own = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    shared = read_text(cpu / f"cpu{own}/topology/thread_siblings_list")
    if not shared:
        return Disturbance("hyper-threads", "unknown", "not visible")
    if shared == str(own):
        return Disturbance("hyper-threads", "good", f"core {own} has one thread, as far as this system sees")
    return Disturbance(
        "hyper-threads", "bad", f"core {own} shares its units with {shared}", "leave its siblings idle, or take them offline"
    )


def _quota(root: Path) -> Disturbance:
    quota = container.cpu_quota(root)
    if quota is None:
        return Disturbance("container quota", "good", "none")
    advice = "give the container whole cores (a cpuset) instead of a quota" if quota < 1 else ""
    return Disturbance("container quota", "bad" if advice else "good", f"{quota:g} cores' worth of time", advice)


class _Moment(NamedTuple):
    """The counters at one moment: seconds, summed over cores."""

    clock: float
    busy: float
    stolen: float
    own: float
    throttled: int
    heat: int
    processes: dict[int, tuple[str, float]]


@dataclass(frozen=True)
class Activity:
    """What happened between two moments.

    ``others`` is the time of processes that are not ours in cores' worth, ``stolen`` the share of all time that the
    hypervisor kept, ``throttled`` how often a quota stopped us and ``hot`` how often heat slowed a core; ``loudest`` names
    the other processes that took most.
    """

    seconds: float
    others: float
    stolen: float
    throttled: int
    hot: int
    loudest: tuple[str, ...]
    load: float

    def disturbances(self) -> list[Disturbance]:
        """The same, judged."""
        names = f" ({', '.join(self.loudest)})" if self.loudest else ""
        busy, stolen = self.others >= BUSY_OTHERS, self.stolen >= STOLEN
        return [
            Disturbance("other processes", "bad" if busy else "good", f"{self.others:.2f} cores{names}", "end them" * busy),
            Disturbance("stolen time", "bad" if stolen else "good", f"{self.stolen:.1%} kept by the hypervisor",
                        "other guests are busy: measure later, or elsewhere" * stolen),
            Disturbance("throttled by a quota", "bad" if self.throttled else "good", f"{self.throttled} times",
                        "raise the container's quota" * bool(self.throttled)),
            Disturbance("throttled by heat", "bad" if self.hot else "good", f"{self.hot} times",
                        "let it cool, or lower the clock" * bool(self.hot)),
        ]  # fmt: skip

    def text(self) -> str:
        """The machine's load in one line."""
        return (
            f"load average {self.load:.2f}, other processes {self.others:.2f} cores, stolen {self.stolen:.1%}, "
            f"throttled {self.throttled + self.hot} times, over {self.seconds:.0f} s"
        )


class Watch:
    """A context that watches the machine while something of ours runs: ``with Watch() as watch: ...; watch.activity``."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.before = _moment(root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the counters be: ``activity`` reads them."""

    @property
    def activity(self) -> Activity:
        """What happened since the watch was made."""
        before, after = self.before, _moment(self.root)
        seconds = max(1e-9, after.clock - before.clock)
        cores = os.cpu_count() or 1
        spent = {
            f"{name} [{pid}]": used - before.processes.get(pid, (name, 0.0))[1]
            for pid, (name, used) in after.processes.items()
        }
        loud = sorted((name for name in spent if spent[name] / seconds >= BUSY_OTHERS / 2), key=lambda name: -spent[name])
        return Activity(
            seconds=seconds,
            others=max(0.0, after.busy - before.busy - (after.own - before.own)) / seconds,
            stolen=max(0.0, after.stolen - before.stolen) / seconds / cores,
            throttled=after.throttled - before.throttled,
            hot=after.heat - before.heat,
            loudest=tuple(loud[:3]),
            load=os.getloadavg()[0],
        )


def _moment(root: Path) -> _Moment:
    tick = os.sysconf("SC_CLK_TCK")
    first = read_text(root / "proc/stat").partition("\n")[0].split()[1:]
    user, nice, system, _, _, irq, softirq, steal = (int(value) / tick for value in (*first, *["0"] * 8)[:8])
    found = list(_processes(root, tick))
    mine = _descendants({process.pid: process.parent for process in found})
    spent = os.times()
    own = spent.user + spent.system + spent.children_user + spent.children_system
    own += sum(process.seconds for process in found if process.pid in mine and process.pid != os.getpid())
    heat = sum(int(read_text(path) or 0) for path in (root / "sys/devices/system/cpu").glob("cpu*/thermal_throttle/*_count"))
    others = {process.pid: (process.name, process.seconds) for process in found if process.pid not in mine}
    busy = user + nice + system + irq + softirq
    return _Moment(time.monotonic(), busy, steal, own, container.throttled_periods(root) or 0, heat, others)


class _Process(NamedTuple):
    pid: int
    name: str
    parent: int
    seconds: float


def _processes(root: Path, tick: int) -> Iterator[_Process]:
    """Every process, with its seconds of processor time."""
    for path in (root / "proc").glob("[0-9]*/stat"):
        head, _, rest = read_text(path).rpartition(")")
        fields = rest.split()
        if len(fields) > 12:
            seconds = (int(fields[11]) + int(fields[12])) / tick
            yield _Process(int(path.parent.name), head.partition("(")[2], int(fields[1]), seconds)


def _descendants(parents: dict[int, int]) -> set[int]:
    """This process and all below it."""
    mine, grown = {os.getpid()}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in mine} - mine
        mine, grown = mine | more, bool(more)
    return mine
