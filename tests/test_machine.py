"""What is read of the machine, from made-up system files and from the real ones."""

import os
import subprocess
import sys
import time

import pytest

from attnbench.measure import container
from attnbench.measure import machine as environment
from attnbench.measure.disturbance import Activity, Watch, standing


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = {"proc/self/cgroup": "0::/app/job\n", "sys/fs/cgroup/app/cpu.max": "150000 100000\n",
      "sys/fs/cgroup/app/job/memory.max": "2000000000\n", "sys/fs/cgroup/app/job/memory.current": "500\n",
      "sys/fs/cgroup/app/job/cpu.stat": "usage_usec 5\nnr_throttled 7\n"}  # fmt: skip
V1 = {"proc/self/cgroup": "4:memory:/job\n2:cpu,cpuacct:/job\n0::/\n",
      "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "50000\n", "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
      "sys/fs/cgroup/cpu,cpuacct/job/cpu.stat": "nr_periods 9\nnr_throttled 3\n",
      "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "3000000000\n",
      "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "600\n"}  # fmt: skip
FREE = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"}
FREE_V1 = {"proc/self/cgroup": "4:memory:/\n2:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
           "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}  # fmt: skip


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (V2, (1.5, 7, 2_000_000_000, 500)),
        (V1, (0.5, 3, 3_000_000_000, 600)),
        (FREE, (None, None, None, None)),
        (FREE_V1, (None, None, None, None)),
        ({}, (None, None, None, None)),
    ],
    ids=["v2", "v1", "v2 without limits", "v1 without limits", "none"],
)
def test_a_containers_limits_are_read_in_both_versions(tmp_path, files, found):
    root = write(tmp_path, files)
    read = (container.cpu_quota, container.throttled_periods, container.memory_limit, container.memory_used)
    assert tuple(function(root) for function in read) == found


CORE = max(os.sched_getaffinity(0))
RESTLESS = {
    **V1,
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "0\n",
    f"sys/devices/system/cpu/cpu{CORE}/topology/thread_siblings_list": f"{CORE},{CORE + 8}\n",
}
CALM = {
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpufreq/boost": "0\n",
    f"sys/devices/system/cpu/cpu{CORE}/topology/thread_siblings_list": f"{CORE}\n",
}


@pytest.mark.parametrize(
    ("files", "states"), [(RESTLESS, ["bad"] * 4), (CALM, ["good"] * 4), ({}, ["unknown"] * 3 + ["good"])]
)
def test_how_a_machine_is_set_is_judged_with_advice(tmp_path, files, states):
    found = standing(write(tmp_path, files))
    assert [one.name for one in found] == ["governor", "turbo", "hyper-threads", "container quota"]
    assert [one.state for one in found] == states
    assert all(bool(one.advice) == (one.state == "bad") for one in found)


def test_another_process_is_seen_and_named_and_our_own_is_not():
    busy = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
    starter = (
        "import subprocess as s, sys; "
        f"print(s.Popen([sys.executable, '-c', {busy!r}], start_new_session=True, stdout=s.DEVNULL, stderr=s.DEVNULL).pid)"
    )
    done = subprocess.run([sys.executable, "-c", starter], capture_output=True, text=True, check=True)
    stranger = int(done.stdout)  # its parent has ended: it is no child of ours any more
    try:
        with Watch() as watch:
            time.sleep(1.5)
        found = watch.activity
    finally:
        os.kill(stranger, 9)
    assert found.others > 0.2
    assert any(f"[{stranger}]" in name for name in found.loudest)
    with Watch() as watch:
        subprocess.run([sys.executable, "-c", "sum(i * i for i in range(10_000_000))"], check=True)
    assert not any("python" in name and str(os.getpid()) in name for name in watch.activity.loudest)
    assert watch.activity.seconds > 0


def test_activity_is_judged_and_told_in_a_line():
    calm = Activity(10.0, 0.0, 0.0, 0, 0, (), 0.5)
    assert [one.state for one in calm.disturbances()] == ["good"] * 4
    restless = Activity(10.0, 0.7, 0.05, 3, 2, ("cc1plus [7]",), 2.0)
    assert [one.state for one in restless.disturbances()] == ["bad"] * 4
    assert all(one.advice for one in restless.disturbances())
    assert "cc1plus [7]" in restless.disturbances()[0].seen
    assert restless.text() == "load average 2.00, other processes 0.70 cores, stolen 5.0%, throttled 5 times, over 10 s"


def test_the_machine_is_told_with_an_id_that_load_and_kernel_do_not_change(monkeypatch):
    one = environment.machine()
    monkeypatch.setattr(environment.platform, "release", lambda: "9.9.9")
    monkeypatch.setattr(environment.os, "getloadavg", lambda: (7.0, 7.0, 7.0))
    other = environment.machine()
    assert other["id"] == one["id"]
    assert other["load"] == 7.0
    assert other["system"].endswith("9.9.9")
    assert {"cpu", "kernel_flags", "cores", "memory_bytes", "container", "distribution"} <= set(one)
    monkeypatch.setattr(environment, "total_memory", lambda: one["memory_bytes"] * 2)
    assert environment.machine()["id"] != one["id"]


def test_the_softwares_id_follows_the_versions_and_the_commit_stands_beside_it(monkeypatch):
    one = environment.software()
    assert {"python", "torch", "onnx", "onnxruntime", "exporter", "canonical_pass", "commit"} <= set(one)
    monkeypatch.setattr(environment, "_git", lambda *_: "other-dirty")
    assert environment.software()["id"] == one["id"]
    monkeypatch.setattr(environment, "version", lambda name: "9.9")
    assert environment.software()["id"] != one["id"]
