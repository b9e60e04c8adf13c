"""ONNX bytes and files to models with static shapes, and the user's mistakes to one clear line each.

A model travels as bytes and is parsed anew for each use: ``onnx_ir`` keeps the ``TensorProto`` it was given, so renaming
an initializer of a parsed model would rename it in the cached message as well.
"""

from pathlib import Path

import onnx
import onnx.external_data_helper
import onnx.version_converter
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnxscript.version_converter import convert_version

from attnbench.core.errors import CaseFailure, InputError

WEIGHT_THRESHOLD = 4096
"""Bytes from which a host's weight is moved out; shapes and axes stay inside, where passes can read them."""

PROTOBUF_LIMIT = 2 * 1024**3

STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "attnbench")


def parse(data: bytes) -> ir.Model:
    """A fresh model from serialised bytes."""
    return ir.from_proto(onnx.load_model_from_string(data))


def serialise(model: ir.Model) -> bytes:
    """The model as protobuf bytes."""
    return ir.to_proto(model).SerializeToString()


def move_weights_out(data: bytes, folder: Path, name: str) -> bytes:
    """The model with its larger weights in a file beside it, so that a hundred variants share one copy of the host's."""
    model = parse(data)
    ir.external_data.unload_from_model(model, folder, name, size_threshold_bytes=WEIGHT_THRESHOLD)
    return serialise(model)


def with_weights(path: Path) -> bytes:
    """A graph that ``move_weights_out`` left without its larger weights, with them inside. Raises ``InputError``."""
    try:
        return onnx.load_model(str(path)).SerializeToString()
    except Exception as error:  # ValueError or EncodeError, by protobuf's version
        raise InputError("the graph is over protobuf's limit of 2 GB with its weights inside") from error


def verify(model: bytes | Path, stage: str) -> None:
    """Hold a model to ONNX's checker with full, strict shape inference; raises ``CaseFailure`` at the stage."""
    try:
        onnx.checker.check_model(model if isinstance(model, bytes) else str(model), full_check=True)
    except Exception as error:  # the checker raises ValidationError, InferenceError and RuntimeError
        raise CaseFailure(stage, f"the ONNX checker refuses the graph: {first_line(error)}") from error


def read_host_file(path: str, opset: int = 0) -> bytes:
    """A user's ONNX file as bytes, with shapes inferred, weights inside and a name for every node.

    A file of an older opset than the one given is converted up to it, so that modules of that opset can join.

    Raises ``InputError`` for a file that is missing, empty, truncated, not ONNX, has dynamic input dimensions, more than
    one input, missing external data, or ops of a domain that ONNX does not define.
    """
    file = Path(path)
    proto = read_proto(file, "host")
    _check_ops(proto, path)
    read_weights(proto, file, "host")
    _check_input(proto, path)
    for number, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    try:
        onnx.checker.check_model(proto, full_check=True)
        if opset_of(proto) < opset:
            proto = onnx.version_converter.convert_version(proto, opset)
        proto = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    except Exception as error:
        raise InputError(f"host '{path}': the ONNX checker refuses it: {first_line(error)}") from error
    return proto.SerializeToString()


def opset_of(proto: onnx.ModelProto) -> int:
    """The version of the standard operators that a model is written in."""
    return next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))


def raise_opset(model: ir.Model, opset: int) -> None:
    """Bring a model up to an opset that it is older than, in place, with the exporter's own converter; names stay."""
    if model.opset_imports.get("", opset) < opset:
        convert_version(model, opset)


def file_size(path: str) -> tuple[int, int]:
    """Height and width of a host file's image input."""
    dims = _image_input(read_proto(Path(path), "host"), path).type.tensor_type.shape.dim
    return dims[2].dim_value, dims[3].dim_value


def input_shape(model: ir.Model) -> tuple[int, ...]:
    """The static shape of the model's first input."""
    return static_shape(model.graph.inputs[0])


def static_shape(value: ir.Value) -> tuple[int, ...]:
    """A value's shape as integers; raises ``CaseFailure`` where it is not known."""
    if value.shape is None or not all(isinstance(d, int) for d in value.shape):
        raise CaseFailure("build", f"tensor '{value.name}' has no static shape ({value.shape})")
    return tuple(int(d) for d in value.shape)  # type: ignore[arg-type]


