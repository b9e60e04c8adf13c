"""The user's files: the one that is read, as the runtime can run it, and the one that is written, which must be another."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnx_ir as ir

from attnbench.core.errors import InputError
from attnbench.core.files import write_whole
from attnbench.graph.load import external_weights, serialise


def check_output(model: str, output: Path) -> None:
    """Raise ``InputError`` where the result would overwrite the model or its weights, or could not be written at all."""
    if output.is_dir() or not output.parent.is_dir():
        raise InputError(f"cannot write {output}: {'it is a folder' if output.is_dir() else 'there is no such folder'}")
    if not output.exists() or not Path(model).is_file():
        return
    if output.samefile(model):
        raise InputError(f"cannot write {output}: it is the model itself; give another file")
    proto = onnx.load(model, load_external_data=False)
    places = {location for _, location in external_weights(proto)}
    if any((Path(model).parent / place).exists() and output.samefile(Path(model).parent / place) for place in places):
        raise InputError(f"cannot write {output}: it holds the model's weights; give another file")


def read_original(path: str, inputs: Mapping[str, Sequence[int]]) -> bytes:
    """A user's file as it is, with its weights inside and its inputs fixed to these shapes."""
    proto = onnx.load(path)
    for value in proto.graph.input:
        for dim, side in zip(value.type.tensor_type.shape.dim, inputs.get(value.name, ()), strict=False):
            dim.dim_value = side
    for node in proto.graph.node:
        node.ClearField("name")  # the runtime takes no name twice
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        return proto.SerializeToString()
    except Exception as error:  # ValueError or EncodeError, by protobuf's version
        raise InputError(f"model '{path}': over protobuf's limit of 2 GB with its weights inside") from error


def write_model(model: ir.Model, output: Path) -> None:
    """A model as a file, in one step. Raises ``InputError`` for a place that cannot be written."""
    write_whole(output, serialise(model))
