"""Any ONNX file as a model that can be judged: static shapes at one size, constants folded, nothing rewritten.

Every way in which a file can be no use is one line that says what is wrong, where, and what to do. Weights outside the file
are read only from the file's own folder. Functions of the model's own are written out where they are called, as every tool
chain does. What no tool here knows (an op of another domain, a shape that depends on data) is left open for the judge.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import onnx
import onnx.inliner
import onnx_ir as ir

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.naming import printable
from attnbench.graph.folding import fold
from attnbench.graph.load import all_tensors, first_line, opset_of, read_proto, read_weights
from attnbench.graph.validity import check_nodes, check_tensor

OLDEST_OPSET = 7
"""From here on broadcasting is implicit, which rules on operands rely on."""

LARGE = 4096
"""Bytes of a weight from which it is kept from ONNX's C++ functions, which take 2 GB at most and read none of it."""

MOST_NODES = 1_000_000
"""Nodes that functions may come to once they are written out."""

OPEN = "open sides"
"""Under this an input's ``meta`` has its sides as the file gives them, where some were open."""

EXAMPLE = {2: "1x64", 3: "1x64x64", 4: "1x3x64x64"}
"""Sides to show in advice, by rank."""


def read_model(
    path: str, size: tuple[int, int] | None = None, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> ir.Model:
    """The model in a file, with the sides of its image inputs set to ``size`` and other inputs' to ``shapes``.

    Raises ``InputError`` for a file that is missing, empty, truncated, no ONNX, over 2 GB, of an opset that is too old or
    not known, refused by the ONNX checker (cycles, names used twice, types or shapes that do not fit), with a node that
    cannot be run, without its weights, with weights outside its folder, or with a side that neither the file nor the caller
    gives.
    """
    where = f"model '{path}'"
    proto = read_proto(Path(path), "model")
    with _text_of(where):
        read_weights(proto, Path(path), "model")
        for tensor in all_tensors(proto):
            check_tensor(tensor, where)
        _check_opset(opset_of(proto), where)
        opened = _fix_inputs(proto, where, size, dict(shapes or {}))
        weights = _set_aside(proto)
        model = ir.from_proto(_inferred(_inlined(proto, where), where))
    _put_back(model, weights)
    _name(model)
    for value in model.graph.inputs:
        if value.name in opened:
            value.meta[OPEN] = opened[value.name]
    check_nodes(model, where)
    return fold(model)


@contextmanager
def _text_of(where: str) -> Iterator[None]:
    """Within this, names that are not text are the user's to mend."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: a name in it is not UTF-8 ({printable(repr(error.object[:20]))})") from error


def _check_opset(opset: int, where: str) -> None:
    newest = onnx.defs.onnx_opset_version()
    if opset < OLDEST_OPSET:
        raise InputError(f"{where}: opset {opset} is older than {OLDEST_OPSET}: convert it with onnx.version_converter")
    if opset > newest:
        raise InputError(
            f"{where}: opset {opset} is newer than {newest}, the newest that the installed onnx knows: update onnx"
        )


def _inlined(proto: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model with its own functions written out where they are called."""
    if not proto.functions:
        return proto
    called = {(one.domain, one.name): _called(one.node) for one in proto.functions}
    sizes: dict[tuple[str, str], int] = {}
    while waiting := [key for key in called if key not in sizes]:
        ready = [key for key in waiting if all(one in sizes or one not in called for one in called[key])]
        if not ready:
            raise InputError(f"{where}: its function {'::'.join(waiting[0])} calls itself")
        sizes |= {key: sum(sizes.get(one, 1) for one in called[key]) for key in ready}
    if sum(sizes.get(one, 1) for one in _called(proto.graph.node)) > MOST_NODES:
        raise InputError(f"{where}: its functions come to more than {MOST_NODES} nodes once they are written out")
    try:
        return onnx.inliner.inline_local_functions(proto, convert_version=True)
    except Exception as error:  # RuntimeError, and what the version converter raises
        raise InputError(f"{where}: its functions cannot be written out: {first_line(error)}") from error


def _called(nodes: Iterable[onnx.NodeProto]) -> list[tuple[str, str]]:
    """The ops of nodes and of those in their bodies, each with its domain."""
    inside = [node for graph in _graphs(onnx.GraphProto(node=nodes)) for node in graph.node]
    return [(node.domain, node.op_type) for node in inside]


def _inferred(proto: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model with every shape that follows from its inputs, whatever the file says of others.

    What is wrong inside a body of If, Loop or Scan may be for a case that never comes, so there a shape only stays open.
    """
    for number, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    infer = partial(onnx.shape_inference.infer_shapes, check_type=True, data_prop=True)
    for value in proto.graph.output:
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.shape.SetInParent()  # the checker wants one, and none is believed
    try:
        onnx.checker.check_model(proto)
        for graph in _graphs(proto.graph):
            _forget_shapes(graph)
        try:
            return infer(proto, strict_mode=True)
        except onnx.shape_inference.InferenceError as error:
            if not re.match(r"\W*ShapeInferenceError\W+Inference error\(s\): \(op_type:(If|Loop|Scan),", str(error)):
                raise
            return infer(proto, strict_mode=False)
    except UnicodeDecodeError:
        raise
    except Exception as error:  # ValidationError, InferenceError, RuntimeError
        raise InputError(f"{where}: the ONNX checker refuses it: {first_line(error)}") from error


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and the bodies in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                if body.node:
                    yield from _graphs(body)


def _forget_shapes(graph: onnx.GraphProto) -> None:
    """Drop what a file says of the shapes of all that is computed."""
    del graph.value_info[:]
    for value in graph.output:
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.ClearField("shape")


def _set_aside(proto: onnx.ModelProto) -> dict[str, tuple[onnx.TensorProto, bool]]:
    """The larger weights, taken out of a model and left as inputs of it; with each, whether it was an input already."""
    graph = proto.graph
    tensors = list(graph.initializer)
    given = {value.name for value in graph.input}
    heavy = {tensor.name: (tensor, tensor.name in given) for tensor in tensors if tensor.ByteSize() > LARGE}
    if not heavy:
        return {}
    del graph.initializer[:]
    graph.initializer.extend(tensor for tensor in tensors if tensor.name not in heavy)
    for name, (tensor, known) in heavy.items():
        if not known:
            graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims)))
    return heavy


def _put_back(model: ir.Model, weights: Mapping[str, tuple[onnx.TensorProto, bool]]) -> None:
    inputs = {value.name: value for value in model.graph.inputs}
    kept = [value for value in model.graph.inputs if (known := weights.get(str(value.name))) is None or known[1]]
    model.graph.inputs.clear()
    model.graph.inputs.extend(kept)
    for name, (tensor, _) in weights.items():
        inputs[name].const_value = ir.serde.deserialize_tensor(tensor)
        model.graph.register_initializer(inputs[name])


def _name(model: ir.Model) -> None:
    """Names for all nodes, and none that a terminal would obey."""
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    for number, node in enumerate(model.graph.all_nodes()):
        node.name = printable(node.name or f"{node.op_type}_{number}")
        if not (node.op_type + node.domain).isprintable():
            node.op_type, node.domain = printable(node.op_type), printable(node.domain)
        values += node.outputs
    for value in values:
        if value.name and not value.name.isprintable():
            value.name = printable(value.name)


def _fix_inputs(
    proto: onnx.ModelProto, where: str, size: tuple[int, int] | None, shapes: dict[str, tuple[int, ...]]
) -> dict[str, str]:
    """Give every input static sides; of those that had open ones, what the file says."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = {value.name: value for value in proto.graph.input if value.name not in weights}
    for name in shapes:
        if name not in inputs:
            raise UnknownName(f"input of {where}", name, inputs)
    opened = {}
    for name, value in inputs.items():
        if value.type.WhichOneof("value") != "tensor_type":
            if name in shapes:
                raise InputError(f"{where}: input '{name}' is no tensor, and has no sides")
            continue
        tensor = value.type.tensor_type
        dims = list(tensor.shape.dim) if tensor.HasField("shape") else None
        if dims is None or any(dim.dim_value < 1 for dim in dims):
            opened[name] = _sides_text(dims)
        wanted = _wanted(name, dims, where, size, shapes.get(name))
        tensor.shape.Clear()
        for side in wanted:
            tensor.shape.dim.add().dim_value = side
    return opened


def _wanted(
    name: str,
    dims: list[onnx.TensorShapeProto.Dimension] | None,
    where: str,
    size: tuple[int, int] | None,
    given: tuple[int, ...] | None,
) -> list[int]:
    """The sides that an input is to have. Raises ``InputError`` where one is left open, with the option that closes it."""
    if given is not None:
        if dims is not None and len(given) != len(dims):
            raise InputError(f"{where}: input '{name}' has {len(dims)} sides, not {len(given)}")
        return list(given)
    if dims is None:
        raise InputError(f"{where}: input '{name}' has no shape: give --shape {name}={EXAMPLE[4]}, with your own sides")
    sides = [max(dim.dim_value, 0) for dim in dims]
    image = len(sides) == 4 and sides[1] > 0
    if size is not None and len(sides) == 4 and _is_image(sides):
        sides = [sides[0] or 1, sides[1], *size]
    if all(sides):
        return sides
    if image and size is None and not all(sides[2:]):
        advice = "give --size HEIGHTxWIDTH"
    else:
        example = EXAMPLE.get(len(sides), "x".join("1" * len(sides))).split("x")
        shown = "x".join(str(side or other) for side, other in zip(sides, example, strict=True))
        advice = f"give --shape {name}={shown}, with your own sides"
    raise InputError(f"{where}: input '{name}' has no static shape ({_sides_text(dims)}): {advice}")


def _sides_text(dims: list[onnx.TensorShapeProto.Dimension] | None) -> str:
    """Sides as the file gives them: numbers, names, and a question mark for neither."""
    return "any" if dims is None else "x".join(str(d.dim_value) if d.dim_value > 0 else d.dim_param or "?" for d in dims)


def _is_image(sides: list[int]) -> bool:
    """Whether an input is an image that a size is for: its sides are open, or it has the usual channels."""
    return sides[2] <= 0 or sides[3] <= 0 or sides[1] in (1, 3, 4)
