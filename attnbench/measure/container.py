"""What a container's control groups allow this process, in version 1 and 2 of their file system: read, never changed."""

from pathlib import Path

_V1_UNLIMITED = 1 << 60
"""Version 1 writes a number near 2**63 where there is no limit."""


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that the group may use, or ``None`` where it may use all."""
    if text := _read(root, "cpu", "cpu.max"):
        quota, _, period = text.partition(" ")
        return int(quota) / int(period) if quota.isdigit() else None
    quota, period = _read(root, "cpu", "cpu.cfs_quota_us"), _read(root, "cpu", "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def throttled_periods(root: Path = Path("/")) -> int | None:
    """How often so far the quota stopped the group for the rest of a period; ``None`` where nothing counts it."""
    for line in _read(root, "cpu", "cpu.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "nr_throttled":
            return int(value)
    return None


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes that the group may use, or ``None`` where it may use all."""
    return _number(root, "memory.max", "memory.limit_in_bytes")


def memory_used(root: Path = Path("/")) -> int | None:
    """Bytes that the group uses, or ``None`` where nothing says so."""
    return _number(root, "memory.current", "memory.usage_in_bytes")


def _number(root: Path, *names: str) -> int | None:
    text = next((text for name in names if (text := _read(root, "memory", name))), "")
    return int(text) if text.isdigit() and int(text) < _V1_UNLIMITED else None


def _read(root: Path, controller: str, name: str) -> str:
    """A control file of the nearest group that has it, from this process's own up to the root; empty where none has."""
    mount = root / "sys/fs/cgroup"
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = mount / controllers if controllers else mount
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(base):
                break
            if text := read_text(folder / name):
                return text
        if not controllers and (text := read_text(mount / controller / name)):
            return text
    return ""


def read_text(path: Path) -> str:
    """A small system file's text, stripped; empty where it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
