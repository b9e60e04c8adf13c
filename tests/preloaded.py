"""Loaded once by each test process's fork server: torch, and its exporter with the table of ops that it reads at first use."""

import gc

from torch import nn

import attnbench.measure.build
import attnbench.measure.parts  # noqa: F401
from attnbench.graph.export import to_onnx

to_onnx(nn.Sigmoid(), (1, 1, 2, 2), canonical=True)
gc.collect()
gc.freeze()
