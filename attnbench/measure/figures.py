"""What is known of a graph without a clock, as measurements."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import onnx_ir as ir

from attnbench.core.metrics import measurement
from attnbench.core.naming import inserted_site
from attnbench.core.records import Measurement
from attnbench.core.statistics import Estimate
from attnbench.core.units import bytes_text
from attnbench.graph.cost import GraphCost
from attnbench.graph.part import Part
from attnbench.npu.check import Checked

NOTHING = "adds no node: its graph is the baseline's, which makes its overhead 0"


def of_nothing(model: ir.Model) -> tuple[Measurement, ...]:
    """The overhead of a variant whose modules came to no node, which is exactly 0; nothing where they came to some."""
    if any(inserted_site(node.name or "") for node in model.graph):
        return ()
    return (replace(measurement("overhead", Estimate(0.0, 0.0, 0.0), note=NOTHING), exact=True),)


def figures_of(
    cost: GraphCost, parts: list[Part], torch_macs: int | None, params_gone: Iterable[int]
) -> tuple[Measurement, ...]:
    """What a graph counts, by both counters, and how far it was from torch's."""
    counted = [part.counts.params if part.counts else None for part in parts]
    params = summed(counted, params_gone)
    found = [
        measurement(
            "params",
            cost.weight_elements if params is None else params,
            note="float weights of the graph" if params is None else "",
        ),
        measurement("macs", cost.macs),
        measurement("flops", 2 * cost.macs),
        measurement("elementwise_ops", cost.elements),
        measurement("bytes_moved", cost.bytes_moved),
        measurement("activation_peak", cost.activation_peak),
        measurement("largest_activation", cost.largest_activation),
        measurement("weights", cost.weight_bytes),
        measurement("macs_fvcore", torch_macs),
    ]
    parities = [part.parity for part in parts if part.parity]
    if parities:
        worst = max(parities, key=lambda parity: parity.error / parity.tolerance)
        found.append(measurement("parity_error", max(p.error for p in parities)))
        found.append(measurement("parity_tolerance", worst.tolerance))
    return tuple(found)


def cuts(checked: Iterable[Checked]) -> Iterator[Measurement]:
    """How each target would cut the graph up, under names that end in the target's."""
    for one in checked:
        yield measurement("npu_islands", one.cut.islands, suffix=f"@{one.target.name}")
        yield measurement("npu_crossings", one.cut.crossings, suffix=f"@{one.target.name}")


def summed(values: list[int | None], gone: Iterable[int | None] = ()) -> int | None:
    """The sum of values less that of what is gone; ``None`` where any is unknown."""
    found = [*values, *(None if value is None else -value for value in gone)]
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def needs_text(peak: int, need: int, free: int) -> str:
    """Why a case must not be run: what it needs, and what is free."""
    return f"needs {bytes_text(need)} of memory ({bytes_text(peak)} of live activations); {bytes_text(free)} is free"
