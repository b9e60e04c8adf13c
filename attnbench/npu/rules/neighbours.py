"""What a rule can ask of a node's neighbours: what reads it, what it stands behind, whether it is at the network's edge."""

from typing import Literal

import onnx_ir as ir

from attnbench.npu.nodes import Reading


def only_before(node: ir.Node, limit: list[str]) -> Reading:
    """consumers that are all one of {limit}"""
    consumers = sorted({use.node.op_type for output in node.outputs for use in output.uses()})
    consumers += ["the output"] if any(output.is_graph_output() for output in node.outputs) else []
    return Reading(set(consumers) <= set(limit), f"read by {', '.join(consumers)}")


def only_before_unpadded(node: ir.Node, limit: list[str]) -> Reading:
    """consumers that are all one of {limit} and pad nothing of their own"""
    consumers = [use.node for output in node.outputs for use in output.uses()]
    seen = sorted({f"{other.op_type} with padding" if _pads_itself(other) else other.op_type for other in consumers})
    return Reading(bool(consumers) and set(seen) <= set(limit), f"read by {', '.join(seen) or 'the output'}")


def behind(node: ir.Node, limit: list[str]) -> Reading:
    """a first input that comes from one of {limit}"""
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    op = producer.op_type if producer is not None else "the network's input"
    return Reading(op in limit, f"behind {op}")


def at_edge_in(node: ir.Node, limit: list[Literal["input", "output"]]) -> Reading:
    """a place at the network's {limit}"""
    edges = {
        "input": any(value is not None and value.is_graph_input() for value in node.inputs),
        "output": any(value.is_graph_output() for value in node.outputs),
    }
    seen = [edge for edge, there in edges.items() if there]
    return Reading(bool(set(seen) & set(limit)), f"at the network's {' and '.join(seen)}" if seen else "inside the network")


def written_out(node: ir.Node, _limit: bool) -> Reading:
    """an op that is written out as several"""
    apart = node.graph is None  # only the stand-in for a recognised composite belongs to no graph
    return Reading(apart, "written out as several ops" if apart else "one op")


def _pads_itself(node: ir.Node) -> bool:
    given = any(node.attributes["pads"].as_ints()) if "pads" in node.attributes else False
    return given or node.attributes.get_string("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER")
