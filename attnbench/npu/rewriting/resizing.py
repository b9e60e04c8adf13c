"""Enlarging by repetition in whichever of its spellings the target takes."""

from functools import partial
from typing import Any

import onnx_ir as ir
from onnxscript.rewriter.pattern import RewriteRule

from attnbench.npu.rewriting.matching import LocalRewrite
from attnbench.npu.rewriting.values import float_shape, opset_of
from attnbench.npu.rewriting.writing import carry

MODES_SINCE = 11
"""The opset that brought the ways to map coordinates."""

SPELLINGS = (
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("asymmetric", "floor"),
)
"""How coordinates are mapped and rounded; the same at whole factors."""


def _spelling(node: ir.Node) -> tuple[str | None, str | None]:
    attributes = node.attributes
    return (
        attributes.get_string("coordinate_transformation_mode", "half_pixel"),
        attributes.get_string("nearest_mode", "round_prefer_floor"),
    )


def _repeats(_: Any, out: Any, *, other: tuple[str, str], **__: Any) -> bool:
    """Whether a node enlarges a plane by whole factors, in a spelling that is not this one."""
    node = out.producer()
    before, after = float_shape(node.inputs[0]), float_shape(out)
    if before is None or after is None or len(before) < 3 or opset_of(node) < MODES_SINCE:
        return False
    nearest = node.attributes.get_string("mode", "nearest") == "nearest" and not node.attributes.get_int("antialias", 0)
    whole = all(old and new % old == 0 for old, new in zip(before, after, strict=True)) and before[:2] == after[:2]
    return nearest and whole and "axes" not in node.attributes and _spelling(node) in SPELLINGS and _spelling(node) != other


def _respelt(op: Any, x: Any, out: Any, *, other: tuple[str, str]) -> Any:
    """Nearest enlarging by whole factors, counted from pixel corners instead of centres or the reverse.

    Exact: from the corner, place ``s * q + r`` reads ``floor(q + r / s)``, which is ``q``; from the centre it reads what is
    nearest to ``q + (r + 1/2) / s - 1/2``, which is less than a half from ``q`` on either side.
    """
    node = out.producer()
    mapped, rounded = other
    inputs = [x, *node.inputs[1:]]
    return carry(op, node, inputs, coordinate_transformation_mode=mapped, nearest_mode=rounded)


REPETITIONS = LocalRewrite(
    "enlarging by repetition",
    *(
        RewriteRule(
            lambda op, x: op.Resize(x, _allow_other_inputs=True, _outputs=["out"]),
            partial(_respelt, other=other),
            partial(_repeats, other=other),
        )
        for other in SPELLINGS
    ),
)
