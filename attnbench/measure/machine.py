"""What the figures depend on: the machine, the software, and what else goes on. Read, never changed.

No torch here: versions come from the installed distributions' metadata.
"""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attnbench.core.records import DEFAULT_RUNTIME
from attnbench.core.versions import version
from attnbench.graph import CANONICAL_PASS, EXPORTER, OPSET
from attnbench.measure import container
from attnbench.runtimes import runtime_version

KERNEL_FLAGS = (
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
)
"""The instruction sets that ONNX Runtime's kernels are chosen by, as /proc/cpuinfo calls them (x86 and Arm)."""

PROTOCOL = 3
"""Version of the measuring protocol; overheads of different versions do not compare.

3 takes a low quantile of each node over the runs, where 2 took the run of median sum, and measures many cases in one graph.
2 takes off what profiling costs a node and pairs a replicate with its own baseline's profile; 1 did neither.
"""

MEMORY_FACTOR = 1.35
"""Planned memory over the static peak: ONNX Runtime's planner was seen to need 60 MB where the peak is 45.6 MB."""

DISTRIBUTIONS = ("torch", "onnx", DEFAULT_RUNTIME, "onnxscript", "onnx-ir", "fvcore", "numpy")


def machine() -> dict[str, Any]:
    """CPU, cores granted to this process, memory, the container's limits, and a short id of these; system and load.

    The id is the same after a restart or an update of the kernel, whose free memory and release it leaves out.
    """
    info = _cpu_info()
    facts: dict[str, Any] = {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "kernel_flags": [flag for flag in KERNEL_FLAGS if flag in info.get("flags", info.get("Features", "")).split()],
        "cores": granted_cores(),
        "memory_bytes": total_memory(),
        "container": {"cores": container.cpu_quota(), "memory_bytes": container.memory_limit()},
    }
    facts["id"] = _short_hash({**facts, "memory_bytes": round(facts["memory_bytes"] / 2**30)})
    facts["system"] = f"{platform.system()} {platform.release()}"
    facts["distribution"] = _distribution()
    facts["load"] = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return facts


def granted_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def software(runtimes: Iterable[str] = (), elsewhere: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """Versions that decide what is exported and run; a short id of them; and the commit they ran from.

    ``runtimes`` are those that run something: each one's version stands under its name. ``elsewhere`` has those of what
    steps run with on another machine.
    """
    versions: dict[str, Any] = {"python": platform.python_version(), "attnbench": version("attnbench")}
    versions |= {name: version(name) for name in DISTRIBUTIONS}
    versions |= {name: runtime_version(name) for name in sorted({DEFAULT_RUNTIME, *runtimes})}
    versions |= {"exporter": EXPORTER, "opset": OPSET, "canonical_pass": CANONICAL_PASS, "protocol": PROTOCOL}
    versions |= elsewhere
    versions["code"] = _code_hash()
    versions["id"] = _short_hash(versions)
    versions["commit"] = _git("describe", "--always", "--dirty", "--abbrev=12")
    versions["commit_time"] = _git("show", "--no-patch", "--format=%cI", "HEAD")
    return versions


def _code_hash() -> str:
    """A hash of what exports, splices, times and attributes: two states of this package under one version are told apart."""
    package = Path(__file__).parents[1]
    found = hashlib.sha256()
    for path in sorted(path for part in ("core", "runtimes", "graph", "measure") for path in (package / part).glob("*.py")):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:12]


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def total_memory() -> int:
    """Bytes of memory the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_memory() -> int:
    """Bytes that a new process could take without swapping, within the container's limit where there is one."""
    available = total_memory()
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    limit, used = container.memory_limit(), container.memory_used()
    return available if limit is None or used is None else min(available, max(0, limit - used))


def _cpu_info() -> dict[str, str]:
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _git(*arguments: str) -> str:
    """What git says of the working folder; empty outside a repository."""
    try:
        done = subprocess.run(  # noqa: S603  words of ours
            ["git", *arguments],  # noqa: S607  the user's own git
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _short_hash(facts: dict[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()[:10]
