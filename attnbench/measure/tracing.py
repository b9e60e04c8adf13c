"""A host or a module on its own, counted by a trace: with its weights, or with zeros for them where it was built without."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import chain
from math import prod

import torch
from torch import nn

from attnbench.core.errors import CaseFailure
from attnbench.core.units import bytes_text
from attnbench.graph.torch_counts import CountStep, bytes_written, parameters_of, trace
from attnbench.measure.machine import free_memory

DEEP, WIDE = 64_000, 16
"""Bytes that no trace needs, below which its need is not asked for: a position of the input, and of a module a channel and
pair of positions, which is several maps of scores for each of as many heads as there are channels."""


@dataclass(frozen=True)
class Counts:
    """A host or a module counted: what it comes to, what was not counted, and how it came about.

    ``traced`` says that the steps are those of torch, of which other counters have readings.
    """

    params: int
    macs: int
    uncounted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    steps: tuple[CountStep, ...] = ()
    layers: tuple[tuple[str, int], ...] = ()
    traced: bool = True

    def gone(self) -> "Counts":
        """The same with every number below zero: layers that a module took the place of."""
        numbers = ("macs", "elements", "calls", "default")
        steps = (replace(step, **{name: -getattr(step, name) for name in numbers}) for step in self.steps)
        layers = tuple((path, -params) for path, params in self.layers)
        return Counts(-self.params, -self.macs, steps=tuple(steps), layers=layers)


def on_zeros(module: nn.Module, shape: tuple[int, ...], known: int | None = None) -> Counts:
    """A module on ``meta`` counted: traced with zeros for weights, or by its closed form where memory does not hold that."""
    free, positions = free_memory(), prod(shape) // shape[1]
    at_most = positions * (DEEP if known is None else max(DEEP, WIDE * positions * shape[1]))
    needed = bytes_written(module, shape) if at_most > free else 0
    if needed > free and known is not None:
        note = f"MACs by closed form: a trace needs {bytes_text(needed)} of memory, {bytes_text(free)} is free"
        return Counts(parameters_of(module), known, notes=(note,), traced=False)
    if needed > free:
        why = f"a trace needs {bytes_text(needed)} of memory, and {bytes_text(free)} is free: take a smaller size or batch"
        raise CaseFailure("count", why)
    params, layers = parameters_of(module), tuple(_layers(module))
    with torch.device("cpu"), torch.no_grad():
        real = deepcopy(module).to_empty(device="cpu")
        for tensor in chain(real.parameters(), real.buffers()):
            tensor.zero_()
        return replace(traced(real, shape), params=params, layers=layers)


def traced(module: nn.Module, shape: tuple[int, ...]) -> Counts:
    """A module with weights counted by its trace."""
    found = trace(module, shape)
    counts = found.counts
    return Counts(counts.params, counts.macs or 0, counts.uncounted, steps=found.steps, layers=tuple(_layers(module)))


def _layers(module: nn.Module) -> Iterable[tuple[str, int]]:
    """Each layer that holds parameters of its own, with their number; a shared one is named once."""
    seen: set[int] = set()
    for path, layer in module.named_modules():
        own = [p for p in layer.parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in own}
        if own:
            yield path, sum(p.numel() for p in own)
