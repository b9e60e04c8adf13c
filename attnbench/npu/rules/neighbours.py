"""What a rule can ask of a node's neighbours: what reads it, what it stands behind, whether it is at the network's edge."""

from typing import Literal

import onnx_ir as ir

from attnbench.npu.nodes import Reading, constant_of, original, readers_of


def only_before(node: ir.Node, limit: list[str]) -> Reading:
    """consumers that are all one of {limit}"""
    consumers = sorted({reader.op_type for reader in readers_of(node)})
    consumers += ["the output"] if any(original(output).is_graph_output() for output in node.outputs) else []
    return Reading(set(consumers) <= set(limit), f"read by {', '.join(consumers)}")


def only_before_unpadded(node: ir.Node, limit: list[str]) -> Reading:
    """consumers that are all one of {limit} and pad nothing of their own"""
    consumers = readers_of(node)
    seen = sorted({f"{other.op_type} with padding" if _pads_itself(other) else other.op_type for other in consumers})
    return Reading(bool(consumers) and set(seen) <= set(limit), f"read by {', '.join(seen) or 'the output'}")


def behind(node: ir.Node, limit: list[str]) -> Reading:
    """a first input that comes from one of {limit}"""
    producer = original(node.inputs[0]).producer() if node.inputs[0] is not None else None
    op = producer.op_type if producer is not None else "the network's input"
    return Reading(op in limit, f"behind {op}")


def at_edge_in(node: ir.Node, limit: list[Literal["input", "output"]]) -> Reading:
    """a place at the network's {limit}"""
    edges = {
        "input": any(value is not None and original(value).is_graph_input() for value in node.inputs),
        "output": any(original(value).is_graph_output() for value in node.outputs),
    }
    seen = [edge for edge, there in edges.items() if there]
    return Reading(bool(set(seen) & set(limit)), f"at the network's {' and '.join(seen)}" if seen else "inside the network")


def written_out(node: ir.Node, _limit: bool) -> Reading:
    """an op that is written out as several"""
    apart = node.graph is None  # only the stand-in for a recognised composite belongs to no graph
    return Reading(apart, "written out as several ops" if apart else "one op")


def merges_patches(node: ir.Node, _limit: bool) -> Reading:
    """slices in steps of 2 whose results meet in one concatenation, as merging of patches is written"""
    ends = _ends(node, 2)
    met = len(ends) == 1 and all(end.op_type == "Concat" and len(end.inputs) <= 4 for end in ends)
    sources = {_source(value) for end in ends for value in end.inputs if value is not None} if met else set()
    within = _steps(node) <= {1, 2} and len(sources) == 1 and None not in sources
    return Reading(
        within, f"steps {sorted(_steps(node))}, to {', '.join(sorted({end.op_type for end in ends})) or 'the output'}"
    )


def _ends(node: ir.Node, slices: int) -> set[ir.Node]:
    """What reads a slice, or the slice behind it: an image is cut by rows and columns in one or two."""
    found: set[ir.Node] = set()
    for reader in readers_of(node):
        found |= _ends(reader, slices - 1) if reader.op_type == "Slice" and slices > 1 else {reader}
    return found


def _source(value: ir.Value) -> ir.Value | None:
    """What slices in steps of 2 were taken from; ``None`` for what is no such slice."""
    for step in range(2):
        node = value.producer()
        if node is None or node.op_type != "Slice" or node.inputs[0] is None or 2 not in _steps(node):
            return value if step else None
        value = node.inputs[0]
    return value


def _steps(node: ir.Node) -> set[int]:
    return set(constant_of(node.inputs[4]) or ()) if len(node.inputs) > 4 else {1}


def _pads_itself(node: ir.Node) -> bool:
    given = any(node.attributes["pads"].as_ints()) if "pads" in node.attributes else False
    return given or node.attributes.get_string("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER")