def read_proto(file: Path, what: str) -> onnx.ModelProto:
    """An ONNX file decoded, without its external weights; ``what`` is what complaints call it.

    Raises ``InputError`` for a file that is missing, unreadable, empty, truncated, not ONNX, or over protobuf's limit.
    """
    if not file.is_file():
        raise InputError(f"{what} '{file}': there is no such file")
    if file.stat().st_size >= PROTOBUF_LIMIT:
        raise InputError(f"{what} '{file}': over protobuf's limit of 2 GB: save it with its weights as external data")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{what} '{file}': cannot be read: {error.strerror}") from error
    if not data:
        raise InputError(f"{what} '{file}': the file is empty")
    try:
        proto = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise InputError(f"{what} '{file}': not an ONNX model, or a truncated one (protobuf does not decode)") from error
    if not proto.graph.node or not any(entry.domain in ("", "ai.onnx") for entry in proto.opset_import):
        raise InputError(f"{what} '{file}': not an ONNX model (it holds no graph of standard ops)")
    return proto


def external_weights(proto: onnx.ModelProto) -> list[tuple[str, str]]:
    """Name and location, as the file gives it, of each weight that lies outside; names need not be unique."""
    return [(tensor.name, _places(tensor)["location"]) for tensor in all_tensors(proto) if _is_outside(tensor)]


def all_tensors(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Every tensor that a model holds: weights, and constants in attributes and bodies."""
    return list(onnx.external_data_helper._get_all_tensors(proto))  # noqa: SLF001  no public function walks all tensors


def read_weights(proto: onnx.ModelProto, file: Path, what: str) -> None:
    """Read a model's external weights into it, from its own folder alone. Raises ``InputError`` where that cannot be."""
    folder = file.resolve().parent
    for tensor in filter(_is_outside, all_tensors(proto)):
        _check_place(tensor, folder, f"{what} '{file}'")
    try:
        onnx.external_data_helper.load_external_data_for_model(proto, str(folder))
    except Exception as error:
        raise InputError(f"{what} '{file}': its external data cannot be read: {first_line(error)}") from error


def _is_outside(tensor: onnx.TensorProto) -> bool:
    return bool(onnx.external_data_helper.uses_external_data(tensor))


def _places(tensor: onnx.TensorProto) -> dict[str, str]:
    """Where a tensor's data lies outside: ``location``, and perhaps ``offset`` and ``length``, as the file gives them."""
    return {"location": "", **{entry.key: entry.value for entry in tensor.external_data}}


def _check_place(tensor: onnx.TensorProto, folder: Path, where: str) -> None:
    """Raise ``InputError`` where a tensor's data is not wholly in a file of this folder."""
    places = _places(tensor)
    location = places["location"]
    if not location.isprintable():
        raise InputError(f"{where}: the weights of '{tensor.name}' are said to be in {location!r}, which names no file")
    file = (folder / location).resolve()
    if Path(location).is_absolute() or not file.is_relative_to(folder):
        raise InputError(f"{where}: weights of '{tensor.name}' are outside its folder ({location}): refused")
    if not file.is_file():
        raise InputError(f"{where}: its external data cannot be read: its weights {location} are missing")
    end = 0
    for key in ("offset", "length"):
        value = places.get(key, "0")
        if not (value.isascii() and value.isdigit()) or len(value) > 18:
            raise InputError(
                f"{where}: the {key} of the weights of '{tensor.name}' is {value!r}, which is no number of bytes"
            )
        end += int(value)
    if end > file.stat().st_size:
        raise InputError(f"{where}: the weights of '{tensor.name}' end at byte {end}, and {location} before: it was cut off")


def _check_ops(proto: onnx.ModelProto, path: str) -> None:
    functions = {(f.domain, f.name) for f in proto.functions}
    foreign = {
        f"{node.domain}::{node.op_type}"
        for node in proto.graph.node
        if node.domain not in STANDARD_DOMAINS and (node.domain, node.op_type) not in functions
    }
    if foreign:
        raise InputError(f"host '{path}': ops of a custom domain cannot be counted or checked: {', '.join(sorted(foreign))}")


def _image_input(proto: onnx.ModelProto, path: str) -> onnx.ValueInfoProto:
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise InputError(f"host '{path}': takes {len(inputs)} inputs ({', '.join(v.name for v in inputs)}); one is needed")
    if len(inputs[0].type.tensor_type.shape.dim) != 4:
        raise InputError(f"host '{path}': input '{inputs[0].name}' is not an image [N, C, H, W]")
    return inputs[0]


def _check_input(proto: onnx.ModelProto, path: str) -> None:
    value = _image_input(proto, path)
    dims = value.type.tensor_type.shape.dim
    dynamic = [f"{axis}={d.dim_param or '?'}" for axis, d in zip("NCHW", dims, strict=True) if d.dim_value < 1]
    if dynamic:
        raise InputError(
            f"host '{path}': input '{value.name}' has dynamic dimensions ({', '.join(dynamic)}): fix them first, "
            f"for example with python -m onnxruntime.tools.make_dynamic_shape_fixed"
        )
    if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise InputError(f"host '{path}': input '{value.name}' is not float32")


def first_line(error: Exception) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
