"""The parent's side: one fresh timing process at a time. The parent sleeps while the child measures."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from attnbench.core.errors import CaseFailure, MachineFailure
from attnbench.core.scratch import scratch
from attnbench.measure.lock import held

MALLOC_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
"""For glibc, in a process whose memory is measured: every block of 64 KiB or more is its own mapping, and freed memory
goes back to the system at once."""

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_ROOT = Path(__file__).parents[2]
_PATH = (
    {}
    if Path(sysconfig.get_path("purelib")) == _ROOT
    else {"PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))}
)
"""For the child to run this very package where it is not an installed one."""


def time_in_process(job: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Do a job in a fresh process and return its result.

    Raises ``CaseFailure`` at stage ``measure`` where the process crashes (naming the signal), fails (with its last line)
    or does not end within the timeout, after which it is killed. It ends with this process, holds the machine's lock as long
    as it lives, and what it writes on the way lies in a folder of this one. A ``random.py`` in the working folder is none of
    its business (``-P``).
    """
    environment = {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), **(MALLOC_ENVIRONMENT if job["kind"] == "memory" else {})}
    with scratch() as folder:
        job_file, result_file = folder / "job.json", folder / "result.json"
        job_file.write_text(json.dumps({**job, "parent": os.getpid()}))
        try:
            done = subprocess.run(  # noqa: S603  our own module
                [sys.executable, "-P", "-m", "attnbench.measure", str(job_file), str(result_file)],
                capture_output=True,
                text=True,
                timeout=timeout,
                env={**environment, **_PATH, "TMPDIR": str(folder)},
                pass_fds=held(),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CaseFailure("measure", f"{job['kind']} did not end within {timeout:.0f} s and was killed") from error
        if done.returncode != 0:
            kind = MachineFailure if done.returncode == -signal.SIGKILL else CaseFailure
            raise kind("measure", f"{job['kind']} process {_ending(done.returncode, done.stderr)}")
        return json.loads(result_file.read_text())


def _ending(code: int, stderr: str) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (the system was out of memory, most likely)" if name == "SIGKILL" else ""
        return f"was ended by {name}{hint}"
    lines = [line for line in stderr.splitlines() if line.strip()]
    return f"failed: {lines[-1] if lines else f'exit code {code}'}"
