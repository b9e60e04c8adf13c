"""attnbench: what an attention block costs at a place of a network, measured, and whether an NPU will run it.

>>> from attnbench import run_study, load_run
>>> run = run_study("benchmarks/quick.toml", out="results/mine")     # or a dict with a study's keys
>>> run.to_frame()[["variant", "overhead_pct", "npu_verdict"]]       # the columns of cases.csv
>>> load_run("results/mine").to_frame()                              # later, without torch
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # or onnxruntime keeps a database of the device, and sends from it

from attnbench.api import StoredRun, load_run, run_study
from attnbench.core.versions import version

__all__ = ["StoredRun", "load_run", "run_study"]

__version__ = version("attnbench")
