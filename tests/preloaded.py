"""Loaded once by each test process's fork server: torch, its exporter with the tables that it makes at first use, the runtime."""

import gc

from torch import nn

import attnbench.measure.build
import attnbench.measure.parts  # noqa: F401
from attnbench.graph.export import to_onnx

to_onnx(nn.Sigmoid(), (1, 1, 2, 2), canonical=True)
gc.collect()
gc.freeze()
