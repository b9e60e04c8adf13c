"""What no runtime runs, though ONNX's checker and shape inference let it pass. Each is an ``InputError`` with the place.

Tensors that do not hold the data of their shape; windows, groups and axes that do not fit their input.
"""

from collections.abc import Callable
from math import prod

import onnx
import onnx_ir as ir

from attnbench.core.errors import InputError
from attnbench.core.naming import printable

BITS = dict.fromkeys(("INT4", "UINT4", "FLOAT4E2M1"), 4) | dict.fromkeys(("INT2", "UINT2"), 2)


def check_tensor(tensor: onnx.TensorProto, where: str) -> None:
    """Raise ``InputError`` where a tensor in a file does not hold as much data as its shape says."""
    if tensor.data_type == onnx.TensorProto.STRING or tensor.data_type not in onnx.TensorProto.DataType.values():
        return
    elements = prod(tensor.dims)
    bits = BITS.get(onnx.TensorProto.DataType.Name(tensor.data_type))
    field = onnx.helper.tensor_dtype_to_field(tensor.data_type)
    if tensor.HasField("raw_data"):
        held = len(tensor.raw_data)
        size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        wanted = -(-elements * bits // 8) if bits else elements * size
    else:
        held = len(getattr(tensor, field))
        wanted = -(-elements * bits // 8) if bits else elements * (2 if "COMPLEX" in tensor_type(tensor) else 1)
    if min(tensor.dims, default=0) < 0 or held != wanted:
        sides = "x".join(map(str, tensor.dims)) or "scalar"
        raise InputError(f"{where}: tensor '{tensor.name}' of {sides} holds {held} values or bytes, not {wanted}")


def tensor_type(tensor: onnx.TensorProto) -> str:
    """The name of a tensor's element type."""
    return str(onnx.TensorProto.DataType.Name(tensor.data_type))


def check_nodes(model: ir.Model, where: str) -> None:
    """Raise ``InputError`` for the first node that cannot be run."""
    for node in model.graph.all_nodes():
        if node.domain in ("", "ai.onnx") and (complaint := _complaint(node)):
            raise InputError(f"{where}: node '{printable(node.name or '')}' ({node.op_type}) cannot be run: {complaint}")


def _complaint(node: ir.Node) -> str | None:
    for value in node.outputs:
        sides = _sides(value)
        if sides is not None and min(sides, default=0) < 0:
            return f"its output would be {list(sides)}"
    check = _CHECKS.get(node.op_type)
    return check(node) if check else None


def _sides(value: ir.Value | None) -> tuple[int, ...] | None:
    """The sides of a tensor, where they are known."""
    return None if value is None or value.shape is None or not value.shape.is_static() else tuple(value.shape.numpy())


def _input(node: ir.Node, index: int) -> tuple[int, ...] | None:
    return _sides(node.inputs[index]) if index < len(node.inputs) else None


def _ints(node: ir.Node, name: str, default: list[int]) -> list[int]:
    return list(node.attributes[name].as_ints()) if name in node.attributes else default


def _window(node: ir.Node, weights: int | None) -> str | None:
    """What is wrong with a node that slides a window, whose weights are the input of this number."""
    before, weight = _input(node, 0), None if weights is None else _input(node, weights)
    kernel = _ints(node, "kernel_shape", list(weight[2:]) if weight else [])
    if not kernel:
        return None
    strides, dilations = (_ints(node, name, [1] * len(kernel)) for name in ("strides", "dilations"))
    pads = _ints(node, "pads", [0] * 2 * len(kernel))
    for what, numbers, least in (("kernel", kernel, 1), ("stride", strides, 1), ("dilation", dilations, 1)):
        if len(numbers) != len(kernel) or min(numbers) < least:
            return f"its {what} is {numbers}"
    if len(pads) != 2 * len(kernel) or min(pads) < 0:
        return f"its padding is {pads}"
    if weight and list(weight[2:]) != kernel:
        return f"its kernel_shape is {kernel}, and its weights are {list(weight)}"
    if before is not None and len(before) != len(kernel) + 2:
        return f"its input is of rank {len(before)}, and its kernel {kernel}"
    transposed = node.op_type == "ConvTranspose"
    return _groups(node, before, weight, transposed=transposed) or (
        None if before is None or transposed else _fit(node, before[2:], kernel, strides, dilations, pads)
    )


def _groups(
    node: ir.Node, before: tuple[int, ...] | None, weight: tuple[int, ...] | None, *, transposed: bool
) -> str | None:
    group = node.attributes.get_int("group", 1)
    if group is None or group < 1:
        return f"it has {group} groups"
    if weight is None or before is None:
        return None
    taken = weight[0] if transposed else weight[1] * group
    if before[1] != taken or weight[0] % group:
        return f"its input has {before[1]} channels, and its weights are {list(weight)} in {group} groups"
    return None


def _fit(
    node: ir.Node, plane: tuple[int, ...], kernel: list[int], strides: list[int], dilations: list[int], pads: list[int]
) -> str | None:
    padding = node.attributes.get_string("auto_pad", "NOTSET")
    if padding in ("SAME_UPPER", "SAME_LOWER"):
        return None
    begin, end = (pads[: len(kernel)], pads[len(kernel) :]) if padding == "NOTSET" else ([0] * len(kernel),) * 2
    for side, length, stride, far, low, high in zip(plane, kernel, strides, dilations, begin, end, strict=True):
        room = side + low + high - (length - 1) * far - 1
        steps = -(-room // stride) if node.attributes.get_int("ceil_mode", 0) else room // stride
        if steps < 0:
            return f"its kernel {kernel} does not fit its input {list(plane)}"
    return None


def _permutation(node: ir.Node) -> str | None:
    before = _input(node, 0)
    order = _ints(node, "perm", [])
    wrong = order and before is not None and sorted(order) != list(range(len(before)))
    return f"its perm is {order}, and its input of rank {len(before or ())}" if wrong else None


def _volume(node: ir.Node) -> str | None:
    before, after = _input(node, 0), _sides(node.outputs[0])
    if before is None or after is None or prod(before) == prod(after):
        return None
    return f"{list(before)} does not become {list(after)}"


def _axis(node: ir.Node) -> str | None:
    before, axis = _input(node, 0), node.attributes.get("axis")
    if before is None or axis is None or axis.type != ir.AttributeType.INT:
        return None
    more = 1 if node.op_type == "Flatten" else 0
    inside = -len(before) <= axis.as_int() < len(before) + more
    return None if inside else f"its axis is {axis.as_int()}, and its input of rank {len(before)}"


_CHECKS: dict[str, Callable[[ir.Node], str | None]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", "DeformConv"), lambda node: _window(node, 1)),
    "QLinearConv": lambda node: _window(node, 3),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), lambda node: _window(node, None)),
    "Transpose": _permutation,
    "Reshape": _volume,
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "Flatten", "Gather", "ArgMax", "ArgMin", "Concat", "Split"), _axis),
}
