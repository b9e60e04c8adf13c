"""A profiled run as a trace that Perfetto (ui.perfetto.dev) and chrome://tracing open: each kind of node on its own track.

Complete events (``ph`` X, microseconds) with metadata events that name and order the tracks; colours cannot be chosen there,
tracks can. Source: Trace Event Format, the document that Perfetto's "JSON trace format" page refers to. Nodes run one after
the other in one thread and are drawn end to end; the runtime's time between them is left out.
"""

from typing import TYPE_CHECKING, Any

from attnbench.core.naming import display_name, inserted_module
from attnbench.report.answer import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnbench.measure.export import TracedNode

TRACKS = {
    "host": "the host's own nodes",
    "added": "inserted nodes",
    "layout": "layout changes around them",
    "unfused": "the host's, no longer fused",
    "changed": "the host's, fused otherwise",
}
"""The tracks from the top, by why a node is in the graph: it is the host's, or a part of the overhead."""


def trace_text(title: str, nodes: "Sequence[TracedNode]") -> str:
    """The run as one JSON document."""
    events: list[dict[str, Any]] = [_named("process_name", 0, {"name": title})]
    tracks = {part: at for at, part in enumerate(TRACKS, start=1)}
    for part in dict.fromkeys(node.part for node in nodes):
        events.append(_named("thread_name", tracks[part], {"name": TRACKS[part]}))
        events.append(_named("thread_sort_index", tracks[part], {"sort_index": tracks[part]}))
    began = 0.0
    for node in nodes:
        told = {"op": node.op, "site": node.site, "module": inserted_module(node.name), "node": node.name}
        told |= {"inputs": node.inputs, "outputs": node.outputs}
        events.append(
            {
                "name": display_name(node.name),
                "cat": node.part,
                "ph": "X",
                "pid": 1,
                "tid": tracks[node.part],
                "ts": round(1e6 * began, 3),
                "dur": round(1e6 * node.seconds, 3),
                "args": {name: value for name, value in told.items() if value},
            }
        )
        began += node.seconds
    return json_text({"traceEvents": events, "displayTimeUnit": "ms"})


def _named(name: str, track: int, told: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "ph": "M", "pid": 1, "tid": track, "args": told}
