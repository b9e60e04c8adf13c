"""The design report's checklist before deployment (section 6.2), read off the graph; its last line is never run here."""

import onnx_ir as ir

from attnbench.core.naming import display_name
from attnbench.core.records import Check
from attnbench.npu.rules import measure

KERNEL_LIMIT = 17
CHANNEL_UNIT = 8


def deployment_checklist(model: ir.Model) -> list[Check]:
    """Each line of the checklist, with the nodes that break it."""
    convolutions = [node for node in model.graph if node.op_type == "Conv"]
    reshapes = [display_name(node.name or node.op_type) for node in model.graph if node.op_type == "Reshape"]
    wide = _beyond(convolutions, "kernel_at_most", KERNEL_LIMIT)
    odd = _beyond(convolutions, "output_channels_multiple_of", CHANNEL_UNIT)
    return [
        Check("exports to ONNX", True, f"{len(list(model.graph))} nodes"),
        Check("no Reshape", not reshapes, _first(reshapes)),
        Check(f"every convolution kernel <= {KERNEL_LIMIT}", not wide, _first(wide)),
        Check(f"output channels a multiple of {CHANNEL_UNIT}", not odd, _first(odd)),
        Check("vendor compiler", None, "not run"),
    ]


def _beyond(nodes: list[ir.Node], predicate: str, limit: int) -> list[str]:
    """The nodes that break a limit, each with what was measured."""
    readings = [(node, measure(predicate, node, limit)) for node in nodes]
    return [f"{display_name(node.name or '')}: {reading.measured}" for node, reading in readings if not reading.within]


def _first(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
