"""Graphs made for tests: models from nodes, and nodes from a line of text."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

NODES = Path(__file__).parent / "nodes"
"""What the profiles of NPUs must say of nodes: a file a target."""

NOISE = np.random.default_rng(0)


def proto_of(nodes, inputs, outputs, weights=(), opset=18, ir_version=9) -> onnx.ModelProto:
    """A model from (op, inputs, outputs, attributes) and shapes by name; a side may be a name."""
    made = helper.make_graph(
        [helper.make_node(op, i, o, name=f"n{k}", **a) for k, (op, i, o, a) in enumerate(nodes)],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(weights).items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def model_of(nodes, *parts, **more) -> ir.Model:
    """The model of ``proto_of`` with every shape inferred; the nodes may be a text that ``graph`` reads."""
    proto = proto_of(*graph(nodes, **more)) if isinstance(nodes, str) else proto_of(nodes, *parts, **more)
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True))


def every(given) -> tuple:
    """All outputs of a module: of most the one, of a tap its input and what it adds."""
    return given if isinstance(given, tuple) else (given,)


def ran(graph: bytes | Path, *tensors) -> list[np.ndarray]:
    """What ONNX Runtime makes of tensors, in the order of the graph's inputs, on one core: another test has the other."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: np.asarray(one) for i, one in zip(session.get_inputs(), tensors, strict=True)})


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def value_of(text: str):
    """A number, a list of numbers or a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def constant(text: str) -> np.ndarray | None:
    """The constant that a word of ``graph`` stands for, if it is one."""
    if text[0] in "=~":
        shape = tuple(map(int, text[1:].split("x")))
        return floats(*shape) if text[0] == "=" else NOISE.standard_normal(shape, dtype=np.float32)
    value = value_of(text)
    held = np.array(value)
    return None if isinstance(value, str) else held.astype(np.float32) if held.dtype == np.float64 else held


def graph(text: str, opset: int = 20) -> tuple:
    """The nodes, inputs, outputs, weights and opset that ``model_of`` takes, from nodes as text with ``;`` between them.

    After the op come its operands: ``1x8x4x6`` is a computed one of that shape, ``=8x8x3x3`` a constant of ones, ``~8x8x3x3``
    one of noise, ``6.0`` and ``[0,2]`` are constants, ``$1`` is what the first node gives, and ``-`` is left out. ``x:1x8``
    gives an operand a name, by which it may stand again. What has a name before ``=`` is an attribute. The result is ``y``.
    """
    nodes, inputs, weights, parts = [], {}, {}, text.split("; ")
    for number, part in enumerate(parts, start=1):
        op, *words = part.split()
        names, attributes = [], {}
        for word in words:
            label, _, value = word.rpartition(":")
            key, _, setting = word.partition("=")
            own = label or f"i{number}.{len(names)}"
            if key.isidentifier() and setting:
                attributes[key] = value_of(setting)
            elif re.fullmatch(r"\d+(x\d+)+", value):
                inputs[own] = tuple(map(int, value.split("x")))
                names.append(own)
            elif (held := constant(value)) is not None:
                weights[own] = held
                names.append(own)
            else:
                names.append("" if word == "-" else word)
        last = "y" if number == len(parts) else f"${number}"
        made = [last, *(f"{last}.{more}" for more in range(1, attributes.get("num_outputs", 1)))]
        nodes.append((op, names, made, attributes))
    return nodes, inputs, dict.fromkeys(nodes[-1][2]), weights, opset


def said_of(text: str, target):
    """What a target says of each node of a graph as text."""
    from attnbench.npu.judge import judge

    return judge(model_of(text), target)
