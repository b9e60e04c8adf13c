"""What a rule can ask of how a node of a quantised network computes. In a network of floats all of it holds."""

import onnx_ir as ir

from attnbench.graph.integers import Computes, computes
from attnbench.npu.rules.asking import all_in, ask


def _how(node: ir.Node) -> Computes:
    return computes(node) or Computes()


def _shifted(node: ir.Node) -> bool:
    return any(one.shifted for one in _how(node).activations)


def _shifted_weights(node: ir.Node) -> bool:
    return any(one.shifted for one in _how(node).weights)


def _by_channel(node: ir.Node) -> bool:
    return any(one.by_channel for one in _how(node).weights)


def _at_run_time(node: ir.Node) -> bool:
    return any(one.at_run_time for one in _how(node).activations)


def _types(node: ir.Node) -> list[str]:
    return sorted({one.type for one in _how(node).activations})


def _weight_types(node: ir.Node) -> list[str]:
    return sorted({one.type for one in _how(node).weights})


def _is_not(seen: bool, _true: bool) -> bool:
    return not seen


def _is(seen: bool, _true: bool) -> bool:
    return seen


stayed_float = ask(
    "what stayed float in a quantised network",
    lambda node: bool(_how(node).stayed_float),
    lambda seen: "stayed float" if seen else "quantised",
    _is,
)
symmetric_activations = ask(
    "activations quantised with a zero point of 0",
    _shifted,
    lambda seen: f"activations with a zero point {'other than' if seen else 'of'} 0",
    _is_not,
)
symmetric_weights = ask(
    "weights quantised with a zero point of 0",
    _shifted_weights,
    lambda seen: f"weights with a zero point {'other than' if seen else 'of'} 0",
    _is_not,
)
weights_by_tensor = ask(
    "one scale for all weights",
    _by_channel,
    lambda seen: "a scale for each channel's weights" if seen else "one scale for all weights",
    _is_not,
)
known_ranges = ask(
    "ranges that are known before it runs",
    _at_run_time,
    lambda seen: f"ranges {'found while' if seen else 'known before'} it runs",
    _is_not,
)
activation_types = ask(
    "activations of {limit}", _types, lambda seen: f"activations of {' and '.join(seen) or 'no integers'}", all_in, list[str]
)
weight_types = ask(
    "weights of {limit}", _weight_types, lambda seen: f"weights of {' and '.join(seen) or 'no integers'}", all_in, list[str]
)
