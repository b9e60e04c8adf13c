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


def model_of(nodes, inputs, outputs, weights=(), opset=18) -> ir.Model:
    """A model from (op, inputs, outputs, attributes) and shapes by name."""
    graph = helper.make_graph(
        [helper.make_node(op, i, o, name=f"n{k}", **a) for k, (op, i, o, a) in enumerate(nodes)],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(weights).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True))


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


def graph(text: str) -> tuple:
    """The nodes, inputs, outputs, weights and opset that ``model_of`` takes, from nodes as text with ``;`` between them.

    After the op come its operands: ``1x8x4x6`` is a computed one of that shape, ``x:1x8x4x6`` names it, ``=8x8x3x3`` is a
    constant of ones, ``6.0`` and ``[0,2]`` are constants, ``$1`` is what the first node gives, and ``-`` is left out. What
    has a name before ``=`` is an attribute.
    """
    nodes, inputs, weights = [], {}, {}
    for number, part in enumerate(text.split("; "), start=1):
        op, *words = part.split()
        names, attributes = [], {}
        for word in words:
            name, _, value = word.partition("=")
            own = f"i{number}.{len(names)}"
            if found := re.fullmatch(r"(?:(\w+):)?(\d+(?:x\d+)+)", word):
                own = found[1] or own
                inputs[own] = tuple(map(int, found[2].split("x")))
            elif word.startswith("="):
                weights[own] = floats(*map(int, value.split("x")))
            elif value:
                attributes[name] = value_of(value)
                continue
            elif word == "-":
                own = ""
            elif isinstance(value_of(word), str):
                own = word
            else:
                held = np.array(value_of(word))
                weights[own] = held.astype(np.float32) if held.dtype == np.float64 else held
            names.append(own)
        made = [f"${number}", *(f"${number}.{more}" for more in range(1, attributes.get("num_outputs", 1)))]
        nodes.append((op, names, made, attributes))
    return nodes, inputs, dict.fromkeys(nodes[-1][2]), weights, 20


def said_of(text: str, target):
    """What a target says of each node of a graph as text."""
    from attnbench.npu.judge import judge

    return judge(model_of(*graph(text)), target)
