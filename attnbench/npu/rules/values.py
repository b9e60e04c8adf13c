"""What a rule can ask of values: attributes, bounds of clipping, exponents."""

from math import inf, isclose
from typing import Annotated, Any

import onnx
import onnx.defs
import onnx.helper
import onnx_ir as ir
from msgspec import Meta

from attnbench.npu.nodes import Reading, Unmeasured, constant_of
from attnbench.npu.rules.asking import ask

Value = bool | float | str | list[float | str]
"""What a rule can say of an attribute."""


def _bounds(node: ir.Node) -> tuple[float, float]:
    found = []
    for index, name, default in ((1, "min", -inf), (2, "max", inf)):
        value = node.inputs[index] if len(node.inputs) > index else None
        if name in node.attributes:
            found.append(node.attributes[name].as_float())
        elif value is None:
            found.append(default)
        else:
            constant = constant_of(value)
            if not constant:
                raise Unmeasured(f"a {name} that is not constant")
            found.append(float(constant[0]))
    return found[0], found[1]


def _clip_text(bounds: tuple[float, float]) -> str:
    return f"clips to [{bounds[0]:g}, {bounds[1]:g}]"


def _attribute(node: ir.Node, name: str) -> Any:
    if name in node.attributes:
        value = node.attributes[name].value
        return list(value) if isinstance(value, tuple | list) else value
    schema = onnx.defs.get_schema(node.op_type, node.version or onnx.defs.onnx_opset_version(), node.domain)
    default = schema.attributes[name].default_value if name in schema.attributes else None
    if default is None or not default.type:
        return None
    value = onnx.helper.get_attribute_value(default)
    return value.decode() if isinstance(value, bytes) else value


def _short(seen: Any) -> Any:
    """Values as a reader knows them: a file holds 0.2 in 32 bits, which is 0.20000000298 in 64."""
    if isinstance(seen, dict):
        return {name: _short(value) for name, value in seen.items()}
    if isinstance(seen, list):
        return [_short(value) for value in seen]
    return float(f"{seen:.6g}") if isinstance(seen, float) else seen


def _equal(seen: Any, wanted: Any) -> bool:
    if isinstance(seen, int | float) and isinstance(wanted, int | float):
        return isclose(seen, wanted, rel_tol=1e-3, abs_tol=1e-9) if float in (type(seen), type(wanted)) else seen == wanted
    return seen == wanted


clip_around_zero = ask(
    "clipping from 0 or below to above 0", _bounds, _clip_text, lambda bounds, _: bounds[0] <= 0 < bounds[1]
)


def attributes(node: ir.Node, limit: dict[str, Value]) -> Reading:
    """attributes {limit}"""
    seen = {name: _attribute(node, name) for name in limit}
    return Reading(all(_equal(seen[name], wanted) for name, wanted in limit.items()), f"attributes {_short(seen)}")


def attributes_in(node: ir.Node, limit: dict[str, list[Value]]) -> Reading:
    """attributes one of {limit}"""
    seen = {name: _attribute(node, name) for name in limit}
    return Reading(
        all(any(_equal(seen[name], one) for one in wanted) for name, wanted in limit.items()), f"attributes {_short(seen)}"
    )


def absent_attributes(node: ir.Node, limit: list[str]) -> Reading:
    """attributes {limit} left out"""
    given = [name for name in limit if name in node.attributes]
    return Reading(not given, f"attribute {given[0]} is given" if given else "left out")


def clip_in(node: ir.Node, limit: list[Annotated[list[float], Meta(min_length=2, max_length=2)]]) -> Reading:
    """clipping to one of {limit}"""
    low, high = bounds = _bounds(node)
    known = any(_equal(low, bottom) and _equal(high, top) for bottom, top in limit)
    return Reading(known, _clip_text(bounds))


def clip_from(node: ir.Node, limit: float) -> Reading:
    """clipping from {limit} on"""
    low, high = _bounds(node)
    return Reading(_equal(low, limit) and high >= limit, f"clips to [{low:g}, {high:g}]")


def exponent_in(node: ir.Node, limit: list[float]) -> Reading:
    """a constant exponent of {limit}"""
    exponent = constant_of(node.inputs[1])
    within = exponent is not None and len(exponent) == 1 and any(_equal(exponent[0], one) for one in limit)
    return Reading(within, f"exponent {_short(exponent) if exponent is not None else 'not constant'}")


def scalar_exponent(node: ir.Node, _limit: bool) -> Reading:
    """a constant exponent of one element"""
    exponent = constant_of(node.inputs[1])
    within = exponent is not None and len(exponent) == 1
    return Reading(within, f"exponent {_short(exponent) if exponent is not None else 'not constant'}")
