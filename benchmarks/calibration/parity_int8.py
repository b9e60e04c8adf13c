"""How far ONNX Runtime's int8 kernels stray from the Q/DQ graph, beside how far int8 strays from the floats.

Every module by itself, quantised as a sweep does it, on small planes, with other weights and maps for each seed. No host is
behind it that would hide what it does. The ratio of the two is what ``measure.int8`` holds to its bound.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab import experiment, table

from attnbench.core.errors import AttnbenchError
from attnbench.core.grammar import Spec
from attnbench.core.protocol import Protocol
from attnbench.core.statistics import quantile
from attnbench.graph import OPSET
from attnbench.graph.quantise import calibrate, noise, quantise, strays
from attnbench.measure.build import CaseBuilder
from attnbench.measure.int8 import A_STEP, reduces_range
from attnbench.modules import MODULES, Plane

PLANES = (Plane(64, 8, 12), Plane(32, 20, 16))
SEEDS = (0, 1, 2)


def run(quick: bool) -> dict[str, Any]:
    """By module the pairs (runtime's error, int8's own error) of each plane and seed, or why there is none."""
    found: dict[str, Any] = {"reduce_range": reduces_range(), "modules": {}}
    with tempfile.TemporaryDirectory(prefix="attnbench-") as folder:
        for name in list(MODULES.names())[: 4 if quick else None]:
            found["modules"][name] = list(errors_of(name, Path(folder)))
            print(name, found["modules"][name], flush=True)
    return found


def errors_of(name: str, folder: Path) -> Iterator[tuple[float, float] | str]:
    """A module's errors, as shares of its output, by plane and seed."""
    floats, model = folder / "floats.onnx", folder / "int8.onnx"
    for plane in PLANES:
        for seed in SEEDS:
            try:
                part = CaseBuilder(Protocol(seed=seed), folder).module(Spec(name, {}), 1, plane, OPSET)
                floats.write_bytes(part.graph)
                images = noise((1, plane.channels, plane.height, plane.width), seed)
                quantise(floats, model, calibrate(floats, images), reduce_range=reduces_range())
                yield strays(model, images[0], floats=floats)
            except AttnbenchError as error:
                yield str(error)


def page(raw: dict[str, Any]) -> str:
    """The ratios over all, and of the modules with the largest."""
    ratios = {name: sorted(ratios_of(found)) for name, found in raw["modules"].items()}
    every = sorted(ratio for found in ratios.values() for ratio in found)
    whole = {
        "modules": str(sum(map(bool, ratios.values()))),
        "graphs": str(len(every)),
        "median ratio": f"{quantile(every, 0.5):.2f}",
        "95 of 100 below": f"{quantile(every, 0.95):.2f}",
        "largest": f"{every[-1]:.2f}",
        "bound": f"{A_STEP:.2f}",
        "beyond the bound": str(sum(ratio > A_STEP for ratio in every)),
    }
    largest = sorted(((found[-1], name) for name, found in ratios.items() if found), reverse=True)[:8]
    rows = (
        {"module": name, "graphs": str(len(ratios[name])), "median ratio": f"{quantile(ratios[name], 0.5):.2f}",
         "largest": f"{ratio:.2f}", "int8's own error there (%)": f"{100 * own_error(raw['modules'][name], ratio):.2f}"}
        for ratio, name in largest
    )  # fmt: skip
    refused = Counter(one for found in raw["modules"].values() for one in found if isinstance(one, str))
    weights = "7 bits" if raw["reduce_range"] else "8 bits"
    return "\n\n".join(
        (
            f"The runtime's error over int8's own, weights of {weights}:",
            table([whole]),
            "The modules with the largest:",
            table(rows),
            f"Graphs that are not quantised: {sum(refused.values())}"
            + "".join(f"\n* {number}: {why}" for why, number in sorted(refused.items())),
        )
    )


def ratios_of(found: list[Any]) -> Iterator[float]:
    """The ratios of a module's graphs; of one that int8 does not change at all there is none."""
    return (runtime / itself for runtime, itself in (one for one in found if not isinstance(one, str)) if itself)


def own_error(found: list[Any], ratio: float) -> float:
    """How far int8 strays from the floats in the graph with this ratio."""
    return next(own for runtime, own in (one for one in found if not isinstance(one, str)) if own and runtime / own == ratio)


if __name__ == "__main__":
    experiment("The runtime's int8 against the Q/DQ graph", run, page)
