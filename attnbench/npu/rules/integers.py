"""What a rule can ask of how a node of a quantised network computes. In a network of floats all of it holds."""

from operator import eq, ne

import onnx_ir as ir

from attnbench.graph.integers import Computes, computes
from attnbench.npu.rules.asking import all_in, ask


def _how(node: ir.Node) -> Computes:
    return computes(node) or Computes()


stayed_float = ask(
    "what stayed float in a quantised network",
    lambda node: bool(_how(node).stayed_float),
    lambda seen: "stayed float" if seen else "quantised",
    eq,
)
symmetric_activations = ask(
    "activations quantised with a zero point of 0",
    lambda node: any(one.shifted for one in _how(node).activations),
    lambda seen: f"activations with a zero point {'other than' if seen else 'of'} 0",
    ne,
)
symmetric_weights = ask(
    "weights quantised with a zero point of 0",
    lambda node: any(one.shifted for one in _how(node).weights),
    lambda seen: f"weights with a zero point {'other than' if seen else 'of'} 0",
    ne,
)
weights_by_tensor = ask(
    "one scale for all weights",
    lambda node: any(one.by_channel for one in _how(node).weights),
    lambda seen: "a scale for each channel's weights" if seen else "one scale for all weights",
    ne,
)
known_ranges = ask(
    "ranges that are known before it runs",
    lambda node: any(one.at_run_time for one in _how(node).activations),
    lambda seen: f"ranges {'found while' if seen else 'known before'} it runs",
    ne,
)
activation_types = ask(
    "activations of {limit}",
    lambda node: sorted({one.type for one in _how(node).activations}),
    lambda seen: f"activations of {' and '.join(seen) or 'no integers'}",
    all_in,
    list[str],
)
weight_types = ask(
    "weights of {limit}",
    lambda node: sorted({one.type for one in _how(node).weights}),
    lambda seen: f"weights of {' and '.join(seen) or 'no integers'}",
    all_in,
    list[str],
)
