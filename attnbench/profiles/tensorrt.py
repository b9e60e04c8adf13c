"""TensorRT's ``trtexec --exportProfile``, and ``--exportLayerInfo`` for what its layers hold.

The profile is a JSON list: first ``{"count": RUNS}``, then for each layer ``name``, ``timeMs`` over all runs, ``averageMs``,
since 8.5 ``medianMs``, and ``percentage``. A name is that of an ONNX node, or of several joined by `` + `` or inside
``PWN(...)``. ``{ForeignNode[FIRST...LAST]}`` and ``__myl_...`` do not say what they hold; with
``--profilingVerbosity=detailed`` the layer information does, as ``Metadata``: ``[ONNX Layer: NAME]``, one after the other,
with the signs 0x1e and 0x1f between them. Without that flag it lists names alone, which the profile has already.

Sources: samples/common/sampleReporting.cpp and the examples of tools/experimental/trt-engine-explorer of NVIDIA/TensorRT.
"""

import json
import re
from typing import Any

from attnbench.profiles import ForeignProfile, ProfiledLayer, ProfileFormat

REFORMAT = re.compile(r"Reformatting CopyNode for (?:Input|Output) Tensor \d+ to (?P<layer>.+)", re.DOTALL)
ONNX_LAYER = re.compile(r"\[ONNX Layer: (.*?)\](?=[\x1e\x1f]|\s*\[ONNX Layer: |\s*$)", re.DOTALL)
UNTOLD = ("{ForeignNode[", "__myl", "__mye")
"""How the names of layers begin that hold nodes which they do not name."""


def looks(text: str) -> bool:
    """Whether it is a list of layers with their average."""
    return text.lstrip().startswith("[") and '"averageMs"' in text


def read(text: str, info: str) -> ForeignProfile:
    """One row of times: the median over the runs, or the mean where it has no median."""
    rows = [row for row in json.loads(text) if "name" in row]
    column = "medianMs" if all("medianMs" in row for row in rows) else "averageMs"
    told = _told(info)
    layers = tuple(_layer(row["name"], told.get(row["name"], {})) for row in rows)
    statistic = f"the {'median' if column == 'medianMs' else 'mean'} over the runs"
    return ForeignProfile(layers, (tuple(row[column] * 1e-3 for row in rows),), statistic=statistic)


def _layer(name: str, told: dict[str, Any]) -> ProfiledLayer:
    if found := REFORMAT.fullmatch(name):
        return ProfiledLayer(name, "Reformat", beside=found["layer"])
    parts = tuple(ONNX_LAYER.findall(told.get("Metadata", "")))
    untold = name.startswith(UNTOLD) and not parts
    return ProfiledLayer(
        name, told.get("LayerType", ""), parts or (() if untold else _parts(name)), detail=_shapes(told), opaque=untold
    )


def _parts(name: str) -> tuple[str, ...]:
    """The nodes in a name: without what marks point-wise layers, and without the numbers of unnamed ones."""
    pieces = (piece.replace("PWN(", "") for piece in re.split(r" \+ |, ", name))
    whole = (piece[: len(piece) - max(0, piece.count(")") - piece.count("("))] for piece in pieces)
    return tuple(re.sub(r"\(Unnamed Layer\* \d+\)", "(Unnamed Layer*)", piece) for piece in whole)


def _shapes(told: dict[str, Any]) -> str:
    shapes = ([tensor.get("Dimensions") for tensor in told.get(side, ())] for side in ("Inputs", "Outputs"))
    return " ".join(map(json.dumps, shapes)) if told else ""


def _told(info: str) -> dict[str, dict[str, Any]]:
    layers = json.loads(info)["Layers"] if info else []
    return {layer["Name"]: layer for layer in layers if isinstance(layer, dict)}


ENTRIES = (
    ProfileFormat(
        name="tensorrt",
        looks=looks,
        read=read,
        summary="trtexec's profile of layers, with its layer information",
        take="take it with trtexec --exportProfile=FILE --exportLayerInfo=FILE --profilingVerbosity=detailed",
        info="the file of trtexec --exportLayerInfo",
    ),
)
