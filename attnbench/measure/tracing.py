"""A host or a module on its own, counted by a trace: of its shapes alone, or with its weights where it is a user's own."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from attnbench.graph.torch_counts import CountStep, trace
from attnbench.hosts.site import sites_of


@dataclass(frozen=True)
class Counts:
    """A host or a module counted: what it comes to, what was not counted, and how it came about.

    ``traced`` says that the steps are those of torch, of which other counters have readings. ``places`` has the layers that
    a module takes the place of, as the paths of steps, by site.
    """

    params: int
    macs: int
    uncounted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    steps: tuple[CountStep, ...] = ()
    layers: tuple[tuple[str, int], ...] = ()
    traced: bool = True
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def without(self, site: str) -> "Counts":
        """What goes where a module takes the place of layers, with every number below zero."""
        paths, numbers = self.places[site], ("macs", "elements", "calls", "default")
        gone = [step for step in self.steps if step.path in paths]
        steps = tuple(replace(step, **{name: -getattr(step, name) for name in numbers}) for step in gone)
        layers = tuple((path, -params) for path, params in self.layers if path in paths)
        return Counts(sum(params for _, params in layers), sum(step.macs for step in steps), steps=steps, layers=layers)


def by_shapes(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> Counts:
    """What is built counted on ``meta``, which has shapes and no memory; where its code asks for numbers, with weights."""
    try:
        with torch.device("meta"):
            module = build()
        return traced(module, shape, "meta")
    except Exception:  # noqa: BLE001  what is wrong is raised again below, unless it was the want of numbers
        return traced(build(), shape)


def traced(module: nn.Module, shape: tuple[int, ...], device: str = "cpu") -> Counts:
    """A module on a device counted by its trace."""
    found = trace(module, shape, device)
    counts, paths = found.counts, {id(layer): path for path, layer in module.named_modules()}
    places = {
        name: tuple(paths[id(layer)] for layer in (site, *site.replaces) if id(layer) in paths)  # others run as the site's
        for name, site in sites_of(module).items()
        if site.replaces
    }
    layers = tuple(_layers(module))
    return Counts(counts.params, counts.macs or 0, counts.uncounted, steps=found.steps, layers=layers, places=places)


def _layers(module: nn.Module) -> Iterable[tuple[str, int]]:
    """Each layer that holds parameters of its own, with their number; a shared one is named once."""
    seen: set[int] = set()
    for path, layer in module.named_modules():
        own = [p for p in layer.parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in own}
        if own:
            yield path, sum(p.numel() for p in own)
