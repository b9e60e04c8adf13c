"""The timing process: ``python -m attnbench.measure JOB.json RESULT.json``. Does one job and ends, and with its parent."""

import json
import sys
from pathlib import Path

from attnbench.measure.parent import end_with

if __name__ == "__main__":
    job_file, result_file = map(Path, sys.argv[1:3])
    job = json.loads(job_file.read_text())
    end_with(job.pop("parent"))

    from attnbench.measure.memory import memory  # what takes long to import comes after that
    from attnbench.measure.session import run_job

    result = run_job(job, {"memory": memory})
    result_file.write_text(json.dumps(result))
