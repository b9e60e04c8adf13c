"""Any ONNX file as a model that can be judged: static shapes at one size, constants folded, nothing rewritten.

Every way in which a file can be no use is one line that says what is wrong, where, and what to do. Weights outside the file
are read only from the file's own folder.
"""

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx_ir as ir
from onnxscript import optimizer

from attnbench.core.errors import InputError, UnknownName
from attnbench.graph.canonicalise import tidy
from attnbench.graph.load import first_line, opset_of, read_proto, read_weights

OLDEST_OPSET = 7
"""From here on broadcasting is implicit, which rules on operands rely on."""

SMALL = 1 << 20
"""Elements up to which a constant is folded; shape arithmetic is far below, weights are not touched."""


def read_model(
    path: str, size: tuple[int, int] | None = None, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> ir.Model:
    """The model in a file, with the sides of its image inputs set to ``size`` and other inputs' to ``shapes``.

    Raises ``InputError`` for a file that is missing, empty, truncated, no ONNX, over 2 GB, of too old an opset, refused by
    the ONNX checker (cycles, names used twice), without its weights, with weights outside its folder, or with a side that
    neither the file nor the caller gives.
    """
    proto = read_proto(Path(path), "model")
    read_weights(proto, Path(path), "model")
    if opset_of(proto) < OLDEST_OPSET:
        raise InputError(
            f"model '{path}': opset {opset_of(proto)} is older than {OLDEST_OPSET}: convert it with onnx.version_converter"
        )
    _fix_inputs(proto, path, size, dict(shapes or {}))
    try:
        onnx.checker.check_model(proto)
        del proto.graph.value_info[:]
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception as error:  # ValidationError, InferenceError, RuntimeError
        raise InputError(f"model '{path}': the ONNX checker refuses it: {first_line(error)}") from error
    for number, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return fold(ir.from_proto(proto))


def fold(model: ir.Model) -> ir.Model:
    """Work out in place whatever does not depend on the input, and drop what then nothing reads."""
    optimizer.fold_constants(model, input_size_limit=SMALL, output_size_limit=SMALL)
    tidy(model)
    return model


def _fix_inputs(proto: onnx.ModelProto, path: str, size: tuple[int, int] | None, shapes: dict[str, tuple[int, ...]]) -> None:
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = {value.name: value for value in proto.graph.input if value.name not in weights}
    for name in shapes:
        if name not in inputs:
            raise UnknownName(f"input of model '{path}'", name, inputs)
    for name, value in inputs.items():
        if value.type.WhichOneof("value") != "tensor_type":
            raise InputError(f"model '{path}': input '{name}' is no tensor")
        dims = value.type.tensor_type.shape.dim
        if name in shapes:
            if len(shapes[name]) != len(dims):
                raise InputError(f"model '{path}': input '{name}' has {len(dims)} sides, not {len(shapes[name])}")
            wanted = list(shapes[name])
        else:
            wanted = [d.dim_value for d in dims]
            if len(dims) == 4 and size is not None and _is_image(wanted):
                wanted = [wanted[0] or 1, wanted[1], *size]
        _set_sides(value, wanted, path, size)


def _is_image(sides: list[int]) -> bool:
    """Whether an input is an image that a size is for: its sides are open, or it has the usual channels."""
    return sides[2] <= 0 or sides[3] <= 0 or sides[1] in (1, 3, 4)


def _set_sides(value: onnx.ValueInfoProto, wanted: list[int], path: str, size: tuple[int, int] | None) -> None:
    dims = value.type.tensor_type.shape.dim
    open_sides = [dim.dim_param or "?" for dim, side in zip(dims, wanted, strict=True) if side < 1]
    if open_sides:
        shown = "x".join(str(side) if side > 0 else dim.dim_param or "?" for dim, side in zip(dims, wanted, strict=True))
        advice = f"give --shape {value.name}=1x3x64x64, all sides of it"
        if len(dims) == 4 and size is None and wanted[1] > 0:
            advice = "give --size HEIGHTxWIDTH"
        raise InputError(f"model '{path}': input '{value.name}' has no static shape ({shown}): {advice}")
    for dim, side in zip(dims, wanted, strict=True):
        dim.Clear()
        dim.dim_value = side
