"""The timing process: ``python -m attnbench.measure JOB.json RESULT.json``. Does one job and ends."""

import json
import sys
from pathlib import Path

from attnbench.measure.memory import memory
from attnbench.measure.session import run_job

if __name__ == "__main__":
    job_file, result_file = map(Path, sys.argv[1:3])
    result = run_job(json.loads(job_file.read_text()), {"memory": memory})
    result_file.write_text(json.dumps(result))
